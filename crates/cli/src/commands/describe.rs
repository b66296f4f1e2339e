//! How a backup is described, in text and in JSON, wherever it is shown.
//!
//! Invariant: a filtered backup is called filtered, everywhere.

use std::time::Duration;

use model::{BackupId, Filters, Kind, Level, Outcome};
use repository::{Manifest, Proof};
use serde::Serialize;

use crate::screen::Notice;
use crate::wording;

/// A proof in JSON.
#[derive(Serialize)]
pub(super) struct ProofBody {
    level: Level,
    at: String,
    restore_ms: u64,
}

impl From<&Proof> for ProofBody {
    fn from(proof: &Proof) -> Self {
        Self { level: proof.level, at: wording::time(proof.at), restore_ms: proof.restore_ms }
    }
}

/// A backup in JSON, as `backup` prints it.
#[derive(Serialize)]
pub(super) struct BackupBody {
    id: BackupId,
    kind: Kind,
    source: String,
    started_at: String,
    finished_at: String,
    duration_ms: u64,
    plain_bytes: u64,
    stored_bytes: u64,
    reused_bytes: u64,
    tables: u64,
    rows: u64,
    filtered: bool,
    filters: Filters,
    pub(super) verified: bool,
    pub(super) warnings: Vec<Notice>,
}

impl BackupBody {
    pub(super) fn new(manifest: &Manifest, duration: Duration) -> Self {
        let totals = Totals::of(manifest);
        let filters = filters(manifest);
        Self {
            id: manifest.id.clone(),
            kind: manifest.kind,
            source: manifest.source.clone(),
            started_at: wording::time(manifest.started_at),
            finished_at: wording::time(manifest.finished_at),
            duration_ms: wording::millis(duration),
            plain_bytes: manifest.plain_bytes,
            stored_bytes: manifest.stored_bytes,
            reused_bytes: manifest.reused_bytes,
            tables: totals.tables,
            rows: totals.rows,
            filtered: !filters.is_empty(),
            filters,
            verified: false,
            warnings: Vec::new(),
        }
    }
}

/// What is known about whether a backup restores, from one proof of it.
pub(super) fn standing(proof: Option<&Proof>) -> String {
    match proof {
        None => "not proven".to_owned(),
        Some(proof) if proof.outcome == Outcome::Proven => {
            let restore = Duration::from_millis(proof.restore_ms);
            format!("proven {} (restore {})", wording::time(proof.at), wording::duration(restore))
        }
        Some(proof) if proof.outcome == Outcome::Sound => {
            format!("not proven; sound {} (level {})", wording::time(proof.at), proof.level)
        }
        Some(proof) => format!("FAILED {}", wording::time(proof.at)),
    }
}

/// `logical`, or `logical, filtered`.
pub(super) fn kind_words(kind: Kind, filters: &Filters) -> String {
    if filters.is_empty() { kind.to_string() } else { format!("{kind}, filtered") }
}

/// What a backup was told to leave out.
pub(super) fn filters(manifest: &Manifest) -> Filters {
    manifest.logical.as_ref().map(|logical| logical.filters.clone()).unwrap_or_default()
}

/// Sums over the tables of a backup.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) tables: u64,
    pub(super) rows: u64,
}

impl Totals {
    pub(super) fn of(manifest: &Manifest) -> Self {
        let mut totals = Self::default();
        for table in manifest.logical.iter().flat_map(|logical| &logical.tables) {
            totals.tables += 1;
            totals.rows += table.proof.map_or(0, |proof| proof.rows);
        }
        totals
    }
}
