//! Checks of a database: a query, what it has to return, and how bad it is when it does not.
//!
//! Invariant: a check is judged by the text that the server sends and by nothing else: no locale, no rounding. Numbers are
//! compared as the decimal numbers that they are.

mod decimal;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::CheckSeverity;
use decimal::Decimal;

/// A rule that holds in a database as long as its rows make sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name, unique among the checks of a site.
    pub name: String,
    /// One statement that returns rows.
    pub query: String,
    /// What the rows have to be.
    pub expectation: Expectation,
    /// How bad it is when they are not.
    pub severity: CheckSeverity,
    /// The sources whose databases it is for; all when empty.
    pub sources: Vec<String>,
    /// How long the query may take.
    pub limit: Duration,
}

impl Check {
    /// How long a query may take when nothing is said.
    pub const LIMIT: Duration = Duration::from_mins(5);

    /// Whether it is for the databases of `source`.
    pub fn is_for(&self, source: &str) -> bool {
        self.sources.is_empty() || self.sources.iter().any(|name| name == source)
    }
}

/// What a query has to return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// Nothing: each row is something wrong.
    NoRows,
    /// At least one row.
    Rows,
    /// One row with one column, whose value compares like this.
    Value(Comparison, String),
}

/// How a value is compared with the one that is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// The text is no expectation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is none of: no rows, rows, a number, true, false, or a comparison such as \"= open\" or \">= 1\""
)]
pub struct ParseExpectationError {
    text: String,
}

/// What came of a query, as much as it takes to judge it.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// Columns of the result.
    pub columns: usize,
    /// Rows that were read.
    pub rows: usize,
    /// Whether there are more.
    pub more: bool,
    /// The first column of the first row; nothing when that is NULL or when there is none.
    pub value: Option<&'a str>,
}

impl Answered<'_> {
    /// `3 rows`, `20 rows or more`.
    fn amount(self) -> String {
        match (self.rows, self.more) {
            (rows, true) => format!("{rows} rows or more"),
            (1, false) => "1 row".to_owned(),
            (rows, false) => format!("{rows} rows"),
        }
    }
}

impl Expectation {
    /// Whether the rows are as expected; if not, what they are instead, in a sentence that holds no row.
    pub fn judge(&self, answered: Answered<'_>) -> Result<(), String> {
        let rows = answered.rows;
        match self {
            Self::NoRows if rows == 0 => Ok(()),
            Self::NoRows => Err(format!("{} where none were expected", answered.amount())),
            Self::Rows if rows > 0 => Ok(()),
            Self::Rows => Err("no rows where some were expected".to_owned()),
            Self::Value(..) if rows != 1 || answered.more || answered.columns != 1 => Err(format!(
                "{} with {} instead of one row with one column",
                if rows == 0 { "no rows".to_owned() } else { answered.amount() },
                if answered.columns == 1 {
                    "1 column".to_owned()
                } else {
                    format!("{} columns", answered.columns)
                }
            )),
            Self::Value(comparison, wanted) => comparison.judge(answered.value, wanted),
        }
    }
}

impl Comparison {
    const ALL: [(&'static str, Self); 8] = [
        // Longer signs first.
        ("!=", Self::NotEqual),
        ("<>", Self::NotEqual),
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("==", Self::Equal),
        ("=", Self::Equal),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    fn judge(self, found: Option<&str>, wanted: &str) -> Result<(), String> {
        let Some(found) = found else {
            return Err(format!("the value is NULL, and {self} {wanted} was expected"));
        };
        let holds = match (found.parse::<Decimal>(), wanted.parse::<Decimal>()) {
            (Ok(found), Ok(wanted)) => self.holds(found.cmp(&wanted)),
            _ if self.is_order() => {
                let found = shortened(found);
                return Err(format!("the value {found} is no number, and {self} {wanted} was expected"));
            }
            _ => same_text(found, wanted) == (self == Self::Equal),
        };
        if holds {
            Ok(())
        } else {
            Err(format!("the value is {}, and {self} {wanted} was expected", shortened(found)))
        }
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }

    /// Whether only numbers can be compared so.
    fn is_order(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }
}

/// Characters of a value that are shown.
const SHOWN: usize = 80;

fn shortened(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}

/// The server writes `t` and `f` for what SQL calls `true` and `false`.
fn same_text(found: &str, wanted: &str) -> bool {
    found == wanted || matches!((found, wanted), ("t", "true") | ("f", "false"))
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        })
    }
}

/// As it is written in settings.
impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRows => f.write_str("no rows"),
            Self::Rows => f.write_str("rows"),
            Self::Value(comparison, value) => write!(f, "{comparison} {value}"),
        }
    }
}

impl FromStr for Expectation {
    type Err = ParseExpectationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseExpectationError { text: text.chars().take(SHOWN).collect() };
        let trimmed = text.trim();
        match trimmed {
            "no rows" => return Ok(Self::NoRows),
            "rows" => return Ok(Self::Rows),
            "true" | "false" => return Ok(Self::Value(Comparison::Equal, trimmed.to_owned())),
            _ => {}
        }
        let compared = Comparison::ALL
            .iter()
            .find_map(|(sign, comparison)| Some((*comparison, trimmed.strip_prefix(sign)?)));
        let (comparison, value) = match compared {
            Some((comparison, value)) => (comparison, value.trim()),
            // A misspelt "no rows" must not become a text to compare with.
            None if trimmed.parse::<Decimal>().is_ok() => (Comparison::Equal, trimmed),
            None => return Err(wrong()),
        };
        let is_number = value.parse::<Decimal>().is_ok();
        if value.is_empty() || (comparison.is_order() && !is_number) || value.starts_with(['=', '<', '>']) {
            return Err(wrong());
        }
        Ok(Self::Value(comparison, value.to_owned()))
    }
}

#[cfg(test)]
mod tests;
