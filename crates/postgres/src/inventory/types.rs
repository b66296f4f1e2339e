//! Types, and collations and text search that work on them (PostgreSQL documentation, chapter 53: `pg_type`, `pg_enum`,
//! `pg_range`, `pg_collation`, `pg_ts_config`, `pg_ts_dict`, `pg_ts_parser`, `pg_ts_template`).

use super::sql::{Scope, acl, not_member, other_collation, owner};

/// The queries for these classes.
pub(super) fn queries(scope: &Scope<'_>) -> Vec<String> {
    vec![
        types(scope),
        collations(scope),
        text_search_configurations(scope),
        text_search_dictionaries(scope),
        text_search_parsers(scope),
        text_search_templates(scope),
    ]
}

/// The multirange type of a range type, where it is not called as it would be by itself: versions before 14 have none.
const MULTIRANGE: &str = "(SELECT m.typname FROM pg_catalog.pg_type m WHERE m.oid = r.rngmultitypid \
    AND m.typname NOT IN (regexp_replace(t.typname, 'range', 'multirange'), t.typname || '_multirange'))";

/// Composite types are relations; row types, arrays and multiranges come with what they are made for.
fn types(scope: &Scope<'_>) -> String {
    let (subscript, multirange) = if scope.major >= 14 {
        ("nullif(t.typsubscript, 0)::pg_catalog.regprocedure::text", MULTIRANGE)
    } else {
        ("NULL", "NULL")
    };
    format!(
        "SELECT CASE t.typtype WHEN 'd' THEN 'domain' WHEN 'e' THEN 'enum' WHEN 'r' THEN 'range type' \
             ELSE 'base type' END, format('%I.%I', n.nspname, t.typname), {owner}, {acl}, \
           CASE t.typtype \
             WHEN 'e' THEN (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e \
                            WHERE e.enumtypid = t.oid) \
             WHEN 'd' THEN json_build_array(pg_catalog.format_type(t.typbasetype, t.typtypmod), t.typnotnull, {collation}) \
             WHEN 'r' THEN json_build_array(pg_catalog.format_type(r.rngsubtype, NULL), {range_collation}, \
                 format('%I.%I', o_n.nspname, o.opcname), nullif(r.rngcanonical, 0)::pg_catalog.regprocedure::text, \
                 nullif(r.rngsubdiff, 0)::pg_catalog.regprocedure::text, {multirange}) \
             ELSE json_build_array(t.typlen, t.typbyval, t.typcategory, t.typispreferred, t.typdelim, \
                 pg_catalog.format_type(nullif(t.typelem, 0), NULL), t.typinput::pg_catalog.regprocedure::text, \
                 t.typoutput::pg_catalog.regprocedure::text, nullif(t.typreceive, 0)::pg_catalog.regprocedure::text, \
                 nullif(t.typsend, 0)::pg_catalog.regprocedure::text, \
                 nullif(t.typmodin, 0)::pg_catalog.regprocedure::text, \
                 nullif(t.typmodout, 0)::pg_catalog.regprocedure::text, \
                 nullif(t.typanalyze, 0)::pg_catalog.regprocedure::text, {subscript}, t.typalign, t.typstorage, \
                 t.typdefault, t.typcollation <> 0) END::text, \
           CASE t.typtype WHEN 'd' THEN concat_ws(E'\\x1e', pg_catalog.pg_get_expr(t.typdefaultbin, 0), \
               (SELECT string_agg(k.conname || ' ' || pg_catalog.pg_get_constraintdef(k.oid), E'\\x1e' ORDER BY k.conname) \
                FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c')) ELSE '' END \
         FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
           LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype \
           LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid \
           LEFT JOIN pg_catalog.pg_type rs ON rs.oid = r.rngsubtype \
           LEFT JOIN pg_catalog.pg_opclass o ON o.oid = r.rngsubopc \
           LEFT JOIN pg_catalog.pg_namespace o_n ON o_n.oid = o.opcnamespace \
         WHERE t.typtype IN ('b', 'd', 'e', 'r') AND t.typisdefined AND {schema} AND {not_member} \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_type a WHERE a.typarray = t.oid)",
        owner = owner("t.typowner"),
        acl = acl("t.typacl", "'T'", "t.typowner"),
        collation = other_collation("t.typcollation", "b.typcollation"),
        range_collation = other_collation("r.rngcollation", "rs.typcollation"),
        schema = scope.schema(),
        not_member = not_member("pg_type", "t.oid"),
    )
}

