//! What belongs to a database as a whole: owner, collation, settings, privileges.
//!
//! It is read at backup time and applied at restore, to a database of any name. The archive holds the same as statements
//! (`DATABASE`, `DATABASE PROPERTIES` and what is attached to them), but these name the database that was dumped.

use std::collections::BTreeSet;

use model::{quote_identifier, quote_literal};
use serde::{Deserialize, Serialize};

use super::{LeftOut, LoadError};
use crate::client::{Client, Error};
use crate::sandbox::{Locale, LocaleProvider};

/// First major version that has ICU as the provider of a database's collation.
const ICU_SINCE: u32 = 15;
/// First major version that has rules for ICU.
const ICU_RULES_SINCE: u32 = 16;
/// First major version that has collations of its own.
const BUILTIN_SINCE: u32 = 17;

/// Settings that are lists of names, which the catalog stores as they are written in SQL (`GUC_LIST_QUOTE` in the server's source).
const LISTS_OF_NAMES: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// SQLSTATE of a name that is not known.
const UNDEFINED_OBJECT: &str = "42704";

/// A setting of a database, or of a role in a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSetting {
    /// The role, if it is for one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The parameter.
    pub name: String,
    /// Its value, as the catalog stores it.
    pub value: String,
}

/// A privilege on a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privilege {
    /// Who granted it.
    pub grantor: String,
    /// Who has it; `None` is everybody.
    pub grantee: Option<String>,
    /// `CREATE`, `CONNECT` or `TEMPORARY`.
    pub privilege: String,
    /// Whether the grantee may pass it on.
    pub grantable: bool,
}

/// A security label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityLabel {
    /// The module that reads it.
    pub provider: String,
    /// The label.
    pub label: String,
}

/// What belongs to a database as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseProperties {
    /// Its name.
    pub name: String,
    /// The role that owns it.
    pub owner: String,
    /// Character encoding, as in SQL.
    pub encoding: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// Who provides the collation.
    pub locale_provider: LocaleProvider,
    /// The locale of a provider other than libc.
    pub locale: Option<String>,
    /// Rules that change the locale (ICU, from PostgreSQL 16).
    pub icu_rules: Option<String>,
    /// Its default tablespace.
    pub tablespace: String,
    /// Most connections at a time; -1 is no limit.
    pub connection_limit: i32,
    /// Whether others than the owner may copy it.
    pub is_template: bool,
    /// Whether anybody may connect.
    pub allow_connections: bool,
    /// Its comment.
    pub comment: Option<String>,
    /// Its privileges; `None` where they were never changed.
    pub privileges: Option<Vec<Privilege>>,
    /// Its security labels.
    pub security_labels: Vec<SecurityLabel>,
    /// Its settings.
    pub settings: Vec<DatabaseSetting>,
}

/// Which properties a restored database gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct Apply {
    /// Owner, and settings of roles.
    pub owners: bool,
    /// Privileges.
    pub privileges: bool,
    /// Tablespace, if the target has one of that name.
    pub tablespaces: bool,
    /// Security labels.
    pub security_labels: bool,
    /// Where the target does not know the collation, use `C` instead of failing. Text is then sorted otherwise; for rehearsals only.
    pub any_locale: bool,
}

impl Default for Apply {
    fn default() -> Self {
        Self { owners: true, privileges: true, tablespaces: true, security_labels: true, any_locale: false }
    }
}

impl DatabaseProperties {
    /// Reads the properties of the database that `client` is connected to.
    pub fn read(client: &mut Client) -> Result<Self, Error> {
        let (provider, locale, rules) = match client.server_major() {
            BUILTIN_SINCE.. => ("datlocprovider", "datlocale", "daticurules"),
            ICU_RULES_SINCE.. => ("datlocprovider", "daticulocale", "daticurules"),
            ICU_SINCE.. => ("datlocprovider", "daticulocale", "NULL"),
            _ => ("'c'", "NULL", "NULL"),
        };
        let row = client.query_one(
            &format!(
                "SELECT datname, pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype,
                        {provider}, {locale}, {rules}, spcname, datconnlimit, datistemplate, datallowconn,
                        shobj_description(d.oid, 'pg_database'), datacl IS NOT NULL
                   FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace
                  WHERE datname = current_database()"
            ),
            &[],
        )?;
        let text = |i| row.text(i).map(str::to_owned);
        let optional = |i| row.get(i).map(str::to_owned);
        let mut properties = Self {
            name: text(0)?,
            owner: text(1)?,
            encoding: text(2)?,
            collate: text(3)?,
            ctype: text(4)?,
            locale_provider: match row.text(5)? {
                "i" => LocaleProvider::Icu,
                "b" => LocaleProvider::Builtin,
                _ => LocaleProvider::Libc,
            },
            locale: optional(6),
            icu_rules: optional(7),
            tablespace: text(8)?,
            connection_limit: row.number(9)?,
            is_template: row.is_true(10),
            allow_connections: row.is_true(11),
            comment: optional(12),
            privileges: None,
            security_labels: Vec::new(),
            settings: Vec::new(),
        };
        if row.is_true(13) {
            properties.privileges = Some(read_privileges(client)?);
        }
        properties.security_labels = read_labels(client)?;
        properties.settings = read_settings(client)?;
        Ok(properties)
    }

