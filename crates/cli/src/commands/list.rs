//! `list`: the backups, newest first. A backup that cannot be read is listed too, with what is wrong with it.

use jiff::Timestamp;
use model::{BackupId, ByteSize, Kind, Outcome};
use repository::{BackupSummary, Listed, PlacedHold};
use serde::Serialize;

use super::describe::{ProofBody, kind_words, standing};
use super::hold::HoldBody;
use crate::args::ListArgs;
use crate::failure::Failure;
use crate::opening;
use crate::screen::{Answer, Notice};
use crate::session::Session;
use crate::wording::{self, Column};

const COLUMNS: [Column; 8] = [
    Column::Text("ID"),
    Column::Text("KIND"),
    Column::Text("SOURCE"),
    Column::Text("FINISHED"),
    Column::Number("SIZE"),
    Column::Number("STORED"),
    Column::Text("PROOF"),
    // Is left out where nothing is held.
    Column::Text("HELD"),
];

#[derive(Serialize)]
struct Body {
    backups: Vec<Entry>,
    /// Backups that are there but cannot be read.
    unreadable: Vec<Unreadable>,
}

#[derive(Serialize)]
struct Entry {
    id: BackupId,
    kind: Kind,
    source: String,
    finished_at: String,
    plain_bytes: u64,
    stored_bytes: u64,
    proof: Option<ProofBody>,
    filtered: bool,
    holds: Vec<HoldBody>,
}

#[derive(Serialize)]
struct Unreadable {
    id: BackupId,
    holds: Vec<HoldBody>,
    #[serde(flatten)]
    notice: Notice,
}

pub(super) fn run(args: &ListArgs, session: Session) -> Result<Answer, Failure> {
    let screen = session.screen;
    let settings = session.settings()?;
    let repository = opening::repository(&settings)?;
    let mut body = Body { backups: Vec::new(), unreadable: Vec::new() };
    let mut rows = Vec::new();
    let mut holds = repository.holds()?;
    for listed in repository.backups()? {
        let holds = holds.remove(listed.id()).unwrap_or_default();
        let holds_body = holds.iter().map(HoldBody::from).collect();
        match listed {
            Listed::Backup(summary) => {
                if args.source.as_ref().is_none_or(|source| *source == summary.source) {
                    rows.push(row(&summary, &holds));
                    body.backups.push(entry(*summary, holds_body));
                }
            }
            Listed::Damaged { id, problem } => {
                let notice = Notice::from(&Failure::from(problem));
                screen.warning(&notice);
                body.unreadable.push(Unreadable { id, holds: holds_body, notice });
            }
        }
    }
    let text = match (rows.is_empty(), body.unreadable.is_empty()) {
        (true, true) => "There are no backups yet. `chronavault backup` makes one.".to_owned(),
        (true, false) => String::new(),
        (false, _) => table(rows),
    };
    let needs_person = !body.unreadable.is_empty();
    Ok(Answer::new(text, &body)?.needing_person(needs_person))
}

/// The column of holds is there where one holds.
fn table(mut rows: Vec<Vec<String>>) -> String {
    let is_held = rows.iter().any(|row| row.last().is_some_and(|held| !held.is_empty()));
    let shown = COLUMNS.len() - usize::from(!is_held);
    for row in &mut rows {
        row.truncate(shown);
    }
    wording::table(&COLUMNS[..shown], rows)
}

fn row(summary: &BackupSummary, holds: &[PlacedHold]) -> Vec<String> {
    vec![
        summary.id.to_string(),
        kind_words(summary.kind, &summary.filters),
        summary.source.clone(),
        wording::time(summary.finished_at),
        ByteSize(summary.plain_bytes).to_string(),
        ByteSize(summary.stored_bytes).to_string(),
        standing(summary.proof.as_ref()),
        held(holds),
    ]
}

/// Until when a backup is held; empty when it is not, or not any more.
fn held(holds: &[PlacedHold]) -> String {
    match holds.iter().map(PlacedHold::until).filter(|until| *until > Timestamp::now()).max() {
        None => String::new(),
        Some(until) if until == Timestamp::MAX => "until released".to_owned(),
        Some(until) => format!("until {}", wording::time(until)),
    }
}

fn entry(summary: BackupSummary, holds: Vec<HoldBody>) -> Entry {
    Entry {
        id: summary.id,
        kind: summary.kind,
        source: summary.source,
        finished_at: wording::time(summary.finished_at),
        plain_bytes: summary.plain_bytes,
        stored_bytes: summary.stored_bytes,
        proof: summary.proof.filter(|proof| proof.outcome == Outcome::Proven).as_ref().map(ProofBody::from),
        filtered: !summary.filters.is_empty(),
        holds,
    }
}
