//! Rows on their way into a table: first into a temporary table beside it, then, by SQL, in place.
//!
//! Invariant: what is changed or removed is known by its place (`tableoid`, `ctid`), which is right as long as nobody writes to the
//! table in between: whoever reads the places holds a lock that keeps writers out. Every statement returns how many rows it
//! wrote, so that a place that was wrong shows.

use std::fmt::Write as _;

use crate::{Client, Error, Spelling, TableShape};

/// What is to be done with a staged row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staged {
    /// It is inserted.
    Insert,
    /// Its values take the place of those of the row at its place.
    Update,
    /// The row at its place is removed.
    Delete,
}

impl Staged {
    /// The letter in the staging table.
    const fn letter(self) -> char {
        match self {
            Self::Insert => 'i',
            Self::Update => 'u',
            Self::Delete => 'd',
        }
    }

    /// The beginning of a row of COPY text for the staging table; the columns follow. `place` is `tableoid` and `ctid` as COPY writes
    /// them, with a tab between.
    pub fn prefix(self, place: Option<&[u8]>) -> Vec<u8> {
        let mut prefix = vec![self.letter() as u8, b'\t'];
        prefix.extend_from_slice(place.unwrap_or(b"\\N\t\\N"));
        prefix
    }
}

/// A staging table. It ends with the transaction.
#[derive(Debug, Clone)]
pub struct Staging<'a> {
    shape: &'a TableShape,
    columns: &'a [String],
    spelling: Spelling,
    name: String,
}

impl<'a> Staging<'a> {
    /// The `number`-th of a transaction, for rows of `columns`, in this order.
    pub fn new(shape: &'a TableShape, columns: &'a [String], spelling: Spelling, number: usize) -> Self {
        Self { shape, columns, spelling, name: format!("pg_temp.chronavault_rows_{number}") }
    }

    /// Makes it, within a transaction.
    pub fn create(&self, client: &mut Client) -> Result<(), Error> {
        let mut fields = String::new();
        for (n, column) in self.columns.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = write!(fields, ", {} AS c{n}", self.spelling.identifier(column));
        }
        client.execute(&format!(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT ''::pg_catalog.\"char\" AS op, \
             tableoid AS place_table, ctid AS place{fields} FROM {} WITH NO DATA",
            self.name,
            self.shape.from(self.spelling),
        ))
    }

    /// `COPY … FROM STDIN` into it.
    pub fn copy_in_sql(&self) -> String {
        format!("COPY {} FROM STDIN", self.name)
    }

    /// Tells the planner how much is in it.
    pub fn analyze(&self, client: &mut Client) -> Result<(), Error> {
        client.execute(&format!("ANALYZE {}", self.name))
    }

    /// Inserts what is to be inserted. Rows that a unique constraint does not let in are left out where `skip_conflicts` says so, and an error
    /// otherwise. Returns how many were inserted.
    pub fn insert(&self, client: &mut Client, skip_conflicts: bool) -> Result<u64, Error> {
        let (columns, values) = self.lists();
        let into = if self.columns.is_empty() {
            String::new()
        } else {
            format!("({columns}) OVERRIDING SYSTEM VALUE")
        };
        let conflict = if skip_conflicts { "ON CONFLICT DO NOTHING" } else { "" };
        count(
            client,
            &format!(
                "INSERT INTO {} {into} SELECT {values} FROM {} WHERE op = 'i' {conflict}",
                self.spelling.qualified(&self.shape.name),
                self.name
            ),
        )
    }

    /// Changes what is to be changed. Returns how many rows were changed.
    pub fn update(&self, client: &mut Client) -> Result<u64, Error> {
        let mut set = Vec::new();
        for (n, name) in self.columns.iter().enumerate() {
            // The server lets nobody change such a column, not even to the value that it has.
            if self.shape.column(name).is_some_and(|column| !column.identity_always) {
                set.push(format!("{} = staged.c{n}", self.spelling.identifier(name)));
            }
        }
        if set.is_empty() {
            return Ok(0);
        }
        count(
            client,
            &format!(
                "UPDATE {} live SET {} FROM {} staged WHERE staged.op = 'u' AND {}",
                self.shape.from(self.spelling),
                set.join(", "),
                self.name,
                self.place(),
            ),
        )
    }

    /// Removes what is to be removed. Returns how many rows were removed.
    pub fn delete(&self, client: &mut Client) -> Result<u64, Error> {
        count(
            client,
            &format!(
                "DELETE FROM {} live USING {} staged WHERE staged.op = 'd' AND {}",
                self.shape.from(self.spelling),
                self.name,
                self.place(),
            ),
        )
    }

    /// The columns of the table, and those of the staging table.
    fn lists(&self) -> (String, String) {
        let columns: Vec<_> = self.columns.iter().map(|name| self.spelling.identifier(name)).collect();
        let values: Vec<_> = (0..self.columns.len()).map(|n| format!("c{n}")).collect();
        (columns.join(", "), values.join(", "))
    }

    /// The row of the table that a staged row is for. A condition that is always true would mislead the planner.
    fn place(&self) -> &'static str {
        if self.shape.partitioned {
            "live.tableoid = staged.place_table AND live.ctid = staged.place"
        } else {
            "live.ctid = staged.place"
        }
    }

    /// In a `FROM`: the rows as they are now of which `op` says that they go or change, as `live`.
    pub(crate) fn touched(&self, staged: Staged) -> String {
        format!(
            "{} live JOIN {} staged ON staged.op = '{}' AND {}",
            self.shape.from(self.spelling),
            self.name,
            staged.letter(),
            self.place(),
        )
    }

    /// The staged value of a column.
    pub(crate) fn staged_column(&self, name: &str) -> Option<String> {
        self.columns.iter().position(|column| column == name).map(|n| format!("staged.c{n}"))
    }

    /// The table.
    pub fn shape(&self) -> &TableShape {
        self.shape
    }
}

/// Runs a statement that writes. Returns how many rows it wrote.
fn count(client: &mut Client, statement: &str) -> Result<u64, Error> {
    let sql = format!("WITH written AS ({statement} RETURNING 1) SELECT pg_catalog.count(*) FROM written");
    client.query_one(&sql, &[])?.number(0)
}
