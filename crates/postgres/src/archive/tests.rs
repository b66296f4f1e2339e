use std::collections::BTreeMap;
use std::io::{self, Read};

use model::QualifiedName;
use proptest::prelude::*;

use super::*;

const DUMPS: [(&str, &[u8]); 4] = [
    ("15", include_bytes!("../../tests/archives/pg15.dump")),
    ("16", include_bytes!("../../tests/archives/pg16.dump")),
    ("17", include_bytes!("../../tests/archives/pg17.dump")),
    ("18", include_bytes!("../../tests/archives/pg18.dump")),
];

/// Keeps the data of everything.
#[derive(Default)]
struct Contents {
    current: String,
    data: BTreeMap<String, Vec<u8>>,
    ends: usize,
}

impl ArchiveSink for Contents {
    fn block(&mut self, entry: &TocEntry) -> Result<(), ArchiveError> {
        self.current = entry.to_string();
        if entry.desc != "BLOBS" {
            self.data.insert(self.current.clone(), Vec::new());
        }
        Ok(())
    }

    fn large_object(&mut self, oid: u32) -> Result<(), ArchiveError> {
        self.current = format!("large object {oid}");
        self.data.insert(self.current.clone(), Vec::new());
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        assert!(!bytes.is_empty());
        self.data.get_mut(&self.current).unwrap().extend_from_slice(bytes);
        Ok(())
    }

    fn end_data(&mut self) -> Result<(), ArchiveError> {
        self.ends += 1;
        Ok(())
    }
}

fn contents(bytes: &[u8]) -> (Toc, BTreeMap<String, Vec<u8>>) {
    let (toc, contents) = Walker::new(Contents::default()).read_all(&mut &bytes[..]).unwrap();
    assert_eq!(contents.ends, contents.data.len());
    (toc, contents.data)
}

fn check(bytes: &[u8]) -> Result<Toc, ArchiveError> {
    Walker::new(()).read_all(&mut &bytes[..]).map(|(toc, ())| toc)
}

fn toc(bytes: &[u8]) -> Toc {
    Toc::read(&mut &bytes[..]).unwrap()
}

/// An archive with the same data blocks and another table of contents.
fn with_toc(bytes: &[u8], change: impl FnOnce(&mut Toc)) -> Vec<u8> {
    let mut toc = toc(bytes);
    let length = toc.to_bytes().len();
    change(&mut toc);
    [&toc.to_bytes(), &bytes[length..]].concat()
}

#[test]
fn a_table_of_contents_is_written_as_it_was_read() {
    for (version, bytes) in DUMPS {
        let toc = toc(bytes);
        let written = toc.to_bytes();
        assert_eq!(written, bytes[..written.len()], "pg_dump {version}");
        assert!(toc.entries.len() > 80);
    }
}

#[test]
fn every_field_is_read() {
    let (_, bytes) = DUMPS[3];
    let toc = toc(bytes);
    let header = &toc.header;
    assert_eq!(header.minor, 16);
    assert_eq!(header.compression, Compression::Algorithm(0));
    assert_eq!(header.database.as_ref().unwrap(), "books");
    assert!(header.dump_version.as_ref().unwrap().to_text().starts_with("18."));
    let find = |desc, schema, name| toc.entries.iter().find(|entry| entry.is(desc, schema, name)).unwrap();
    let table = find("TABLE", "ledger", "account");
    assert_eq!((table.table_oid, table.section, table.relkind), (1259, Section::PreData, i32::from(b'r')));
    assert_eq!(table.owner.as_ref().unwrap(), "fixture_owner");
    assert_eq!(table.tableam.as_ref().unwrap(), "heap");
    assert_eq!((table.had_dumper, table.data_state), (false, DataState::NoData));
    assert!(table.defn.as_ref().unwrap().to_text().starts_with("CREATE TABLE ledger.account (\n"));
    assert_eq!(table.drop_stmt.as_ref().unwrap(), "DROP TABLE ledger.account;\n");
    let rows = find("TABLE DATA", "Odd \"schema\"", "Table with spaces; and more");
    assert_eq!((rows.table_oid, rows.section, rows.had_dumper), (0, Section::Data, true));
    assert_eq!(rows.data_state, DataState::NotSet);
    assert_eq!(rows.dependencies.len(), 1);
    assert!(toc.entry(rows.dependencies[0]).unwrap().is(
        "TABLE",
        "Odd \"schema\"",
        "Table with spaces; and more"
    ));
    assert_eq!(rows.to_string(), "TABLE DATA Odd \"schema\".Table with spaces; and more");
}

