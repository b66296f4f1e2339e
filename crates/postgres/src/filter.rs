//! Filters, exactly as `pg_dump` understands them.
//!
//! Invariant: what is selected here is what `pg_dump` selects with the same flags, on the same connection. So a pattern
//! becomes the same regular expression, and the server matches it; and a name without a schema means a table that the role
//! sees under its own `search_path`.

mod pattern;
use model::Filters;
use thiserror::Error as ThisError;

use crate::{Client, Error};
pub use pattern::PatternError;
use pattern::{Pattern, schema_pattern, table_pattern};

/// Why filters could not be understood.
#[derive(Debug, ThisError)]
pub enum FilterError {
    /// The text is not a pattern.
    #[error("cannot use the filter {flag} {pattern:?}")]
    Pattern {
        /// The flag it was given with.
        flag: &'static str,
        /// Its text.
        pattern: String,
        /// Why not.
        #[source]
        source: PatternError,
    },
    /// The server cannot match it, most likely since it is not a regular expression.
    #[error("the server cannot match the filter {flag} {pattern:?}")]
    Match {
        /// The flag it was given with.
        flag: &'static str,
        /// Its text.
        pattern: String,
        /// What the server says.
        #[source]
        source: Error,
    },
    /// `pg_dump` too refuses a schema filter that selects nothing.
    #[error("no schema matches the filter --schema {pattern:?}")]
    NoSchema {
        /// The pattern.
        pattern: String,
    },
    /// `pg_dump` would take the definition of PostgreSQL's own objects, which no database accepts back.
    #[error("the filter --schema {pattern:?} also matches {schema}, which is PostgreSQL's own")]
    SystemSchema {
        /// The pattern.
        pattern: String,
        /// A schema that it matches.
        schema: String,
    },
    /// A statement failed.
    #[error("cannot apply the filters")]
    Statement(#[source] Error),
}

impl From<Error> for FilterError {
    fn from(error: Error) -> Self {
        Self::Statement(error)
    }
}

/// What the filters select in one database: OIDs, as SQL array constants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// The only schemas that are wanted; `None` for all that are not PostgreSQL's own.
    schemas: Option<Vec<u32>>,
    /// Relations that are left out.
    excluded: Vec<u32>,
    /// Relations whose rows are left out.
    without_data: Vec<u32>,
}

impl Selection {
    /// SQL that is true for a schema whose objects are wanted, given its OID and name.
    pub(crate) fn schema_sql(&self, oid: &str, name: &str) -> String {
        match &self.schemas {
            Some(schemas) => format!("{oid} = ANY ({})", oid_array(schemas)),
            None => format!("({name} !~ '^pg_' AND {name} <> 'information_schema')"),
        }
    }

    /// SQL that is true for a relation that no filter leaves out.
    pub(crate) fn relation_sql(&self, oid: &str) -> String {
        if self.excluded.is_empty() {
            return "true".into();
        }
        format!("{oid} <> ALL ({})", oid_array(&self.excluded))
    }

    /// SQL that is true for a relation whose rows no filter leaves out.
    pub(crate) fn data_sql(&self, oid: &str) -> String {
        if self.without_data.is_empty() {
            return "true".into();
        }
        format!("{oid} <> ALL ({})", oid_array(&self.without_data))
    }

    /// Whether objects outside of schemas (casts, languages, publications, large objects …) are wanted.
    pub(crate) fn everything(&self) -> bool {
        self.schemas.is_none()
    }
}

fn oid_array(oids: &[u32]) -> String {
    let oids: Vec<String> = oids.iter().map(u32::to_string).collect();
    format!("'{{{}}}'::pg_catalog.oid[]", oids.join(","))
}

