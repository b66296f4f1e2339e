//! What a database has already, so that it is not made again.

use std::collections::BTreeSet;

use crate::archive::TocEntry;
use crate::client::{Client, Error};

/// Objects of a database, named as the entries of an archive name them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Existing {
    /// Class, schema and name.
    objects: BTreeSet<(String, String, String)>,
}

/// Every object that an archive may want to make, as class, schema and name. Run with an empty search path, so that types are qualified.
const QUERY: &str = "
    SELECT 'schema', '', nspname FROM pg_namespace
    UNION ALL
    SELECT 'relation', nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE relkind <> 't'
    UNION ALL
    SELECT 'type', nspname, typname FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace
    UNION ALL
    SELECT 'routine', nspname, proname || '(' || coalesce((
            SELECT string_agg(format_type(a.type, NULL), ', ' ORDER BY a.n)
                FROM unnest(proargtypes::oid[]) WITH ORDINALITY AS a (type, n)), '') || ')'
        FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
    UNION ALL
    SELECT 'collation', nspname, collname FROM pg_collation c JOIN pg_namespace n ON n.oid = collnamespace
    UNION ALL
    SELECT 'operator class', nspname, opcname FROM pg_opclass o JOIN pg_namespace n ON n.oid = opcnamespace
    UNION ALL
    SELECT 'operator family', nspname, opfname FROM pg_opfamily o JOIN pg_namespace n ON n.oid = opfnamespace
    UNION ALL
    SELECT 'operator', nspname, oprname FROM pg_operator o JOIN pg_namespace n ON n.oid = oprnamespace
    UNION ALL
    SELECT 'text search configuration', nspname, cfgname FROM pg_ts_config t JOIN pg_namespace n ON n.oid = cfgnamespace
    UNION ALL
    SELECT 'text search dictionary', nspname, dictname FROM pg_ts_dict t JOIN pg_namespace n ON n.oid = dictnamespace
    UNION ALL SELECT 'extension', '', extname FROM pg_extension
    UNION ALL SELECT 'procedural language', '', lanname FROM pg_language
    UNION ALL SELECT 'foreign data wrapper', '', fdwname FROM pg_foreign_data_wrapper
    UNION ALL SELECT 'server', '', srvname FROM pg_foreign_server
    UNION ALL SELECT 'publication', '', pubname FROM pg_publication
    UNION ALL SELECT 'access method', '', amname FROM pg_am";

impl Existing {
    /// What a database has that was made from `template0`.
    pub fn in_new_database() -> Self {
        let mut existing = Self::default();
        for (class, name) in
            [("schema", "public"), ("extension", "plpgsql"), ("procedural language", "plpgsql")]
        {
            existing.insert(class, "", name);
        }
        existing
    }

    /// What the database of `client` has.
    pub fn read(client: &mut Client) -> Result<Self, Error> {
        client.execute("SET search_path = ''")?;
        let mut existing = Self::default();
        for row in client.query(QUERY, &[])? {
            existing.insert(row.text(0)?, row.text(1)?, row.text(2)?);
        }
        Ok(existing)
    }

    /// Adds an object.
    pub fn insert(&mut self, class: &str, schema: &str, name: &str) {
        self.objects.insert((class.to_owned(), schema.to_owned(), name.to_owned()));
    }

    /// Whether what `entry` makes is there.
    pub fn has(&self, entry: &TocEntry) -> bool {
        let class = match entry.desc.as_str() {
            "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE" | "SEQUENCE" | "INDEX" => "relation",
            "TYPE" | "SHELL TYPE" | "DOMAIN" => "type",
            "FUNCTION" | "PROCEDURE" | "AGGREGATE" => "routine",
            other => &other.to_ascii_lowercase(),
        };
        let schema = entry.namespace.as_ref().map_or_else(String::new, |text| text.to_text().into_owned());
        self.objects.contains(&(class.to_owned(), schema, entry.tag.to_text().into_owned()))
    }
}