    /// The collation, to make a cluster that has it by default.
    pub fn locale(&self) -> Locale {
        Locale {
            provider: self.locale_provider,
            collate: self.collate.clone(),
            ctype: self.ctype.clone(),
            name: self.locale.clone(),
        }
    }

    /// The first major version that has its locale provider; 0 when all have.
    pub fn needed_major(&self) -> u32 {
        match self.locale_provider {
            LocaleProvider::Libc => 0,
            LocaleProvider::Icu => ICU_SINCE,
            LocaleProvider::Builtin => BUILTIN_SINCE,
        }
    }

    /// The roles that the properties name.
    pub fn roles(&self) -> BTreeSet<String> {
        let privileges = self.privileges.iter().flatten();
        let grants = privileges.flat_map(|privilege| privilege.grantee.iter().chain([&privilege.grantor]));
        let settings = self.settings.iter().filter_map(|setting| setting.role.as_ref());
        grants.chain(settings).chain([&self.owner]).cloned().collect()
    }

    /// The statement that makes an empty database `name` with the same encoding and collation, and the tablespace if `tablespace`.
    pub(super) fn create_statement(
        &self,
        name: &str,
        tablespace: bool,
        server_major: u32,
    ) -> Result<String, LoadError> {
        let needed = self.needed_major();
        if server_major < needed {
            return Err(LoadError::Locale { provider: self.locale_provider, needed, found: server_major });
        }
        let mut statement = format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
            quote_identifier(name),
            quote_literal(&self.encoding),
            quote_literal(&self.collate),
            quote_literal(&self.ctype),
        );
        let mut add = |keyword: &str, value: &str| statement.extend([" ", keyword, " ", value]);
        if server_major >= ICU_SINCE {
            add("LOCALE_PROVIDER", &self.locale_provider.to_string());
        }
        let keyword = match self.locale_provider {
            LocaleProvider::Builtin => "BUILTIN_LOCALE",
            LocaleProvider::Icu | LocaleProvider::Libc => "ICU_LOCALE",
        };
        if let (Some(locale), false) = (&self.locale, self.locale_provider == LocaleProvider::Libc) {
            add(keyword, &quote_literal(locale));
        }
        if let (Some(rules), ICU_RULES_SINCE..) = (&self.icu_rules, server_major) {
            add("ICU_RULES", &quote_literal(rules));
        }
        if tablespace {
            add("TABLESPACE", &quote_identifier(&self.tablespace));
        }
        Ok(statement)
    }

    /// Gives database `name` everything but its name, encoding, collation and whether it accepts connections. Returns what the target
    /// cannot have.
    pub(super) fn apply(&self, client: &mut Client, name: &str, apply: Apply) -> Result<Vec<LeftOut>, Error> {
        let database = quote_identifier(name);
        if apply.owners {
            client
                .execute(&format!("ALTER DATABASE {database} OWNER TO {}", quote_identifier(&self.owner)))?;
        }
        if let Some(comment) = &self.comment {
            client.execute(&format!("COMMENT ON DATABASE {database} IS {}", quote_literal(comment)))?;
        }
        if apply.privileges
            && let Some(privileges) = &self.privileges
        {
            client.execute(&grant_statements(&database, privileges, &self.owner))?;
        }
        if apply.security_labels {
            for SecurityLabel { provider, label } in &self.security_labels {
                let (provider, label) = (quote_identifier(provider), quote_literal(label));
                client
                    .execute(&format!("SECURITY LABEL FOR {provider} ON DATABASE {database} IS {label}"))?;
            }
        }
        let mut left_out = Vec::new();
        for setting in &self.settings {
            if setting.role.is_some() && !apply.owners {
                continue;
            }
            match client.execute(&setting.statement(&database)) {
                // A parameter that the target does not know, such as one that another major version has.
                Err(Error::Server(error)) if error.code == UNDEFINED_OBJECT => left_out.push(LeftOut {
                    object: format!("setting {} of the database", setting.name),
                    reason: error.message.clone(),
                }),
                result => result?,
            }
        }
        Ok(left_out)
    }

    /// Says who may connect, and how many.
    pub(super) fn open_statement(&self, name: &str) -> String {
        format!(
            "ALTER DATABASE {} CONNECTION LIMIT {} IS_TEMPLATE {} ALLOW_CONNECTIONS {}",
            quote_identifier(name),
            self.connection_limit,
            self.is_template,
            self.allow_connections,
        )
    }
}

