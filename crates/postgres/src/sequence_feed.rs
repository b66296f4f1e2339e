//! Sequences that are behind the columns that they feed.
//!
//! Invariant: a sequence is called behind only when it will give out a value that its column has already: one that it reaches
//! with its increment, before its limit. What happens meanwhile on a database in use makes nothing up: a sequence is read
//! again after the rows (its value is in no transaction).
//!
//! Deliberately absent: sequences that cycle, for they are made to come by the same values again, and columns whose default
//! does more than take the next value.

use model::{QualifiedName, quote_identifier};

use crate::{Client, Error, session};

/// A sequence that will give out a value that is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceBehind {
    /// The sequence.
    pub sequence: QualifiedName,
    /// The table that it feeds.
    pub table: QualifiedName,
    /// The column of it.
    pub column: String,
    /// The value that the sequence gives out next.
    pub next: i64,
    /// The value of the column that is farthest ahead of that.
    pub found: String,
}

/// Finds every sequence that is behind a column that it feeds: one that it is owned by, as that of an identity column and of a
/// `serial` is, or whose default takes its next value. `client` has the fixed settings, and may read sequences and tables.
pub fn sequences_behind(client: &mut Client) -> Result<Vec<SequenceBehind>, Error> {
    session::in_utf8(client, |client| {
        let mut behind = Vec::new();
        for feed in feeds(client)? {
            behind.extend(feed.examine(client)?);
        }
        Ok(behind)
    })
}

/// A sequence and a column.
struct Feed {
    sequence: QualifiedName,
    table: QualifiedName,
    column: String,
    increment: i64,
    least: i64,
    most: i64,
}

/// A partition is read with the table that it belongs to, where that is fed by the same sequence. `deptype`: `a` is `OWNED BY`, `i` an
/// identity column, `n` of a default whatever it mentions (PostgreSQL documentation, 53.18).
const FEEDS: &str = r"
    WITH fed(seq, tab, col) AS (
        SELECT objid, refobjid, refobjsubid::smallint FROM pg_catalog.pg_depend
        WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
          AND deptype IN ('a', 'i') AND refobjsubid > 0
      UNION
        SELECT d.refobjid, a.adrelid, a.adnum FROM pg_catalog.pg_attrdef a
          JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = a.oid
            AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'n'
    )
    SELECT sn.nspname, s.relname, tn.nspname, t.relname, c.attname, q.seqincrement, q.seqmin, q.seqmax
    FROM fed
      JOIN pg_catalog.pg_sequence q ON q.seqrelid = fed.seq
      JOIN pg_catalog.pg_class s ON s.oid = fed.seq JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
      JOIN pg_catalog.pg_class t ON t.oid = fed.tab JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
      JOIN pg_catalog.pg_attribute c ON c.attrelid = fed.tab AND c.attnum = fed.col
      LEFT JOIN pg_catalog.pg_attrdef e ON e.adrelid = fed.tab AND e.adnum = fed.col AND c.attgenerated = ''
    WHERE NOT q.seqcycle AND t.relkind IN ('r', 'p') AND s.relpersistence <> 't' AND t.relpersistence <> 't'
      AND c.atttypid IN ('int2'::pg_catalog.regtype, 'int4'::pg_catalog.regtype, 'int8'::pg_catalog.regtype,
                         'numeric'::pg_catalog.regtype)
      AND (e.oid IS NULL OR pg_catalog.pg_get_expr(e.adbin, e.adrelid)
             ~ '^\(?nextval\(''.*''::(pg_catalog\.)?regclass\)\)?(::[a-z]+( [a-z]+)*)?$')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i JOIN fed p ON p.tab = i.inhparent AND p.seq = fed.seq
          JOIN pg_catalog.pg_attribute pc ON pc.attrelid = p.tab AND pc.attnum = p.col
        WHERE i.inhrelid = fed.tab AND pc.attname = c.attname)
    ORDER BY 1, 2, 3, 4, 5";

fn feeds(client: &mut Client) -> Result<Vec<Feed>, Error> {
    let feed = |row: &crate::Row| {
        Ok(Feed {
            sequence: QualifiedName::new(row.text(0)?, row.text(1)?),
            table: QualifiedName::new(row.text(2)?, row.text(3)?),
            column: row.text(4)?.to_owned(),
            increment: row.number(5)?,
            least: row.number(6)?,
            most: row.number(7)?,
        })
    };
    client.query(FEEDS, &[])?.iter().map(feed).collect()
}

impl Feed {
    fn examine(&self, client: &mut Client) -> Result<Option<SequenceBehind>, Error> {
        let Some(next) = self.next(client)? else { return Ok(None) };
        let Some(found) = self.farthest_ahead(client, next)? else { return Ok(None) };
        // Whoever took values since then may have stored one of them before the rows were read.
        let Some(next) = self.next(client)? else { return Ok(None) };
        let Some(found) = self.still_ahead(&found, next) else { return Ok(None) };
        let (sequence, table, column) = (self.sequence.clone(), self.table.clone(), self.column.clone());
        Ok(Some(SequenceBehind { sequence, table, column, next, found }))
    }

    /// The value that the sequence gives out next; nothing when it has none left.
    fn next(&self, client: &mut Client) -> Result<Option<i64>, Error> {
        let sql = format!("SELECT last_value, is_called FROM {}", self.sequence.quoted());
        let row = client.query_one(&sql, &[])?;
        let last: i64 = row.number(0)?;
        let next = if row.is_true(1) { last.checked_add(self.increment) } else { Some(last) };
        Ok(next.filter(|next| (self.least..=self.most).contains(next)))
    }

    /// The value of the column that the sequence reaches last of all those from `next` on. By an index, where the column has one.
    fn farthest_ahead(&self, client: &mut Client, next: i64) -> Result<Option<String>, Error> {
        let column = quote_identifier(&self.column);
        let (farthest, from, to) =
            if self.increment > 0 { ("max", next, self.most) } else { ("min", self.least, next) };
        // Others may take the values in between, as where each of two servers has every second number.
        let reached = match self.increment.unsigned_abs() {
            1 => String::new(),
            step => {
                format!(" AND ({column}::pg_catalog.numeric - '{next}'::pg_catalog.numeric) % {step} = 0")
            }
        };
        let sql = format!(
            "SELECT pg_catalog.{farthest}({column}) FROM {} \
             WHERE {column} >= '{from}'::pg_catalog.int8 AND {column} <= '{to}'::pg_catalog.int8{reached}",
            self.table.quoted()
        );
        Ok(client.query_one(&sql, &[])?.get(0).map(str::to_owned))
    }

    /// `found`, if a sequence that goes on with `next` comes by it. What is no whole number was never given out.
    fn still_ahead(&self, found: &str, next: i64) -> Option<String> {
        let value: i64 = found.parse().ok()?;
        let is_ahead = if self.increment > 0 { value >= next } else { value <= next };
        is_ahead.then(|| found.to_owned())
    }
}
