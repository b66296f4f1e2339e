//! Tables and what belongs to them (PostgreSQL documentation, chapter 53: `pg_class`, `pg_attribute`, `pg_index`,
//! `pg_constraint`, `pg_trigger`, `pg_rewrite`, `pg_policy`, `pg_sequence`, `pg_statistic_ext`).

use super::sql::{Scope, acl, acl_text, not_member, other_collation, owner, sorted};

/// The queries for these classes.
pub(super) fn queries(scope: &Scope<'_>) -> Vec<String> {
    vec![
        relations(scope),
        indexes(scope),
        constraints(scope),
        triggers(scope),
        rules(scope),
        policies(scope),
        sequences(scope),
        statistics(scope),
    ]
}

/// Tables of all kinds, views and composite types, each with its columns. A child of plain inheritance has its columns by
/// name: a dump may bring them back in another order. A default of null is none: a dump writes one where a child has no
/// default and its parent has.
fn relations(scope: &Scope<'_>) -> String {
    let compression = if scope.major >= 14 { "nullif(a.attcompression, '')" } else { "NULL::\"char\"" };
    format!(
        "WITH wanted AS (SELECT c.*, n.nspname, t.typacl, \
             EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid) AND NOT c.relispartition AS child \
           FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             LEFT JOIN pg_catalog.pg_type t ON t.oid = c.reltype \
           WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'c') AND {wanted} \
             AND NOT (c.relkind = 'c' AND NOT ({type_not_member}))), \
         columns AS (SELECT c.oid, \
             json_agg(json_build_array(a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, \
               a.attidentity, a.attgenerated, {collation}, \
               CASE WHEN a.attstorage <> t.typstorage AND c.relkind IN ('r', 'p', 'f', 'm') THEN a.attstorage END, \
               {compression}, CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END, {options}, {foreign_options}) \
               ORDER BY CASE WHEN c.child THEN a.attname END, a.attnum) AS exact, \
             string_agg(a.attname || ' ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid), E'\\x1e' ORDER BY a.attname) \
               AS defaults, \
             string_agg(a.attname || E'\\n' || {column_acl}, E'\\n' ORDER BY a.attname) \
               FILTER (WHERE a.attacl <> '{{}}') AS acl \
           FROM wanted c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
             JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
             LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
               AND pg_catalog.pg_get_expr(d.adbin, d.adrelid) !~ '^NULL(::|$)' \
           GROUP BY c.oid) \
         SELECT CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'f' THEN 'foreign table' \
             WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'composite type' END, \
           format('%I.%I', c.nspname, c.relname), {owner}, \
           concat_ws(E'\\n', CASE WHEN c.relkind = 'c' THEN {type_acl} ELSE {acl} END, columns.acl), \
           json_build_array(c.relpersistence, {reloptions}, {toast_options}, c.relreplident, \
             (SELECT x.relname FROM pg_catalog.pg_index r JOIN pg_catalog.pg_class x ON x.oid = r.indexrelid \
              WHERE r.indrelid = c.oid AND r.indisreplident), \
             am.amname, nullif(c.reloftype, 0)::pg_catalog.regtype::text, c.relrowsecurity, c.relforcerowsecurity, \
             (SELECT json_agg(i.inhparent::pg_catalog.regclass::text ORDER BY i.inhseqno) \
              FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid), \
             CASE WHEN c.relkind = 'm' THEN c.relispopulated AND {data} END, s.srvname, {ftoptions}, columns.exact, {reads})::text, \
           concat_ws(E'\\x1e', columns.defaults, pg_catalog.pg_get_partkeydef(c.oid), \
             pg_catalog.pg_get_expr(c.relpartbound, c.oid), \
             CASE WHEN c.relkind IN ('v', 'm') THEN E'\\x1d' || pg_catalog.pg_get_viewdef(c.oid) END) \
         FROM wanted c LEFT JOIN columns ON columns.oid = c.oid LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam \
           LEFT JOIN pg_catalog.pg_class toast ON toast.oid = c.reltoastrelid \
           LEFT JOIN pg_catalog.pg_foreign_table f ON f.ftrelid = c.oid \
           LEFT JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver",
        wanted = scope.relation(),
        type_not_member = not_member("pg_type", "c.reltype"),
        collation = other_collation("a.attcollation", "t.typcollation"),
        options = sorted("a.attoptions"),
        foreign_options = sorted("a.attfdwoptions"),
        column_acl = acl_text("a.attacl"),
        owner = owner("c.relowner"),
        type_acl = acl("c.typacl", "'T'", "c.relowner"),
        acl = acl("c.relacl", "'r'", "c.relowner"),
        reloptions = sorted("c.reloptions"),
        toast_options = sorted("toast.reloptions"),
        data = scope.selection.data_sql("c.oid"),
        ftoptions = sorted("f.ftoptions"),
        reads = reads("r.ev_class = c.oid"),
    )
}

/// An invalid index is not part of a dump.
fn indexes(scope: &Scope<'_>) -> String {
    format!(
        "SELECT 'index', format('%I.%I', n.nspname, x.relname), '', '', \
           json_build_array(i.indisclustered, \
             (SELECT h.inhparent::pg_catalog.regclass::text FROM pg_catalog.pg_inherits h WHERE h.inhrelid = x.oid), \
             (SELECT json_agg(json_build_array(a.attname, a.attstattarget) ORDER BY a.attnum) \
              FROM pg_catalog.pg_attribute a WHERE a.attrelid = x.oid AND a.attstattarget >= 0))::text, \
           pg_catalog.pg_get_indexdef(x.oid) \
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid \
           JOIN pg_catalog.pg_class c ON c.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE (i.indisvalid OR c.relkind = 'p') AND i.indisready AND {}",
        scope.relation()
    )
}

