//! PostgreSQL's own programs: where they are, and how they are started.
//!
//! Invariant: a child gets an environment that consists of `PATH`, `LC_ALL`, `HOME` and the `PG…` variables of one connection. Nothing
//! else of ours reaches it, an encryption key least of all.
//!
//! Deliberately absent: programs that choose a version by themselves, such as Debian's `pg_wrapper`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::conninfo::ConnectOptions;

/// Directories with one subdirectory per version, as packages make them, and what is below it.
const PACKAGED: [(&str, &str); 2] = [("/usr/lib/postgresql", "bin"), ("/usr", "bin")];
/// How the second kind of packages calls its directories: `/usr/pgsql-16`.
const PGSQL_PREFIX: &str = "pgsql-";
/// Directories that a child finds other programs in, behind the one it comes from.
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// A home without files: libpq and psql read settings there.
const NO_HOME: &str = "/nonexistent";

/// The programs of one major version are not installed, or do not work.
#[derive(Debug, thiserror::Error)]
pub enum ToolsError {
    /// Nothing suitable is installed.
    #[error(
        "no PostgreSQL {programs} for a server of version {wanted} found; {found}install the package {package}",
        found = found_words(found)
    )]
    NotFound {
        /// What was looked for.
        programs: Programs,
        /// The major version of the server.
        wanted: u32,
        /// The major versions that are there, of which none will do.
        found: Vec<u32>,
        /// The package with them on Debian and Ubuntu.
        package: String,
    },
    /// A program could not be asked for its version.
    #[error("{program} cannot be run", program = program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn found_words(found: &[u32]) -> String {
    let list: Vec<String> = found.iter().map(ToString::to_string).collect();
    if list.is_empty() { String::new() } else { format!("there is only {}; ", list.join(", ")) }
}

/// Which programs a directory must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Programs {
    /// `pg_dump`, `pg_dumpall`, `pg_restore` and `psql`.
    Client,
    /// `initdb` and `postgres`.
    Server,
}

impl Programs {
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Client => &["pg_dump", "pg_dumpall", "pg_restore", "psql"],
            Self::Server => &["postgres", "initdb"],
        }
    }

    fn package(self, major: u32) -> String {
        match self {
            Self::Client => format!("postgresql-client-{major}"),
            Self::Server => format!("postgresql-{major}"),
        }
    }
}

/// `client programs`, `server programs`.
impl fmt::Display for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client programs",
            Self::Server => "server programs",
        })
    }
}

/// A directory with PostgreSQL's programs of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    directory: PathBuf,
    version: String,
    major: u32,
}

impl Tools {
    /// The client programs for a server of `server_major`: that version if it is there, else the smallest newer one, since
    /// `pg_dump` refuses servers that are newer than itself. Looks into `path` (the value of `PATH`), then where packages put them.
    pub fn find(server_major: u32, path: Option<&OsStr>) -> Result<Self, ToolsError> {
        find(Programs::Client, server_major..=u32::MAX, path)
    }

    /// The server programs for a cluster of `server_major` or the smallest newer version.
    pub fn find_server(server_major: u32, path: Option<&OsStr>) -> Result<Self, ToolsError> {
        find(Programs::Server, server_major..=u32::MAX, path)
    }

    /// The server programs for data files of `server_major`, which no other version can read.
    pub fn find_same_server(server_major: u32, path: Option<&OsStr>) -> Result<Self, ToolsError> {
        find(Programs::Server, server_major..=server_major, path)
    }

    /// The programs in `directory`, whichever version they have.
    pub fn at(directory: &Path) -> Result<Self, ToolsError> {
        let named =
            ["postgres", "pg_dump"].iter().map(|name| directory.join(name)).find(|path| path.is_file());
        let program = named.unwrap_or_else(|| directory.join("pg_dump"));
        let version = version_of(&program).map_err(|source| ToolsError::Run { program, source })?;
        Ok(Self::new(directory, version))
    }

