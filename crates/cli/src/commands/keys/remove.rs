//! `keys remove`: a key's access taken away.

use repository::{KeyRemoval, KeySummary, Repository, SlotId};
use serde::Serialize;

use super::{damaged, given, name};
use crate::args::KeysRemoveArgs;
use crate::catalogue::Code;
use crate::failure::Failure;
use crate::opening;
use crate::screen::{Answer, Notice};
use crate::session::Session;
use crate::wording;

#[derive(Serialize)]
struct Body {
    dry_run: bool,
    key_id: String,
    slots_removed: u64,
    /// The key that stays, with which the backups were tried.
    through_key_id: String,
    backups_tried: u64,
    warnings: Vec<Notice>,
}

pub(super) fn run(args: &KeysRemoveArgs, session: Session) -> Result<Answer, Failure> {
    let screen = session.screen;
    let settings = session.settings()?;
    let repository = opening::repository(&settings)?;
    let wanted = wanted(&repository, &args.slot)?;
    let through = match &args.through {
        Some(path) => given(path, "--through", &settings)?,
        None => settings.key.require(&settings.environment)?,
    };
    let removal = repository.plan_key_removal(wanted, &opening::holder(&through))?;
    if removal.key.in_use && !args.force {
        let message = format!("key {} is the one in use", name(&removal.key));
        return Err(Failure::new(Code::KeyInUse, message));
    }
    let warnings: Vec<_> = damaged(&removal.damaged).collect();
    for warning in &warnings {
        screen.warning(warning);
    }
    let slots =
        if args.dry_run { removal.key.slots.len() as u64 } else { repository.remove_key(&removal)? };
    let text = words(&removal, slots, args.dry_run);
    let body = Body {
        dry_run: args.dry_run,
        key_id: removal.key.id.to_string(),
        slots_removed: slots,
        through_key_id: removal.through.to_string(),
        backups_tried: removal.backups,
        warnings,
    };
    let needs_person = !body.warnings.is_empty();
    Ok(Answer::new(text, &body)?.needing_person(needs_person))
}

/// The one key that the digits name, by its own id or that of one of its slots.
fn wanted(repository: &Repository, digits: &str) -> Result<SlotId, Failure> {
    let keys = repository.keys()?;
    let is_meant = |key: &&KeySummary| {
        let mut ids = key.slots.iter().map(|slot| slot.id).chain([key.id]);
        ids.any(|id| id.to_string().starts_with(digits))
    };
    let found: Vec<_> = keys.iter().filter(is_meant).collect();
    match found[..] {
        [key] => Ok(key.id),
        [] => Err(Failure::new(Code::KeyUnknown, format!("the repository has no key {digits}"))),
        _ => Err(Failure::new(Code::KeyUnknown, format!("{digits} begins the ids of {} keys", found.len()))
            .with_hint("Give more digits.")),
    }
}

fn words(removal: &KeyRemoval, slots: u64, dry_run: bool) -> String {
    let verb = if dry_run { "would be" } else { "was" };
    let mut text = format!(
        "Key {} {verb} removed, with {}; {} tried with key {} first.\n",
        name(&removal.key),
        wording::count(slots, "slot"),
        match removal.backups {
            1 => "1 backup was".to_owned(),
            number => format!("{} backups were", wording::grouped(number)),
        },
        removal.through
    );
    if !dry_run {
        text.push_str("Whoever had it may have kept what it opened: after a leak, run `chronavault keys rotate`, too.\n");
    }
    text
}
