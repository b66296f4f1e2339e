//! The elements of the format: integers, strings and offsets, read from a slice that may end too early.
//!
//! Only the one way in which `pg_dump` writes a value is accepted, so that what was read can be written again to the byte.

use super::Text;

/// Bytes of an integer: one for the sign and four, least significant first (`WriteInt`).
pub(super) const INT_BYTES: usize = 5;

/// Why an element could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The slice ends within it; more bytes may help.
    Incomplete,
    /// No bytes that follow can make sense of it.
    Malformed(&'static str),
}

/// Reads elements from the front of a slice.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Number of bytes read so far.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or(Stop::Incomplete)?;
        self.at += count;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Stop> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn int(&mut self) -> Result<i32, Stop> {
        decode_int(self.take(INT_BYTES)?).map_err(Stop::Malformed)
    }

    /// An integer that cannot be negative: a count or a dump id.
    pub(super) fn count(&mut self) -> Result<u32, Stop> {
        u32::try_from(self.int()?).map_err(|_| Stop::Malformed("a count is negative"))
    }

    /// A string, or `None` where a null pointer was written.
    pub(super) fn text(&mut self) -> Result<Option<Text>, Stop> {
        match self.int()? {
            -1 => Ok(None),
            length => {
                let length =
                    usize::try_from(length).map_err(|_| Stop::Malformed("a string has a negative length"))?;
                Ok(Some(Text::from(self.take(length)?)))
            }
        }
    }

    /// A string that is never null.
    pub(super) fn some_text(&mut self) -> Result<Text, Stop> {
        self.text()?.ok_or(Stop::Malformed("a name is missing"))
    }

    /// A number that is written as a string of decimal digits (object ids, dependencies).
    pub(super) fn number(&mut self) -> Result<u32, Stop> {
        let text = self.some_text()?;
        decimal(&text).ok_or(Stop::Malformed("a number is not a number"))
    }

    /// A list of numbers that ends with a null string.
    pub(super) fn numbers(&mut self) -> Result<Vec<u32>, Stop> {
        let mut numbers = Vec::new();
        while let Some(text) = self.text()? {
            numbers.push(decimal(&text).ok_or(Stop::Malformed("a dependency is not a number"))?);
        }
        Ok(numbers)
    }

    /// An 8-byte file offset, least significant byte first (`WriteOffset`, without its flag).
    pub(super) fn offset(&mut self) -> Result<u64, Stop> {
        let bytes = self.take(8)?;
        Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }
}

/// The integer in `bytes`, of which there must be [`INT_BYTES`].
pub(super) fn decode_int(bytes: &[u8]) -> Result<i32, &'static str> {
    let [sign @ (0 | 1), magnitude @ ..] = bytes else {
        return Err("an integer has no sign");
    };
    let value = magnitude.iter().rev().fold(0, |value, byte| value << 8 | i64::from(*byte));
    let value = if *sign == 1 { -value } else { value };
    if *sign == 1 && value == 0 {
        return Err("zero is negative");
    }
    i32::try_from(value).map_err(|_| "an integer is too large")
}

/// Appends `value` as `WriteInt` does.
pub(super) fn put_int(out: &mut Vec<u8>, value: i32) {
    out.push(u8::from(value < 0));
    out.extend_from_slice(&value.unsigned_abs().to_le_bytes());
}

/// Appends a string, or a null pointer.
pub(super) fn put_text(out: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        None => put_int(out, -1),
        Some(bytes) => {
            put_int(out, i32::try_from(bytes.len()).unwrap_or(i32::MAX));
            out.extend_from_slice(bytes);
        }
    }
}

/// Appends a number as a string.
pub(super) fn put_number(out: &mut Vec<u8>, number: u32) {
    put_text(out, Some(number.to_string().as_bytes()));
}

fn decimal(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    let value = text.parse::<u32>().ok()?;
    (value.to_string() == text).then_some(value)
}
