//! `list`: the backups, newest first. A backup that cannot be read is listed too, with what is wrong with it.

use model::{BackupId, ByteSize, Kind, Outcome};
use repository::{BackupSummary, Listed};
use serde::Serialize;

use super::describe::{ProofBody, kind_words, standing};
use crate::args::ListArgs;
use crate::failure::Failure;
use crate::opening;
use crate::screen::{Answer, Notice};
use crate::session::Session;
use crate::wording::{self, Column};

const COLUMNS: [Column; 7] = [
    Column::Text("ID"),
    Column::Text("KIND"),
    Column::Text("SOURCE"),
    Column::Text("FINISHED"),
    Column::Number("SIZE"),
    Column::Number("STORED"),
    Column::Text("PROOF"),
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
}

#[derive(Serialize)]
struct Unreadable {
    id: BackupId,
    #[serde(flatten)]
    notice: Notice,
}

pub(super) fn run(args: &ListArgs, session: Session) -> Result<Answer, Failure> {
    let screen = session.screen;
    let settings = session.settings()?;
    let repository = opening::repository(&settings)?;
    let mut body = Body { backups: Vec::new(), unreadable: Vec::new() };
    let mut rows = Vec::new();
    for listed in repository.backups()? {
        match listed {
            Listed::Backup(summary) => {
                if args.source.as_ref().is_none_or(|source| *source == summary.source) {
                    rows.push(row(&summary));
                    body.backups.push(Entry::from(*summary));
                }
            }
            Listed::Damaged { id, problem } => {
                let notice = Notice::from(&Failure::from(problem));
                screen.warning(&notice);
                body.unreadable.push(Unreadable { id, notice });
            }
        }
    }
    let text = match (rows.is_empty(), body.unreadable.is_empty()) {
        (true, true) => "There are no backups yet. `chronavault backup` makes one.".to_owned(),
        (true, false) => String::new(),
        (false, _) => wording::table(&COLUMNS, rows),
    };
    let needs_person = !body.unreadable.is_empty();
    Ok(Answer::new(text, &body)?.needing_person(needs_person))
}

fn row(summary: &BackupSummary) -> Vec<String> {
    vec![
        summary.id.to_string(),
        kind_words(summary.kind, &summary.filters),
        summary.source.clone(),
        wording::time(summary.finished_at),
        ByteSize(summary.plain_bytes).to_string(),
        ByteSize(summary.stored_bytes).to_string(),
        standing(summary.proof.as_ref()),
    ]
}

impl From<BackupSummary> for Entry {
    fn from(summary: BackupSummary) -> Self {
        Self {
            id: summary.id,
            kind: summary.kind,
            source: summary.source,
            finished_at: wording::time(summary.finished_at),
            plain_bytes: summary.plain_bytes,
            stored_bytes: summary.stored_bytes,
            proof: summary
                .proof
                .filter(|proof| proof.outcome == Outcome::Proven)
                .as_ref()
                .map(ProofBody::from),
            filtered: !summary.filters.is_empty(),
        }
    }
}
