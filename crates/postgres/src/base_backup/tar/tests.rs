use proptest::prelude::*;

use super::*;

/// A header as the server writes it.
fn header(name: &str, kind: u8, mode: u32, size: &[u8]) -> Vec<u8> {
    let mut header = vec![0; BLOCK];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(format!("{mode:07o}\0").as_bytes());
    header[124..124 + size.len()].copy_from_slice(size);
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut header);
    header
}

/// Writes the checksum of a header.
fn seal(header: &mut [u8]) {
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:07o}\0").as_bytes());
}

fn file(name: &str, contents: &[u8]) -> Vec<u8> {
    let mut member = header(name, b'0', 0o600, format!("{:011o}\0", contents.len()).as_bytes());
    member.extend_from_slice(contents);
    member.resize(member.len().next_multiple_of(BLOCK), 0);
    member
}

fn directory(name: &str) -> Vec<u8> {
    header(name, b'5', 0o700, b"00000000000\0")
}

/// Members as name, kind, mode and contents.
type Listing = Vec<(String, MemberKind, u32, Vec<u8>)>;

fn list(archive: &[u8], piece: usize) -> Result<Listing, Malformed> {
    let mut reader = TarReader::new();
    let mut listing = Listing::new();
    let mut complete = 0;
    for mut bytes in archive.chunks(piece) {
        while let Some(event) = reader.next(&mut bytes)? {
            match event {
                TarEvent::Member(member) => {
                    assert_eq!(complete, listing.len());
                    let name = String::from_utf8(member.name).unwrap();
                    listing.push((name, member.kind, member.mode, Vec::new()));
                }
                TarEvent::Bytes(bytes) => {
                    assert!(!bytes.is_empty());
                    listing.last_mut().unwrap().3.extend_from_slice(bytes);
                }
                TarEvent::Complete => complete += 1,
            }
        }
        assert!(bytes.is_empty());
    }
    reader.finish()?;
    assert_eq!(complete, listing.len());
    Ok(listing)
}

#[test]
fn members_come_as_they_are() {
    let archive = [
        file("backup_label", b"START"),
        directory("pg_wal/"),
        directory("./pg_wal/archive_status"),
        file("empty", b""),
    ]
    .concat();
    let expected = vec![
        ("backup_label".to_owned(), MemberKind::File, 0o600, b"START".to_vec()),
        ("pg_wal".to_owned(), MemberKind::Directory, 0o700, Vec::new()),
        ("pg_wal/archive_status".to_owned(), MemberKind::Directory, 0o700, Vec::new()),
        ("empty".to_owned(), MemberKind::File, 0o600, Vec::new()),
    ];
    for piece in [1, 511, 512, 513, 10_000] {
        assert_eq!(list(&archive, piece).unwrap(), expected);
        // With the mark of the end, as from 15 on.
        assert_eq!(list(&[archive.clone(), vec![0; 2 * BLOCK]].concat(), piece).unwrap(), expected);
    }
}

#[test]
fn an_archive_that_is_cut_is_not_complete() {
    let archive = [file("a", &[1; 700]), file("b", b"x")].concat();
    for end in 0..archive.len() {
        // Where the first member with its padding ends, nobody can tell; the manifest can.
        assert_eq!(list(&archive[..end], 100).is_ok(), end == 0 || end == 3 * BLOCK, "after {end} bytes");
    }
}

#[test]
fn large_sizes_are_in_base_256() {
    let mut size = vec![128, 0, 0, 0];
    size.extend_from_slice(&(9_u64 << 30).to_be_bytes());
    let bytes = header("large", b'0', 0o600, &size);
    let event = TarReader::new().next(&mut &bytes[..]).unwrap();
    assert!(matches!(event, Some(TarEvent::Member(member)) if member.bytes == 9 << 30), "base 256");
    let mut size = vec![128];
    size.extend_from_slice(&[255; 11]);
    assert!(TarReader::new().next(&mut &header("huge", b'0', 0o600, &size)[..]).is_err());
}

#[test]
fn what_the_server_never_writes_is_refused() {
    let refused = |header: Vec<u8>| TarReader::new().next(&mut &header[..]).unwrap_err().0;
    let size = b"00000000000\0";
    assert!(refused(header("link", b'2', 0o777, size)).contains("neither a file nor a directory"));
    assert!(refused(header("long", b'L', 0o600, size)).contains("neither a file nor a directory"));
    assert!(refused(header("pax", b'x', 0o600, size)).contains("neither a file nor a directory"));
    assert!(refused(header("directory/", b'5', 0o700, b"00000000001\0")).contains("with contents"));
    assert!(refused(header("size", b'0', 0o600, b"0000000000x\0")).contains("number"));
    let mut prefixed = header("name", b'0', 0o600, size);
    prefixed[345] = b'p';
    seal(&mut prefixed);
    assert!(refused(prefixed).contains("prefix"));
    let mut damaged = header("name", b'0', 0o600, size);
    damaged[0] ^= 1;
    assert!(refused(damaged).contains("checksum"));
    let behind = [vec![0; BLOCK], file("a", b"x")].concat();
    assert!(list(&behind, 512).unwrap_err().0.contains("behind the end"));
}

proptest! {
    #[test]
    fn any_archive_comes_in_pieces_of_any_size(
        files in proptest::collection::vec(("[a-z]{1,20}", proptest::collection::vec(any::<u8>(), 0..2000)), 0..6),
        piece in 1_usize..3000,
    ) {
        let archive: Vec<u8> = files.iter().flat_map(|(name, contents)| file(name, contents)).collect();
        let listed: Vec<_> = list(&archive, piece).unwrap().into_iter().map(|one| (one.0, one.3)).collect();
        prop_assert_eq!(listed, files);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let mut reader = TarReader::new();
        let mut input = &bytes[..];
        while let Ok(Some(_)) = reader.next(&mut input) {}
    }
}