/// Where a locale is written moved between versions.
fn collations(scope: &Scope<'_>) -> String {
    format!(
        "SELECT 'collation', format('%I.%I', n.nspname, k.collname), {owner}, '', \
           json_build_array(k.collprovider, k.collisdeterministic, \
             coalesce(to_jsonb(k) ->> 'colllocale', to_jsonb(k) ->> 'colliculocale', k.collcollate::text), \
             coalesce(to_jsonb(k) ->> 'colllocale', to_jsonb(k) ->> 'colliculocale', k.collctype::text), \
             to_jsonb(k) ->> 'collicurules')::text, '' \
         FROM pg_catalog.pg_collation k JOIN pg_catalog.pg_namespace n ON n.oid = k.collnamespace \
         WHERE {schema} AND {not_member}",
        owner = owner("k.collowner"),
        schema = scope.schema(),
        not_member = not_member("pg_collation", "k.oid"),
    )
}

fn text_search_configurations(scope: &Scope<'_>) -> String {
    format!(
        "SELECT 'text search configuration', format('%I.%I', n.nspname, k.cfgname), {owner}, '', \
           json_build_array(format('%I.%I', pn.nspname, p.prsname), \
             (SELECT json_agg(json_build_array(m.maptokentype, m.mapdict::pg_catalog.regdictionary::text) \
                ORDER BY m.maptokentype, m.mapseqno) \
              FROM pg_catalog.pg_ts_config_map m WHERE m.mapcfg = k.oid))::text, '' \
         FROM pg_catalog.pg_ts_config k JOIN pg_catalog.pg_namespace n ON n.oid = k.cfgnamespace \
           JOIN pg_catalog.pg_ts_parser p ON p.oid = k.cfgparser \
           JOIN pg_catalog.pg_namespace pn ON pn.oid = p.prsnamespace WHERE {schema} AND {not_member}",
        owner = owner("k.cfgowner"),
        schema = scope.schema(),
        not_member = not_member("pg_ts_config", "k.oid"),
    )
}

fn text_search_dictionaries(scope: &Scope<'_>) -> String {
    format!(
        "SELECT 'text search dictionary', format('%I.%I', n.nspname, k.dictname), {owner}, '', \
           json_build_array(format('%I.%I', tn.nspname, t.tmplname), k.dictinitoption)::text, '' \
         FROM pg_catalog.pg_ts_dict k JOIN pg_catalog.pg_namespace n ON n.oid = k.dictnamespace \
           JOIN pg_catalog.pg_ts_template t ON t.oid = k.dicttemplate \
           JOIN pg_catalog.pg_namespace tn ON tn.oid = t.tmplnamespace WHERE {schema} AND {not_member}",
        owner = owner("k.dictowner"),
        schema = scope.schema(),
        not_member = not_member("pg_ts_dict", "k.oid"),
    )
}

fn text_search_parsers(scope: &Scope<'_>) -> String {
    format!(
        "SELECT 'text search parser', format('%I.%I', n.nspname, k.prsname), '', '', \
           json_build_array(k.prsstart::text, k.prstoken::text, k.prsend::text, k.prsheadline::text, \
             k.prslextype::text)::text, '' \
         FROM pg_catalog.pg_ts_parser k JOIN pg_catalog.pg_namespace n ON n.oid = k.prsnamespace \
         WHERE {} AND {}",
        scope.schema(),
        not_member("pg_ts_parser", "k.oid")
    )
}

fn text_search_templates(scope: &Scope<'_>) -> String {
    format!(
        "SELECT 'text search template', format('%I.%I', n.nspname, k.tmplname), '', '', \
           json_build_array(k.tmplinit::text, k.tmpllexize::text)::text, '' \
         FROM pg_catalog.pg_ts_template k JOIN pg_catalog.pg_namespace n ON n.oid = k.tmplnamespace \
         WHERE {} AND {}",
        scope.schema(),
        not_member("pg_ts_template", "k.oid")
    )
}
