//! Large objects as one item: there may be millions (PostgreSQL documentation, chapter 35 and 53: `pg_largeobject`,
//! `pg_largeobject_metadata`).
//!
//! Invariant: contents are read in full and in pieces, so that neither their number nor their size needs memory. Sums of
//! hashes do not depend on the order. A gap in a large object reads as zeros, as it will after a restore.

use aws_lc_rs::digest::{Context, SHA256};
use model::Item;

use super::{InventoryError, hash};
use crate::{Client, CopyError, RowSink};

/// The class of the item for all large objects.
pub(super) const LARGE_OBJECTS: &str = "large objects";

/// Large objects that are read in one statement, where the role may not read the table that holds them all.
const BATCH: usize = 100;

/// Bytes of each that are read in one statement.
const PIECE_BYTES: usize = 64 << 10;

/// What all large objects of a database are, together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LargeObjects {
    /// How many there are.
    pub count: u64,
    /// Their bytes, gaps included.
    pub bytes: u64,
    /// Sum modulo 2^128 of a hash of OID and contents, over those that are not empty.
    pub contents: u128,
    /// Sum modulo 2^128 of a hash of OID, owner and privileges, over all.
    pub privileges: u128,
}

impl LargeObjects {
    /// As an item of an inventory.
    pub fn item(&self) -> Item {
        Item {
            class: LARGE_OBJECTS.into(),
            name: "all".into(),
            owner: String::new(),
            acl: if self.count == 0 { String::new() } else { hash(&[&format!("{:032x}", self.privileges)]) },
            definition: hash(&[&format!("{} {} {:032x}", self.count, self.bytes, self.contents)]),
        }
    }
}

/// Reads all large objects that the transaction sees.
pub fn read_large_objects(client: &mut Client) -> Result<LargeObjects, InventoryError> {
    let row = client.query_one(
        "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_largeobject', 'SELECT'), \
           pg_catalog.current_setting('block_size')::int / 4",
        &[],
    )?;
    let (all_at_once, page_bytes) = (row.is_true(0), row.number(1)?);
    let mut owners = Owners::default();
    client.copy_out(&owners_sql(), &mut owners).map_err(flatten)?;
    let mut contents = Contents { page_bytes, ..Contents::default() };
    if all_at_once {
        let sql =
            "COPY (SELECT loid, pageno, data FROM pg_catalog.pg_largeobject ORDER BY loid, pageno) TO STDOUT";
        client.copy_out(sql, &mut contents).map_err(flatten)?;
    } else {
        read_one_by_one(client, &mut contents)?;
    }
    contents.close();
    Ok(LargeObjects {
        count: owners.count,
        bytes: contents.bytes,
        contents: contents.sum,
        privileges: owners.sum,
    })
}

fn owners_sql() -> String {
    format!(
        "COPY (SELECT m.oid, {}, {} FROM pg_catalog.pg_largeobject_metadata m) TO STDOUT",
        super::sql::owner("m.lomowner"),
        super::sql::acl("m.lomacl", "'L'", "m.lomowner")
    )
}

/// For a role that may read the large objects, but not the table that holds them.
fn read_one_by_one(client: &mut Client, contents: &mut Contents) -> Result<(), InventoryError> {
    let mut last = String::from("0");
    loop {
        let sql = format!(
            "SELECT oid FROM pg_catalog.pg_largeobject_metadata WHERE oid > $1::pg_catalog.oid ORDER BY oid LIMIT {BATCH}"
        );
        let mut batch = Vec::new();
        for row in client.query(&sql, &[Some(&last)])? {
            batch.push(row.text(0)?.to_owned());
        }
        let Some(end) = batch.last() else { return Ok(()) };
        last.clone_from(end);
        for object in &batch {
            read_one(client, object, contents)?;
        }
    }
}

fn read_one(client: &mut Client, object: &str, contents: &mut Contents) -> Result<(), InventoryError> {
    let mut offset = 0;
    loop {
        let sql = format!("SELECT pg_catalog.lo_get($1::pg_catalog.oid, $2::pg_catalog.int8, {PIECE_BYTES})");
        let row = client.query_one(&sql, &[Some(object), Some(&offset.to_string())])?;
        let hex = row.text(0)?.strip_prefix("\\x").unwrap_or_default();
        let piece = decode(hex.as_bytes()).ok_or_else(|| unreadable(object.as_bytes()))?;
        contents.add(object, offset, &piece)?;
        if piece.len() < PIECE_BYTES {
            return Ok(());
        }
        offset += PIECE_BYTES as u64;
    }
}

