//! The SQL text that reads and loads rows (PostgreSQL documentation, COPY and 4.1.2).

use std::fmt::Write as _;

use model::{QualifiedName, quote_identifier};

/// A range of pages of a heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRange {
    /// The first page.
    pub first: u64,
    /// The first page that is not in the range; `None` for "to the end, however far that is".
    pub end: Option<u64>,
}

/// How names with other than ASCII letters are written in SQL. The session that copies rows speaks the encoding of the
/// database, whatever it is, while our SQL text is UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// As they are: the database is in UTF-8, or in `SQL_ASCII`, where bytes are bytes.
    Plain,
    /// As `U&"…"` with escapes, so that the text is ASCII in any encoding.
    Escaped,
}

impl Spelling {
    /// What suits a database in `encoding`, as `getdatabaseencoding()` names it.
    pub fn of_encoding(encoding: &str) -> Self {
        match encoding {
            "UTF8" | "SQL_ASCII" => Self::Plain,
            _ => Self::Escaped,
        }
    }

    /// `name` as an identifier in SQL.
    pub fn identifier(self, name: &str) -> String {
        if self == Self::Plain || name.is_ascii() {
            return quote_identifier(name);
        }
        let mut text = String::from("U&\"");
        for letter in name.chars() {
            match letter {
                '"' => text.push_str("\"\""),
                '\\' => text.push_str("\\\\"),
                _ if letter.is_ascii() => text.push(letter),
                // Writing to a string cannot fail.
                _ => _ = write!(text, "\\+{:06X}", u32::from(letter)),
            }
        }
        text.push('"');
        text
    }

    /// `name` with its schema, as an identifier in SQL.
    pub fn qualified(self, name: &QualifiedName) -> String {
        format!("{}.{}", self.identifier(&name.schema), self.identifier(&name.name))
    }
}

/// The rows of one table, as far as SQL needs to know them. A restored table is read with the columns and the condition of
/// the backup: its own order of columns may differ from the source's (a child of plain inheritance whose parent got a
/// column later).
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// The table.
    pub name: &'a QualifiedName,
    /// The columns to read or load, in order. May be empty: such rows are empty lines.
    pub columns: &'a [String],
    /// A `WHERE …` that selects the rows.
    pub condition: Option<&'a str>,
    /// How names are written.
    pub spelling: Spelling,
}

impl Rows<'_> {
    /// `COPY … TO STDOUT` in text form: of the whole table, or of a range of its pages.
    pub fn copy_out_sql(&self, pages: Option<PageRange>) -> String {
        let table = self.spelling.qualified(self.name);
        let columns = self.column_list();
        let mut conditions = Vec::new();
        if let Some(pages) = pages {
            conditions.push(format!("ctid >= '({},0)'::pg_catalog.tid", pages.first));
            conditions.extend(pages.end.map(|end| format!("ctid < '({end},0)'::pg_catalog.tid")));
        }
        match self.condition {
            None if conditions.is_empty() && columns.is_empty() => format!("COPY {table} TO STDOUT"),
            None if conditions.is_empty() => format!("COPY {table} ({columns}) TO STDOUT"),
            None => format!(
                "COPY (SELECT {columns} FROM ONLY {table} WHERE {}) TO STDOUT",
                conditions.join(" AND ")
            ),
            // The condition is the extension's own text and begins with WHERE. It may hold an OR, and it may end in a
            // comment, so a range is taken from its result.
            Some(condition) if conditions.is_empty() => {
                format!("COPY (SELECT {columns} FROM ONLY {table} {condition}\n) TO STDOUT")
            }
            Some(condition) => format!(
                "COPY (SELECT {columns} FROM (SELECT ctid, * FROM ONLY {table} {condition}\n) rows WHERE {}) TO STDOUT",
                conditions.join(" AND ")
            ),
        }
    }

    /// `COPY … FROM STDIN` in text form.
    pub fn copy_in_sql(&self) -> String {
        let table = self.spelling.qualified(self.name);
        let columns = self.column_list();
        if columns.is_empty() {
            format!("COPY {table} FROM STDIN")
        } else {
            format!("COPY {table} ({columns}) FROM STDIN")
        }
    }

    fn column_list(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|c| self.spelling.identifier(c)).collect();
        columns.join(", ")
    }
}