/// A foreign key of a partition that comes from its parent is made again with the parent's, under any name. In 18,
/// `NOT NULL` is a constraint too: it is compared with the column, unless it says more than the column can.
fn constraints(scope: &Scope<'_>) -> String {
    format!(
        "SELECT 'constraint', format('%I.%I.%I', n.nspname, c.relname, k.conname), '', '', k.contype::text, \
           pg_catalog.pg_get_constraintdef(k.oid) \
         FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE (k.contype IN ('c', 'p', 'u', 'x') OR (k.contype = 'f' AND k.conparentid = 0) \
             OR (k.contype = 'n' AND (NOT k.convalidated OR k.connoinherit))) AND {}",
        scope.relation()
    )
}

/// A row trigger of a partition that comes from its parent is made again with the parent's. It counts as internal in 13 and
/// 14, so its parent is asked.
fn triggers(scope: &Scope<'_>) -> String {
    format!(
        "SELECT 'trigger', format('%I.%I.%I', n.nspname, c.relname, t.tgname), '', '', t.tgenabled::text, \
           pg_catalog.pg_get_triggerdef(t.oid) \
         FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
           LEFT JOIN pg_catalog.pg_trigger p ON p.oid = t.tgparentid \
         WHERE NOT coalesce(p.tgisinternal, t.tgisinternal) AND (p.oid IS NULL OR p.tgenabled <> t.tgenabled) AND {}",
        scope.relation()
    )
}

fn rules(scope: &Scope<'_>) -> String {
    format!(
        "SELECT 'rule', format('%I.%I.%I', n.nspname, c.relname, x.rulename), '', '', \
           json_build_array(x.ev_enabled, {reads})::text, E'\\x1d' || pg_catalog.pg_get_ruledef(x.oid) \
         FROM pg_catalog.pg_rewrite x JOIN pg_catalog.pg_class c ON c.oid = x.ev_class \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE x.rulename <> '_RETURN' AND {wanted}",
        reads = reads("r.oid = x.oid"),
        wanted = scope.relation(),
    )
}

/// The relations that a rule of `pg_rewrite r` refers to: its text, as it is compared, leaves out their schemas.
fn reads(rule: &str) -> String {
    format!(
        "(SELECT json_agg(DISTINCT d.refobjid::pg_catalog.regclass::text COLLATE \"C\") FROM pg_catalog.pg_rewrite r \
           JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid \
             AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'n' \
             AND d.refobjid <> r.ev_class WHERE {rule})"
    )
}

fn policies(scope: &Scope<'_>) -> String {
    format!(
        "SELECT 'policy', format('%I.%I.%I', n.nspname, c.relname, p.polname), '', '', \
           json_build_array(p.polcmd, p.polpermissive, \
             (SELECT json_agg(pg_catalog.pg_get_userbyid(r) ORDER BY pg_catalog.pg_get_userbyid(r)) \
              FROM unnest(p.polroles) r WHERE r <> 0))::text, \
           concat('using ', pg_catalog.pg_get_expr(p.polqual, p.polrelid), E'\\x1e', 'check ', \
             pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)) \
         FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {}",
        scope.relation()
    )
}

/// Without its value. The sequence of an identity column belongs to its table.
fn sequences(scope: &Scope<'_>) -> String {
    format!(
        "SELECT 'sequence', format('%I.%I', n.nspname, c.relname), {owner}, {acl}, \
           json_build_array(pg_catalog.format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmax, s.seqmin, \
             s.seqcache, s.seqcycle, c.relpersistence, o.deptype, o.refobjid::pg_catalog.regclass::text, \
             (SELECT a.attname FROM pg_catalog.pg_attribute a \
              WHERE a.attrelid = o.refobjid AND a.attnum = o.refobjsubid))::text, '' \
         FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
           LEFT JOIN pg_catalog.pg_depend o ON o.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
             AND o.objid = c.oid AND o.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND o.refobjsubid > 0 \
             AND o.deptype IN ('a', 'i') \
         WHERE {wanted} AND NOT (o.deptype IS NOT DISTINCT FROM 'i' AND NOT ({table_wanted}))",
        owner = owner("c.relowner"),
        acl = acl("c.relacl", "'s'", "c.relowner"),
        wanted = scope.relation(),
        table_wanted = scope.selection.relation_sql("o.refobjid"),
    )
}

fn statistics(scope: &Scope<'_>) -> String {
    format!(
        "SELECT 'statistics object', format('%I.%I', sn.nspname, s.stxname), {owner}, '', \
           (CASE WHEN s.stxstattarget >= 0 THEN s.stxstattarget END)::text, pg_catalog.pg_get_statisticsobjdef(s.oid) \
         FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_class c ON c.oid = s.stxrelid \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
           JOIN pg_catalog.pg_namespace sn ON sn.oid = s.stxnamespace WHERE {wanted}",
        owner = owner("s.stxowner"),
        wanted = scope.relation(),
    )
}