fn flatten(error: CopyError<InventoryError>) -> InventoryError {
    match error {
        CopyError::Sink(error) => error,
        CopyError::Postgres(error) => error.into(),
    }
}

fn unreadable(row: &[u8]) -> InventoryError {
    let object = row.split(|b| *b == b'\t').next().unwrap_or_default();
    InventoryError::LargeObject { object: String::from_utf8_lossy(object).into_owned() }
}

/// Sums over the rows of `pg_largeobject_metadata`.
#[derive(Default)]
struct Owners {
    count: u64,
    sum: u128,
    part: Vec<u8>,
}

impl RowSink for Owners {
    type Error = InventoryError;

    fn row(&mut self, row: &[u8]) -> Result<(), InventoryError> {
        let mut context = Context::new(&SHA256);
        context.update(row);
        self.count += 1;
        self.sum = self.sum.wrapping_add(first_bits(context));
        Ok(())
    }

    fn row_part(&mut self, part: &[u8], last: bool) -> Result<(), InventoryError> {
        collect(&mut self.part, part, last).map_or(Ok(()), |row| self.row(&row))
    }
}

/// Sums over the contents of large objects, which come in order.
#[derive(Default)]
struct Contents {
    page_bytes: u64,
    bytes: u64,
    sum: u128,
    /// The object that is being read: its OID as text, the hash so far and the bytes hashed.
    current: Option<(String, Context, u64)>,
    part: Vec<u8>,
}

impl Contents {
    /// Adds what `object` holds from `offset` on; zeros fill the gap before it.
    fn add(&mut self, object: &str, offset: u64, data: &[u8]) -> Result<(), InventoryError> {
        if self.current.as_ref().is_none_or(|(current, ..)| current != object) {
            self.close();
            let mut context = Context::new(&SHA256);
            context.update(object.as_bytes());
            context.update(b"\n");
            self.current = Some((object.to_owned(), context, 0));
        }
        let Some((_, context, position)) = &mut self.current else { return Ok(()) };
        let mut gap = offset.checked_sub(*position).ok_or_else(|| unreadable(object.as_bytes()))?;
        while gap > 0 && !data.is_empty() {
            let zeros = usize::try_from(gap).unwrap_or(usize::MAX).min(ZEROS.len());
            context.update(&ZEROS[..zeros]);
            gap -= zeros as u64;
        }
        context.update(data);
        if !data.is_empty() {
            *position = offset + data.len() as u64;
        }
        Ok(())
    }

    /// Ends the current object.
    fn close(&mut self) {
        if let Some((_, context, position)) = self.current.take()
            && position > 0
        {
            self.bytes += position;
            self.sum = self.sum.wrapping_add(first_bits(context));
        }
    }
}

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

impl RowSink for Contents {
    type Error = InventoryError;

    /// `loid`, `pageno` and the bytes of the page in hexadecimal after `\\x` (a backslash is doubled in COPY text).
    fn row(&mut self, row: &[u8]) -> Result<(), InventoryError> {
        let read = || {
            let line = std::str::from_utf8(row).ok()?.strip_suffix('\n')?;
            let mut fields = line.split('\t');
            let (object, page, data) = (fields.next()?, fields.next()?, fields.next()?);
            Some((object, page.parse::<u64>().ok()?, decode(data.strip_prefix("\\\\x")?.as_bytes())?))
        };
        let (object, page, data) = read().ok_or_else(|| unreadable(row))?;
        self.add(object, page * self.page_bytes, &data)
    }

    fn row_part(&mut self, part: &[u8], last: bool) -> Result<(), InventoryError> {
        collect(&mut self.part, part, last).map_or(Ok(()), |row| self.row(&row))
    }
}

/// Rows are small here: a page is 2 KiB, 8 KiB at most.
fn collect(collected: &mut Vec<u8>, part: &[u8], last: bool) -> Option<Vec<u8>> {
    collected.extend_from_slice(part);
    last.then(|| std::mem::take(collected))
}

fn first_bits(context: Context) -> u128 {
    context.finish().as_ref().iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte))
}

fn decode(hex: &[u8]) -> Option<Vec<u8>> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = hex.as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}
