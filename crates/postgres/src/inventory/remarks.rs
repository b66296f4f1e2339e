//! What is said about other objects: comments, security labels, and privileges on objects that are not part of a dump
//! themselves (PostgreSQL documentation, chapter 53: `pg_description`, `pg_seclabel`, `pg_init_privs`).

use super::sql::{Scope, acl_text, member, not_member};

/// The queries for these classes.
pub(super) fn queries(scope: &Scope<'_>) -> Vec<String> {
    let mut queries = vec![on_relations(scope), on_others(scope)];
    if scope.selection.everything() {
        queries.push(changed_privileges());
    }
    queries
}

/// Comments and security labels alike.
const REMARKS: &str = "(SELECT 'comment' AS class, '' AS provider, objoid, classoid, objsubid, description AS remark \
       FROM pg_catalog.pg_description \
     UNION ALL SELECT 'security label', provider || ': ', objoid, classoid, objsubid, label FROM pg_catalog.pg_seclabel)";

/// On relations of all kinds and their columns: there may be very many, so their names are put together here.
fn on_relations(scope: &Scope<'_>) -> String {
    let index_wanted = format!(
        "(i.indrelid IS NULL OR ({} AND {}))",
        scope.selection.relation_sql("i.indrelid"),
        not_member("pg_class", "i.indrelid")
    );
    format!(
        "SELECT r.class, format('%son %I.%I%s', r.provider, n.nspname, c.relname, '.' || quote_ident(a.attname)), '', '', \
           r.remark, '' \
         FROM {REMARKS} r JOIN pg_catalog.pg_class c ON c.oid = r.objoid \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
           LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid \
           LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = nullif(r.objsubid, 0) \
         WHERE r.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND {wanted} AND {index_wanted} \
           AND NOT (c.relkind = 'c' AND EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.deptype = 'e' \
             AND e.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND e.objid = c.reltype))",
        wanted = scope.relation(),
    )
}

/// On everything else. What belongs to a relation is wanted with the relation; what has no schema, with everything.
/// OIDs below 16384 are given at `initdb`; of these, only the schema `public` is part of a dump.
fn on_others(scope: &Scope<'_>) -> String {
    let everything = scope.selection.everything();
    format!(
        "SELECT r.class, format('%son %s %s', r.provider, o.type, o.identity), '', '', r.remark, '' \
         FROM {REMARKS} r \
           LEFT JOIN pg_catalog.pg_constraint k ON r.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass \
             AND k.oid = r.objoid \
           LEFT JOIN pg_catalog.pg_trigger t ON r.classoid = 'pg_catalog.pg_trigger'::pg_catalog.regclass \
             AND t.oid = r.objoid \
           LEFT JOIN pg_catalog.pg_rewrite w ON r.classoid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass \
             AND w.oid = r.objoid \
           LEFT JOIN pg_catalog.pg_policy p ON r.classoid = 'pg_catalog.pg_policy'::pg_catalog.regclass \
             AND p.oid = r.objoid \
           LEFT JOIN pg_catalog.pg_class c ON c.oid = coalesce(nullif(k.conrelid, 0), t.tgrelid, w.ev_class, p.polrelid) \
           LEFT JOIN pg_catalog.pg_type d ON d.oid = nullif(k.contypid, 0) \
           CROSS JOIN LATERAL pg_catalog.pg_identify_object(r.classoid, r.objoid, r.objsubid) o \
           LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = o.schema OR n.oid = c.relnamespace OR n.oid = d.typnamespace \
             OR (o.type = 'schema' AND quote_ident(n.nspname) = o.identity) \
         WHERE r.classoid <> 'pg_catalog.pg_class'::pg_catalog.regclass \
           AND (r.objoid >= 16384 OR (o.type = 'schema' AND o.identity = 'public')) \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.deptype = 'e' AND e.classid = r.classoid \
             AND e.objid = r.objoid) \
           AND CASE WHEN n.oid IS NULL THEN {everything} \
             WHEN c.oid IS NOT NULL THEN {relation} ELSE {schema} END",
        relation = scope.relation(),
        schema = scope.schema(),
    )
}

/// On objects of PostgreSQL itself and of extensions, where somebody changed the privileges that they came with.
fn changed_privileges() -> String {
    let objects = [
        (
            "pg_class",
            "relacl",
            "CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\"",
            "relowner",
            "relnamespace",
        ),
        ("pg_proc", "proacl", "'f'", "proowner", "pronamespace"),
        ("pg_type", "typacl", "'T'", "typowner", "typnamespace"),
        ("pg_language", "lanacl", "'l'", "lanowner", "CASE WHEN o.oid < 16384 THEN 11 END"),
        ("pg_namespace", "nspacl", "'n'", "nspowner", "0"),
        ("pg_foreign_data_wrapper", "fdwacl", "'F'", "fdwowner", "0"),
        ("pg_foreign_server", "srvacl", "'S'", "srvowner", "0"),
    ];
    let objects: Vec<String> = objects
        .iter()
        .map(|(catalog, acl, kind, owner, namespace)| {
            let member = member(catalog, "o.oid");
            format!(
                "SELECT 'pg_catalog.{catalog}'::pg_catalog.regclass AS class, o.oid, \
                   coalesce(o.{acl}, pg_catalog.acldefault({kind}, o.{owner})) AS acl, \
                   coalesce(i.initprivs, pg_catalog.acldefault({kind}, o.{owner})) AS initial \
                 FROM pg_catalog.{catalog} o LEFT JOIN pg_catalog.pg_init_privs i \
                   ON i.classoid = 'pg_catalog.{catalog}'::pg_catalog.regclass AND i.objoid = o.oid AND i.objsubid = 0 \
                 WHERE (o.{acl} IS NOT NULL OR i.initprivs IS NOT NULL) \
                   AND ({namespace} = 'pg_catalog'::pg_catalog.regnamespace OR {member})"
            )
        })
        .collect();
    format!(
        "SELECT 'privileges', o.type || ' ' || o.identity, '', {acl}, '', '' \
         FROM ({objects}) x, LATERAL pg_catalog.pg_identify_object(x.class, x.oid, 0) o \
         WHERE NOT (x.acl @> x.initial AND x.acl <@ x.initial)",
        acl = acl_text("x.acl"),
        objects = objects.join(" UNION ALL "),
    )
}