#[test]
fn entries_without_a_section_belong_to_the_one_before() {
    for (version, bytes) in DUMPS {
        let toc = toc(bytes);
        let section = |tag: &str| {
            let mut found = toc.sections().filter(|(_, entry)| entry.desc == "COMMENT" && entry.tag == tag);
            found.next().unwrap().0
        };
        assert_eq!(section("TABLE account"), Section::PreData, "pg_dump {version}");
        assert_eq!(section("INDEX account_code"), Section::PostData, "pg_dump {version}");
    }
}

#[test]
fn data_is_told_as_it_was_dumped() {
    for (version, bytes) in DUMPS {
        let (_, data) = contents(bytes);
        assert_eq!(data["TABLE DATA public.child"], b"2\t3\n\\.\n\n\n", "pg_dump {version}");
        assert_eq!(data["TABLE DATA public.nothing"], b"\n\n\\.\n\n\n");
        assert_eq!(data["TABLE DATA public.empty"], b"\\.\n\n\n");
        assert_eq!(data["large object 4000001"], b"a large object");
        assert_eq!(data["large object 4000002"], [0, 0xff].repeat(5000));
        assert_eq!(data["large object 4000003"], b"");
        let accounts = &data["TABLE DATA ledger.account"];
        assert_eq!(accounts.split(|byte| *byte == b'\n').count(), 200 + 3 + 1);
    }
}

/// Of pieces of one byte, and of pieces of every size up to the whole.
#[test]
fn the_size_of_the_pieces_does_not_matter() {
    for (_, bytes) in DUMPS {
        let whole = contents(bytes);
        for size in [1, 2, 3, 5, 6, 7, 64, 1000, 4096] {
            let mut walker = Walker::new(Contents::default());
            for piece in bytes.chunks(size) {
                walker.feed(piece).unwrap();
            }
            let (toc, contents) = walker.finish().unwrap();
            assert_eq!((toc, contents.data), whole, "pieces of {size}");
        }
    }
}

/// Damage matrix: truncation.
#[test]
fn an_archive_that_is_cut_anywhere_is_refused() {
    // A prime, so that every kind of place is hit; following the archive anew for each length would take too long.
    const STEP: usize = 7;
    for (version, bytes) in DUMPS {
        let mut walker = Walker::new(());
        let mut length = 0;
        for piece in bytes.chunks(STEP) {
            assert!(walker.clone().finish().is_err(), "pg_dump {version}, cut at {length}");
            walker.feed(piece).unwrap();
            length += piece.len();
        }
        walker.finish().unwrap();
    }
}

#[test]
fn an_error_of_truncation_says_where() {
    let (_, bytes) = DUMPS[0];
    let start = toc(bytes).to_bytes().len();
    assert!(matches!(check(b""), Err(ArchiveError::NotAnArchive)));
    assert_eq!(
        check(&bytes[..1000]).unwrap_err().to_string(),
        "the archive is cut off at byte 1000, within the table of contents"
    );
    let first = "TABLE DATA Odd \"schema\".Table with spaces; and more";
    assert_eq!(
        check(&bytes[..start]).unwrap_err().to_string(),
        format!("the archive holds no data for {first}")
    );
    assert_eq!(
        check(&bytes[..start + 15]).unwrap_err().to_string(),
        format!("the archive is cut off at byte {}, within {first}", start + 15)
    );
}

