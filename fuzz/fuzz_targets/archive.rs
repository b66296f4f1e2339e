//! Archives of `pg_dump`: what is said of one does not depend on the pieces in which it arrives, and a table of contents that
//! was accepted is written again as it was.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postgres::archive::{Toc, Walker};

/// Follows an archive in pieces of `piece_bytes`.
fn walk(bytes: &[u8], piece_bytes: usize) -> Result<Toc, String> {
    let mut walker = Walker::new(());
    bytes
        .chunks(piece_bytes)
        .try_for_each(|piece| walker.feed(piece))
        .and_then(|()| walker.finish())
        .map(|(toc, ())| toc)
        .map_err(|error| error.to_string())
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let whole = walk(bytes, bytes.len().max(1));
    let pieces = walk(bytes, usize::from(piece).max(1));
    assert_eq!(whole.is_ok(), pieces.is_ok(), "{whole:?} or {pieces:?}");
    if let Ok(toc) = whole {
        assert!(bytes.starts_with(&toc.to_bytes()), "another table of contents is written than was read");
    }
});
