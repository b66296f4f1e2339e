//! Checksums of pages that a server wrote.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use chronavault_postgres::page::{PAGE_BYTES, RelationFile, bad_blocks, relation_file};
use model::{ClusterPath, Lsn};
use testkit::Cluster;

/// Every file below `directory`, with its path below it.
pub(crate) fn files(directory: &Path) -> Vec<(ClusterPath, PathBuf)> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let below = path.strip_prefix(directory).unwrap().to_str().unwrap();
                found.push((below.parse().unwrap(), path));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_page_of_a_cluster_has_the_checksum_that_we_compute() {
    let mut cluster = Cluster::with(|options| options.data_checksums = true);
    let data = cluster.sandbox().data_directory();
    let mut client = cluster.client("postgres");
    for sql in [
        "CREATE TABLE t (id int PRIMARY KEY, x text)",
        "INSERT INTO t SELECT n, repeat(n::text, 20) FROM generate_series(1, 20000) n",
        "DELETE FROM t WHERE id % 3 = 0",
        "VACUUM t",
        "CREATE UNLOGGED TABLE u (a int PRIMARY KEY)",
    ] {
        client.execute(sql).unwrap();
    }
    drop(client);
    cluster.sandbox_mut().stop().unwrap();
    let mut pages = 0;
    let mut forks = BTreeSet::new();
    for (path, file) in files(&data) {
        let Some(first) = relation_file(&path) else { continue };
        let mut bytes = fs::read(&file).unwrap();
        assert_eq!(bytes.len() % PAGE_BYTES as usize, 0, "{path}");
        // The end of the WAL: every page is older, so that each is checked.
        assert!(bad_blocks(&bytes, PAGE_BYTES, first, Lsn(u64::MAX)).is_empty(), "{path}");
        pages += bytes.len() / PAGE_BYTES as usize;
        forks.insert(RelationFile::at(&path).unwrap().fork);
        if let Some(byte) = bytes.get_mut(5000) {
            *byte ^= 1;
            assert_eq!(bad_blocks(&bytes, PAGE_BYTES, first, Lsn(u64::MAX)), [first], "{path}");
        }
    }
    assert!(pages > 2000, "{pages} pages");
    assert_eq!(forks.len(), 4);
}
