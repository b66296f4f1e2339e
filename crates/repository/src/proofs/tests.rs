//! Which proof counts.

use super::*;

const LEVELS: [Level; 3] = [Level::Objects, Level::Contents, Level::Restore];

/// A proof of this level and outcome; its number stands in its rows.
fn proof(number: u64, level: Level, outcome: Outcome) -> Proof {
    Proof {
        version: format::MANIFEST_VERSION,
        backup: "backup-2026-11-23-120000-abc123".parse().unwrap(),
        manifest_sha256: Sha256([0; 32]),
        level,
        outcome,
        at: "2026-11-23T12:00:00Z".parse().unwrap(),
        duration_ms: 2,
        restore_ms: 1,
        tables: 1,
        rows: number,
        server_version: 150_018,
        tool_version: "0.1.0".into(),
        problems: vec![],
    }
}

/// The number of the proof that counts among these, the newest first.
fn counts(proofs: &[(Level, Outcome)]) -> Option<u64> {
    let mut standing = Standing::default();
    let mut added = (0..).zip(proofs).map(|(number, (level, outcome))| proof(number, *level, *outcome));
    added.find_map(|proof| standing.add(proof)).or(standing.sound).map(|proof| proof.rows)
}

#[test]
fn a_lower_level_hides_neither_a_proof_nor_a_failed_restore() {
    use Level::{Contents, Objects, Restore};
    use Outcome::{Failed, Proven, Sound};
    assert_eq!(counts(&[]), None);
    assert_eq!(counts(&[(Objects, Sound), (Contents, Sound)]), Some(0));
    assert_eq!(counts(&[(Objects, Sound), (Restore, Proven), (Restore, Failed)]), Some(1));
    assert_eq!(counts(&[(Contents, Sound), (Objects, Sound), (Restore, Failed), (Restore, Proven)]), Some(2));
    assert_eq!(counts(&[(Restore, Proven), (Restore, Failed)]), Some(0));
    assert_eq!(counts(&[(Restore, Failed), (Restore, Proven)]), Some(0));
}

#[test]
fn a_failure_counts_until_a_verification_that_goes_as_far_finds_nothing() {
    use Outcome::{Failed, Proven, Sound};
    for failed in LEVELS {
        assert_eq!(counts(&[(failed, Failed), (Level::Restore, Proven)]), Some(0), "{failed}");
        for sound in [Level::Objects, Level::Contents] {
            let cleared = sound >= failed;
            let history = [(sound, Sound), (failed, Failed)];
            assert_eq!(counts(&history), Some(u64::from(!cleared)), "{sound} after {failed}");
            // What was proven before, and is as it was then, is proven.
            let history = [(sound, Sound), (failed, Failed), (Level::Restore, Proven)];
            assert_eq!(counts(&history), Some(if cleared { 2 } else { 1 }), "{sound} after {failed}");
        }
    }
}
