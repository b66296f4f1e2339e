//! `export`: a backup as plain SQL or as an archive for `pg_restore`, on standard output or in a file.
//!
//! Invariant: a file appears under its name only when it is whole and durable, and only its owner can read it.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use model::{BackupId, ByteSize};
use operations::ExportFormat;
use repository::Repository;
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::args::{ExportArgs, FormatArg};
use crate::catalogue::Code;
use crate::failure::Failure;
use crate::opening;
use crate::screen::{Answer, Notice};
use crate::session::Session;
use crate::surroundings::Surroundings;
use crate::wording;

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 256 * 1024;

#[derive(Serialize)]
struct Body {
    id: BackupId,
    format: &'static str,
    output: PathBuf,
    bytes: u64,
    duration_ms: u64,
    warnings: Vec<Notice>,
}

pub(super) fn run(args: &ExportArgs, session: Session) -> Result<Answer, Failure> {
    let (screen, noted) = (session.screen, session.noted.clone());
    check_output(args, screen.json)?;
    let settings = session.settings()?;
    let repository = opening::repository(&settings)?;
    let id = opening::backup(&repository, &args.backup, args.source.as_deref())?;
    noted.note(|facts| facts.backup = Some(id.clone()));
    let surroundings = Surroundings::new(screen, &settings)?;
    let export = Export { repository: &repository, id: &id, args, surroundings: &surroundings };
    let Some(path) = &args.output else {
        export.to(&mut BufWriter::with_capacity(BUFFER_BYTES, io::stdout()))?;
        return Answer::new("", &serde_json::json!({}));
    };
    let began = std::time::Instant::now();
    let bytes = export.to_file(path)?;
    noted.note(|facts| facts.plain_bytes = Some(bytes));
    surroundings.reporter.finish();
    let text = format!("Wrote {} of {id} to {}. The file is not encrypted.", ByteSize(bytes), path.display());
    let body = Body {
        id: id.clone(),
        format: word(args.format),
        output: path.clone(),
        bytes,
        duration_ms: wording::millis(began.elapsed()),
        warnings: surroundings.reporter.take_warnings().iter().map(Notice::from).collect(),
    };
    Answer::new(text, &body)
}

/// Standard output takes either the export or JSON; and no archive belongs on a terminal.
fn check_output(args: &ExportArgs, json: bool) -> Result<(), Failure> {
    if args.output.is_some() {
        return Ok(());
    }
    if json {
        let message = "with --json, an export needs --output FILE";
        return Err(Failure::new(Code::Usage, message).with_hint("Run `chronavault export --help`."));
    }
    if args.format == FormatArg::Custom && io::stdout().is_terminal() {
        let message = "an archive cannot be shown on a terminal";
        return Err(Failure::new(Code::Usage, message).with_hint("Use --output FILE, or a pipe."));
    }
    Ok(())
}

fn word(format: FormatArg) -> &'static str {
    match format {
        FormatArg::Sql => "sql",
        FormatArg::Custom => "custom",
    }
}

/// One export, wherever it goes.
struct Export<'a> {
    repository: &'a Repository,
    id: &'a BackupId,
    args: &'a ExportArgs,
    surroundings: &'a Surroundings,
}

impl Export<'_> {
    fn to(&self, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
        let format = match self.args.format {
            FormatArg::Sql => ExportFormat::Sql,
            FormatArg::Custom => ExportFormat::Custom,
        };
        let context = self.surroundings.context();
        operations::export(self.repository, self.id, &self.args.tables, format, out, &context)
            .map_err(|error| self.surroundings.failure(error))?;
        self.surroundings.reporter.finish();
        out.flush()
            .map_err(|error| Failure::new(Code::OutputFailed, format!("cannot write the export: {error}")))
    }

    /// Returns the size of the file.
    fn to_file(&self, path: &Path) -> Result<u64, Failure> {
        let unwritten = |error: &io::Error| {
            Failure::new(Code::OutputFailed, format!("cannot write {}: {error}", path.display()))
        };
        if path.symlink_metadata().is_ok() {
            return Err(Failure::new(Code::OutputExists, format!("{} is already there", path.display())));
        }
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Mode 0600 from the start.
        let mut file = NamedTempFile::new_in(directory).map_err(|error| unwritten(&error))?;
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, file.as_file_mut());
        self.to(&mut out)?;
        drop(out);
        file.as_file().sync_all().map_err(|error| unwritten(&error))?;
        let bytes = file.as_file().metadata().map_err(|error| unwritten(&error))?.len();
        file.persist_noclobber(path).map_err(|error| unwritten(&error.error))?;
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| unwritten(&error))?;
        Ok(bytes)
    }
}
