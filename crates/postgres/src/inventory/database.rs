//! The database itself, its schemas and what lives outside of schemas (PostgreSQL documentation, chapter 53).

use super::sql::{Scope, acl, acl_text, not_member, owner, sorted};

/// The queries for these classes.
pub(super) fn queries(scope: &Scope<'_>) -> Vec<String> {
    let mut queries = vec![schemas(scope), default_privileges(scope)];
    if scope.selection.everything() {
        queries.extend([
            database(),
            settings(),
            extensions(),
            languages(),
            event_triggers(),
            access_methods(),
            foreign_data_wrappers(),
            servers(),
            user_mappings(),
            publications(scope.major),
        ]);
        if scope.superuser {
            queries.push(subscriptions());
        }
    }
    queries
}

/// Under a fixed name: a restored database may be called otherwise.
fn database() -> String {
    format!(
        "SELECT 'database', 'this database', {owner}, {acl}, \
           json_build_array(pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, d.datconnlimit, \
             coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'), \
             coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'))::text, '' \
         FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()",
        owner = owner("d.datdba"),
        acl = acl("d.datacl", "'d'", "d.datdba"),
    )
}

/// `ALTER DATABASE … SET` and `ALTER ROLE … IN DATABASE … SET`.
fn settings() -> String {
    "SELECT 'database setting', format('%s for %s', split_part(x.line, '=', 1), \
         CASE s.setrole WHEN 0 THEN 'all roles' ELSE quote_ident(pg_catalog.pg_get_userbyid(s.setrole)) END), '', '', \
       x.line, '' \
     FROM pg_catalog.pg_db_role_setting s, LATERAL unnest(s.setconfig) x(line) \
     WHERE s.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
        .into()
}

fn schemas(scope: &Scope<'_>) -> String {
    format!(
        "SELECT 'schema', quote_ident(n.nspname), {owner}, {acl}, '', '' FROM pg_catalog.pg_namespace n \
         WHERE {schema} AND {not_member}",
        owner = owner("n.nspowner"),
        acl = acl("n.nspacl", "'n'", "n.nspowner"),
        schema = scope.schema(),
        not_member = not_member("pg_namespace", "n.oid"),
    )
}

/// `ALTER DEFAULT PRIVILEGES`.
fn default_privileges(scope: &Scope<'_>) -> String {
    let everywhere = if scope.selection.everything() { "n.oid IS NULL OR" } else { "" };
    format!(
        "SELECT 'default privileges', format('of %s for %s%s', quote_ident(pg_catalog.pg_get_userbyid(d.defaclrole)), \
             CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' \
               WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE 'large objects' END, \
             ' in ' || quote_ident(n.nspname)), '', {acl}, '', '' \
         FROM pg_catalog.pg_default_acl d LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace \
         WHERE {everywhere} {schema}",
        acl = acl_text("d.defaclacl"),
        schema = scope.schema(),
    )
}

/// The class of items that hold the version of an extension. A restored database has the version that is installed, so it
/// is for the caller to say whether a difference matters.
pub const EXTENSION_VERSION: &str = "extension version";

/// A dump names no version and no owner of an extension: it gets the version that is installed, and who restores owns it.
fn extensions() -> String {
    format!(
        "SELECT x.class, quote_ident(e.extname), '', '', CASE x.class WHEN 'extension' THEN n.nspname::text ELSE e.extversion END, '' \
     FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace, \
       LATERAL (VALUES ('extension'), ('{EXTENSION_VERSION}')) x(class) WHERE e.oid >= 16384"
    )
}

fn languages() -> String {
    format!(
        "SELECT 'language', quote_ident(l.lanname), {owner}, {acl}, \
           json_build_array(l.lanpltrusted, nullif(l.lanplcallfoid, 0)::pg_catalog.regprocedure::text, \
             nullif(l.laninline, 0)::pg_catalog.regprocedure::text, \
             nullif(l.lanvalidator, 0)::pg_catalog.regprocedure::text)::text, '' \
         FROM pg_catalog.pg_language l WHERE l.lanispl AND {not_member}",
        owner = owner("l.lanowner"),
        acl = acl("l.lanacl", "'l'", "l.lanowner"),
        not_member = not_member("pg_language", "l.oid"),
    )
}

fn event_triggers() -> String {
    format!(
        "SELECT 'event trigger', quote_ident(t.evtname), {owner}, '', \
           json_build_array(t.evtevent, t.evtenabled, t.evtfoid::pg_catalog.regprocedure::text, {tags})::text, '' \
         FROM pg_catalog.pg_event_trigger t WHERE {not_member}",
        owner = owner("t.evtowner"),
        tags = sorted("t.evttags"),
        not_member = not_member("pg_event_trigger", "t.oid"),
    )
}

