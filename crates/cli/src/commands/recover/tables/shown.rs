//! How a comparison or recovery of tables is shown, to people and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use model::{BackupId, QualifiedName};
use operations::{
    ApplyMode, Differing, RecoveredTable, RowSample, SampleValue, TableDiff, TableRecoveryReport,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::TablesModeArg;
use crate::failure::one_line;
use crate::screen::Notice;
use crate::wording::{self, Column};

/// What is told of it.
#[derive(Serialize)]
pub(super) struct Body {
    backup: BackupId,
    target: String,
    /// `insert-missing`, `replace`, `side-schema`; nothing if rows were only compared.
    mode: Option<&'static str>,
    /// The schema that was made.
    schema: Option<String>,
    duration_ms: u64,
    /// How long of that the rows of the backup needed until they could be read.
    restore_ms: u64,
    tables: Vec<TableBody>,
    sequences: Vec<String>,
    triggers_off: u64,
    left_out: Vec<Value>,
    /// Where the report is, when something was written.
    report: Option<PathBuf>,
    warnings: Vec<Notice>,
}

#[derive(Serialize)]
struct TableBody {
    table: String,
    in_live: bool,
    key: Vec<String>,
    backup_rows: u64,
    live_rows: u64,
    #[serde(flatten)]
    counts: Counts,
    changed_columns: BTreeMap<String, u64>,
    only_in_backup: Vec<String>,
    only_in_live: Vec<String>,
    retyped: Vec<String>,
    samples: Vec<SampleBody>,
    written: Option<WrittenBody>,
    after: Option<Counts>,
}

#[derive(Serialize)]
struct Counts {
    missing: u64,
    extra: u64,
    changed: u64,
    same: u64,
}

#[derive(Serialize)]
struct WrittenBody {
    table: String,
    inserted: u64,
    updated: u64,
    deleted: u64,
    conflicts: u64,
}

#[derive(Serialize)]
struct SampleBody {
    differing: &'static str,
    key: BTreeMap<String, SampleValue>,
    /// For each column `backup` and `live`, as far as the row is there.
    values: BTreeMap<String, Value>,
}

const COMPARED: [Column; 8] = [
    Column::Text("TABLE"),
    Column::Number("BACKUP"),
    Column::Number("LIVE"),
    Column::Number("MISSING"),
    Column::Number("EXTRA"),
    Column::Number("CHANGED"),
    Column::Number("SAME"),
    Column::Text("KEY"),
];

const WRITTEN: [Column; 5] = [
    Column::Text("WRITTEN TO"),
    Column::Number("INSERTED"),
    Column::Number("CHANGED"),
    Column::Number("REMOVED"),
    Column::Number("NOT LET IN"),
];

/// For people.
pub(super) fn words(report: &TableRecoveryReport, asked: Option<TablesModeArg>) -> String {
    let mut text = wording::table(&COMPARED, report.tables.iter().map(compared));
    text.push('\n');
    for table in &report.tables {
        remarks(&mut text, &table.before);
    }
    let written: Vec<_> = report.tables.iter().filter_map(|table| table.written.as_ref()).collect();
    if !written.is_empty() {
        let row = |written: &&operations::Written| {
            let numbers = [written.inserted, written.updated, written.deleted, written.conflicts];
            let mut row = vec![written.table.to_string()];
            row.extend(numbers.map(wording::grouped));
            row
        };
        let _ = write!(text, "\n{}\n", wording::table(&WRITTEN, written.iter().map(row)));
    }
    let took = wording::duration(report.duration);
    let _ = match (&report.mode, asked) {
        (Some(_), _) => {
            writeln!(text, "\nRecovered from {} into {} in {took}.", report.backup, report.target)
        }
        (None, _) if report.was_same() => {
            writeln!(text, "\nNothing differs from {}; compared in {took}.", report.backup)
        }
        (None, Some(mode)) => {
            writeln!(text, "\nNothing was written; without --dry-run, {} would be done.", mode.as_str())
        }
        (None, None) => writeln!(
            text,
            "\nNothing was written. --mode insert-missing, replace or side-schema brings rows of {} back.",
            report.backup
        ),
    };
    text
}

fn compared(table: &RecoveredTable) -> Vec<String> {
    let diff = &table.before;
    let live = if table.in_live { wording::grouped(diff.live_rows()) } else { "gone".to_owned() };
    let key = if diff.key.is_empty() { "whole rows".to_owned() } else { diff.key.join(", ") };
    let mut row = vec![diff.table.to_string(), wording::grouped(diff.backup_rows()), live];
    row.extend([diff.missing, diff.extra, diff.changed, diff.same].map(wording::grouped));
    row.push(one_line(&key));
    row
}

/// What else is known of a table.
fn remarks(text: &mut String, diff: &TableDiff) {
    let table = &diff.table;
    for (columns, what) in [
        (&diff.only_in_backup, "columns that only the backup has, and that were not compared"),
        (&diff.only_in_live, "columns that only the live table has, and that were not compared"),
        (&diff.retyped, "columns of another type"),
    ] {
        if !columns.is_empty() {
            let _ = writeln!(text, "{table}: {what}: {}", one_line(&columns.join(", ")));
        }
    }
    if !diff.changed_columns.is_empty() {
        let columns: Vec<_> = diff
            .changed_columns
            .iter()
            .map(|(column, rows)| format!("{} in {}", one_line(column), wording::count(*rows, "row")))
            .collect();
        let _ = writeln!(text, "{table}: changed are {}", columns.join(", "));
    }
    for differing in [Differing::Missing, Differing::Extra, Differing::Changed] {
        for sample in diff.samples.iter().filter(|sample| sample.differing == differing) {
            let _ = writeln!(text, "  {}", sample_words(table, sample));
        }
    }
}

fn sample_words(table: &QualifiedName, sample: &RowSample) -> String {
    let shown = |value: &SampleValue| value.as_ref().map_or_else(|| "NULL".to_owned(), |text| one_line(text));
    let pair = |name: &String, value: &SampleValue| format!("{}={}", one_line(name), shown(value));
    let key: Vec<_> = sample.key.iter().map(|(name, value)| pair(name, value)).collect();
    let is_in_key = |column: &str| sample.key.iter().any(|(name, _)| name == column);
    let values: Vec<_> = sample
        .values
        .iter()
        .filter(|value| sample.differing == Differing::Changed || !is_in_key(&value.column))
        .map(|value| match (&value.backup, &value.live) {
            (Some(old), Some(new)) => {
                format!("{}: {} -> {}", one_line(&value.column), shown(old), shown(new))
            }
            (Some(one), None) | (None, Some(one)) => pair(&value.column, one),
            (None, None) => String::new(),
        })
        .collect();
    format!("{} {table} {} {}", sample.differing.as_str(), key.join(" "), values.join(", "))
}

/// For scripts.
pub(super) fn body(report: &TableRecoveryReport, warnings: Vec<Notice>, place: Option<PathBuf>) -> Body {
    let (mode, schema) = match &report.mode {
        None => (None, None),
        Some(ApplyMode::InsertMissing) => (Some(TablesModeArg::InsertMissing), None),
        Some(ApplyMode::Replace) => (Some(TablesModeArg::Replace), None),
        Some(ApplyMode::SideSchema(schema)) => (Some(TablesModeArg::SideSchema), Some(schema.clone())),
    };
    let left_out = report.left_out.iter();
    Body {
        backup: report.backup.clone(),
        target: report.target.clone(),
        mode: mode.map(TablesModeArg::as_str),
        schema,
        duration_ms: wording::millis(report.duration),
        restore_ms: wording::millis(report.restore),
        tables: report.tables.iter().map(table_body).collect(),
        sequences: report.sequences.iter().map(ToString::to_string).collect(),
        triggers_off: report.triggers_off,
        left_out: left_out.map(|it| json!({ "object": it.object, "reason": it.reason })).collect(),
        report: place,
        warnings,
    }
}

fn table_body(table: &RecoveredTable) -> TableBody {
    let diff = &table.before;
    TableBody {
        table: diff.table.to_string(),
        in_live: table.in_live,
        key: diff.key.clone(),
        backup_rows: diff.backup_rows(),
        live_rows: diff.live_rows(),
        counts: counts(diff),
        changed_columns: diff.changed_columns.clone(),
        only_in_backup: diff.only_in_backup.clone(),
        only_in_live: diff.only_in_live.clone(),
        retyped: diff.retyped.clone(),
        samples: diff.samples.iter().map(sample_body).collect(),
        written: table.written.as_ref().map(|written| WrittenBody {
            table: written.table.to_string(),
            inserted: written.inserted,
            updated: written.updated,
            deleted: written.deleted,
            conflicts: written.conflicts,
        }),
        after: table.after.as_ref().map(counts),
    }
}

fn counts(diff: &TableDiff) -> Counts {
    Counts { missing: diff.missing, extra: diff.extra, changed: diff.changed, same: diff.same }
}

fn sample_body(sample: &RowSample) -> SampleBody {
    let values = sample.values.iter().map(|value| {
        let mut sides = serde_json::Map::new();
        for (side, held) in [("backup", &value.backup), ("live", &value.live)] {
            if let Some(held) = held {
                sides.insert(side.to_owned(), held.clone().map_or(Value::Null, Value::String));
            }
        }
        (value.column.clone(), Value::Object(sides))
    });
    SampleBody {
        differing: sample.differing.as_str(),
        key: sample.key.iter().cloned().collect(),
        values: values.collect(),
    }
}
