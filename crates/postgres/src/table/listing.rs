//! Which tables there are (PostgreSQL documentation, chapter 53: `pg_class`, `pg_attribute`, `pg_extension`).

use model::{Filters, QualifiedName};

use super::{RANGE_BYTES, Spelling, TID_RANGE_SCAN_SINCE, Table, TableKind};
use crate::filter::{self, FilterError, Selection};
use crate::{Client, Error, Row, session};

/// A table, with what a snapshot has to know about it.
#[derive(Debug)]
pub(crate) struct ListedTable {
    pub(crate) table: Table,
    /// Whether the snapshot sees the table in the storage that it is in now. If not, it was truncated or rewritten by a
    /// transaction that the snapshot does not see, and its rows, as the snapshot sees them, are gone.
    pub(crate) storage_is_current: bool,
    /// Whether row-level security would hide rows from the role.
    pub(crate) rows_hidden: bool,
}

/// A table as it is before it is locked: what there is to lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockableTable {
    pub(crate) oid: u32,
    pub(crate) name: QualifiedName,
    /// Whether the role may read, and so lock it.
    pub(crate) readable: bool,
}

/// Every table of the database that `filters` do not exclude, sorted by name. Sizes are those of now: whoever reads the
/// tables must hold locks on them, as [`crate::Snapshot`] does.
pub fn list_tables(client: &mut Client, filters: &Filters) -> Result<Vec<Table>, FilterError> {
    session::in_utf8(client, |client| {
        let selection = filter::select(client, filters)?;
        let tables = list_for_snapshot(client, &selection)?;
        Ok(tables.into_iter().map(|listed| listed.table).collect())
    })
}

/// Tables that can be locked and hold rows, or whose partitions do. Uses nothing that would wait for a lock.
pub(crate) fn list_lockable(client: &mut Client, selection: &Selection) -> Result<Vec<LockableTable>, Error> {
    let sql = format!(
        "{} SELECT c.oid, n.nspname, c.relname, pg_catalog.has_table_privilege(c.oid, 'SELECT') {} AND c.relkind IN ('r', 'p') ORDER BY n.nspname, c.relname",
        CONFIGURATION_TABLES,
        from_sql(selection)
    );
    let read = |row: &Row| {
        let name = QualifiedName::new(row.text(1)?, row.text(2)?);
        Ok(LockableTable { oid: row.number(0)?, name, readable: row.is_true(3) })
    };
    client.query(&sql, &[])?.iter().map(read).collect()
}

/// All tables, with sizes. The tables must be locked: asking for a size waits for whoever rewrites the table.
pub(crate) fn list_for_snapshot(
    client: &mut Client,
    selection: &Selection,
) -> Result<Vec<ListedTable>, Error> {
    let sql = format!(
        "{CONFIGURATION_TABLES} SELECT c.oid, n.nspname, c.relname, c.relkind, c.relispartition, c.relispopulated, \
           c.relpersistence = 'u', coalesce(am.amname::text, ''), configured.extension, configured.condition, \
           CASE WHEN c.relkind = 'r' THEN pg_catalog.pg_relation_size(c.oid) END, \
           CASE WHEN c.relkind = 'r' THEN pg_catalog.pg_relation_size(c.reltoastrelid) END, \
           c.relkind <> 'r' OR c.relfilenode = pg_catalog.pg_relation_filenode(c.oid), \
           pg_catalog.row_security_active(c.oid), \
           {data} AND NOT (c.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery()), \
           (SELECT coalesce(pg_catalog.json_agg(a.attname ORDER BY a.attnum), '[]') FROM pg_catalog.pg_attribute a \
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''), \
           pg_catalog.getdatabaseencoding(), pg_catalog.current_setting('block_size') \
         {from} ORDER BY n.nspname, c.relname",
        data = selection.data_sql("c.oid"),
        from = from_sql(selection),
    );
    let major = client.server_major();
    client.query(&sql, &[])?.iter().map(|row| read_listed(row, major)).collect()
}

/// Configuration tables of extensions: the extension brings the table, the database keeps rows of it
/// (PostgreSQL documentation, 38.17.3).
const CONFIGURATION_TABLES: &str = "WITH configured AS (SELECT x.relation, nullif(x.condition, '') AS condition, e.extname AS extension \
       FROM pg_catalog.pg_extension e, LATERAL unnest(e.extconfig, e.extcondition) x(relation, condition))";

/// Tables that `pg_dump` would dump the definition or the rows of: those of the wanted schemas that no extension brings,
/// and the configuration tables of extensions.
fn from_sql(selection: &Selection) -> String {
    // With a choice of schemas, an extension is not part of the dump, but its tables in these schemas are.
    let configured_schema =
        if selection.everything() { "true".into() } else { selection.schema_sql("n.oid", "n.nspname") };
    format!(
        "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
           LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam LEFT JOIN configured ON configured.relation = c.oid \
         WHERE c.relkind IN ('r', 'p', 'm', 'f') AND c.relpersistence <> 't' AND {relation} \
           AND CASE WHEN configured.relation IS NOT NULL THEN {configured_schema} \
               ELSE {schema} AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.deptype = 'e' \
                 AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.objsubid = 0) END",
        relation = selection.relation_sql("c.oid"),
        schema = selection.schema_sql("n.oid", "n.nspname"),
    )
}

fn read_listed(row: &Row, major: u32) -> Result<ListedTable, Error> {
    let kind = match (row.text(3)?, row.is_true(4)) {
        ("r", false) => TableKind::Plain,
        ("r", true) => TableKind::Leaf,
        ("p", _) => TableKind::Partitioned,
        ("m", _) => TableKind::MaterializedView { populated: row.is_true(5) },
        _ => TableKind::Foreign,
    };
    let access_method = row.text(7)?.to_owned();
    let condition = row.get(9).map(str::to_owned);
    let bytes = row.get(10).map_or(Ok(0), |_| row.number(10))?;
    let block_size: u64 = row.number(17)?;
    let splittable = major >= TID_RANGE_SCAN_SINCE && access_method == "heap" && condition.is_none();
    let table = Table {
        oid: row.number(0)?,
        name: QualifiedName::new(row.text(1)?, row.text(2)?),
        kind,
        columns: columns(row.text(15)?)?,
        pages: bytes / block_size.max(1),
        bytes,
        toast_bytes: row.get(11).map_or(Ok(0), |_| row.number(11))?,
        unlogged: row.is_true(6),
        access_method,
        rows_wanted: kind.stores_rows() && row.is_true(14),
        extension: row.get(8).map(str::to_owned),
        condition,
        spelling: Spelling::of_encoding(row.text(16)?),
        range_pages: splittable.then_some(RANGE_BYTES / block_size.max(1)),
    };
    Ok(ListedTable { table, storage_is_current: row.is_true(12), rows_hidden: row.is_true(13) })
}

fn columns(json: &str) -> Result<Vec<String>, Error> {
    serde_json::from_str(json).map_err(|e| Error::Unexpected { problem: format!("columns of a table: {e}") })
}
