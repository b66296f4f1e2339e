//! Functions, operators and what is made of them (PostgreSQL documentation, chapter 53: `pg_proc`, `pg_aggregate`,
//! `pg_operator`, `pg_opclass`, `pg_opfamily`, `pg_cast`, `pg_conversion`, `pg_transform`).

use super::sql::{Scope, acl, not_member, owner, sorted};

/// The queries for these classes.
pub(super) fn queries(scope: &Scope<'_>) -> Vec<String> {
    let mut queries = vec![
        functions(scope),
        operators(scope),
        operator_families(scope),
        operator_classes(scope),
        conversions(scope),
    ];
    if scope.selection.everything() {
        queries.extend([casts(), transforms()]);
    }
    queries
}

/// A body that is a string is compared as it is; one that is parsed (`BEGIN ATOMIC`, from 14 on) as an expression.
fn functions(scope: &Scope<'_>) -> String {
    let body =
        if scope.major >= 14 { "E'\\x1d' || pg_catalog.pg_get_function_sqlbody(p.oid)" } else { "NULL" };
    format!(
        "SELECT CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' WHEN 'w' THEN 'window function' \
             ELSE 'function' END, p.oid::pg_catalog.regprocedure::text, {owner}, {acl}, \
           json_build_array(l.lanname, p.prosrc, p.probin, {configuration}, p.provolatile, p.proisstrict, p.prosecdef, \
             p.proleakproof, p.procost, p.prorows, p.proparallel, nullif(p.prosupport, 0)::pg_catalog.regprocedure::text, \
             pg_catalog.pg_get_function_result(p.oid), p.protrftypes::pg_catalog.regtype[]::text, \
             g.aggkind, g.aggnumdirectargs, nullif(g.aggtransfn, 0)::pg_catalog.regprocedure::text, \
             nullif(g.aggfinalfn, 0)::pg_catalog.regprocedure::text, \
             nullif(g.aggcombinefn, 0)::pg_catalog.regprocedure::text, \
             nullif(g.aggserialfn, 0)::pg_catalog.regprocedure::text, \
             nullif(g.aggdeserialfn, 0)::pg_catalog.regprocedure::text, \
             nullif(g.aggmtransfn, 0)::pg_catalog.regprocedure::text, \
             nullif(g.aggminvtransfn, 0)::pg_catalog.regprocedure::text, \
             nullif(g.aggmfinalfn, 0)::pg_catalog.regprocedure::text, g.aggfinalextra, g.aggmfinalextra, \
             g.aggfinalmodify, g.aggmfinalmodify, nullif(g.aggsortop, 0)::pg_catalog.regoperator::text, \
             pg_catalog.format_type(g.aggtranstype, NULL), g.aggtransspace, pg_catalog.format_type(g.aggmtranstype, NULL), \
             g.aggmtransspace, g.agginitval, g.aggminitval)::text, \
           concat_ws(E'\\x1e', pg_catalog.pg_get_function_arguments(p.oid), {body}) \
         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
           JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
           LEFT JOIN pg_catalog.pg_aggregate g ON g.aggfnoid = p.oid \
         WHERE {schema} AND {not_member} AND {no_range_constructor}",
        owner = owner("p.proowner"),
        acl = acl("p.proacl", "'f'", "p.proowner"),
        configuration = sorted("p.proconfig"),
        schema = scope.schema(),
        not_member = not_member("pg_proc", "p.oid"),
        no_range_constructor = "NOT EXISTS (SELECT FROM pg_catalog.pg_depend i \
            WHERE i.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND i.objid = p.oid AND i.deptype = 'i')",
    )
}

fn operators(scope: &Scope<'_>) -> String {
    format!(
        "SELECT 'operator', o.oid::pg_catalog.regoperator::text, {owner}, '', \
           json_build_array(o.oprcode::pg_catalog.regprocedure::text, nullif(o.oprcom, 0)::pg_catalog.regoperator::text, \
             nullif(o.oprnegate, 0)::pg_catalog.regoperator::text, nullif(o.oprrest, 0)::pg_catalog.regprocedure::text, \
             nullif(o.oprjoin, 0)::pg_catalog.regprocedure::text, o.oprcanmerge, o.oprcanhash)::text, '' \
         FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace \
         WHERE o.oprcode <> 0 AND {schema} AND {not_member}",
        owner = owner("o.oprowner"),
        schema = scope.schema(),
        not_member = not_member("pg_operator", "o.oid"),
    )
}

