//! Partitions that rows move between when a database is restored.
//!
//! A table that is partitioned by hash puts a row where the hash of its key says. The hash of an enum is that of its OID,
//! which is another one in every database; so a right restore puts rows into other partitions than they came from
//! (PostgreSQL documentation, `pg_dump`, `--load-via-partition-root`).

use std::collections::BTreeMap;

use model::QualifiedName;

use crate::{Client, Error, session};

/// The partitions whose rows may be in others after a restore, with the table at the root of each.
///
/// Keys of types made of other types, and expressions, are taken for such keys without looking further.
pub fn moving_partitions(client: &mut Client) -> Result<BTreeMap<QualifiedName, QualifiedName>, Error> {
    session::in_utf8(client, |client| {
        let rows = client.query(MOVING, &[])?;
        rows.iter()
            .map(|row| {
                let leaf = QualifiedName::new(row.text(0)?, row.text(1)?);
                Ok((leaf, QualifiedName::new(row.text(2)?, row.text(3)?)))
            })
            .collect()
    })
}

const MOVING: &str = "
    WITH RECURSIVE below (oid) AS (
        SELECT i.inhrelid
        FROM pg_catalog.pg_partitioned_table p
        JOIN pg_catalog.pg_inherits i ON i.inhparent = p.partrelid
        WHERE p.partstrat = 'h' AND (
            0 = ANY (p.partattrs) OR EXISTS (
                SELECT 1
                FROM pg_catalog.pg_attribute a
                JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
                LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
                WHERE a.attrelid = p.partrelid AND a.attnum = ANY (p.partattrs)
                  AND coalesce(e.typtype, t.typtype) <> 'b'))
        UNION
        SELECT i.inhrelid FROM below JOIN pg_catalog.pg_inherits i ON i.inhparent = below.oid)
    SELECT n.nspname, c.relname, rn.nspname, r.relname
    FROM below
    JOIN pg_catalog.pg_class c ON c.oid = below.oid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_class r ON r.oid = pg_catalog.pg_partition_root(c.oid)
    JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
    WHERE c.relkind = 'r'";
