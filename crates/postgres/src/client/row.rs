//! Rows of a query, as text.

use std::str::FromStr;

use super::error::Error;
use super::startup::int_at;

/// One row of a result: every value is text or NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    values: Vec<Option<String>>,
}

impl Row {
    /// Reads the body of a `DataRow`.
    pub(super) fn parse(body: &[u8]) -> Result<Self, &'static str> {
        let text = |value: &[u8]| {
            std::str::from_utf8(value).map(str::to_owned).map_err(|_| "a value that is not UTF-8")
        };
        let values = values(body)?.into_iter().map(|value| value.map(text).transpose());
        Ok(Self { values: values.collect::<Result<_, _>>()? })
    }

    /// Column `i`, from 0; `None` when it is NULL or does not exist.
    pub fn get(&self, i: usize) -> Option<&str> {
        self.values.get(i)?.as_deref()
    }

    /// Column `i`, which must not be NULL.
    pub fn text(&self, i: usize) -> Result<&str, Error> {
        self.get(i).ok_or_else(|| Error::Unexpected { problem: format!("column {} is NULL", i + 1) })
    }

    /// Column `i` as a number, or as anything else that has a text form.
    pub fn number<T: FromStr>(&self, i: usize) -> Result<T, Error> {
        let text = self.text(i)?;
        let wrong = |_| Error::Unexpected { problem: format!("column {} has the value {text:?}", i + 1) };
        text.parse().map_err(wrong)
    }

    /// Column `i` is the boolean true. NULL is not.
    pub fn is_true(&self, i: usize) -> bool {
        self.get(i) == Some("t")
    }

    /// Number of columns.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// A row without columns.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// The values in the body of a `DataRow`, as bytes; NULL is `None`.
pub(super) fn values(body: &[u8]) -> Result<Vec<Option<&[u8]>>, &'static str> {
    let [high, low, rest @ ..] = body else { return Err("a row without a number of columns") };
    let mut rest = rest;
    let count = u16::from_be_bytes([*high, *low]);
    let mut values = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let length = int_at(rest, 0).ok_or("a row that ends early")?;
        rest = &rest[4..];
        let Ok(length) = usize::try_from(length) else {
            values.push(None);
            continue;
        };
        let (value, behind) = rest.split_at_checked(length).ok_or("a row that ends early")?;
        values.push(Some(value));
        rest = behind;
    }
    if rest.is_empty() { Ok(values) } else { Err("a row with bytes left over") }
}
