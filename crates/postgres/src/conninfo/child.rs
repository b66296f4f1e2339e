//! The environment of a child that connects as we do.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::keyword_string::quote;
use super::keywords::{KEYWORDS, Support};
use super::{ConnectOptions, Host, RootCertificates, SslMode};

/// A path that does not exist, for files that a child must not read. `/dev/null` would make libpq warn.
pub(super) const NO_FILE: &str = "/nonexistent/chronavault";

/// Settings that are given to children in another way than by copying them.
const HANDLED: [&str; 15] = [
    "host",
    "hostaddr",
    "port",
    "user",
    "dbname",
    "password",
    "passfile",
    "service",
    "servicefile",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslcrl",
    "client_encoding",
];

impl ConnectOptions {
    /// The `PG…` variables with which a program that uses libpq connects exactly as these options say, and reads no file of its own
    /// accord. The password is among them: it belongs into a child's environment and nowhere else.
    ///
    /// Several hosts share one password there; use the options of a connected client, which name one host.
    pub fn child_variables(&self) -> Vec<(OsString, OsString)> {
        let mut variables: Vec<(OsString, OsString)> = Vec::new();
        let mut set = |name: &str, value: OsString| variables.push((name.into(), value));
        let list = |of: &dyn Fn(&Host) -> String| {
            OsString::from(self.hosts.iter().map(of).collect::<Vec<_>>().join(","))
        };
        set("PGHOST", list(&|host| host.name.clone()));
        if self.hosts.iter().any(|host| host.address.is_some()) {
            set(
                "PGHOSTADDR",
                list(&|host| host.address.map_or(String::new(), |address| address.to_string())),
            );
        }
        set("PGPORT", list(&|host| host.port.to_string()));
        set("PGUSER", self.user.clone().into());
        set("PGDATABASE", self.database.clone().into());
        set("PGPASSFILE", NO_FILE.into());
        if let Some(password) = self.hosts.iter().find_map(|host| self.password(host)) {
            set("PGPASSWORD", OsString::from_vec(password.bytes().to_vec()));
        }
        set("PGSSLMODE", self.ssl_mode_name().into());
        let files = &self.parameters.ssl_files;
        match &files.roots {
            Some(RootCertificates::System) => set("PGSSLROOTCERT", "system".into()),
            Some(RootCertificates::File(path)) => set("PGSSLROOTCERT", path.into()),
            None => {}
        }
        for (name, path) in
            [("PGSSLCERT", &files.certificate), ("PGSSLKEY", &files.key), ("PGSSLCRL", &files.revocations)]
        {
            if let Some(path) = path {
                set(name, path.into());
            }
        }
        for keyword in KEYWORDS.iter().filter(|keyword| !HANDLED.contains(&keyword.name)) {
            if let (Some(variable), Some(value)) = (keyword.variable, self.settings.get(keyword.name))
                && keyword.support != Support::Refused
            {
                set(variable, value.into());
            }
        }
        variables
    }

    /// The database as an argument of `--dbname`, where a program wants it there: safe for every name, and without a secret.
    pub fn database_argument(&self) -> String {
        format!("dbname={}", quote(&self.database))
    }

    fn ssl_mode_name(&self) -> &'static str {
        match self.parameters.ssl_mode {
            SslMode::Disable => "disable",
            SslMode::Allow => "allow",
            SslMode::Prefer => "prefer",
            SslMode::Require => "require",
            SslMode::VerifyCa => "verify-ca",
            SslMode::VerifyFull => "verify-full",
        }
    }
}