/// Damage matrix: bytes that follow, blocks that are missing, swapped or foreign.
#[test]
fn blocks_that_do_not_fit_the_table_of_contents_are_refused() {
    for (_, bytes) in DUMPS {
        assert!(matches!(check(&[bytes, &b"\0"[..]].concat()), Err(ArchiveError::CutOff { .. })));
        let error = check(&[bytes, b"\x01\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00"].concat()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the archive holds the data of entry 7 where the end of the archive should be"
        );
        let rows = |toc: &Toc, name| {
            toc.entries.iter().position(|entry| entry.is("TABLE DATA", "public", name)).unwrap()
        };
        let dropped = with_toc(bytes, |toc| {
            toc.entries.remove(rows(toc, "empty"));
        });
        assert!(matches!(check(&dropped), Err(ArchiveError::UnexpectedBlock { .. })));
        let swapped = with_toc(bytes, |toc| {
            let (a, b) = (rows(toc, "empty"), rows(toc, "nothing"));
            toc.entries.swap(a, b);
        });
        assert!(matches!(check(&swapped), Err(ArchiveError::UnexpectedBlock { .. })));
        let wrong_kind = with_toc(bytes, |toc| {
            let row = rows(toc, "empty");
            toc.entries[row].desc = "BLOBS".to_owned();
        });
        assert!(matches!(check(&wrong_kind), Err(ArchiveError::Malformed { .. })));
        let wrong_place = with_toc(bytes, |toc| {
            let row = rows(toc, "empty");
            toc.entries[row].data_state = DataState::Set;
            toc.entries[row].data_offset = 17;
        });
        assert!(matches!(check(&wrong_place), Err(ArchiveError::Malformed { .. })));
    }
}

/// The archive as `pg_dump` leaves it when it can seek in its output: with the place of every block.
fn with_places(bytes: &[u8]) -> Vec<u8> {
    #[derive(Default)]
    struct Blocks(Vec<DumpId>);
    impl ArchiveSink for Blocks {
        fn block(&mut self, entry: &TocEntry) -> Result<(), ArchiveError> {
            self.0.push(entry.dump_id);
            Ok(())
        }
    }
    let mut walker = Walker::new(Blocks::default());
    let mut places = BTreeMap::new();
    for (at, byte) in bytes.iter().enumerate() {
        walker.feed(&[*byte]).unwrap();
        // A block is told with the last of the six bytes that begin it.
        let begun = walker.sink_mut().0.drain(..).map(|id| (id, at as u64 - 5));
        places.extend(begun);
    }
    with_toc(bytes, |toc| {
        for entry in toc.entries.iter_mut().filter(|entry| entry.had_dumper) {
            entry.data_state = DataState::Set;
            entry.data_offset = places[&entry.dump_id];
        }
    })
}

#[test]
fn places_of_blocks_are_checked_and_not_copied() {
    for (_, bytes) in DUMPS {
        let placed = with_places(bytes);
        for size in [1, 5, 11, placed.len()] {
            let mut walker = Walker::new(());
            placed.chunks(size).for_each(|piece| walker.feed(piece).unwrap());
            assert!(toc(&placed) == walker.finish().unwrap().0, "pieces of {size}");
        }
        let mut copied = Vec::new();
        copy(&mut &placed[..], |_| true, &mut copied).unwrap();
        assert_eq!(contents(&copied), contents(bytes));
        let moved = with_toc(&placed, |toc| {
            let entry = toc.entries.iter_mut().rfind(|entry| entry.had_dumper).unwrap();
            entry.data_offset += 1;
        });
        assert!(matches!(check(&moved), Err(ArchiveError::Malformed { .. })));
    }
}

