//! `recover tables`: chosen tables compared with what they were, and brought back.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use model::{BackupId, Kind, QualifiedName, RecoveryTarget, TargetTimeline};
use operations::postgres::ConnectOptions;
use operations::{
    ApplyMode, Differing, RecoveredTable, RowSample, SampleValue, StartFrom, TableDiff, TableOrigin,
    TableRecoveryReport, TableRecoveryRequest,
};
use repository::Repository;
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{BackupArg, RecoverTablesArgs, TablesModeArg};
use crate::catalogue::{self, Code};
use crate::connection;
use crate::failure::{Failure, one_line};
use crate::opening;
use crate::screen::{Answer, Notice};
use crate::session::Session;
use crate::settings::Settings;
use crate::surroundings::Surroundings;
use crate::wording::{self, Column};

#[derive(Serialize)]
struct Body {
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

pub(super) fn run(args: &RecoverTablesArgs, session: Session) -> Result<Answer, Failure> {
    let (screen, noted) = (session.screen, session.noted.clone());
    let settings = session.settings()?;
    let (source, live) = live(args, &settings)?;
    let mut notices = Vec::new();
    if args.to.as_deref().is_some_and(connection::has_password) {
        let notice = catalogue::password_on_command_line("--to");
        screen.warning(&notice);
        notices.push(notice);
    }
    let repository = opening::repository(&settings)?;
    let origin = origin(args, source.as_deref(), &live, &repository)?;
    let request = TableRecoveryRequest {
        live,
        tables: args.tables.clone(),
        origin,
        mode: args.mode.filter(|_| !args.dry_run).map(|mode| apply_mode(mode, args)),
        samples: args.sample,
        jobs: settings.jobs(args.jobs)?,
        lock_timeout: Duration::from_secs(args.lock_timeout),
    };
    let mut surroundings = Surroundings::new(screen, &settings)?;
    if let (Some(source), Some(_)) = (&source, &request.mode) {
        surroundings.take_source(&repository, source)?;
    }
    let report = operations::recover_tables(&repository, &request, &surroundings.context())
        .map_err(|error| surroundings.failure(error))?;
    surroundings.reporter.finish();
    noted.note(|facts| {
        facts.backup = Some(report.backup.clone());
        facts.tables = Some(report.tables.len() as u64);
        let rows = report.tables.iter().filter_map(|table| table.written.as_ref());
        facts.rows = Some(rows.map(|written| written.inserted + written.updated + written.deleted).sum());
    });
    let warned = surroundings.reporter.take_warnings();
    let noticed = warned.iter().filter(|warning| catalogue::needs_person(warning)).map(Notice::from);
    let found: Vec<Notice> = noticed.chain(findings(&report)).collect();
    for notice in &found {
        screen.warning(notice);
    }
    let needs_person = !found.is_empty();
    notices.extend(found);
    Ok(Answer::new(words(&report, args.mode), &body(&report, notices))?.needing_person(needs_person))
}

/// The source, where it has a name, and the live database.
fn live(args: &RecoverTablesArgs, settings: &Settings) -> Result<(Option<String>, ConnectOptions), Failure> {
    if let Some(to) = &args.to {
        return Ok((args.source.clone(), connection::parse(&settings.environment, to, "--to")?));
    }
    let source = settings.source(args.source.as_deref())?;
    let live = connection::parse(&settings.environment, &source.url, &source.origin)?;
    Ok((args.source.clone().or(source.name), live))
}

/// Where the rows come from: the kind of the backup decides, and with a moment it must be a physical one.
fn origin(
    args: &RecoverTablesArgs,
    source: Option<&str>,
    live: &ConnectOptions,
    repository: &Repository,
) -> Result<TableOrigin, Failure> {
    let physical = |from, target| TableOrigin::Physical {
        from,
        target,
        timeline: TargetTimeline::Latest,
        database: args.database.clone().unwrap_or_else(|| live.database().to_owned()),
    };
    if let (BackupArg::Latest, Some(at)) = (&args.from, args.at) {
        let from = StartFrom::Newest { source: args.source.clone() };
        return Ok(physical(from, RecoveryTarget::Time(at)));
    }
    let wanted = args.source.as_deref().or(source.filter(|_| args.from == BackupArg::Latest));
    let id = match opening::backup(repository, &args.from, wanted) {
        // Backups are called after their database where nobody gave them a name.
        Err(failure) if failure.code == Code::BackupNone && args.source.is_none() => {
            opening::backup(repository, &args.from, None)?
        }
        other => other?,
    };
    let kind = repository.manifest(&id)?.kind;
    match (kind, args.at) {
        (Kind::Logical, None) => Ok(TableOrigin::Logical(id)),
        (Kind::Logical, Some(_)) => Err(Failure::new(
            Code::BackupNotPhysical,
            format!("{id} is logical, and shows the moment of its snapshot only"),
        )
        .with_hint("Leave out --at, or name a physical backup with --from; `latest` takes one.")),
        (Kind::Physical, at) => {
            let target = at.map_or(RecoveryTarget::Immediate, RecoveryTarget::Time);
            Ok(physical(StartFrom::Backup(id), target))
        }
    }
}

fn apply_mode(mode: TablesModeArg, args: &RecoverTablesArgs) -> ApplyMode {
    match mode {
        TablesModeArg::InsertMissing => ApplyMode::InsertMissing,
        TablesModeArg::Replace => ApplyMode::Replace,
        TablesModeArg::SideSchema => {
            let now = Timestamp::now().strftime("recovered_%Y%m%d_%H%M%S").to_string();
            ApplyMode::SideSchema(args.schema.clone().unwrap_or(now))
        }
    }
}

/// What needs a person although everything was done.
fn findings(report: &TableRecoveryReport) -> Vec<Notice> {
    let notice = |code: &str, message: String, hint: &str| Notice {
        code: code.to_owned(),
        message: one_line(&message),
        hint: hint.to_owned(),
    };
    let mut found = Vec::new();
    for table in &report.tables {
        let conflicts = table.written.as_ref().map_or(0, |written| written.conflicts);
        if conflicts > 0 {
            let rows = wording::count(conflicts, "row");
            let message = format!(
                "{rows} of {} were not inserted: the live table has other rows with values that are unique",
                table.before.table
            );
            let hint = "Look at them with --mode side-schema, and decide which of the two is right.";
            found.push(notice("recover.conflicts", message, hint));
        }
    }
    for left_out in &report.left_out {
        let message = format!("{} was not made: {}", left_out.object, left_out.reason);
        found.push(notice("recover.left_out", message, "Make it by hand when what it needs is there."));
    }
    for problem in &report.problems {
        let hint = "Find out which of the tables has changed since, and recover that one, too.";
        found.push(notice(problem.code, problem.message.clone(), hint));
    }
    found
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

fn words(report: &TableRecoveryReport, asked: Option<TablesModeArg>) -> String {
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

fn body(report: &TableRecoveryReport, warnings: Vec<Notice>) -> Body {
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
