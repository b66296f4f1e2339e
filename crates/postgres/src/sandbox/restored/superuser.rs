//! Who may connect to a restored cluster: its superusers, read from the file of `pg_authid`.
//!
//! A connection needs the name of a role, and nothing tells it before there is a connection: the bootstrap superuser can have any
//! name, and a server in single-user mode would end recovery. So the file is read as the server would read it: its name from the
//! relation map, its rows from its pages. It may be older than the WAL that is replayed; then a name may be wrong, and the next one
//! is tried.
//!
//! Deliberately absent: whether a row is visible. Who is no superuser any more cannot connect as one.

use std::fs;
use std::path::Path;

use super::error::RestoredError;

/// The OID of `pg_authid`.
const AUTHID: u32 = 1260;
/// The OID of the bootstrap superuser.
const BOOTSTRAP: u32 = 10;
/// `RELMAPPER_FILEMAGIC`.
const MAP_MAGIC: u32 = 0x0059_2717;
/// Bytes of a name (`NAMEDATALEN`).
const NAME_BYTES: usize = 64;
/// Bytes of the head of a page; behind it are the pointers to its rows.
const HEAD_BYTES: usize = 24;
/// Names that are tried.
const MOST_NAMES: usize = 20;

/// The names of superusers who may log in, the bootstrap superuser first.
pub(super) fn names(data: &Path, block_bytes: u32) -> Result<Vec<String>, RestoredError> {
    let read =
        |path: &Path| fs::read(path).map_err(|source| RestoredError::Read { path: path.to_owned(), source });
    let map = read(&data.join("global/pg_filenode.map"))?;
    let number = file_number(&map)
        .ok_or(RestoredError::Roles { problem: "pg_filenode.map does not name their file" })?;
    let file = read(&data.join("global").join(number.to_string()))?;
    let mut roles: Vec<Role> = file.chunks(block_bytes.max(1) as usize).flat_map(roles).collect();
    roles.sort_by_key(|role| (role.oid != BOOTSTRAP, role.oid));
    let mut names: Vec<String> = Vec::new();
    for role in roles.into_iter().filter(|role| role.is_superuser && role.may_log_in) {
        if !names.contains(&role.name) && names.len() < MOST_NAMES {
            names.push(role.name);
        }
    }
    if names.is_empty() { Err(RestoredError::NoSuperuser) } else { Ok(names) }
}

/// The number of the file of `pg_authid` (`RelMapFile` of the server's source).
fn file_number(map: &[u8]) -> Option<u32> {
    let (magic, count) = (u32_at(map, 0)?, u32_at(map, 4)? as usize);
    let (entries, _) = map.get(8..)?.as_chunks::<8>();
    let is_map = magic == MAP_MAGIC && count <= entries.len();
    let entry = entries.get(..count)?.iter().find(|entry| u32_at(*entry, 0) == Some(AUTHID))?;
    u32_at(entry, 4).filter(|_| is_map)
}

/// A row of `pg_authid`, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Role {
    oid: u32,
    name: String,
    is_superuser: bool,
    may_log_in: bool,
}

/// The rows of a page (`PageHeaderData`, `ItemIdData` and `HeapTupleHeaderData`).
fn roles(page: &[u8]) -> Vec<Role> {
    let lower = u16_at(page, 12).map_or(0, usize::from);
    let pointers = page.get(HEAD_BYTES..lower.max(HEAD_BYTES)).unwrap_or_default();
    pointers
        .as_chunks::<4>()
        .0
        .iter()
        .filter_map(|pointer| role(page, u32::from_le_bytes(*pointer)))
        .collect()
}

fn role(page: &[u8], pointer: u32) -> Option<Role> {
    let (offset, flags, length) = (pointer & 0x7fff, pointer >> 15 & 3, pointer >> 17);
    // LP_NORMAL: a row, and not what is left of one.
    let tuple = page.get(offset as usize..(offset + length) as usize).filter(|_| flags == 1)?;
    let row = tuple.get(usize::from(*tuple.get(22)?)..)?;
    let name = row.get(4..4 + NAME_BYTES)?;
    let end = name.iter().position(|byte| *byte == 0)?;
    // rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin.
    let [is_superuser, _, _, _, may_log_in] = row.get(4 + NAME_BYTES..)?.first_chunk::<5>()?;
    Some(Role {
        oid: u32_at(row, 0)?,
        name: std::str::from_utf8(&name[..end]).ok()?.to_owned(),
        is_superuser: *is_superuser == 1,
        may_log_in: *may_log_in == 1,
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}
