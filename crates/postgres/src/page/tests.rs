use model::ClusterPath;

use super::*;

const START: Lsn = Lsn(0x1_0000_0000);

/// A page with an LSN, something on it and the right checksum.
fn page(lsn: u64, block: u32) -> Vec<u8> {
    let mut page: Vec<u8> = (0..PAGE_BYTES).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect();
    page[..4].copy_from_slice(&u32::try_from(lsn >> 32).unwrap().to_le_bytes());
    page[4..8].copy_from_slice(&u32::try_from(lsn & 0xffff_ffff).unwrap().to_le_bytes());
    let sum = checksum(&page, block).to_le_bytes();
    page[8..10].copy_from_slice(&sum);
    page
}

fn bad(bytes: &[u8], first_block: u32) -> Vec<u32> {
    bad_blocks(bytes, PAGE_BYTES, first_block, START)
}

#[test]
fn the_checksum_depends_on_every_byte_but_its_own_and_on_the_block() {
    let whole = page(7, 3);
    let sum = checksum(&whole, 3);
    assert_ne!(checksum(&whole, 4), sum);
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x40;
        assert_eq!(checksum(&changed, 3) == sum, (8..10).contains(&at), "byte {at}");
    }
}

#[test]
fn pages_that_are_whole_new_or_replaced_are_fine() {
    let mut bytes = page(7, 10);
    bytes.resize(2 * PAGE_BYTES as usize, 0);
    bytes.extend(page(START.0 + 5, 12));
    assert!(bad(&bytes, 10).is_empty());
    // Torn, but replay replaces it.
    bytes[2 * PAGE_BYTES as usize + 5000] ^= 1;
    assert!(bad(&bytes, 10).is_empty());
    // Part of a page at the end of a file that is being extended.
    bytes.extend([1; 100]);
    assert!(bad(&bytes, 10).is_empty());
    assert!(bad(&[], 0).is_empty());
}

#[test]
fn every_other_page_is_bad() {
    let mut bytes = Vec::new();
    for block in 0..4 {
        bytes.extend(page(7, block));
    }
    let at = |block: usize, byte: usize| block * PAGE_BYTES as usize + byte;
    let mut flipped = bytes.clone();
    flipped[at(1, 8000)] ^= 1;
    flipped[at(3, 8)] ^= 1;
    assert_eq!(bad(&flipped, 0), [1, 3]);
    // Pages of the right file in the wrong place.
    assert_eq!(bad(&bytes, 1), [1, 2, 3, 4]);
    // The position of a page that nobody can have written.
    let mut far = bytes.clone();
    far[at(2, 3)] = 0x7f;
    assert_eq!(bad(&far, 0), [2]);
    // Not initialised, but not empty either.
    let mut dirty = vec![0; PAGE_BYTES as usize];
    dirty[PAGE_BYTES as usize - 1] = 1;
    assert_eq!(bad(&dirty, 9), [9]);
}

#[test]
fn files_of_pages_by_their_paths() {
    for (path, first_block) in [
        ("base/5/1259", Some(0)),
        ("base/5/1259_fsm", Some(0)),
        ("base/5/1259_vm.1", Some(131_072)),
        ("base/16384/16390_init", Some(0)),
        ("base/16384/16390.12", Some(12 * 131_072)),
        ("global/1262", Some(0)),
        ("pg_tblspc/16385/PG_15_202209061/5/16390.2", Some(262_144)),
        ("global/pg_control", None),
        ("global/pg_filenode.map", None),
        ("base/5/PG_VERSION", None),
        ("base/5/pg_internal.init", None),
        ("base/5/t3_16400", None),
        ("base/5/1259_other", None),
        ("base/5/1259.0", None),
        ("base/5/1259.40000", None),
        ("base/5/1259.x", None),
        ("base/5/012", None),
        ("base/5/99999999999", None),
        ("base/pgsql_tmp/1259", None),
        ("base/1259", None),
        ("pg_xact/0000", None),
        ("pg_tblspc/16385/5/16390", None),
        ("1259", None),
    ] {
        let path: ClusterPath = path.parse().unwrap();
        assert_eq!(relation_file(&path), first_block, "{path}");
    }
    let file = RelationFile::at(&"base/5/1259_vm.1".parse().unwrap()).unwrap();
    assert_eq!(file, RelationFile { number: 1259, fork: Fork::Visibility, segment: 1 });
}