impl DatabaseSetting {
    fn statement(&self, database: &str) -> String {
        let whose = match &self.role {
            None => format!("DATABASE {database}"),
            Some(role) => format!("ROLE {} IN DATABASE {database}", quote_identifier(role)),
        };
        let name: Vec<_> = self.name.split('.').map(quote_identifier).collect();
        format!("ALTER {whose} SET {} TO {}", name.join("."), setting_value(&self.name, &self.value))
    }
}

/// The value of a setting as SQL.
pub(super) fn setting_value(name: &str, value: &str) -> String {
    if !LISTS_OF_NAMES.contains(&name.to_ascii_lowercase().as_str()) {
        return quote_literal(value);
    }
    // Each element is a literal of its own; one literal would be one name.
    let elements: Vec<_> = list_elements(value).iter().map(|element| quote_literal(element)).collect();
    if elements.is_empty() { "''".to_owned() } else { elements.join(", ") }
}

/// The elements of a list of names, some of which are in double quotes (`SplitGUCList` in the server's source).
fn list_elements(list: &str) -> Vec<String> {
    let mut elements = Vec::new();
    let mut rest = list.trim_start();
    while !rest.is_empty() {
        let mut element = String::new();
        if let Some(mut quoted) = rest.strip_prefix('"') {
            while let Some((part, more)) = quoted.split_once('"') {
                element.push_str(part);
                quoted = more;
                let Some(more) = quoted.strip_prefix('"') else { break };
                element.push('"');
                quoted = more;
            }
            rest = quoted;
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            rest[..end].trim_end().clone_into(&mut element);
            rest = &rest[end..];
        }
        elements.push(element);
        rest = rest.trim_start().trim_start_matches(',').trim_start();
    }
    elements
}

fn grant_statements(database: &str, privileges: &[Privilege], owner: &str) -> String {
    let mut statements = vec![
        format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"),
        format!("REVOKE ALL ON DATABASE {database} FROM {}", quote_identifier(owner)),
    ];
    for Privilege { grantor, grantee, privilege, grantable } in privileges {
        let grantee = grantee.as_ref().map_or_else(|| "PUBLIC".to_owned(), |name| quote_identifier(name));
        let option = if *grantable { " WITH GRANT OPTION" } else { "" };
        let grant = format!("GRANT {privilege} ON DATABASE {database} TO {grantee}{option}");
        if grantor == owner {
            statements.push(grant);
        } else {
            let grantor = quote_identifier(grantor);
            statements.push(format!("SET SESSION AUTHORIZATION {grantor}"));
            statements.push(grant);
            statements.push("RESET SESSION AUTHORIZATION".to_owned());
        }
    }
    statements.join(";")
}

fn read_privileges(client: &mut Client) -> Result<Vec<Privilege>, Error> {
    let rows = client.query(
        "SELECT pg_get_userbyid(grantor), CASE WHEN grantee <> 0 THEN pg_get_userbyid(grantee) END, privilege_type,
                is_grantable
           FROM pg_database, aclexplode(datacl) WITH ORDINALITY AS a (grantor, grantee, privilege_type, is_grantable, n)
          WHERE datname = current_database() ORDER BY n",
        &[],
    )?;
    let read = |row: &crate::client::Row| {
        Ok(Privilege {
            grantor: row.text(0)?.to_owned(),
            grantee: row.get(1).map(str::to_owned),
            privilege: row.text(2)?.to_owned(),
            grantable: row.is_true(3),
        })
    };
    rows.iter().map(read).collect()
}

fn read_labels(client: &mut Client) -> Result<Vec<SecurityLabel>, Error> {
    let rows = client.query(
        "SELECT provider, label FROM pg_shseclabel l JOIN pg_database d ON d.oid = l.objoid
          WHERE classoid = 'pg_database'::regclass AND datname = current_database() ORDER BY provider",
        &[],
    )?;
    let read = |row: &crate::client::Row| {
        Ok(SecurityLabel { provider: row.text(0)?.to_owned(), label: row.text(1)?.to_owned() })
    };
    rows.iter().map(read).collect()
}

