//! Roles: which ones a backup needs, what they are like, and making those that are missing.
//!
//! Invariant: no password is read, kept or set.

use std::collections::BTreeSet;

use model::{quote_identifier, quote_literal};
use serde::{Deserialize, Serialize};

use super::grants::roles_named;
use super::phase::is_of_database;
use super::properties::setting_value;
use super::{DatabaseProperties, LoadError, LoadOptions, Selection};
use crate::archive::Toc;
use crate::client::{Client, Error, Row};

/// First major version in which memberships say whether they are inherited and may be assumed.
const MEMBERSHIP_OPTIONS_SINCE: u32 = 16;

/// That a role belongs to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The role that the member belongs to.
    pub role: String,
    /// May make others members.
    pub admin: bool,
    /// Has the privileges of the role without assuming it; `None` before PostgreSQL 16, where the member's own attribute says so.
    pub inherit: Option<bool>,
    /// May assume the role; `None` before PostgreSQL 16, where every member may.
    pub set: Option<bool>,
}

/// A role without its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "they are the attributes that PostgreSQL gives a role")]
pub struct RoleRecord {
    /// Its name.
    pub name: String,
    /// Bypasses every check.
    pub superuser: bool,
    /// Has the privileges of roles it belongs to, unless a membership says otherwise.
    pub inherit: bool,
    /// May make roles.
    pub create_role: bool,
    /// May make databases.
    pub create_database: bool,
    /// May connect.
    pub login: bool,
    /// May replicate.
    pub replication: bool,
    /// Passes by row security.
    pub bypass_row_security: bool,
    /// Most connections at a time; -1 is no limit.
    pub connection_limit: i32,
    /// Until when its password is valid, as PostgreSQL prints it.
    pub valid_until: Option<String>,
    /// Its comment.
    pub comment: Option<String>,
    /// Its settings in all databases: parameter and value as the catalog stores it.
    pub settings: Vec<(String, String)>,
    /// The roles it belongs to.
    pub memberships: Vec<Membership>,
}

/// The roles without which `toc` cannot be restored as `options` say: owners, those who have privileges, those to whom policies apply.
/// With `properties`, those of the database too.
pub fn roles_needed(
    toc: &Toc,
    selection: Option<&Selection>,
    properties: Option<&DatabaseProperties>,
    options: &LoadOptions,
) -> BTreeSet<String> {
    let mut roles = properties.map_or_else(BTreeSet::new, DatabaseProperties::roles);
    for entry in &toc.entries {
        let is_selected = selection.is_none_or(|selection| selection.dump_ids.contains(&entry.dump_id));
        if !is_selected || is_of_database(entry) {
            continue;
        }
        let is_privilege = matches!(entry.desc.as_str(), "ACL" | "DEFAULT ACL");
        if let Some(owner) = &entry.owner
            && options.owners
            && !is_privilege
            && !owner.is_empty()
        {
            roles.insert(owner.to_text().into_owned());
        }
        if let Some(text) = &entry.defn
            && (options.privileges || !is_privilege)
        {
            roles.extend(roles_named(&entry.desc, &text.to_text()));
        }
    }
    roles
}

/// Those of `needed` that the server does not have.
pub fn missing_roles(client: &mut Client, needed: &BTreeSet<String>) -> Result<BTreeSet<String>, Error> {
    let rows = client.query("SELECT rolname FROM pg_roles", &[])?;
    let mut missing = needed.clone();
    for row in rows {
        missing.remove(row.text(0)?);
    }
    Ok(missing)
}

/// Reads the roles in `names` and those they belong to, directly or not. Names that the server does not have are passed over, and so are
/// its predefined roles (`pg_…`), except as something to belong to.
pub fn read_roles(client: &mut Client, names: &BTreeSet<String>) -> Result<Vec<RoleRecord>, Error> {
    let mut records: Vec<RoleRecord> = Vec::new();
    let mut wanted: Vec<String> = names.iter().cloned().collect();
    while let Some(name) = wanted.pop() {
        if name.starts_with("pg_") || records.iter().any(|record| record.name == name) {
            continue;
        }
        if let Some(record) = read_role(client, &name)? {
            wanted.extend(record.memberships.iter().map(|membership| membership.role.clone()));
            records.push(record);
        }
    }
    records.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(records)
}

