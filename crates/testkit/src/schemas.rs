//! Databases that stress the catalog: object kinds, names, orders and rights that a careless backup loses.
//!
//! Each restores without an error by `pg_dump | psql`. Their texts say what a server needs for a part: lines between
//! `-- since N` or `-- with NAME` and `-- end` are left out where it lacks that. They hold statements that cannot share
//! a transaction, so they are run by psql.

use std::collections::BTreeSet;

use postgres::Client;

/// A database of this kind.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// A word for it, good as the name of a database.
    pub name: &'static str,
    text: &'static str,
}

/// Types, functions, operators, collations, text search, languages; views and functions in circles.
pub const TYPES: Schema = Schema { name: "types", text: include_str!("schemas/types.sql") };
/// Partitions, inheritance, keys, constraints, storage, triggers, materialized views.
///
/// Its inherited columns come back in another order by any restore, so even `pg_dump | psql` changes its dump once.
pub const TABLES: Schema = Schema { name: "tables", text: include_str!("schemas/tables.sql") };
/// Owners, rights, policies, awkward names, foreign data, event triggers, publications, a subscription.
///
/// Its roles begin with `stress_`. Its subscription must be dropped before the database can be.
pub const PRIVILEGES: Schema = Schema { name: "privileges", text: include_str!("schemas/privileges.sql") };
/// Extensions that come with PostgreSQL, and tables that need them.
pub const EXTENSIONS: Schema = Schema { name: "extensions", text: include_str!("schemas/extensions.sql") };
/// Partitions whose rows belong elsewhere after a restore; only their root has the same rows before and after.
pub const MOVING_ROWS: Schema = Schema { name: "moving_rows", text: include_str!("schemas/moving_rows.sql") };

/// The schemas of which two restores have equal dumps.
pub const ALL: [Schema; 4] = [TYPES, TABLES, PRIVILEGES, EXTENSIONS];

/// What a server offers, as far as schemas ask.
#[derive(Debug, Clone)]
pub struct Features {
    major: u32,
    names: BTreeSet<String>,
}

impl Features {
    /// Asks a server.
    pub fn of(client: &mut Client) -> Result<Features, postgres::Error> {
        let rows = client.query(
            "select name from pg_available_extensions
             union all select 'icu' where exists (select from pg_collation where collname = 'de-x-icu')",
            &[],
        )?;
        let names = rows.iter().filter_map(|row| row.get(0).map(str::to_owned)).collect();
        Ok(Features { major: client.server_major(), names })
    }
}

impl Schema {
    /// The statements for a server with these features.
    ///
    /// # Panics
    ///
    /// When a condition in the text is not one.
    pub fn sql(&self, features: &Features) -> String {
        let mut wanted = true;
        let mut sql = String::with_capacity(self.text.len());
        for line in self.text.lines() {
            if let Some(version) = line.strip_prefix("-- since ") {
                wanted = features.major >= version.parse::<u32>().expect("a version after `since`");
            } else if let Some(name) = line.strip_prefix("-- with ") {
                wanted = features.names.contains(name);
            } else if line == "-- end" {
                wanted = true;
            } else if wanted {
                sql.push_str(line);
                sql.push('\n');
            }
        }
        sql
    }
}

/// Makes so many small tables with a row each in the schema `many`: for tests of scale. It is one statement that commits every
/// few hundred tables, so that a server with default settings has locks enough, and so must be run outside a transaction.
pub fn many_tables(count: u32) -> String {
    format!(
        "do $many$
         begin
           create schema if not exists many;
           for n in 1..{count} loop
             execute format('create table many.t%s (id integer not null, made timestamptz)', n);
             execute format('insert into many.t%s values (%s, %L)', n, n, '2022-01-01 00:00+00');
             if n % 250 = 0 then commit; end if;
           end loop;
         end
         $many$;"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_a_server_lacks_are_left_out() {
        let schema = Schema {
            name: "x",
            text: "a\n-- since 15\nb\n-- end\nc\n-- with hstore\nd\n-- end\n-- with icu\ne\n-- end\nf\n",
        };
        let features = Features { major: 14, names: ["hstore".to_owned()].into() };
        assert_eq!(schema.sql(&features), "a\nc\nd\nf\n");
        let features = Features { major: 15, names: ["icu".to_owned()].into() };
        assert_eq!(schema.sql(&features), "a\nb\nc\ne\nf\n");
    }
}
