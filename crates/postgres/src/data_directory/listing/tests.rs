use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use model::SystemId;

use super::*;
use crate::control::sample;

/// What `sample` says.
const VERSION: &str = "PG_15_202209061";

/// A data directory of which only the names matter.
struct Data {
    scratch: tempfile::TempDir,
}

impl Data {
    fn new() -> Self {
        let data = Self { scratch: tempfile::tempdir().unwrap() };
        data.file("data/global/pg_control");
        data.directory("data/pg_wal");
        data.directory("data/pg_tblspc");
        data
    }

    fn path(&self, path: &str) -> PathBuf {
        self.scratch.path().join(path)
    }

    fn directory(&self, path: &str) {
        fs::create_dir_all(self.path(path)).unwrap();
    }

    fn file(&self, path: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), path).unwrap();
    }

    fn list(&self) -> Result<Listing, ClusterError> {
        let control = ControlFile::parse(&sample(SystemId(1))).unwrap();
        Listing::of(&self.path("data").canonicalize().unwrap(), &control, 15)
    }

    fn files(&self) -> Vec<String> {
        self.list().unwrap().files.iter().map(|file| file.path.to_string()).collect()
    }
}

#[test]
fn tablespaces_come_once_and_only_with_their_own_version() {
    let data = Data::new();
    for file in ["5/16390", "5/t3_16400", "pgsql_tmp/x"] {
        data.file(&format!("space/{VERSION}/{file}"));
        data.file(&format!("space/PG_16_202307071/{file}"));
        data.file(&format!("data/inside/{VERSION}/{file}"));
        data.file(&format!("data/pg_tblspc/103/{VERSION}/{file}"));
    }
    symlink(data.path("space"), data.path("data/pg_tblspc/101")).unwrap();
    symlink(data.path("data/inside"), data.path("data/pg_tblspc/102")).unwrap();
    // Somebody removed the place of this one; replay may remove the tablespace.
    symlink(data.path("gone"), data.path("data/pg_tblspc/104")).unwrap();
    let files: Vec<String> =
        [101, 102, 103].iter().map(|oid| format!("pg_tblspc/{oid}/{VERSION}/5/16390")).collect();
    assert_eq!(data.files(), files);
    let listing = data.list().unwrap();
    let spaces: Vec<_> =
        listing.tablespaces.iter().map(|space| (space.oid, space.location.as_str())).collect();
    let location = |path: &str| data.path(path).to_str().unwrap().to_owned();
    let expected = [(101, location("space")), (102, location("data/inside")), (104, location("gone"))];
    assert_eq!(spaces, expected.each_ref().map(|(oid, location)| (*oid, location.as_str())));
    let directories: Vec<_> = listing.directories.iter().map(|directory| directory.path.as_str()).collect();
    assert!(directories.contains(&"inside") && !directories.contains(&"inside/PG_15_202209061"));
    assert!(listing.warnings.is_empty(), "{:?}", listing.warnings);
}

#[test]
fn what_is_no_file_is_left_out_with_a_warning() {
    let data = Data::new();
    data.file("data/PG_VERSION");
    data.file("elsewhere/secret");
    data.file("elsewhere/wal/000000010000000000000001");
    symlink(data.path("elsewhere/secret"), data.path("data/secret")).unwrap();
    symlink(data.path("elsewhere"), data.path("data/log")).unwrap();
    let status = std::process::Command::new("mkfifo").arg(data.path("data/pipe")).status().unwrap();
    assert!(status.success());
    // WAL and the directories that are emptied may be elsewhere.
    fs::remove_dir(data.path("data/pg_wal")).unwrap();
    symlink(data.path("elsewhere/wal"), data.path("data/pg_wal")).unwrap();
    symlink(data.path("elsewhere"), data.path("data/pg_stat_tmp")).unwrap();
    assert_eq!(data.files(), ["PG_VERSION"]);
    let listing = data.list().unwrap();
    assert_eq!(listing.warnings.len(), 3, "{:?}", listing.warnings);
    assert!(listing.warnings[0].ends_with("is not in the backup: it is no ordinary file or directory"));
    let directories: Vec<_> = listing.directories.iter().map(|directory| directory.path.as_str()).collect();
    assert_eq!(directories, ["global", "pg_stat_tmp", "pg_tblspc", "pg_wal", "pg_wal/archive_status"]);
}

#[test]
fn a_name_that_is_no_text_is_an_error() {
    let data = Data::new();
    data.file("data/a\nb");
    assert!(matches!(data.list(), Err(ClusterError::Name { name }) if name == "a\nb"));
    fs::remove_file(data.path("data/a\nb")).unwrap();
    fs::write(data.path("data").join(OsStr::from_bytes(b"\xff")), "").unwrap();
    assert!(matches!(data.list(), Err(ClusterError::Name { .. })));
}

#[test]
fn files_are_sorted_by_path_and_have_their_sizes() {
    let data = Data::new();
    for file in ["base/5/2", "base/5/10", "base/5.x", "PG_VERSION", "global/1262"] {
        data.file(&format!("data/{file}"));
    }
    assert_eq!(data.files(), ["PG_VERSION", "base/5.x", "base/5/10", "base/5/2", "global/1262"]);
    let listing = data.list().unwrap();
    assert_eq!(
        listing.bytes(),
        listing.files.iter().map(|file| file.path.as_str().len() as u64 + 5).sum::<u64>()
    );
}
