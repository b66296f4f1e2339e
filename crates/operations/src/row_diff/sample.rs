//! Rows that differ, a few of them, for people to look at.

use super::line::{Line, unescaped};

/// Bytes of a value that are shown.
const VALUE_BYTES: usize = 200;
/// Columns of a row that are shown.
const COLUMNS: usize = 40;
/// How COPY writes NULL.
const NULL: &[u8] = b"\\N";

/// How a row differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Differing {
    /// It is in the backup and not in the live table.
    Missing,
    /// It is in the live table and not in the backup.
    Extra,
    /// It is in both, with other values.
    Changed,
}

impl Differing {
    /// A stable word for scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Changed => "changed",
        }
    }
}

/// A value as people see it: `None` is NULL. Long values are cut, and end in `…`.
pub type SampleValue = Option<String>;

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSample {
    /// How it differs.
    pub differing: Differing,
    /// The columns of its key, with their values; empty where rows have no key.
    pub key: Vec<(String, SampleValue)>,
    /// The values of a row that is on one side only; of a changed one, those that differ.
    pub values: Vec<SampleColumn>,
}

/// One column of a row that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleColumn {
    /// Its name.
    pub column: String,
    /// Its value in the backup; nothing where the row is not there.
    pub backup: Option<SampleValue>,
    /// Its value in the live table; nothing where the row is not there.
    pub live: Option<SampleValue>,
}

/// The row of a difference; at least one of the sides has it.
pub(super) fn sample(
    differing: Differing,
    key: &[&str],
    columns: &[String],
    backup: Option<Line<'_>>,
    live: Option<Line<'_>>,
) -> RowSample {
    let one = backup.or(live);
    let all: Vec<&[u8]> = one.into_iter().flat_map(Line::values).collect();
    let at = |name: &str| columns.iter().position(|column| column == name).and_then(|n| all.get(n));
    let shown = |name: &&str| Some(((*name).to_owned(), value(at(name)?)));
    let key = key.iter().filter_map(shown).collect();
    let side = |line: Option<Line<'_>>| line.map(|line| line.values().map(value).collect::<Vec<_>>());
    let raw = |line: Option<Line<'_>>| -> Vec<Vec<u8>> {
        line.into_iter().flat_map(|line| line.values().map(<[u8]>::to_vec)).collect()
    };
    let (old, new) = (side(backup), side(live));
    let (raw_old, raw_new) = (raw(backup), raw(live));
    let differs = |n: &usize| differing != Differing::Changed || raw_old.get(*n) != raw_new.get(*n);
    let column = |n: usize| SampleColumn {
        column: columns[n].clone(),
        backup: old.as_ref().and_then(|values| values.get(n).cloned()),
        live: new.as_ref().and_then(|values| values.get(n).cloned()),
    };
    let values = (0..columns.len()).filter(differs).take(COLUMNS).map(column).collect();
    RowSample { differing, key, values }
}

/// A field of COPY text for people.
fn value(field: &[u8]) -> SampleValue {
    if field == NULL {
        return None;
    }
    let text = unescaped(&field[..field.len().min(4 * VALUE_BYTES)]);
    let mut text = String::from_utf8_lossy(&text).into_owned();
    if text.len() > VALUE_BYTES || field.len() > 4 * VALUE_BYTES {
        text.truncate(text.floor_char_boundary(VALUE_BYTES));
        text.push('…');
    }
    Some(text)
}
