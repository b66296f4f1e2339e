//! What of a data directory is left out: the rules of the server's own base backups (`basebackup.c`), decided by names alone.

use std::collections::BTreeSet;

use crate::page::{Fork, RelationFile};

/// Directories whose contents are removed or made again when a server starts. They are kept, empty.
const EMPTIED: [&str; 7] =
    ["pg_stat_tmp", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_subtrans"];
/// Files that belong to the running server or to another backup, wherever they are.
const EXCLUDED: [&str; 7] = [
    "postgresql.auto.conf.tmp",
    "current_logfiles.tmp",
    "backup_label",
    "tablespace_map",
    "backup_manifest",
    "postmaster.pid",
    "postmaster.opts",
];
/// Files of these names, and whatever their names go on with: temporary files, and caches that are built again.
const EXCLUDED_PREFIXES: [&str; 2] = ["pgsql_tmp", "pg_internal.init"];
/// The WAL; what of it the backup needs is read at its end.
pub(super) const WAL_DIRECTORY: &str = "pg_wal";

/// Whether the contents of the directory at `path` are left out.
pub(super) fn is_emptied(path: &str) -> bool {
    path == WAL_DIRECTORY || EMPTIED.contains(&path)
}

/// Whether the file or directory `name` in `directory` (empty: the data directory itself) is left out.
pub(super) fn is_excluded(directory: &str, name: &str) -> bool {
    EXCLUDED.contains(&name)
        || EXCLUDED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        // Not left out for good: it is read at the end.
        || (directory == "global" && name == "pg_control")
}

/// The relations of a directory of a database whose contents do not survive a crash.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unlogged(BTreeSet<u32>);

impl Unlogged {
    /// Finds them by their init forks among all `names` of `directory`.
    pub(super) fn among<'a>(directory: &str, names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        is_database(directory).then(|| {
            let files = names.into_iter().filter_map(RelationFile::named);
            Self(files.filter(|file| file.fork == Fork::Init).map(|file| file.number).collect())
        })
    }

    /// Whether `name` in the same directory is left out: a fork other than the init fork of one of them, or a temporary relation.
    pub(super) fn excludes(&self, name: &str) -> bool {
        match RelationFile::named(name) {
            Some(file) => file.fork != Fork::Init && self.0.contains(&file.number),
            None => is_temporary(name),
        }
    }
}

/// Whether a directory holds the relations of a database.
fn is_database(directory: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match directory.split('/').collect::<Vec<_>>()[..] {
        ["base", database] => is_number(database),
        ["pg_tblspc", _, version, database] => version.starts_with("PG_") && is_number(database),
        _ => false,
    }
}

/// `t<backend>_<relation>`, with a fork and a segment behind it or not (`looks_like_temp_rel_name`).
fn is_temporary(name: &str) -> bool {
    let parse = || {
        let (backend, relation) = name.strip_prefix('t')?.split_once('_')?;
        let is_number = !backend.is_empty() && backend.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| RelationFile::named(relation)).flatten()
    };
    parse().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_running_server_are_left_out() {
        for (directory, name) in [
            ("", "postmaster.pid"),
            ("", "backup_label"),
            ("", "postgresql.auto.conf.tmp"),
            ("global", "pg_internal.init"),
            ("base/5", "pg_internal.init.123"),
            ("base", "pgsql_tmp"),
            ("pg_tblspc/1/PG_15_1", "pgsql_tmp"),
            ("global", "pg_control"),
        ] {
            assert!(is_excluded(directory, name), "{directory}/{name}");
        }
        for (directory, name) in [
            ("", "postgresql.auto.conf"),
            ("", "backup_label.old"),
            ("", "PG_VERSION"),
            ("", "pg_control"),
            ("global", "pg_filenode.map"),
            ("base/5", "1259"),
        ] {
            assert!(!is_excluded(directory, name), "{directory}/{name}");
        }
        assert!(is_emptied("pg_replslot") && is_emptied("pg_wal"));
        assert!(!is_emptied("pg_xact") && !is_emptied("log/pg_replslot"));
    }

    #[test]
    fn unlogged_and_temporary_relations_are_left_out_in_directories_of_databases() {
        let names = [
            "16390",
            "16390_init",
            "16390_fsm",
            "16390.1",
            "16391",
            "t3_16400",
            "t3_16400_fsm",
            "PG_VERSION",
        ];
        for directory in ["base/5", "pg_tblspc/16385/PG_15_202209061/5"] {
            let unlogged = Unlogged::among(directory, names).unwrap();
            let kept: Vec<_> = names.iter().filter(|name| !unlogged.excludes(name)).collect();
            assert_eq!(kept, [&"16390_init", &"16391", &"PG_VERSION"], "{directory}");
        }
        for directory in ["", "global", "base", "base/x", "pg_xact", "pg_tblspc/16385"] {
            assert_eq!(Unlogged::among(directory, names), None, "{directory}");
        }
        let unlogged = Unlogged::default();
        for name in ["t_1", "tx_1", "t3_x", "t3", "table"] {
            assert!(!unlogged.excludes(name), "{name}");
        }
    }
}
