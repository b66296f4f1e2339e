//! Rows of a backup put in place of those of the live tables.
//!
//! Invariant: one transaction. The differences are found by one session and staged by another, under a lock that lets nobody write in
//! between where rows are replaced; what is staged is written in an order that foreign keys allow; and before it is committed, the tables
//! are compared again, by the session that wrote them.

use postgres::{
    Client, CopyIn, ForeignKeyLink, Spelling, Staged, Staging, TableShape, WriteGuard, advance_sequences,
    check_foreign_keys_of, foreign_key_links, sequence_positions,
};

use model::QualifiedName;

use super::report::{RecoveredTable, TableRecoveryReport, Written};
use super::{TablesError, Work, connect, locking, order};
use crate::progress::Progress;
use crate::row_diff::{
    DiffOptions, DifferenceSink, Differing, Line, TableDiff, TablePair, Unheard, diff_rows,
};
use crate::{Error, Phase, Problem};

/// Writes the rows of `pairs`, of which `created` were made a moment ago. `old` reads the backup, and `live` is a session with the live
/// database.
pub(super) fn apply(
    work: &Work<'_>,
    replace: bool,
    pairs: &[TablePair],
    created: &[QualifiedName],
    old: &mut Client,
    live: &mut Client,
    report: &mut TableRecoveryReport,
) -> Result<(), Error> {
    let shapes: Vec<&TableShape> = pairs.iter().map(|pair| &pair.live).collect();
    require_writable(live, &shapes)?;
    let mut reader = connect(&work.request.live)?;
    let (timeout, spelling) = (work.request.lock_timeout, work.options.spelling);
    // The reader's locks first: it must not wait behind somebody who waits for the writer.
    locking::begin_reading(&mut reader, &shapes, timeout, spelling)?;
    locking::begin_writing(live, &shapes, replace, timeout, spelling)?;
    let mut transaction = Transaction { work, replace, pairs, created, spelling, writer: live };
    let written = transaction.run(old, &mut reader, report);
    if let Err(error) = written {
        // The session may be gone; then so is the transaction.
        let _ = transaction.writer.execute("ROLLBACK");
        return Err(error);
    }
    for table in &mut report.tables {
        table.in_live = !created.contains(&table.before.table);
    }
    report.problems = foreign_keys(&mut reader, &shapes)?;
    Ok(())
}

fn require_writable(client: &mut Client, shapes: &[&TableShape]) -> Result<(), Error> {
    if let Some(shape) = shapes.iter().find(|shape| !shape.rules.is_empty()) {
        return Err(TablesError::Rules { table: shape.name.clone(), rules: shape.rules.clone() }.into());
    }
    let tables = WriteGuard::needs_owner(client, shapes)?;
    if tables.is_empty() { Ok(()) } else { Err(TablesError::NotOwner { tables }.into()) }
}

/// The foreign keys of the tables, checked by hand.
fn foreign_keys(client: &mut Client, shapes: &[&TableShape]) -> Result<Vec<Problem>, Error> {
    let names: Vec<QualifiedName> = shapes.iter().map(|shape| shape.name.clone()).collect();
    let report = check_foreign_keys_of(client, &names)?;
    Ok(report.violations.iter().map(crate::verify::foreign_key_problem).collect())
}

/// The transaction that writes.
struct Transaction<'a> {
    work: &'a Work<'a>,
    replace: bool,
    pairs: &'a [TablePair],
    created: &'a [QualifiedName],
    spelling: Spelling,
    writer: &'a mut Client,
}