#[test]
fn other_files_and_versions_are_refused_by_name() {
    assert!(matches!(check(b"--\n-- PostgreSQL database dump\n--\n"), Err(ArchiveError::NotAnArchive)));
    let (_, bytes) = DUMPS[0];
    for minor in [0, 13, 17, 255] {
        let mut other = bytes.to_vec();
        other[6] = minor;
        let error = check(&other).unwrap_err();
        assert!(
            matches!(error, ArchiveError::Version { major: 1, minor: found } if found == minor),
            "{error}"
        );
    }
    let mut tar = bytes.to_vec();
    tar[10] = 3;
    assert!(matches!(check(&tar), Err(ArchiveError::NotAnArchive)));
}

#[test]
fn after_an_error_nothing_is_accepted() {
    let (_, bytes) = DUMPS[0];
    let mut walker = Walker::new(());
    assert!(walker.feed(b"no archive").is_err());
    assert!(matches!(walker.feed(bytes), Err(ArchiveError::Refused)));
    assert!(matches!(walker.finish(), Err(ArchiveError::Refused)));
}

#[test]
fn a_copy_of_everything_holds_the_same() {
    for (_, bytes) in DUMPS {
        let mut copied = Vec::new();
        copy(&mut &bytes[..], |_| true, &mut copied).unwrap();
        assert_eq!(contents(&copied), contents(bytes));
    }
}

#[test]
fn a_copy_holds_what_was_chosen() {
    for (_, bytes) in DUMPS {
        let wanted =
            |entry: &TocEntry| entry.to_string().ends_with("public.child") || entry.desc.contains("BLOB");
        let mut copied = Vec::new();
        let written = copy(&mut &bytes[..], wanted, &mut copied).unwrap();
        let (toc, data) = contents(&copied);
        assert_eq!(toc, written);
        let keys: Vec<_> = data.keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "TABLE DATA public.child",
                "large object 4000001",
                "large object 4000002",
                "large object 4000003"
            ]
        );
    }
}

#[test]
fn a_copy_of_a_damaged_archive_fails_even_where_the_damage_is_not_wanted() {
    let (_, bytes) = DUMPS[0];
    let mut copied = Vec::new();
    let result = copy(&mut &bytes[..bytes.len() - 1], |entry| entry.desc == "TABLE", &mut copied);
    assert!(matches!(result, Err(ArchiveError::CutOff { .. })));
}

/// Takes tables out of an archive, and adds their rows again: the result is the archive.
#[test]
fn rows_that_are_added_look_as_if_dumped() {
    for (version, bytes) in DUMPS {
        let (full, full_data) = contents(bytes);
        let names: [&[(&str, &str)]; 4] = [
            &[("ledger", "account")],
            &[("public", "scratch"), ("Odd \"schema\"", "Table with spaces; and more")],
            &[("public", "nothing"), ("public", "empty")],
            &[
                ("Odd \"schema\"", "Table with spaces; and more"),
                ("ledger", "account"),
                ("ledger", "entry"),
                ("public", "child"),
                ("public", "empty"),
                ("public", "event_2025"),
                ("public", "event_rest"),
                ("public", "nothing"),
                ("public", "parent"),
                ("public", "scratch"),
            ],
        ];
        for names in names {
            let is_extra =
                |entry: &TocEntry| names.iter().any(|(schema, name)| entry.is("TABLE DATA", schema, name));
            let mut small = Vec::new();
            copy(&mut &bytes[..], |entry| !is_extra(entry), &mut small).unwrap();
            let tables: Vec<_> = names.iter().map(|(schema, name)| extra(&full, schema, name)).collect();
            let rows = |name: &QualifiedName| -> io::Result<_> {
                let data = &full_data[&format!("TABLE DATA {name}")];
                Ok(io::Cursor::new(data.strip_suffix(b"\\.\n\n\n").unwrap().to_vec()))
            };
            let mut extended = Vec::new();
            let written = extend(&mut &small[..], |_| true, &tables, rows, &mut extended).unwrap();
            let (toc, data) = contents(&extended);
            assert_eq!(toc, written);
            assert_eq!(data, full_data, "pg_dump {version}, {names:?}");
            assert_eq!(without_numbers(&toc), without_numbers(&full), "pg_dump {version}, {names:?}");
        }
    }
}