/// With the operators and functions of all its classes.
fn operator_families(scope: &Scope<'_>) -> String {
    format!(
        "SELECT 'operator family', format('%I.%I USING %I', n.nspname, f.opfname, am.amname), {owner}, '', \
           json_build_array( \
             (SELECT json_agg(json_build_array(pg_catalog.format_type(o.amoplefttype, NULL), \
                pg_catalog.format_type(o.amoprighttype, NULL), o.amopstrategy, o.amoppurpose, \
                o.amopopr::pg_catalog.regoperator::text, sf.opfname) \
                ORDER BY o.amopstrategy, pg_catalog.format_type(o.amoplefttype, NULL) COLLATE \"C\", \
                  pg_catalog.format_type(o.amoprighttype, NULL) COLLATE \"C\", o.amoppurpose) \
              FROM pg_catalog.pg_amop o LEFT JOIN pg_catalog.pg_opfamily sf ON sf.oid = o.amopsortfamily \
              WHERE o.amopfamily = f.oid), \
             (SELECT json_agg(json_build_array(pg_catalog.format_type(p.amproclefttype, NULL), \
                pg_catalog.format_type(p.amprocrighttype, NULL), p.amprocnum, p.amproc::pg_catalog.regprocedure::text) \
                ORDER BY p.amprocnum, pg_catalog.format_type(p.amproclefttype, NULL) COLLATE \"C\", \
                  pg_catalog.format_type(p.amprocrighttype, NULL) COLLATE \"C\") \
              FROM pg_catalog.pg_amproc p WHERE p.amprocfamily = f.oid))::text, '' \
         FROM pg_catalog.pg_opfamily f JOIN pg_catalog.pg_namespace n ON n.oid = f.opfnamespace \
           JOIN pg_catalog.pg_am am ON am.oid = f.opfmethod WHERE {schema} AND {not_member}",
        owner = owner("f.opfowner"),
        schema = scope.schema(),
        not_member = not_member("pg_opfamily", "f.oid"),
    )
}

fn operator_classes(scope: &Scope<'_>) -> String {
    format!(
        "SELECT 'operator class', format('%I.%I USING %I', n.nspname, o.opcname, am.amname), {owner}, '', \
           json_build_array(o.opcdefault, pg_catalog.format_type(o.opcintype, NULL), \
             pg_catalog.format_type(o.opckeytype, NULL), format('%I.%I', fn.nspname, f.opfname))::text, '' \
         FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_namespace n ON n.oid = o.opcnamespace \
           JOIN pg_catalog.pg_am am ON am.oid = o.opcmethod JOIN pg_catalog.pg_opfamily f ON f.oid = o.opcfamily \
           JOIN pg_catalog.pg_namespace fn ON fn.oid = f.opfnamespace WHERE {schema} AND {not_member}",
        owner = owner("o.opcowner"),
        schema = scope.schema(),
        not_member = not_member("pg_opclass", "o.oid"),
    )
}

fn conversions(scope: &Scope<'_>) -> String {
    format!(
        "SELECT 'conversion', format('%I.%I', n.nspname, o.conname), {owner}, '', \
           json_build_array(pg_catalog.pg_encoding_to_char(o.conforencoding), \
             pg_catalog.pg_encoding_to_char(o.contoencoding), o.conproc::pg_catalog.regproc::text, o.condefault)::text, '' \
         FROM pg_catalog.pg_conversion o JOIN pg_catalog.pg_namespace n ON n.oid = o.connamespace \
         WHERE {schema} AND {not_member}",
        owner = owner("o.conowner"),
        schema = scope.schema(),
        not_member = not_member("pg_conversion", "o.oid"),
    )
}

/// Those that a user made: OIDs below 16384 are given at `initdb`.
fn casts() -> String {
    format!(
        "SELECT 'cast', format('%s AS %s', pg_catalog.format_type(k.castsource, NULL), \
             pg_catalog.format_type(k.casttarget, NULL)), '', '', \
           json_build_array(nullif(k.castfunc, 0)::pg_catalog.regprocedure::text, k.castcontext, k.castmethod)::text, '' \
         FROM pg_catalog.pg_cast k WHERE k.oid >= 16384 AND {} \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend i \
             WHERE i.classid = 'pg_catalog.pg_cast'::pg_catalog.regclass AND i.objid = k.oid AND i.deptype = 'i')",
        not_member("pg_cast", "k.oid")
    )
}

fn transforms() -> String {
    format!(
        "SELECT 'transform', format('for %s language %I', pg_catalog.format_type(f.trftype, NULL), l.lanname), '', '', \
           json_build_array(nullif(f.trffromsql, 0)::pg_catalog.regprocedure::text, \
             nullif(f.trftosql, 0)::pg_catalog.regprocedure::text)::text, '' \
         FROM pg_catalog.pg_transform f JOIN pg_catalog.pg_language l ON l.oid = f.trflang WHERE {}",
        not_member("pg_transform", "f.oid")
    )
}
