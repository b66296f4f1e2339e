//! A short journal: its beginning, a run, and what was left of an entry.

use std::collections::BTreeMap;

use chronavault_format::{
    Codec, ContainerBuilder, ContainerKind, Fragment, JournalEntry, JournalEvent, JournalHead, JournalId,
    NewRecord, RecordType, line_hash,
};
use model::{
    Actor, Kind, Level, Operation, Outcome, RunEnd, RunFacts, RunOutcome, RunStart, VerificationFacts,
};
use serde_json::{Value, json};

use crate::values::{BACKUP, CREATED_AT, Failed, REPOSITORY, keyring};

pub(crate) const JOURNAL: JournalId = JournalId(*b"\xfe\xdc\xba\x98\x76\x54\x32\x10");

/// The lines as text, and all of them as a copy in the repository.
pub(crate) fn build(key: &[u8]) -> Result<Value, Failed> {
    let keyring = keyring(2);
    let torn = b"{\"version\":1,\"repo";
    let (mut head, mut lines) = (None, Vec::new());
    for (event, second) in events(torn)?.into_iter().zip(0..) {
        if matches!(event, JournalEvent::Mended { .. }) {
            lines.push(String::from_utf8(torn.to_vec())?);
        }
        let at = CREATED_AT.parse::<jiff::Timestamp>()? + jiff::SignedDuration::from_millis(second * 1500);
        let entry = JournalEntry::next(REPOSITORY, JOURNAL, head, at, event);
        let mut line = entry.seal(keyring.secrets().journal_key())?;
        line.pop();
        head = Some(JournalHead { journal: JOURNAL, sequence: entry.sequence, hash: line_hash(&line) });
        lines.push(String::from_utf8(line)?);
    }
    let text = lines.join("\n") + "\n";
    let mut builder = ContainerBuilder::new(ContainerKind::Journal, &keyring, [0x80; 32], Vec::new())?;
    builder.append(&NewRecord {
        record_type: RecordType::Journal,
        codec: Codec::Stored,
        plain_len: u32::try_from(text.len())?,
        id: keyring.secrets().chunk_id(text.as_bytes()),
        base: None,
        body: text.as_bytes(),
    })?;
    Ok(json!({
        "key": hex::encode(key),
        "journal": JOURNAL,
        "lines": lines,
        "salt": hex::encode([0x80; 32]),
        "copy": hex::encode(builder.finish()?.bytes),
    }))
}

fn events(torn: &[u8]) -> Result<Vec<JournalEvent>, Failed> {
    let actor = Actor {
        user: "postgres".into(),
        uid: 101,
        host: "db1.example".into(),
        pid: 4711,
        token: None,
        program: "chronavault 0.1.0".into(),
    };
    let parameters = BTreeMap::from([("kind".to_owned(), "logical".to_owned())]);
    let verification = VerificationFacts {
        level: Level::Restore,
        outcome: Outcome::Proven,
        duration_ms: 900,
        restore_ms: Some(700),
    };
    let facts = RunFacts {
        source: Some("books".into()),
        backup: Some(BACKUP.parse()?),
        kind: Some(Kind::Logical),
        plain_bytes: Some(1 << 40),
        stored_bytes: Some(7),
        reused_bytes: Some(0),
        tables: Some(2),
        rows: Some(24),
        verification: Some(verification),
        ..RunFacts::default()
    };
    Ok(vec![
        JournalEvent::Begun { actor: actor.clone(), follows: Vec::new() },
        JournalEvent::Started(RunStart {
            operation: Operation::Backup,
            actor: actor.clone(),
            source: Some("Bücher".into()),
            parameters,
        }),
        JournalEvent::Mended { actor, fragments: vec![Fragment::of(torn)] },
        JournalEvent::Ended {
            run: 2,
            end: RunEnd {
                outcome: RunOutcome::Warnings,
                code: None,
                message: None,
                duration_ms: 1500,
                warnings: vec!["roles_not_saved".into()],
                facts,
            },
        },
    ])
}