impl Transaction<'_> {
    fn run(
        &mut self,
        old: &mut Client,
        reader: &mut Client,
        report: &mut TableRecoveryReport,
    ) -> Result<(), Error> {
        let progress = Progress::begin(self.work.context, Phase::Differences, 0);
        let mut stagings = Vec::new();
        for (n, pair) in self.pairs.iter().enumerate() {
            let staging = Staging::new(&pair.live, &pair.columns, self.spelling, n);
            let before = self.stage(&staging, pair, old, reader, &progress)?;
            report.tables.push(RecoveredTable::new(before, true));
            stagings.push(staging);
        }
        // Its locks would be in the way of ours.
        reader.execute("COMMIT")?;
        self.work.context.phase(Phase::Apply);
        let shapes: Vec<&TableShape> = self.pairs.iter().map(|pair| &pair.live).collect();
        let links = foreign_key_links(self.writer, &shapes)?;
        self.refuse_dragging(&stagings, &links)?;
        let mut guard =
            WriteGuard::raise(self.writer, &shapes, self.spelling).map_err(|error| locked(&shapes, error))?;
        report.triggers_off = guard.triggers() as u64;
        self.write(&mut guard, &stagings, &links, &mut report.tables)?;
        guard.check(self.writer).map_err(TablesError::ForeignKey)?;
        self.compare_again(old, &mut report.tables)?;
        guard.lift(self.writer)?;
        for pair in self.pairs {
            // A table that was made a moment ago has sequences that begin; they were further.
            let is_new = self.created.contains(&pair.live.name);
            let positions =
                if is_new { sequence_positions(old, &pair.backup, self.spelling)? } else { Vec::new() };
            let moved = advance_sequences(self.writer, &pair.live, &positions, self.spelling)?;
            report.sequences.extend(moved);
        }
        progress.check()?;
        self.writer.execute("COMMIT")?;
        Ok(())
    }

    /// Finds how a table differs, and stages what has to be written.
    fn stage(
        &mut self,
        staging: &Staging<'_>,
        pair: &TablePair,
        old: &mut Client,
        reader: &mut Client,
        progress: &Progress<'_>,
    ) -> Result<TableDiff, Error> {
        let refused = |source| TablesError::Write { table: pair.live.name.clone(), what: "staged", source };
        staging.create(self.writer).map_err(refused)?;
        let diff = {
            let copy = self.writer.copy_in(&staging.copy_in_sql()).map_err(refused)?;
            let mut sink = StageSink {
                copy,
                replace: self.replace,
                has_columns: !pair.columns.is_empty(),
                table: &pair.live.name,
            };
            let options = DiffOptions { with_place: true, ..self.work.options };
            let diff = diff_rows(pair, old, Some(reader), options, &mut sink, progress)?;
            sink.copy.finish().map_err(refused)?;
            diff
        };
        staging.analyze(self.writer)?;
        Ok(diff)
    }

    /// The server must not change rows of other tables by itself.
    fn refuse_dragging(&mut self, stagings: &[Staging<'_>], links: &[ForeignKeyLink]) -> Result<(), Error> {
        if !self.replace {
            return Ok(());
        }
        let is_chosen = |name: &QualifiedName| {
            self.pairs.iter().any(|pair| pair.live.name == *name || pair.live.root.as_ref() == Some(name))
        };
        for link in links.iter().filter(|link| !is_chosen(&link.table)) {
            let refers_to = |staging: &&Staging<'_>| {
                let shape = staging.shape();
                shape.name == link.referenced || shape.root.as_ref() == Some(&link.referenced)
            };
            for staging in stagings.iter().filter(refers_to) {
                let actions = [
                    (Staged::Delete, "ON DELETE", link.on_delete),
                    (Staged::Update, "ON UPDATE", link.on_update),
                ];
                for (staged, event, action) in actions {
                    let Some(action) = action else { continue };
                    let rows = link.dragged_along(self.writer, staging, staged, self.spelling)?;
                    if rows > 0 {
                        return Err(TablesError::DraggedAlong {
                            table: link.table.clone(),
                            referenced: link.referenced.clone(),
                            constraint: link.constraint.clone(),
                            action: format!("{event} {action}"),
                            rows,
                        }
                        .into());
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes what is staged. Foreign keys hold at every step when what is referred to comes first and goes last. Where another key does not
    /// hold then (a row that comes has a value that one has which goes), or where tables refer to each other in a circle, everything is written
    /// once more, in the order that suits that, with the foreign keys among the tables checked at the end.
    fn write(
        &mut self,
        guard: &mut WriteGuard,
        stagings: &[Staging<'_>],
        links: &[ForeignKeyLink],
        tables: &mut [RecoveredTable],
    ) -> Result<(), Error> {
        for table in tables.iter_mut() {
            let table_name = table.before.table.clone();
            table.written =
                Some(Written { table: table_name, inserted: 0, updated: 0, deleted: 0, conflicts: 0 });
        }
        let names: Vec<&QualifiedName> = self.pairs.iter().map(|pair| &pair.live.name).collect();
        let parents_first = order::parents_first(&names, links);
        self.writer.execute("SAVEPOINT before_rows")?;
        let error = match self.write_in(
            [Staged::Insert, Staged::Update, Staged::Delete],
            &parents_first,
            stagings,
            tables,
        ) {
            Err(error) if is_of_order(&error) => error,
            other => return other,
        };
        let is_chosen = |name: &QualifiedName| names.contains(&name);
        let among: Vec<_> =
            links.iter().filter(|link| is_chosen(&link.table) && is_chosen(&link.referenced)).collect();
        let shapes: Vec<&TableShape> = self.pairs.iter().map(|pair| &pair.live).collect();
        let is_unowned = |link: &&ForeignKeyLink| {
            !link.deferrable && shapes.iter().any(|shape| shape.name == link.table && !shape.owned)
        };
        if among.iter().copied().any(|link| is_unowned(&link)) {
            return Err(error);
        }
        self.writer.execute("ROLLBACK TO SAVEPOINT before_rows")?;
        guard.defer(self.writer, &shapes, links).map_err(|error| locked(&shapes, error))?;
        // A row that is to stay must not go with the one that it still refers to.
        let cascades = among.iter().any(|link| link.on_delete.is_some());
        let steps = if cascades {
            [Staged::Update, Staged::Delete, Staged::Insert]
        } else {
            [Staged::Delete, Staged::Update, Staged::Insert]
        };
        self.write_in(steps, &parents_first, stagings, tables)
    }

    fn write_in(
        &mut self,
        steps: [Staged; 3],
        parents_first: &[usize],
        stagings: &[Staging<'_>],
        tables: &mut [RecoveredTable],
    ) -> Result<(), Error> {
        for step in steps {
            for place in 0..parents_first.len() {
                let last_first = parents_first[parents_first.len() - 1 - place];
                let n = if step == Staged::Delete { last_first } else { parents_first[place] };
                match step {
                    Staged::Insert => self.insert(&stagings[n], &mut tables[n])?,
                    Staged::Update | Staged::Delete if self.replace => {
                        self.change(step, &stagings[n], &mut tables[n])?;
                    }
                    Staged::Update | Staged::Delete => {}
                }
            }
        }
        Ok(())
    }

    fn change(
        &mut self,
        step: Staged,
        staging: &Staging<'_>,
        table: &mut RecoveredTable,
    ) -> Result<(), Error> {
        let name = &staging.shape().name;
        let (what, expected) = match step {
            Staged::Delete => ("removed", table.before.extra),
            Staged::Update | Staged::Insert => ("changed", table.before.changed),
        };
        if expected == 0 {
            return Ok(());
        }
        let written = match step {
            Staged::Delete => staging.delete(self.writer),
            Staged::Update | Staged::Insert => staging.update(self.writer),
        };
        let found = written.map_err(|source| TablesError::Write { table: name.clone(), what, source })?;
        if found != expected {
            return Err(TablesError::Moved { table: name.clone(), what, expected, found }.into());
        }
        if let Some(written) = &mut table.written {
            match step {
                Staged::Delete => written.deleted = found,
                Staged::Update | Staged::Insert => written.updated = found,
            }
        }
        Ok(())
    }

    fn insert(&mut self, staging: &Staging<'_>, table: &mut RecoveredTable) -> Result<(), Error> {
        let expected = table.before.missing;
        if expected == 0 {
            return Ok(());
        }
        let name = &staging.shape().name;
        let inserted = staging.insert(self.writer, !self.replace).map_err(|source| TablesError::Write {
            table: name.clone(),
            what: "inserted",
            source,
        })?;
        if let Some(written) = &mut table.written {
            (written.inserted, written.conflicts) = (inserted, expected.saturating_sub(inserted));
        }
        Ok(())
    }

    /// What was written is what the backup has.
    fn compare_again(&mut self, old: &mut Client, tables: &mut [RecoveredTable]) -> Result<(), Error> {
        let progress = Progress::begin(self.work.context, Phase::Differences, 0);
        for (pair, table) in self.pairs.iter().zip(tables) {
            let options = DiffOptions { samples: self.work.options.samples, ..self.work.options };
            let after = diff_rows(pair, old, Some(self.writer), options, &mut Unheard, &progress)?;
            if self.replace && !after.is_empty() {
                let (table, rows) = (pair.live.name.clone(), after.missing + after.extra + after.changed);
                return Err(TablesError::StillDiffers { table, rows }.into());
            }
            table.after = Some(after);
        }
        Ok(())
    }
}

/// SQLSTATEs of a foreign key and of a unique constraint that does not hold.
const OF_ORDER: [&str; 2] = ["23503", "23505"];

/// Whether another order of writing may do.
fn is_of_order(error: &Error) -> bool {
    let Error::Tables(error) = error else { return false };
    matches!(error.as_ref(), TablesError::Write { source, .. } if source.code().is_some_and(|code| OF_ORDER.contains(&code)))
}

/// The tables are altered together; which one was in use, the server says.
fn locked(shapes: &[&TableShape], source: postgres::Error) -> Error {
    match shapes.first() {
        Some(shape) => locking::refused(shape, source),
        None => source.into(),
    }
}

/// Stages the rows that differ.
struct StageSink<'a> {
    copy: CopyIn<'a>,
    /// Rows that are there are changed or removed, too.
    replace: bool,
    has_columns: bool,
    table: &'a QualifiedName,
}

impl DifferenceSink for StageSink<'_> {
    fn differs(
        &mut self,
        differing: Differing,
        backup: Option<Line<'_>>,
        live: Option<Line<'_>>,
    ) -> Result<(), Error> {
        let staged = match differing {
            Differing::Missing => Staged::Insert,
            Differing::Changed => Staged::Update,
            Differing::Extra => Staged::Delete,
        };
        if staged != Staged::Insert && !self.replace {
            return Ok(());
        }
        let refused = |source| TablesError::Write { table: self.table.clone(), what: "staged", source };
        let place = live.and_then(Line::place);
        self.copy.send(&staged.prefix(place)).map_err(refused)?;
        if let Some(row) = backup.or(live).filter(|_| self.has_columns) {
            self.copy.send(b"\t").map_err(refused)?;
            self.copy.send(row.body()).map_err(refused)?;
        }
        self.copy.send(b"\n").map_err(refused)?;
        Ok(())
    }
}
