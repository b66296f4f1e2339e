//! Patterns of psql's `\d` and of `pg_dump`'s flags, as regular expressions (PostgreSQL documentation, psql, "Patterns").
//!
//! The translation is that of `patternToSQLRegex` in PostgreSQL's `fe_utils/string_utils.c`: letters fold to lower case
//! outside of double quotes; `*` is any text and `?` any letter; a dot separates database, schema and name; `$` is always
//! itself; other special characters keep the meaning they have in regular expressions unless quoted.

use thiserror::Error as ThisError;

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
pub enum PatternError {
    /// A table has at most a database, a schema and a name.
    #[error("it has too many dots; write a name that has a dot in double quotes")]
    TooManyDots,
    /// The database part names another database than the one connected to.
    #[error("it names the database {named:?}, but this is {connected:?}")]
    OtherDatabase {
        /// The database of the pattern.
        named: String,
        /// The database of the connection.
        connected: String,
    },
}

/// A pattern for relations.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// The name of the database, literally.
    pub(super) database: Option<String>,
    /// Regular expression for the schema; without it, only relations that are visible match.
    pub(super) schema: Option<String>,
    /// Regular expression for the name.
    pub(super) name: String,
}

/// The regular expression of a pattern for schemas. A dot would separate a database, and `pg_dump` takes none here.
pub(super) fn schema_pattern(text: &str) -> Result<String, PatternError> {
    match translate(text).as_slice() {
        [only] => Ok(only.expression()),
        _ => Err(PatternError::TooManyDots),
    }
}

/// The parts of a pattern for relations.
pub(super) fn table_pattern(text: &str) -> Result<Pattern, PatternError> {
    match translate(text).as_slice() {
        [name] => Ok(Pattern { database: None, schema: None, name: name.expression() }),
        [schema, name] => {
            Ok(Pattern { database: None, schema: Some(schema.expression()), name: name.expression() })
        }
        [database, schema, name] => Ok(Pattern {
            database: Some(database.literal.clone()),
            schema: Some(schema.expression()),
            name: name.expression(),
        }),
        _ => Err(PatternError::TooManyDots),
    }
}

/// What stands between two dots.
#[derive(Default)]
struct Part {
    regex: String,
    literal: String,
}

impl Part {
    fn push(&mut self, regex: &str, letter: char) {
        self.regex.push_str(regex);
        self.literal.push(letter);
    }

    fn expression(&self) -> String {
        format!("^({})$", self.regex)
    }
}

fn translate(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut part = Part::default();
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                part.push("\"", '"');
            }
            '"' => quoted = !quoted,
            'A'..='Z' if !quoted => {
                let lower = letter.to_ascii_lowercase();
                part.push(lower.encode_utf8(&mut [0; 4]), lower);
            }
            '*' if !quoted => part.push(".*", '*'),
            '?' if !quoted => part.push(".", '?'),
            '.' if !quoted => parts.push(std::mem::take(&mut part)),
            '$' => part.push("\\$", '$'),
            _ => {
                let special = quoted && "|*+?()[]{}.^$\\".contains(letter);
                let array = letter == '[' && letters.peek() == Some(&']');
                if special || array {
                    part.regex.push('\\');
                }
                part.push(letter.encode_utf8(&mut [0; 4]), letter);
            }
        }
    }
    parts.push(part);
    parts
}
