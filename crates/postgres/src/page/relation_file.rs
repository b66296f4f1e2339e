//! Which files of a cluster consist of pages.

use model::ClusterPath;

/// Pages in each file of a relation but the last, unless the server was built otherwise (`RELSEG_SIZE`): a relation of more than
/// 1 GiB has several files.
pub const SEGMENT_BLOCKS: u32 = 131_072;

/// What a file of a relation holds (`relpath.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fork {
    /// Its rows, or what an index knows of them.
    Main,
    /// Where it has free space.
    FreeSpace,
    /// Which pages only hold rows that everyone sees.
    Visibility,
    /// What an unlogged relation is after a crash.
    Init,
}

/// A file that consists of pages, as its path tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationFile {
    /// `relfilenode` of the relation.
    pub number: u32,
    /// What it holds.
    pub fork: Fork,
    /// Which of the files of the fork it is, from 0.
    pub segment: u32,
}

/// The first block of the file at `path`, if that is a file of pages with checksums; none for every other.
pub fn relation_file(path: &ClusterPath) -> Option<u32> {
    RelationFile::at(path)?.segment.checked_mul(SEGMENT_BLOCKS)
}

impl RelationFile {
    /// What the file at `path` is, if it is one of a relation: in `global`, in the directory of a database below `base`, or in one
    /// below a tablespace's directory of a version. Temporary relations are none.
    pub fn at(path: &ClusterPath) -> Option<Self> {
        let parts: Vec<&str> = path.as_str().split('/').collect();
        let name = match parts[..] {
            ["global", name] => name,
            ["base", database, name] => is_number(database).then_some(name)?,
            ["pg_tblspc", space, version, database, name] => {
                (is_number(space) && version.starts_with("PG_") && is_number(database)).then_some(name)?
            }
            _ => return None,
        };
        Self::named(name)
    }

    /// The file called `name` in a directory of relations.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let (name, segment) = match name.split_once('.') {
            Some((name, segment)) => (name, number(segment).filter(|segment| *segment > 0)?),
            None => (name, 0),
        };
        let (name, fork) = match name.split_once('_') {
            Some((name, "fsm")) => (name, Fork::FreeSpace),
            Some((name, "vm")) => (name, Fork::Visibility),
            Some((name, "init")) => (name, Fork::Init),
            Some(_) => return None,
            None => (name, Fork::Main),
        };
        Some(Self { number: number(name)?, fork, segment })
    }
}

/// A number as the server writes it: no sign, no leading zero.
fn number(text: &str) -> Option<u32> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    is_plain.then(|| text.parse().ok()).flatten()
}

fn is_number(text: &str) -> bool {
    number(text).is_some()
}