/// Makes the roles that the server does not have, without passwords, and their memberships. Roles that exist are left as they are.
///
/// Returns the names of those that were made. All or none are made.
pub fn create_roles(client: &mut Client, records: &[RoleRecord]) -> Result<Vec<String>, LoadError> {
    let needed = records.iter().map(|record| record.name.clone()).collect();
    let query = |source| LoadError::Query { what: "roles", source: Box::new(source) };
    let missing = missing_roles(client, &needed).map_err(query)?;
    let created: Vec<_> = records.iter().filter(|record| missing.contains(&record.name)).collect();
    let server_major = client.server_major();
    let mut statements = Vec::new();
    // A role must exist before another can belong to it.
    statements.extend(created.iter().map(|record| (&record.name, record.create_statements())));
    statements
        .extend(created.iter().map(|record| (&record.name, record.membership_statements(server_major))));
    client.execute("BEGIN").map_err(query)?;
    for (name, statement) in statements {
        if let Err(source) = client.execute(&statement) {
            // The first error is the one to report.
            let _ = client.execute("ROLLBACK");
            return Err(LoadError::Role { role: name.clone(), action: "created", source: Box::new(source) });
        }
    }
    client.execute("COMMIT").map_err(query)?;
    Ok(created.into_iter().map(|record| record.name.clone()).collect())
}

impl RoleRecord {
    fn create_statements(&self) -> String {
        let name = quote_identifier(&self.name);
        let mut create = vec![format!("CREATE ROLE {name} WITH")];
        for (has, attribute) in [
            (self.superuser, "SUPERUSER"),
            (self.create_role, "CREATEROLE"),
            (self.create_database, "CREATEDB"),
            (self.login, "LOGIN"),
            (self.replication, "REPLICATION"),
            (self.bypass_row_security, "BYPASSRLS"),
        ] {
            // Only who has an attribute may say that somebody else does not have it; not to have it is the default.
            if has {
                create.push(attribute.to_owned());
            }
        }
        create.push((if self.inherit { "INHERIT" } else { "NOINHERIT" }).to_owned());
        if self.connection_limit != -1 {
            create.push(format!("CONNECTION LIMIT {}", self.connection_limit));
        }
        create.extend(self.valid_until.iter().map(|time| format!("VALID UNTIL {}", quote_literal(time))));
        let comment = self.comment.as_ref();
        let comment = comment.map(|text| format!("COMMENT ON ROLE {name} IS {}", quote_literal(text)));
        let settings = self.settings.iter().map(|(parameter, value)| {
            let parts: Vec<_> = parameter.split('.').map(quote_identifier).collect();
            format!("ALTER ROLE {name} SET {} TO {}", parts.join("."), setting_value(parameter, value))
        });
        let statements: Vec<_> = [create.join(" ")].into_iter().chain(comment).chain(settings).collect();
        statements.join(";")
    }

    fn membership_statements(&self, server_major: u32) -> String {
        let grant = |membership: &Membership| {
            let mut options = Vec::new();
            if server_major < MEMBERSHIP_OPTIONS_SINCE {
                options.extend(membership.admin.then(|| "ADMIN OPTION".to_owned()));
            } else {
                let known = [("INHERIT", membership.inherit), ("SET", membership.set)];
                options.extend(membership.admin.then(|| "ADMIN TRUE".to_owned()));
                options.extend(
                    known.iter().filter_map(|(name, value)| value.map(|value| format!("{name} {value}"))),
                );
            }
            let with =
                if options.is_empty() { String::new() } else { format!(" WITH {}", options.join(", ")) };
            format!("GRANT {} TO {}{with};", quote_identifier(&membership.role), quote_identifier(&self.name))
        };
        self.memberships.iter().map(grant).collect()
    }
}

fn read_role(client: &mut Client, name: &str) -> Result<Option<RoleRecord>, Error> {
    let rows = client.query(
        "SELECT rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit,
                rolvaliduntil, shobj_description(oid, 'pg_authid')
           FROM pg_roles WHERE rolname = $1",
        &[Some(name)],
    )?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(RoleRecord {
        name: name.to_owned(),
        superuser: row.is_true(0),
        inherit: row.is_true(1),
        create_role: row.is_true(2),
        create_database: row.is_true(3),
        login: row.is_true(4),
        replication: row.is_true(5),
        bypass_row_security: row.is_true(6),
        connection_limit: row.number(7)?,
        valid_until: row.get(8).map(str::to_owned),
        comment: row.get(9).map(str::to_owned),
        settings: read_role_settings(client, name)?,
        memberships: read_memberships(client, name)?,
    }))
}

