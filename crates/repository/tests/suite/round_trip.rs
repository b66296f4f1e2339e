//! What is written can be read, and a second backup uses the first.

use crate::ledger::{back_up, id, in_memory, noise, options, read_stream, row, text};

#[test]
fn what_goes_in_comes_out() {
    let (_store, repository) = in_memory();
    let mut rows: Vec<Vec<u8>> = (0..60_000).map(|id| row(id, 0)).collect();
    rows.insert(30_000, noise(1, 5_000_000).iter().map(|byte| b'a' + byte % 26).collect());
    rows.push(Vec::new());
    let archive = noise(2, 3_000_000);
    let committed = back_up(&repository, &id(0), &rows, &archive, options());
    assert!(read_stream(&repository, &id(0), "rows/1") == text(&rows));
    assert!(read_stream(&repository, &id(0), "archive") == archive);
    let manifest = &committed.manifest;
    assert_eq!(manifest.plain_bytes, (text(&rows).len() + archive.len()) as u64);
    assert_eq!(manifest, repository.read(&id(0)).unwrap().manifest());
    assert_eq!(manifest.reused_bytes, 0);
}

#[test]
fn a_backup_of_the_same_rows_stores_next_to_nothing() {
    let (_store, repository) = in_memory();
    let rows: Vec<Vec<u8>> = (0..60_000).map(|id| row(id, 0)).collect();
    let archive = noise(2, 1_000_000);
    let first = back_up(&repository, &id(0), &rows, &archive, options()).manifest;
    let second = back_up(&repository, &id(1), &rows, &archive, options()).manifest;
    assert_eq!(second.stored_bytes, 0, "even the lists are the same");
    assert_eq!(second.reused_bytes, second.plain_bytes);
    assert_eq!(second.parent, Some(id(0)));
    let mut packs = [first.packs.clone(), second.packs.clone()];
    for packs in &mut packs {
        packs.sort_by_key(|pack| pack.sha256);
    }
    assert_eq!(packs[0], packs[1]);
    assert!(read_stream(&repository, &id(1), "rows/1") == text(&rows));
}

#[test]
fn a_small_change_everywhere_stores_little() {
    let (_store, repository) = in_memory();
    let mut rows: Vec<Vec<u8>> = (0..400_000).map(|id| row(id, 0)).collect();
    let before = text(&rows);
    let first = back_up(&repository, &id(0), &rows, b"schema", options()).manifest;
    let updated: Vec<u64> = (0..400_000).filter(|id| id % 400 == 7).collect();
    rows.retain(|row| {
        let id: u64 = std::str::from_utf8(row).unwrap().split('\t').next().unwrap().parse().unwrap();
        id % 400 != 7
    });
    rows.extend(updated.iter().map(|id| row(*id, 1)));
    let second = back_up(&repository, &id(1), &rows, b"schema", options()).manifest;
    assert!(read_stream(&repository, &id(1), "rows/1") == text(&rows));
    assert!(read_stream(&repository, &id(0), "rows/1") == before, "the first backup is as it was");
    let percent = second.stored_bytes * 1000 / first.stored_bytes;
    assert!(percent < 40, "{} of {} bytes: {percent} per mille", second.stored_bytes, first.stored_bytes);
}
