//! Servers to read from, and servers on what was read.

use std::fmt::Write as _;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use chronavault_postgres::{Checkpoint, Client, DataDirectory, DataDirectoryOptions, SandboxOptions};
use testkit::Cluster;

use crate::sink::Copy;

/// Small, so that even small tables have several.
pub(crate) const REGION_BYTES: u32 = 64 << 10;

/// A cluster that can be backed up while it runs.
pub(crate) fn cluster(configure: impl FnOnce(&mut SandboxOptions)) -> Cluster {
    Cluster::with(|options| {
        options.data_checksums = true;
        options.access.push("local replication all trust".to_owned());
        for (name, value) in [("wal_level", "replica"), ("max_wal_senders", "8"), ("full_page_writes", "on")]
        {
            options.settings.push((name.to_owned(), value.to_owned()));
        }
        configure(options);
    })
}

pub(crate) fn source(client: Client, threads: usize) -> DataDirectory {
    DataDirectory::usable(client, options(threads)).unwrap()
}

pub(crate) fn options(threads: usize) -> DataDirectoryOptions {
    DataDirectoryOptions {
        label: "a 'test'".to_owned(),
        checkpoint: Checkpoint::Fast,
        threads: NonZeroUsize::new(threads).unwrap(),
        earlier: None,
    }
}

/// A directory that every account can pass through, and that goes with the test.
pub(crate) fn scratch() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// Makes a directory in `parent` that belongs to the account that runs `cluster`.
pub(crate) fn directory_for(cluster: &Cluster, parent: &Path, name: &str) -> PathBuf {
    let directory = parent.join(name);
    fs::create_dir(&directory).unwrap();
    own(cluster, &directory);
    directory
}

/// Gives `place` and everything below to the account that runs `cluster`.
pub(crate) fn own(cluster: &Cluster, place: &Path) {
    let metadata = fs::metadata(cluster.sandbox().data_directory()).unwrap();
    let owner = format!("{}:{}", metadata.uid(), metadata.gid());
    let status = Command::new("chown").args(["-R", &owner]).arg(place).status().unwrap();
    assert!(status.success());
}

/// Starts a server on a copy of what was read from `cluster`, with tablespaces beside it.
pub(crate) fn start(cluster: &Cluster, copy: &Copy) -> Cluster {
    start_with(cluster, copy, |_| ())
}

/// The same with other settings.
pub(crate) fn start_with(
    cluster: &Cluster,
    copy: &Copy,
    configure: impl FnOnce(&mut SandboxOptions),
) -> Cluster {
    let map = copy.root.join("tablespace_map");
    let away = copy.root.with_extension("tablespaces");
    if map.exists() {
        let mut lines = String::new();
        fs::create_dir_all(&away).unwrap();
        for tablespace in &copy.start.tablespaces {
            let place = away.join(tablespace.oid.to_string());
            let link = copy.root.join("pg_tblspc").join(tablespace.oid.to_string());
            fs::rename(&link, &place).unwrap();
            symlink(&place, &link).unwrap();
            writeln!(lines, "{} {}", tablespace.oid, place.display()).unwrap();
        }
        fs::write(&map, lines).unwrap();
        own(cluster, &away);
    }
    fs::set_permissions(&copy.root, fs::Permissions::from_mode(0o700)).unwrap();
    own(cluster, &copy.root);
    self::cluster(|options| {
        options.template = Some(copy.root.clone());
        configure(options);
    })
}

/// The only value of a query.
pub(crate) fn one(client: &mut Client, sql: &str) -> String {
    client.query_one(sql, &[]).unwrap().text(0).unwrap().to_owned()
}

/// A table `name` with so many rows.
pub(crate) fn fill(client: &mut Client, name: &str, rows: u32) {
    let sql = format!(
        "CREATE TABLE {name} (id int PRIMARY KEY, x text); \
         INSERT INTO {name} SELECT n, repeat(n::text, 20) FROM generate_series(1, {rows}) n"
    );
    client.execute(&sql).unwrap();
}

/// Everything that is in a table.
pub(crate) fn contents(client: &mut Client, table: &str) -> String {
    one(
        client,
        &format!("SELECT concat(count(*), ' ', md5(string_agg(t::text, ' ' ORDER BY t))) FROM {table} t"),
    )
}