fn read_role_settings(client: &mut Client, name: &str) -> Result<Vec<(String, String)>, Error> {
    let rows = client.query(
        "SELECT setting FROM pg_roles, unnest(rolconfig) WITH ORDINALITY AS u (setting, n) WHERE rolname = $1 ORDER BY n",
        &[Some(name)],
    )?;
    let read = |row: &Row| {
        let (parameter, value) = row.text(0)?.split_once('=').unwrap_or((row.text(0)?, ""));
        Ok((parameter.to_owned(), value.to_owned()))
    };
    rows.iter().map(read).collect()
}

fn read_memberships(client: &mut Client, name: &str) -> Result<Vec<Membership>, Error> {
    let options = if client.server_major() >= MEMBERSHIP_OPTIONS_SINCE {
        "bool_or(inherit_option), bool_or(set_option)"
    } else {
        "NULL, NULL"
    };
    let rows = client.query(
        &format!(
            "SELECT r.rolname, bool_or(admin_option), {options} FROM pg_auth_members m
               JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles b ON b.oid = m.member
              WHERE b.rolname = $1 GROUP BY 1 ORDER BY 1"
        ),
        &[Some(name)],
    )?;
    let read = |row: &Row| {
        Ok(Membership {
            role: row.text(0)?.to_owned(),
            admin: row.is_true(1),
            inherit: row.get(2).map(|_| row.is_true(2)),
            set: row.get(3).map(|_| row.is_true(3)),
        })
    };
    rows.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_needed_who_owns_or_may_something() {
        for dump in [
            &include_bytes!("../../tests/archives/pg15.dump")[..],
            include_bytes!("../../tests/archives/pg18.dump"),
        ] {
            let toc = Toc::read(&mut &dump[..]).unwrap();
            let roles = |options: &LoadOptions| -> Vec<String> {
                roles_needed(&toc, None, None, options).into_iter().collect()
            };
            let all = LoadOptions::default();
            assert_eq!(roles(&all), ["fixture reader", "fixture_owner", "postgres"]);
            // A policy names its roles whoever owns what.
            let neither = LoadOptions { owners: false, privileges: false, ..all };
            assert_eq!(roles(&neither), ["fixture reader"]);
        }
    }

    fn role(name: &str) -> RoleRecord {
        RoleRecord {
            name: name.into(),
            superuser: false,
            inherit: true,
            create_role: false,
            create_database: false,
            login: false,
            replication: false,
            bypass_row_security: false,
            connection_limit: -1,
            valid_until: None,
            comment: None,
            settings: vec![],
            memberships: vec![],
        }
    }

    #[test]
    fn roles_are_made_as_they_were() {
        assert_eq!(role("a").create_statements(), "CREATE ROLE \"a\" WITH INHERIT");
        let record = RoleRecord {
            login: true,
            inherit: false,
            connection_limit: 3,
            valid_until: Some("2030-01-01 00:00:00+00".into()),
            comment: Some("it's me".into()),
            settings: vec![("search_path".into(), "a, \"B c\"".into())],
            ..role("a \"b\"")
        };
        assert_eq!(
            record.create_statements(),
            "CREATE ROLE \"a \"\"b\"\"\" WITH LOGIN NOINHERIT CONNECTION LIMIT 3 VALID UNTIL '2030-01-01 00:00:00+00';\
             COMMENT ON ROLE \"a \"\"b\"\"\" IS 'it''s me';\
             ALTER ROLE \"a \"\"b\"\"\" SET \"search_path\" TO 'a', 'B c'"
        );
    }

    #[test]
    fn memberships_are_made_as_each_version_understands() {
        let membership = Membership { role: "g".into(), admin: true, inherit: Some(false), set: Some(true) };
        let record = RoleRecord { memberships: vec![membership], ..role("a") };
        assert_eq!(record.membership_statements(15), "GRANT \"g\" TO \"a\" WITH ADMIN OPTION;");
        assert_eq!(
            record.membership_statements(16),
            "GRANT \"g\" TO \"a\" WITH ADMIN TRUE, INHERIT false, SET true;"
        );
        let membership = Membership { role: "g".into(), admin: false, inherit: None, set: None };
        let record = RoleRecord { memberships: vec![membership], ..role("a") };
        assert_eq!(record.membership_statements(16), "GRANT \"g\" TO \"a\";");
    }
}
