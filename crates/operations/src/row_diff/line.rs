//! One row as COPY text: where its parts are, and how keys compare.
//!
//! Invariant: keys compare as the server orders them: numbers as numbers, everything else by the bytes that stand behind the escapes of
//! COPY (PostgreSQL documentation, `COPY`, "Text Format").

use std::borrow::Cow;
use std::cmp::Ordering;

/// What the fields of a line are: first those of the key, then the columns, then, where it is read, the place of the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// For each field of the key, whether it is a whole number.
    pub(crate) key: Vec<bool>,
    /// How many columns there are.
    pub(crate) columns: usize,
    /// Whether `tableoid` and `ctid` follow.
    pub(crate) place: bool,
}

/// Where the parts of a line are, in bytes from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    key_end: usize,
    body_end: usize,
}

/// A line without its newline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    bytes: &'a [u8],
    parts: Parts,
}

impl Layout {
    /// Finds the parts of a line; nothing if it has other fields than it should.
    pub(crate) fn parts(&self, bytes: &[u8]) -> Option<Parts> {
        let mut tabs = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\t').map(|(at, _)| at);
        let key_end = nth_end(&mut tabs, self.key.len(), bytes.len())?;
        if self.columns > 0 && key_end == bytes.len() {
            // The key was all there is.
            return None;
        }
        let body_end =
            if self.columns == 0 { key_end } else { nth_end(&mut tabs, self.columns, bytes.len())? };
        let is_whole =
            if self.place { body_end < bytes.len() && tabs.count() == 1 } else { body_end == bytes.len() };
        is_whole.then_some(Parts { key_end, body_end })
    }

    /// Compares the keys of two lines; nothing if a number is none.
    pub(crate) fn compare(&self, a: &[u8], b: &[u8]) -> Option<Ordering> {
        if a == b {
            return Some(Ordering::Equal);
        }
        let fields = self.key.iter().zip(a.split(is_tab).zip(b.split(is_tab)));
        for (is_number, (a, b)) in fields {
            let order =
                if *is_number { number(a)?.cmp(&number(b)?) } else { unescaped(a).cmp(&unescaped(b)) };
            if order != Ordering::Equal {
                return Some(order);
            }
        }
        Some(Ordering::Equal)
    }
}

/// Where the `count`-th field from here on ends.
fn nth_end(tabs: &mut impl Iterator<Item = usize>, count: usize, length: usize) -> Option<usize> {
    let mut end = length;
    for n in 0..count {
        match tabs.next() {
            Some(at) => end = at,
            None if n + 1 == count => end = length,
            None => return None,
        }
    }
    Some(end)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that split wants")]
fn is_tab(byte: &u8) -> bool {
    *byte == b'\t'
}

fn number(field: &[u8]) -> Option<i128> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

impl<'a> Line<'a> {
    pub(crate) fn new(bytes: &'a [u8], parts: Parts) -> Self {
        Self { bytes, parts }
    }

    /// The key, as it was read.
    pub(crate) fn key(self) -> &'a [u8] {
        &self.bytes[..self.parts.key_end]
    }

    /// The columns, as COPY text of a row.
    pub(crate) fn body(self) -> &'a [u8] {
        self.bytes.get(self.parts.key_end + 1..self.parts.body_end).unwrap_or_default()
    }

    /// `tableoid` and `ctid`, if they were read.
    pub(crate) fn place(self) -> Option<&'a [u8]> {
        self.bytes.get(self.parts.body_end + 1..)
    }

    /// The values of the columns.
    pub(crate) fn values(self) -> impl Iterator<Item = &'a [u8]> {
        self.body().split(is_tab)
    }
}

/// A value without the escapes of COPY. `\N` stays as it is: it stands for NULL, and no text looks like it.
pub(crate) fn unescaped(field: &[u8]) -> Cow<'_, [u8]> {
    if !field.contains(&b'\\') {
        return Cow::Borrowed(field);
    }
    let mut text = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'\\' {
            text.push(*byte);
            continue;
        }
        match bytes.next() {
            Some(b'b') => text.push(8),
            Some(b'f') => text.push(12),
            Some(b'n') => text.push(b'\n'),
            Some(b'r') => text.push(b'\r'),
            Some(b't') => text.push(b'\t'),
            Some(b'v') => text.push(11),
            Some(b'N') => text.extend_from_slice(b"\\N"),
            Some(other) => text.push(*other),
            None => text.push(b'\\'),
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(key: &[bool], columns: usize, place: bool) -> Layout {
        Layout { key: key.to_vec(), columns, place }
    }

    #[test]
    fn the_parts_of_a_line_are_found() {
        let parts = |layout: &Layout, text: &'static str| {
            let line = Line::new(text.as_bytes(), layout.parts(text.as_bytes())?);
            Some((line.key(), line.body(), line.place()))
        };
        let with_place = layout(&[true, false], 2, true);
        let found = parts(&with_place, "7\tx\ta\t\\N\t16384\t(0,1)").unwrap();
        assert_eq!(found, (&b"7\tx"[..], &b"a\t\\N"[..], Some(&b"16384\t(0,1)"[..])));
        for wrong in ["7\tx\ta\t\\N\t16384", "7\tx\ta", "", "7\tx\ta\t\\N\t16384\t(0,1)\tmore"] {
            assert_eq!(parts(&with_place, wrong), None, "{wrong}");
        }
        let without = layout(&[false], 1, false);
        assert_eq!(parts(&without, "k\tv").unwrap(), (&b"k"[..], &b"v"[..], None));
        assert_eq!(parts(&without, "k"), None);
        assert_eq!(parts(&layout(&[false], 0, false), "k").unwrap(), (&b"k"[..], &b""[..], None));
        assert_eq!(parts(&layout(&[false], 0, true), "k\t1\t(0,1)").unwrap().2, Some(&b"1\t(0,1)"[..]));
    }

    #[test]
    fn keys_compare_as_the_server_orders_them() {
        let text = layout(&[false], 1, false);
        // A newline is before a letter, and its escape begins behind most of them.
        assert_eq!(text.compare(b"a\\nb", b"aab"), Some(Ordering::Less));
        assert_eq!(text.compare(b"a\\\\", b"a]"), Some(Ordering::Less));
        assert_eq!(text.compare(b"a", b"a "), Some(Ordering::Less));
        assert_eq!(text.compare(b"\xc3\xa4", b"z"), Some(Ordering::Greater));
        let number = layout(&[true, false], 1, false);
        assert_eq!(number.compare(b"-9\tx", b"10\tx"), Some(Ordering::Less));
        assert_eq!(number.compare(b"9\tx", b"10\ta"), Some(Ordering::Less));
        assert_eq!(number.compare(b"9\tb", b"9\ta"), Some(Ordering::Greater));
        assert_eq!(number.compare(b"x\tb", b"9\ta"), None);
    }
}
