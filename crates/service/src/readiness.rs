//! Whether everything is in order that lets data be recovered.

use jiff::{SignedDuration, Timestamp};

use crate::daemon::UNOBSERVED;
use crate::observation::{BackupState, Observation, Trouble};

/// Troubles whose code begins with this are about keys.
const KEY_TROUBLES: &str = "key";

/// Why one could not rely on the backups now: each scheduled source whose newest proven backup is older than its RPO or absent, and
/// what is wrong with the keys; and that nobody can tell any more. Empty when all is well.
pub fn unready(observation: &Observation, now: Timestamp) -> Vec<Trouble> {
    let mut reasons: Vec<_> = observation.backups.iter().filter_map(|state| beyond_rpo(state, now)).collect();
    if !observation.keys.iter().any(|key| key.is_used) {
        reasons.push(Trouble {
            code: "keys.none".to_owned(),
            object: "the key".to_owned(),
            message: "it is not known that the key of this process opens the repository".to_owned(),
            hint: "Look at the log of the daemon, and run `chronavault doctor`.".to_owned(),
        });
    }
    let counts = |trouble: &&Trouble| trouble.code.starts_with(KEY_TROUBLES) || trouble.code == UNOBSERVED;
    reasons.extend(observation.troubles.iter().filter(counts).cloned());
    reasons
}

fn beyond_rpo(state: &BackupState, now: Timestamp) -> Option<Trouble> {
    let rpo = state.rpo?;
    let (source, kind) = (&state.source, state.kind);
    let (code, message) = match state.recovery_point_age(now) {
        Some(age) if age <= rpo => return None,
        Some(age) => {
            let (age, rpo) = (whole_seconds(age), whole_seconds(rpo));
            let message =
                format!("the newest proven {kind} backup of {source:?} is {age:#} old; its RPO is {rpo:#}");
            ("rpo.exceeded", message)
        }
        None => ("rpo.no-proven-backup", format!("there is no proven {kind} backup of {source:?}")),
    };
    Some(Trouble {
        code: code.to_owned(),
        object: source.clone(),
        message,
        hint: format!(
            "Run `chronavault journal show` to see why, then `chronavault backup --kind {kind} --source {source}`."
        ),
    })
}

fn whole_seconds(duration: SignedDuration) -> SignedDuration {
    SignedDuration::from_secs(duration.as_secs())
}