/// A table with its columns as `pg_dump` names them.
fn extra(toc: &Toc, schema: &str, name: &str) -> ExtraTable {
    let entry = toc.entries.iter().find(|entry| entry.is("TABLE DATA", schema, name)).unwrap();
    let statement = entry.copy_stmt.as_ref().unwrap().to_text();
    let columns = statement.split_once(" (").map_or_else(Vec::new, |(_, rest)| {
        let (columns, _) = rest.split_once(") FROM").unwrap();
        columns.split(", ").map(|column| column.trim_matches('"').to_owned()).collect()
    });
    ExtraTable { name: QualifiedName::new(schema, name), columns, of_extension: false }
}

/// The entries with nothing that may differ: dump ids, and quotes in `COPY` statements.
fn without_numbers(toc: &Toc) -> Vec<TocEntry> {
    let mut entries = toc.entries.clone();
    for entry in &mut entries {
        if entry.desc == "TABLE DATA" {
            entry.dump_id = 0;
            entry.copy_stmt = entry.copy_stmt.take().map(|text| Text::from(text.to_text().replace('"', "")));
        }
    }
    entries
}

#[test]
fn rows_of_a_table_that_is_not_defined_are_refused() {
    let (_, bytes) = DUMPS[2];
    let table = |of_extension| ExtraTable {
        name: QualifiedName::new("public", "config"),
        columns: vec!["a".into()],
        of_extension,
    };
    let rows = |_: &QualifiedName| -> io::Result<_> { Ok(&b"1\n"[..]) };
    let error = extend(&mut &bytes[..], |_| true, &[table(false)], rows, &mut io::sink()).unwrap_err();
    assert_eq!(error.to_string(), "the archive does not define table public.config");
    let mut extended = Vec::new();
    extend(&mut &bytes[..], |_| true, &[table(true)], rows, &mut extended).unwrap();
    assert_eq!(contents(&extended).1["TABLE DATA public.config"], b"1\n\\.\n\n\n");
}

#[test]
fn rows_that_cannot_be_read_name_their_table() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let (_, bytes) = DUMPS[1];
    let mut small = Vec::new();
    copy(&mut &bytes[..], |entry| !entry.is("TABLE DATA", "ledger", "account"), &mut small).unwrap();
    let table = extra(&toc(bytes), "ledger", "account");
    let error = extend(&mut &small[..], |_| true, &[table], |_| Ok(Broken), &mut io::sink()).unwrap_err();
    assert_eq!(error.to_string(), "the rows of table ledger.account could not be read");
}

#[test]
fn rows_are_not_added_to_a_compressed_archive() {
    let (_, bytes) = DUMPS[3];
    let compressed = with_toc(bytes, |toc| toc.header.compression = Compression::Algorithm(1));
    let table = extra(&toc(bytes), "ledger", "account");
    let rows = |_: &QualifiedName| Ok(io::empty());
    let error = extend(&mut &compressed[..], |_| true, &[table], rows, &mut io::sink()).unwrap_err();
    assert!(matches!(error, ArchiveError::Compressed));
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let (_, bytes) = DUMPS[0];
    let mut full = vec![0; 20_000];
    let error = copy(&mut &bytes[..], |_| true, &mut &mut full[..]).unwrap_err();
    assert!(matches!(error, ArchiveError::Write(_)), "{error}");
}

proptest! {
    /// Damage matrix: flips. A flipped byte within data cannot be seen here (the repository's seals see it), but nothing panics,
    /// and an archive that is accepted reads back as the same bytes.
    #[test]
    fn flipped_bytes_never_panic(which in 0..4_usize, at in any::<prop::sample::Index>(), with in 1..=255_u8) {
        let mut bytes = DUMPS[which].1.to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= with;
        if let Ok(toc) = check(&bytes) {
            let written = toc.to_bytes();
            prop_assert_eq!(&written[..], &bytes[..written.len()]);
        }
    }
}
