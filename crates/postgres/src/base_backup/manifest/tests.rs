use aws_lc_rs::digest::digest;

use super::*;

const HEAD: &str = "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n";
const RANGES: &str = "],\n\"WAL-Ranges\": [\n\
    { \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/2000100\" }\n],\n";

/// A manifest of these file lines, with its checksum.
fn manifest(lines: &[&str]) -> String {
    let text = format!("{HEAD}{}\n{RANGES}", lines.join(",\n"));
    let sum = hex::encode(digest(&SHA256, text.as_bytes()));
    format!("{text}\"Manifest-Checksum\": \"{sum}\"}}\n")
}

fn line(path: &str, bytes: u64, checksum: &str) -> String {
    format!(
        "{{ \"Path\": \"{path}\", \"Size\": {bytes}, \"Last-Modified\": \"2026-01-01 00:00:00 GMT\", \
         \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"{checksum}\" }}"
    )
}

/// `base/1` with three bytes and `PG_VERSION` without, and WAL.
fn received() -> ReceivedFiles {
    let mut files = ReceivedFiles::default();
    let file =
        |bytes: &[u8]| ReceivedFile { bytes: bytes.len() as u64, checksum: Some(crc32c::crc32c(bytes)) };
    files.add("base/1".parse().unwrap(), file(b"abc"));
    files.add("PG_VERSION".parse().unwrap(), file(b""));
    files.add("pg_wal/000000010000000000000002".parse().unwrap(), file(b"wal"));
    files
}

fn read(text: &str, piece: usize) -> Result<Vec<WalRange>, String> {
    let mut reader = ManifestReader::new(received());
    let mut feed = || text.as_bytes().chunks(piece).try_for_each(|bytes| reader.feed(bytes));
    feed().and_then(|()| reader.finish()).map_err(|error| error.to_string())
}

fn good() -> String {
    // CRC-32C of "abc" is 364b3fb7; its bytes in memory are written.
    manifest(&[&line("base/1", 3, "b73f4b36"), &line("PG_VERSION", 0, "00000000")])
}

#[test]
fn a_manifest_that_fits_tells_the_wal() {
    for piece in [1, 7, 100, 10_000] {
        let ranges = read(&good(), piece).unwrap();
        let (start, end) = (Lsn(0x200_0028), Lsn(0x200_0100));
        assert_eq!(ranges, [WalRange { timeline: TimelineId::FIRST, start, end }]);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let problem = |lines: &[&str]| read(&manifest(lines), 50).unwrap_err();
    let (one, version) = (line("base/1", 3, "b73f4b36"), line("PG_VERSION", 0, "00000000"));
    assert!(problem(&[&one]).contains("does not have PG_VERSION"));
    assert!(
        problem(&[&one, &version, &line("base/2", 1, "00000000")]).contains("base/2, which did not come")
    );
    assert!(problem(&[&one, &one, &version]).contains("base/1, which did not come"));
    assert!(problem(&[&line("base/1", 4, "b73f4b36"), &version]).contains("has 4 bytes in it, and 3 came"));
    assert!(problem(&[&line("base/1", 3, "b73f4b37"), &version]).contains("another checksum"));
    let without = "{ \"Path\": \"base/1\", \"Size\": 3, \"Last-Modified\": \"\" }";
    assert!(problem(&[without, &version]).contains("no checksum"));
    let encoded = "{ \"Encoded-Path\": \"ff\", \"Size\": 3, \"Last-Modified\": \"\" }";
    assert!(problem(&[encoded]).contains("\"ff\""));
    assert!(problem(&["{ \"Path\": \"../etc\", \"Size\": 3 }"]).contains("../etc"));
    assert!(problem(&["{ \"Path\": \"base/1\" }"]).contains("malformed"));
}

#[test]
fn a_manifest_that_is_damaged_is_refused() {
    let text = good();
    for end in 0..text.len() {
        assert!(read(&text[..end], 64).is_err(), "after {end} bytes");
    }
    for at in (0..text.len() - 1).filter(|at| text.as_bytes()[*at] != b'\n') {
        let mut damaged = text.clone().into_bytes();
        damaged[at] ^= 1;
        let Ok(damaged) = String::from_utf8(damaged) else { continue };
        assert!(read(&damaged, 64).is_err(), "at byte {at}");
    }
    assert!(read(&format!("{text}x\n"), 64).is_err());
    assert!(read(&"x".repeat(LINE_LIMIT + 1), 64).unwrap_err().contains("too long"));
}
