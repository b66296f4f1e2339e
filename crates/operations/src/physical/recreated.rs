//! Files that the backup does not have and that replay has made anew.
//!
//! When the file of a table is missing and the WAL of the backup touches the table, replay makes a new file for it: the pages that the
//! WAL brings, and zeros where all others were. No server notices. A table that was really made during the backup has all its
//! pages from the WAL, so that zeros are few.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use model::ClusterPath;
use postgres::page::{Fork, RelationFile};
use postgres::{Client, RestoredCluster};
use repository::{FileRecord, PhysicalRecord};

use super::directory::{failed, list_below};
use crate::{Error, Problem};

/// Where tablespaces are linked from.
const TABLESPACES: &str = "pg_tblspc";

/// Finds them in a cluster that has recovered from a backup with these files.
pub(super) fn find(
    cluster: &RestoredCluster,
    files: &[FileRecord],
    record: &PhysicalRecord,
) -> Result<Vec<Problem>, Error> {
    // What is in memory only is zeros on the disk.
    Client::connect(&cluster.options(cluster.database()))?.execute("CHECKPOINT")?;
    let known: HashSet<&ClusterPath> = files.iter().map(|file| &file.path).collect();
    let data = cluster.data_directory();
    let mut there = Vec::new();
    list_below(&data, "", &mut there)?;
    for space in &record.tablespaces {
        let path = format!("{TABLESPACES}/{}", space.oid);
        let place = data.join(&path);
        // It may have been dropped during the backup.
        if place.is_dir() {
            list_below(&place, &path, &mut there)?;
        }
    }
    let mut problems = Vec::new();
    for path in there.iter().filter(|path| !known.contains(path)) {
        if RelationFile::at(path).is_none_or(|file| file.fork != Fork::Main) {
            continue;
        }
        let place = data.join(path.as_str());
        let (zeros, pages) = match zero_pages(&place, record.block_bytes) {
            // Dropped since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(|error| failed("read", &place, error))?,
        };
        if zeros * 2 > pages {
            let message = format!(
                "the backup does not have it, and replay of the WAL brought only {} of its {pages} pages",
                pages - zeros
            );
            problems.push(Problem { code: "file.missing", object: path.to_string(), message });
        }
    }
    Ok(problems)
}

/// How many pages of a file are all zeros, and how many there are.
fn zero_pages(path: &Path, page_bytes: u32) -> io::Result<(u64, u64)> {
    let mut file = File::open(path)?;
    let mut page = vec![0; page_bytes as usize];
    let (mut zeros, mut pages) = (0, 0);
    loop {
        match file.read_exact(&mut page) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok((zeros, pages)),
            Err(error) => return Err(error),
        }
        pages += 1;
        zeros += u64::from(page.iter().all(|byte| *byte == 0));
    }
}