fn read_settings(client: &mut Client) -> Result<Vec<DatabaseSetting>, Error> {
    let rows = client.query(
        "SELECT rolname, setting FROM pg_db_role_setting s
           JOIN pg_database d ON d.oid = s.setdatabase
           LEFT JOIN pg_roles r ON r.oid = s.setrole,
                unnest(setconfig) WITH ORDINALITY AS u (setting, n)
          WHERE datname = current_database() ORDER BY rolname NULLS FIRST, n",
        &[],
    )?;
    let read = |row: &crate::client::Row| {
        let (name, value) = row.text(1)?.split_once('=').unwrap_or((row.text(1)?, ""));
        let role = row.get(0).map(str::to_owned);
        Ok(DatabaseSetting { role, name: name.to_owned(), value: value.to_owned() })
    };
    rows.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_names_are_lists_of_literals() {
        assert_eq!(setting_value("search_path", "ledger, public"), "'ledger', 'public'");
        assert_eq!(
            setting_value("search_path", "\"$user\", \"a \"\"b\"\", c\",x"),
            "'$user', 'a \"b\", c', 'x'"
        );
        assert_eq!(setting_value("search_path", "\"\""), "''");
        assert_eq!(setting_value("search_path", ""), "''");
        assert_eq!(setting_value("work_mem", "7MB"), "'7MB'");
        assert_eq!(setting_value("DateStyle", "ISO, DMY"), "'ISO, DMY'");
    }

    fn properties() -> DatabaseProperties {
        DatabaseProperties {
            name: "books".into(),
            owner: "chief".into(),
            encoding: "UTF8".into(),
            collate: "C".into(),
            ctype: "C.UTF-8".into(),
            locale_provider: LocaleProvider::Libc,
            locale: None,
            icu_rules: None,
            tablespace: "fast".into(),
            connection_limit: -1,
            is_template: false,
            allow_connections: true,
            comment: None,
            privileges: None,
            security_labels: vec![],
            settings: vec![],
        }
    }

    #[test]
    fn databases_are_made_as_each_version_understands() {
        let libc = properties();
        assert_eq!(
            libc.create_statement("a\"b", false, 14).unwrap(),
            "CREATE DATABASE \"a\"\"b\" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'"
        );
        assert!(
            libc.create_statement("x", true, 15)
                .unwrap()
                .ends_with("LC_CTYPE 'C.UTF-8' LOCALE_PROVIDER libc TABLESPACE \"fast\"")
        );
        let icu = DatabaseProperties {
            locale_provider: LocaleProvider::Icu,
            locale: Some("de-DE".into()),
            icu_rules: Some("&a < g".into()),
            ..properties()
        };
        assert!(
            icu.create_statement("x", false, 15).unwrap().ends_with("LOCALE_PROVIDER icu ICU_LOCALE 'de-DE'")
        );
        assert!(
            icu.create_statement("x", false, 16).unwrap().ends_with("ICU_LOCALE 'de-DE' ICU_RULES '&a < g'")
        );
        let error = icu.create_statement("x", false, 14).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a database with locale provider icu needs PostgreSQL 15, and the target is 14"
        );
        let builtin = DatabaseProperties {
            locale_provider: LocaleProvider::Builtin,
            locale: Some("C.UTF-8".into()),
            ..properties()
        };
        assert!(
            builtin
                .create_statement("x", false, 17)
                .unwrap()
                .ends_with("LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'")
        );
        assert!(builtin.create_statement("x", false, 16).is_err());
    }

    #[test]
    fn all_roles_are_named() {
        let properties = DatabaseProperties {
            privileges: Some(vec![
                Privilege {
                    grantor: "a".into(),
                    grantee: None,
                    privilege: "CONNECT".into(),
                    grantable: false,
                },
                Privilege {
                    grantor: "a".into(),
                    grantee: Some("b".into()),
                    privilege: "CONNECT".into(),
                    grantable: true,
                },
            ]),
            settings: vec![DatabaseSetting {
                role: Some("c".into()),
                name: "work_mem".into(),
                value: "1MB".into(),
            }],
            ..properties()
        };
        assert_eq!(properties.roles().into_iter().collect::<Vec<_>>(), ["a", "b", "c", "chief"]);
    }

    #[test]
    fn settings_of_extensions_have_two_parts() {
        let setting =
            DatabaseSetting { role: Some("r s".into()), name: "app.user".into(), value: "o'x".into() };
        assert_eq!(
            setting.statement("\"db\""),
            "ALTER ROLE \"r s\" IN DATABASE \"db\" SET \"app\".\"user\" TO 'o''x'"
        );
    }
}
