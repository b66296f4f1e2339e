use proptest::prelude::*;

use super::*;

/// Bytes of a block in these tests, and of a region.
const BLOCK: u32 = 16;
const REGION: u32 = 64;

/// A header as the server writes it.
fn header(blocks: &[u32], truncation_length: u32) -> Vec<u8> {
    let words = [&[MAGIC, u32::try_from(blocks.len()).unwrap(), truncation_length], blocks].concat();
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    if !blocks.is_empty() {
        bytes.resize(bytes.len().next_multiple_of(BLOCK as usize), 0);
    }
    bytes
}

fn read(bytes: &[u8], piece: usize) -> Result<Option<(ChangedBlocks, usize)>, Malformed> {
    let mut reader = HeaderReader::new(BLOCK);
    let mut left = bytes.len();
    for mut piece in bytes.chunks(piece) {
        left -= piece.len();
        if let Some(changed) = reader.feed(&mut piece)? {
            return Ok(Some((changed, left + piece.len())));
        }
    }
    Ok(None)
}

#[test]
fn headers_in_pieces() {
    for (blocks, truncation) in
        [(vec![], 0), (vec![], 9), (vec![0], 1), (vec![3, 4, 9], 7), ((0..50).collect(), 50)]
    {
        let mut bytes = header(&blocks, truncation);
        let length = bytes.len();
        bytes.extend_from_slice(b"behind");
        for piece in [1, 5, 16, 1000] {
            let (changed, left) = read(&bytes, piece).unwrap().unwrap();
            assert_eq!((changed.blocks, changed.truncation_length, left), (blocks.clone(), truncation, 6));
            assert_eq!(read(&bytes[..length - 1], piece).unwrap(), None);
        }
    }
}

#[test]
fn headers_that_are_none() {
    let refused = |bytes: &[u8]| read(bytes, 1000).unwrap_err().0;
    let mut other = header(&[1], 2);
    other[0] ^= 1;
    assert!(refused(&other).contains("magic"));
    assert!(refused(&header(&[2, 1], 3)).contains("out of order"));
    assert!(refused(&header(&[1, 1], 3)).contains("out of order"));
    assert!(refused(&header(&[BLOCK_LIMIT], 3)).contains("too large"));
    assert!(refused(&header(&[], BLOCK_LIMIT + 1)).contains("too large"));
    let many = [MAGIC, BLOCK_LIMIT + 1, 0].map(u32::to_le_bytes).concat();
    assert!(refused(&many).contains("too many"));
}

#[test]
fn a_region_is_kept_only_if_nothing_of_it_changed() {
    let changed = ChangedBlocks { blocks: vec![5], truncation_length: 12, block_bytes: BLOCK };
    // Twelve blocks in three regions, as many as before: the one with block 5 comes, the others are kept.
    let unchanged =
        |earlier: u64| (0..3).map(|at| changed.patch(at, REGION, earlier).unchanged).collect::<Vec<_>>();
    assert_eq!(unchanged(12 * 16), [true, false, true]);
    // The file was longer or shorter.
    assert_eq!(unchanged(13 * 16), [true, false, true]);
    assert_eq!(unchanged(11 * 16), [true, false, false]);
    assert_eq!(unchanged(0), [false, false, false]);
    let shorter = ChangedBlocks { blocks: vec![], truncation_length: 11, block_bytes: BLOCK };
    assert!(!shorter.patch(2, REGION, 12 * 16).unchanged);
    // Cut to 11 blocks and extended again: what is behind is not as it was.
    let regrown = ChangedBlocks { blocks: vec![12], truncation_length: 11, block_bytes: BLOCK };
    assert!(!regrown.patch(2, REGION, 13 * 16).unchanged);
    // Half a block more than there is now.
    assert!(!changed.patch(2, REGION, 11 * 16 + 8).unchanged);
}

/// The rules of `pg_combinebackup`, block by block.
fn reconstruct(earlier: &[u8], blocks: &[u32], truncation_length: u32) -> Vec<u8> {
    let count = blocks.last().map_or(0, |last| last + 1).max(truncation_length);
    (0..count)
        .flat_map(|block| {
            let at = (block * BLOCK) as usize;
            match earlier.get(at..at + BLOCK as usize) {
                _ if blocks.contains(&block) => fresh(block),
                Some(bytes) if block < truncation_length => bytes.to_vec(),
                _ => vec![0; BLOCK as usize],
            }
        })
        .collect()
}

/// A block that came.
fn fresh(block: u32) -> Vec<u8> {
    vec![128 + u8::try_from(block).unwrap(); BLOCK as usize]
}

proptest! {
    #[test]
    fn regions_are_what_the_server_would_combine(
        earlier_blocks in 0_u8..20,
        rest in 0_usize..16,
        blocks in proptest::collection::btree_set(0_u32..25, 0..25),
        truncation_length in 0_u32..25,
    ) {
        let blocks: Vec<u32> = blocks.into_iter().collect();
        let mut earlier: Vec<u8> = (1..=earlier_blocks).flat_map(|byte| vec![byte; BLOCK as usize]).collect();
        earlier.extend(vec![99; rest]);
        let (changed, _) = read(&header(&blocks, truncation_length), 7).unwrap().unwrap();
        let mut file = Vec::new();
        for number in 0.. {
            let patch = changed.patch(number, REGION, earlier.len() as u64);
            if patch.length == 0 {
                break;
            }
            let first = number * REGION;
            let begin = first as usize;
            let before = &earlier[earlier.len().min(begin)..earlier.len().min(begin + REGION as usize)];
            if patch.unchanged {
                file.extend_from_slice(before);
                continue;
            }
            // The earlier region is only asked for if something of it is needed.
            let mut bytes = if patch.earlier_bytes() > 0 { before.to_vec() } else { Vec::new() };
            let came: Vec<u8> = patch.offsets.iter().flat_map(|at| fresh((first + at) / BLOCK)).collect();
            patch.apply(&mut bytes, &came);
            file.extend_from_slice(&bytes);
        }
        prop_assert_eq!(file.len() as u64, changed.file_bytes());
        prop_assert_eq!(file, reconstruct(&earlier, &blocks, truncation_length));
    }
}