fn access_methods() -> String {
    format!(
        "SELECT 'access method', quote_ident(a.amname), '', '', \
           json_build_array(a.amtype, a.amhandler::pg_catalog.regproc::text)::text, '' \
         FROM pg_catalog.pg_am a WHERE a.oid >= 16384 AND {}",
        not_member("pg_am", "a.oid")
    )
}

fn foreign_data_wrappers() -> String {
    format!(
        "SELECT 'foreign data wrapper', quote_ident(w.fdwname), {owner}, {acl}, \
           json_build_array(nullif(w.fdwhandler, 0)::pg_catalog.regproc::text, \
             nullif(w.fdwvalidator, 0)::pg_catalog.regproc::text, {options})::text, '' \
         FROM pg_catalog.pg_foreign_data_wrapper w WHERE {not_member}",
        owner = owner("w.fdwowner"),
        acl = acl("w.fdwacl", "'F'", "w.fdwowner"),
        options = sorted("w.fdwoptions"),
        not_member = not_member("pg_foreign_data_wrapper", "w.oid"),
    )
}

fn servers() -> String {
    format!(
        "SELECT 'server', quote_ident(s.srvname), {owner}, {acl}, \
           json_build_array(s.srvtype, s.srvversion, w.fdwname, {options})::text, '' \
         FROM pg_catalog.pg_foreign_server s JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw \
         WHERE {not_member}",
        owner = owner("s.srvowner"),
        acl = acl("s.srvacl", "'S'", "s.srvowner"),
        options = sorted("s.srvoptions"),
        not_member = not_member("pg_foreign_server", "s.oid"),
    )
}

/// Only that they exist: their options hold passwords, and not even a hash of one belongs into an inventory.
fn user_mappings() -> String {
    "SELECT 'user mapping', format('for %s on %I', \
         CASE u.umuser WHEN 0 THEN 'public' ELSE quote_ident(pg_catalog.pg_get_userbyid(u.umuser)) END, u.srvname), \
       '', '', '', '' FROM pg_catalog.pg_user_mappings u"
        .into()
}

/// With the tables and, from 15 on, the schemas, columns and row filters.
fn publications(major: u32) -> String {
    let (columns, filter, schemas) = if major >= 15 {
        (
            "(SELECT array_agg(a.attname ORDER BY a.attname) FROM pg_catalog.pg_attribute a \
              WHERE a.attrelid = t.prrelid AND a.attnum = ANY (t.prattrs))",
            "pg_catalog.pg_get_expr(t.prqual, t.prrelid)",
            "(SELECT json_agg(s.pnnspid::pg_catalog.regnamespace::text ORDER BY s.pnnspid::pg_catalog.regnamespace::text COLLATE \"C\") \
              FROM pg_catalog.pg_publication_namespace s WHERE s.pnpubid = p.oid)",
        )
    } else {
        ("NULL", "NULL", "NULL")
    };
    format!(
        "SELECT 'publication', quote_ident(p.pubname), {owner}, '', \
           json_build_array(p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot, \
             coalesce(to_jsonb(p) ->> 'pubgencols', 'n'), {schemas}, \
             (SELECT json_agg(json_build_array(t.prrelid::pg_catalog.regclass::text, {columns}) \
                ORDER BY t.prrelid::pg_catalog.regclass::text COLLATE \"C\") \
              FROM pg_catalog.pg_publication_rel t WHERE t.prpubid = p.oid))::text, \
           (SELECT string_agg({filter}, E'\\x1e' ORDER BY t.prrelid::pg_catalog.regclass::text COLLATE \"C\") \
            FROM pg_catalog.pg_publication_rel t WHERE t.prpubid = p.oid) \
         FROM pg_catalog.pg_publication p WHERE {not_member}",
        owner = owner("p.pubowner"),
        not_member = not_member("pg_publication", "p.oid"),
    )
}

/// Without the connection, which holds a password, and without whether it is enabled: a restored one never is. Only a
/// superuser has subscriptions in a dump.
fn subscriptions() -> String {
    format!(
        "SELECT 'subscription', quote_ident(s.subname), {owner}, '', \
           json_build_array({publications}, s.subslotname, s.subsynccommit)::text, '' \
         FROM pg_catalog.pg_subscription s \
         WHERE s.subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())",
        owner = owner("s.subowner"),
        publications = sorted("s.subpublications"),
    )
}