/// Finds out what `filters` select in the database of `client`, as the current snapshot sees it. Takes no locks.
pub(crate) fn select(client: &mut Client, filters: &Filters) -> Result<Selection, FilterError> {
    let mut selection = Selection::default();
    if filters.is_empty() {
        return Ok(selection);
    }
    if !filters.schemas.is_empty() {
        selection.schemas = Some(select_schemas(client, &filters.schemas)?);
    }
    // Names without a schema are meant as the role sees them.
    let search_path = client.query_one("SELECT pg_catalog.current_setting('search_path')", &[])?;
    client.execute("RESET search_path")?;
    selection.excluded = select_relations(client, "--exclude-table", &filters.exclude_tables)?;
    selection.without_data = select_relations(client, "--exclude-table-data", &filters.exclude_table_data)?;
    client.query("SELECT pg_catalog.set_config('search_path', $1::text, false)", &[search_path.get(0)])?;
    Ok(selection)
}

fn select_schemas(client: &mut Client, patterns: &[String]) -> Result<Vec<u32>, FilterError> {
    let flag = "--schema";
    let mut selected = Vec::new();
    for text in patterns {
        let pattern = schema_pattern(text).map_err(|e| unusable(flag, text, e))?;
        let sql = "SELECT n.oid, n.nspname, n.nspname ~ '^pg_' OR n.nspname = 'information_schema' \
             FROM pg_catalog.pg_namespace n \
             WHERE n.nspname OPERATOR(pg_catalog.~) $1::text COLLATE pg_catalog.default ORDER BY n.oid";
        let rows = client.query(sql, &[Some(&pattern)]).map_err(|e| unmatched(flag, text, e))?;
        if rows.is_empty() {
            return Err(FilterError::NoSchema { pattern: text.clone() });
        }
        for row in rows {
            if row.is_true(2) {
                return Err(FilterError::SystemSchema {
                    pattern: text.clone(),
                    schema: row.text(1)?.to_owned(),
                });
            }
            selected.push(row.number(0)?);
        }
    }
    Ok(selected)
}

fn select_relations(
    client: &mut Client,
    flag: &'static str,
    patterns: &[String],
) -> Result<Vec<u32>, FilterError> {
    let mut selected = Vec::new();
    for text in patterns {
        let pattern = table_pattern(text).map_err(|e| unusable(flag, text, e))?;
        check_database(client, &pattern).map_err(|e| unusable(flag, text, e))?;
        let schema = if pattern.schema.is_some() {
            "n.nspname OPERATOR(pg_catalog.~) $2::text COLLATE pg_catalog.default"
        } else {
            "$2::text IS NULL AND pg_catalog.pg_table_is_visible(c.oid)"
        };
        let sql = format!(
            "SELECT c.oid FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'S', 'v', 'm', 'f', 'p') \
             AND c.relname OPERATOR(pg_catalog.~) $1::text COLLATE pg_catalog.default AND {schema} ORDER BY c.oid"
        );
        let rows = client
            .query(&sql, &[Some(&pattern.name), pattern.schema.as_deref()])
            .map_err(|e| unmatched(flag, text, e))?;
        for row in rows {
            selected.push(row.number(0)?);
        }
    }
    Ok(selected)
}

/// A pattern of three parts names the database too, and it must be this one.
fn check_database(client: &mut Client, pattern: &Pattern) -> Result<(), PatternError> {
    let Some(named) = &pattern.database else { return Ok(()) };
    let connected = client
        .query_one("SELECT pg_catalog.current_database()::text", &[])
        .and_then(|row| row.text(0).map(str::to_owned))
        .unwrap_or_default();
    if *named == connected {
        return Ok(());
    }
    Err(PatternError::OtherDatabase { named: named.clone(), connected })
}

fn unusable(flag: &'static str, pattern: &str, source: PatternError) -> FilterError {
    FilterError::Pattern { flag, pattern: pattern.to_owned(), source }
}

fn unmatched(flag: &'static str, pattern: &str, source: Error) -> FilterError {
    FilterError::Match { flag, pattern: pattern.to_owned(), source }
}
