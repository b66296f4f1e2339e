//! `pg_amcheck`: whether tables and B-tree indexes hang together.

use std::io::Read;
use std::num::NonZeroUsize;

use crate::client::{Client, Error};
use crate::conninfo::ConnectOptions;
use crate::process::{Process, ProcessError};
use crate::tools::Tools;

/// The first major version with the program, and with checks of tables in the extension.
const OLDEST_MAJOR: u32 = 14;
/// Findings that are kept; the rest is counted.
const MOST_FINDINGS: usize = 1000;
/// Bytes of the message of a finding that are kept.
const MESSAGE_LIMIT: usize = 4 << 10;
/// The exit status that says that something is damaged.
const FOUND: i32 = 2;

/// Why there is no check.
#[derive(Debug, thiserror::Error)]
pub enum AmcheckError {
    /// Servers of this version cannot be checked.
    #[error("PostgreSQL {major} has no checks of tables; {OLDEST_MAJOR} is the first version with them")]
    TooOld {
        /// The major version of the server.
        major: u32,
    },
    /// The program is not installed.
    #[error("{directory} has no pg_amcheck; install the package postgresql-{major}", directory = directory.display())]
    NoProgram {
        /// Where it should be.
        directory: std::path::PathBuf,
        /// The major version of the programs there.
        major: u32,
    },
    /// The extension is not installed.
    #[error("the extension amcheck is not installed for the server; install the package {package}")]
    NoExtension {
        /// The package with it on Debian and Ubuntu, and its name on Red Hat.
        package: String,
    },
    /// The server cannot be asked.
    #[error("the server cannot be asked for the extension amcheck")]
    Client(#[source] Error),
    /// The program failed: not because of what it found.
    #[error("tables and indexes could not be checked")]
    Program(#[source] ProcessError),
    /// What it writes cannot be read.
    #[error("what pg_amcheck says cannot be read")]
    Output(#[source] std::io::Error),
    /// It ended with the status of damage, and did not say of what.
    #[error("pg_amcheck found damage and did not say where: {message}")]
    Unclear {
        /// What it wrote to standard error.
        message: String,
    },
}

/// One thing that is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmcheckFinding {
    /// What it is: `heap table`, `btree index`.
    pub kind: String,
    /// The relation, as `database.schema.name`.
    pub relation: String,
    /// Where in it: `block 3, offset 5`. Empty where the program does not say.
    pub place: String,
    /// What is wrong, in one line.
    pub message: String,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AmcheckReport {
    /// The first findings.
    pub findings: Vec<AmcheckFinding>,
    /// Findings that are not listed.
    pub unlisted: u64,
    /// What the program said besides: databases that it could not check.
    pub remarks: Vec<String>,
}

/// Checks all tables and B-tree indexes of all databases with `pg_amcheck` of `tools`, and that every row of a table is in its
/// indexes. Installs the extension where it is missing, so the server must not be in recovery. `options` are those of a superuser.
pub fn amcheck(
    tools: &Tools,
    options: &ConnectOptions,
    sessions: NonZeroUsize,
) -> Result<AmcheckReport, AmcheckError> {
    let mut client = Client::connect(options).map_err(AmcheckError::Client)?;
    let major = client.server_major();
    if major < OLDEST_MAJOR {
        return Err(AmcheckError::TooOld { major });
    }
    if !tools.directory().join("pg_amcheck").is_file() {
        return Err(AmcheckError::NoProgram {
            directory: tools.directory().to_owned(),
            major: tools.major(),
        });
    }
    let sql = "SELECT count(*) > 0 FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck'";
    let row = client.query_one(sql, &[]).map_err(AmcheckError::Client)?;
    if !row.is_true(0) {
        return Err(AmcheckError::NoExtension { package: format!("postgresql-{major}") });
    }
    drop(client);
    let mut command = tools.command("pg_amcheck", Some(options));
    command
        .args(["--all", "--install-missing", "--heapallindexed", "--no-password"])
        .arg(format!("--jobs={sessions}"))
        .arg(format!("--maintenance-db={}", options.database_argument()));
    let mut process = Process::spawn(command, false).map_err(AmcheckError::Program)?;
    let mut report = AmcheckReport::default();
    if let Some(stdout) = process.take_stdout() {
        read(stdout, &mut report).map_err(AmcheckError::Output)?;
    }
    finish(process, report)
}

fn finish(process: Process, mut report: AmcheckReport) -> Result<AmcheckReport, AmcheckError> {
    let (status, said) = process.wait().map_err(AmcheckError::Program)?;
    report.remarks =
        said.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
    match status.code() {
        Some(0) => Ok(report),
        Some(FOUND) if !report.findings.is_empty() => Ok(report),
        Some(FOUND) => Err(AmcheckError::Unclear { message: report.remarks.join("; ") }),
        _ => {
            let (program, message) = ("pg_amcheck".to_owned(), report.remarks.join("; "));
            Err(AmcheckError::Program(ProcessError::Failed { program, status, message }))
        }
    }
}

/// Reads what the program writes: a line for each finding that names the relation, and indented lines that say what is wrong.
fn read(output: impl Read, report: &mut AmcheckReport) -> std::io::Result<()> {
    use std::io::BufRead;
    let mut is_kept = false;
    for line in std::io::BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        if let Some(finding) = heading(&line) {
            is_kept = report.findings.len() < MOST_FINDINGS;
            if is_kept {
                report.findings.push(finding);
            } else {
                report.unlisted += 1;
            }
        } else if let Some(finding) = report.findings.last_mut().filter(|_| is_kept) {
            let text = line.trim();
            if !text.is_empty() && finding.message.len() + text.len() < MESSAGE_LIMIT {
                let between = if finding.message.is_empty() { "" } else { "; " };
                finding.message.push_str(between);
                finding.message.push_str(text);
            }
        }
    }
    Ok(())
}

/// `heap table "books.public.entry", block 3, offset 5:`, in which a name may hold anything.
fn heading(line: &str) -> Option<AmcheckFinding> {
    let kind = ["heap table", "btree index"].into_iter().find(|kind| line.starts_with(kind))?;
    let rest = line.strip_prefix(kind)?.strip_prefix(" \"")?.strip_suffix(':')?;
    let (relation, place) = rest.rsplit_once('"')?;
    let place = place.strip_prefix(", ").unwrap_or(place);
    Some(AmcheckFinding {
        kind: kind.to_owned(),
        relation: relation.to_owned(),
        place: place.to_owned(),
        message: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_as_the_program_writes_them() {
        let output = "heap table \"books.public.a \"\"b\", block 3, offset 5, attribute 1:\n    \
                      toast value 16390 missing\n\
                      btree index \"books.public.a_pkey\":\n    ERROR:  item order invariant violated\n    DETAIL:  Lower index tid=(1,2)\n\
                      heap table \"books.public.c\":\n    ERROR:  could not open file \"base/5/16390\"\n";
        let mut report = AmcheckReport::default();
        read(output.as_bytes(), &mut report).unwrap();
        let found: Vec<_> = report
            .findings
            .iter()
            .map(|finding| {
                [&finding.kind, &finding.relation, &finding.place, &finding.message].map(String::as_str)
            })
            .collect();
        assert_eq!(
            found,
            [
                [
                    "heap table",
                    "books.public.a \"\"b",
                    "block 3, offset 5, attribute 1",
                    "toast value 16390 missing"
                ],
                [
                    "btree index",
                    "books.public.a_pkey",
                    "",
                    "ERROR:  item order invariant violated; DETAIL:  Lower index tid=(1,2)"
                ],
                ["heap table", "books.public.c", "", "ERROR:  could not open file \"base/5/16390\""],
            ]
        );
    }

    #[test]
    fn only_so_many_findings_are_kept() {
        let one = "heap table \"d.s.t\", block 1:\n    damaged\n";
        let mut report = AmcheckReport::default();
        read(one.repeat(MOST_FINDINGS + 3).as_bytes(), &mut report).unwrap();
        assert_eq!((report.findings.len(), report.unlisted), (MOST_FINDINGS, 3));
        assert!(report.findings.iter().all(|finding| finding.message == "damaged"));
    }
}
