//! Whether the files of all relations are there.
//!
//! A server takes a relation whose file is gone for an empty one until somebody reads it, and one whose second gigabyte is gone for a
//! shorter one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use model::QualifiedName;

use super::{Unreadable, databases, session};
use crate::client::{Error, Row};
use crate::conninfo::ConnectOptions;
use crate::page::{Fork, RelationFile};

/// Relations with files, those of temporary relations left out, which are gone with their sessions.
const RELATIONS: &str = "\
    SELECT n.nspname, c.relname, pg_catalog.pg_relation_filepath(c.oid), c.relpersistence = 'u', c.relisshared \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'i', 'm', 'S', 't') AND c.relpersistence <> 't' \
    AND pg_catalog.pg_relation_filepath(c.oid) IS NOT NULL ORDER BY n.nspname, c.relname";

/// A file that a relation should have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingFile {
    /// The database of the relation, or one of those that see it.
    pub database: String,
    /// The relation.
    pub relation: QualifiedName,
    /// Where the file should be, below the data directory.
    pub path: String,
    /// It is there, and has fewer bytes than a file that others follow.
    pub is_short: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub struct RelationFiles {
    /// Relations that were looked at.
    pub relations: u64,
    /// Files that are not there, sorted.
    pub missing: Vec<MissingFile>,
    /// What could not be looked at.
    pub unreadable: Vec<Unreadable>,
}

/// Looks for the file of every relation of all databases that allow connections, in the data directory of the server. `options`
/// are those of a superuser; `segment_bytes` is the size of each file of a relation but the last.
pub fn find_missing_files(
    options: &ConnectOptions,
    data: &Path,
    segment_bytes: u64,
) -> Result<RelationFiles, Error> {
    let mut found = RelationFiles::default();
    let mut directories = Directories { data, segment_bytes, known: BTreeMap::new() };
    let mut saw_shared = false;
    for database in databases(options)? {
        let rows =
            session(&options.with_database(&database)).and_then(|mut client| client.query(RELATIONS, &[]));
        let looked = rows.and_then(|rows| {
            let rows = rows.iter().filter(|row| !(saw_shared && row.is_true(4)));
            rows.map(|row| directories.look(&database, row)).collect::<Result<Vec<_>, _>>()
        });
        match looked {
            Ok(looked) => {
                saw_shared = true;
                found.relations += looked.len() as u64;
                found.missing.extend(looked.into_iter().flatten());
            }
            Err(error) => found.unreadable.push(Unreadable { database, table: None, error }),
        }
    }
    found.missing.sort();
    Ok(found)
}

/// The files in directories of databases, read when they are asked for.
struct Directories<'a> {
    data: &'a Path,
    segment_bytes: u64,
    known: BTreeMap<String, BTreeSet<RelationFile>>,
}

impl Directories<'_> {
    /// What is missing of the relation that a row is about.
    fn look(&mut self, database: &str, row: &Row) -> Result<Option<MissingFile>, Error> {
        let (path, is_unlogged) = (row.text(2)?, row.is_true(3));
        let Some((directory, name)) = path.rsplit_once('/') else { return Ok(None) };
        let Ok(number) = name.parse() else { return Ok(None) };
        let fork = if is_unlogged { Fork::Init } else { Fork::Main };
        let Some((suffix, is_short)) = self.missing(directory, number, fork) else { return Ok(None) };
        Ok(Some(MissingFile {
            database: database.to_owned(),
            relation: QualifiedName::new(row.text(0)?, row.text(1)?),
            path: format!("{path}{suffix}"),
            is_short,
        }))
    }

    /// The first file of a relation that is not as it should be: what stands behind its number, and whether it is there.
    fn missing(&mut self, directory: &str, number: u32, fork: Fork) -> Option<(String, bool)> {
        let (data, segment_bytes) = (self.data.join(directory), self.segment_bytes);
        let files = self.known.entry(directory.to_owned()).or_insert_with(|| files(&data));
        let first = RelationFile { number, fork, segment: 0 };
        let last = RelationFile { segment: u32::MAX, ..first };
        let segments: Vec<u32> = files.range(first..=last).map(|file| file.segment).collect();
        let expected = segments.last().copied().unwrap_or(0);
        for segment in 0..=expected {
            let suffix = suffix(fork, segment);
            if !segments.contains(&segment) {
                return Some((suffix, false));
            }
            let bytes = || fs::metadata(data.join(format!("{number}{suffix}"))).map_or(0, |file| file.len());
            if segment < expected && bytes() < segment_bytes {
                return Some((suffix, true));
            }
        }
        None
    }
}

fn suffix(fork: Fork, segment: u32) -> String {
    let fork = match fork {
        Fork::Main => "",
        Fork::FreeSpace => "_fsm",
        Fork::Visibility => "_vm",
        Fork::Init => "_init",
    };
    if segment == 0 { fork.to_owned() } else { format!("{fork}.{segment}") }
}

/// The files of relations in a directory; none if there is no such directory.
fn files(directory: &Path) -> BTreeSet<RelationFile> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| RelationFile::named(&entry.file_name().to_string_lossy())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_short_files_are_found() {
        let data = tempfile::tempdir().unwrap();
        let directory = data.path().join("base/5");
        fs::create_dir_all(&directory).unwrap();
        let put = |name: &str, bytes: usize| fs::write(directory.join(name), vec![0; bytes]).unwrap();
        for (name, bytes) in [
            ("1", 10),
            ("2", 10),
            ("2.1", 10),
            ("2.2", 3),
            ("3", 10),
            ("3.2", 10),
            ("4", 9),
            ("4.1", 1),
            ("5.1", 10),
            ("6_init", 0),
            ("7", 0),
            ("8_fsm", 10),
        ] {
            put(name, bytes);
        }
        let mut directories = Directories { data: data.path(), segment_bytes: 10, known: BTreeMap::new() };
        let mut missing = |number, fork| directories.missing("base/5", number, fork);
        assert_eq!(missing(1, Fork::Main), None);
        assert_eq!(missing(2, Fork::Main), None);
        assert_eq!(missing(3, Fork::Main), Some((".1".to_owned(), false)));
        assert_eq!(missing(4, Fork::Main), Some((String::new(), true)));
        assert_eq!(missing(5, Fork::Main), Some((String::new(), false)));
        assert_eq!(missing(6, Fork::Init), None);
        assert_eq!(missing(7, Fork::Main), None);
        assert_eq!(missing(7, Fork::Init), Some(("_init".to_owned(), false)));
        assert_eq!(missing(8, Fork::Main), Some((String::new(), false)));
        assert_eq!(directories.missing("base/6", 1, Fork::Main), Some((String::new(), false)));
    }
}