    fn new(directory: &Path, version: String) -> Self {
        let major = major_of(&version).unwrap_or_default();
        Self { directory: directory.to_owned(), version, major }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The version as the programs tell it: `15.18`, `18beta1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The major version.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The directory has the server's programs.
    pub fn server_binaries(&self) -> bool {
        has_all(&self.directory, Programs::Server)
    }

    /// A command that runs `program` of this version. Its environment is empty but for what a program needs and, with `options`,
    /// the variables with which it connects as we do (the password among them).
    pub fn command(&self, program: &str, options: Option<&ConnectOptions>) -> Command {
        let mut path = self.directory.as_os_str().to_owned();
        path.push(":");
        path.push(SYSTEM_PATH);
        let mut command = Command::new(self.directory.join(program));
        // Messages that we may have to read are in English; times are in UTC.
        command.env_clear().env("PATH", path).env("LC_ALL", "C").env("HOME", NO_HOME).env("PGTZ", "UTC");
        if let Some(options) = options {
            command.envs(options.child_variables());
        }
        command
    }
}

/// The oldest of the `wanted` major versions that is installed.
fn find(programs: Programs, wanted: RangeInclusive<u32>, path: Option<&OsStr>) -> Result<Tools, ToolsError> {
    let mut best: Option<Tools> = None;
    let mut found = BTreeSet::new();
    for directory in candidates(path) {
        if !has_all(&directory, programs) {
            continue;
        }
        let Some(program) = programs.names().first().map(|name| directory.join(name)) else { continue };
        // One that does not run is as good as none.
        let Ok(version) = version_of(&program) else { continue };
        let tools = Tools::new(&directory, version);
        found.insert(tools.major);
        let better = best.as_ref().is_none_or(|best| tools.major < best.major);
        if wanted.contains(&tools.major) && better {
            best = Some(tools);
        }
    }
    let wanted = *wanted.start();
    let found = found.into_iter().collect();
    best.ok_or_else(|| ToolsError::NotFound { programs, wanted, found, package: programs.package(wanted) })
}

/// Every directory that may have programs, those of `path` first; each one once.
fn candidates(path: Option<&OsStr>) -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> =
        path.map(|path| std::env::split_paths(path).collect()).unwrap_or_default();
    for (parent, below) in PACKAGED {
        let Ok(entries) = std::fs::read_dir(parent) else { continue };
        let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
        let is_version = |name: &std::ffi::OsString| {
            let text = name.to_string_lossy();
            let digits = if parent == "/usr" { text.strip_prefix(PGSQL_PREFIX) } else { Some(&*text) };
            digits.is_some_and(|digits| digits.parse::<u32>().is_ok())
        };
        let mut versions: Vec<_> = names.filter(is_version).collect();
        versions.sort();
        directories.extend(versions.iter().map(|name| Path::new(parent).join(name).join(below)));
    }
    let mut seen = BTreeSet::new();
    directories.retain(|directory| directory.is_absolute() && seen.insert(directory.clone()));
    directories
}

fn has_all(directory: &Path, programs: Programs) -> bool {
    programs.names().iter().all(|name| is_program(&directory.join(name)))
}

/// A file, and not a link to Debian's script that chooses a version by its own rules.
fn is_program(path: &Path) -> bool {
    let Ok(real) = path.canonicalize() else { return false };
    real.is_file() && real.file_name() != Some(OsStr::new("pg_wrapper"))
}

fn version_of(program: &Path) -> io::Result<String> {
    let output = Command::new(program)
        .arg("--version")
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse_version(&text)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it does not tell its version"))
}

/// The version in `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn parse_version(text: &str) -> Option<String> {
    let (_, behind) = text.split_once("(PostgreSQL) ")?;
    let version = behind.split_whitespace().next()?;
    major_of(version).map(|_| version.to_owned())
}

fn major_of(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests;
