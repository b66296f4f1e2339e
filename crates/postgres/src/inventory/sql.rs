//! Pieces of SQL that the queries of the inventory share.
//!
//! Every query of the inventory yields the same six columns: class, name, owner, privileges, the exact part of the
//! definition, and the part that is made of expressions.

use crate::filter::Selection;

/// What is wanted, and from which version of the server.
pub(super) struct Scope<'a> {
    pub(super) selection: &'a Selection,
    pub(super) major: u32,
    pub(super) superuser: bool,
}

impl Scope<'_> {
    /// True for objects in the wanted schemas, where `n` is `pg_namespace`.
    pub(super) fn schema(&self) -> String {
        self.selection.schema_sql("n.oid", "n.nspname")
    }

    /// True for wanted relations, where `c` is `pg_class` and `n` is its schema.
    pub(super) fn relation(&self) -> String {
        format!(
            "{} AND {} AND c.relpersistence <> 't' AND {}",
            self.schema(),
            self.selection.relation_sql("c.oid"),
            not_member("pg_class", "c.oid")
        )
    }
}

/// True for an object that no extension brings.
pub(super) fn not_member(catalog: &str, oid: &str) -> String {
    format!("NOT {}", member(catalog, oid))
}

/// True for an object that an extension brings.
pub(super) fn member(catalog: &str, oid: &str) -> String {
    format!(
        "EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.deptype = 'e' AND e.objsubid = 0 \
         AND e.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass AND e.objid = {oid})"
    )
}

/// The name of the owner.
pub(super) fn owner(oid: &str) -> String {
    format!("pg_catalog.pg_get_userbyid({oid})")
}

/// Privileges as sorted text; empty where they are what the owner's objects of this kind have by default, written down or
/// not: a dump does not tell these apart. `kind` is an expression as for `acldefault`.
pub(super) fn acl(acl: &str, kind: &str, owner: &str) -> String {
    format!(
        "CASE WHEN {acl} IS NULL OR ({acl} @> pg_catalog.acldefault({kind}, {owner}) \
           AND {acl} <@ pg_catalog.acldefault({kind}, {owner})) THEN '' ELSE {} END",
        acl_text(acl)
    )
}

/// Privileges as sorted text. Version 17 brought `MAINTAIN`: all privileges of a table are the same with and without it,
/// so that a table restored on another major version does not differ.
pub(super) fn acl_text(acl: &str) -> String {
    format!(
        "(SELECT coalesce(string_agg(g.line, E'\\n' ORDER BY g.line COLLATE \"C\"), 'nobody') FROM ( \
           SELECT CASE x.grantee WHEN 0 THEN 'public' ELSE quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) END \
             || ' from ' || quote_ident(pg_catalog.pg_get_userbyid(x.grantor)) || ': ' \
             || string_agg(x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END, ',' \
                  ORDER BY x.privilege_type COLLATE \"C\") \
                FILTER (WHERE x.privilege_type <> 'MAINTAIN' OR x.total < 8) AS line \
           FROM (SELECT a.*, count(*) OVER (PARTITION BY a.grantee, a.grantor) AS total \
                 FROM pg_catalog.aclexplode({acl}) a) x GROUP BY x.grantee, x.grantor) g)"
    )
}

/// An array of text in an order that does not depend on how it was made.
pub(super) fn sorted(array: &str) -> String {
    format!("(SELECT array_agg(o ORDER BY o COLLATE \"C\") FROM unnest({array}) o)")
}

/// The name of a collation, where it is not the one that the type brings.
pub(super) fn other_collation(collation: &str, of_type: &str) -> String {
    format!("CASE WHEN {collation} <> {of_type} THEN {collation}::pg_catalog.regcollation::text END")
}
