//! Connection settings, as libpq reads them (PostgreSQL documentation, chapter 34).
//!
//! Invariant: what is parsed here is fully resolved. Connecting, and every child that gets [`ConnectOptions::child_variables`],
//! uses the same hosts, user, password and files, whatever the environment says later. The password is never in
//! `Debug`, `Display` or an error.
//!
//! Deliberately absent: GSSAPI, OAuth, LDAP lookups in service files, encrypted client keys, revocation directories.

mod account;
mod child;
mod environment;
mod error;
mod keyword_string;
mod keywords;
mod parameters;
mod passfile;
mod service;
mod settings;
mod uri;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use account::account_name;
pub(crate) use account::{Account, named as account_named, numbered as account_numbered};
pub use environment::ClientEnvironment;
pub use error::{ConninfoError, ConninfoWarning};
pub(crate) use parameters::{
    AuthMethod, CertMode, ChannelBindingMode, Parameters, RootCertificates, SessionAttributes, SslMode,
};
use passfile::Passfile;
use settings::Settings;

use crate::password::Password;

/// The port of a server that names none.
const DEFAULT_PORT: u16 = 5432;
/// Where packaged servers and then self-built ones put their sockets.
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];
/// What the server shows as our name unless the user says otherwise.
const APPLICATION_NAME: &str = "chronavault";

/// One place to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// A host name, an address, or the directory of a unix socket.
    pub(crate) name: String,
    /// The address to use instead of looking `name` up.
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
}

impl Host {
    /// The directory of the socket, if this is a unix socket.
    pub(crate) fn socket_directory(&self) -> Option<&Path> {
        let is_socket = self.address.is_none() && self.name.starts_with('/');
        is_socket.then(|| Path::new(&self.name))
    }

    /// The name that a password file has for this host.
    fn passfile_name(&self) -> &str {
        if SOCKET_DIRECTORIES.contains(&self.name.as_str()) { "localhost" } else { &self.name }
    }
}

/// For people: `db.example:5432`, or the directory of the socket.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.socket_directory() {
            Some(directory) => write!(f, "{}/.s.PGSQL.{}", directory.display(), self.port),
            None if self.name.contains(':') => write!(f, "[{}]:{}", self.name, self.port),
            None => write!(f, "{}:{}", self.name, self.port),
        }
    }
}

/// Where and how to connect. `Debug` and `Display` never show the password.
#[derive(Clone)]
pub struct ConnectOptions {
    settings: Settings,
    user: String,
    database: String,
    hosts: Vec<Host>,
    passfile: Arc<Passfile>,
    parameters: Arc<Parameters>,
    warnings: Vec<ConninfoWarning>,
}

impl ConnectOptions {
    /// Reads a connection URI (`postgresql://…` or `postgres://…`), a `keyword = value` string, or the bare name of a database.
    ///
    /// What the text leaves open comes from its service, then from the `PG…` variables of `environment`, then from libpq's defaults.
    /// Reads the service file and the password file.
    pub fn parse(text: &str, environment: &ClientEnvironment) -> Result<Self, ConninfoError> {
        let mut settings = Settings::default();
        if let Some(rest) = uri::strip_scheme(text) {
            uri::parse(rest, &mut settings)?;
        } else if text.contains('=') {
            keyword_string::parse(text, &mut settings)?;
        } else if !text.is_empty() {
            settings.replace("dbname", text);
        }
        service::apply(&mut settings, environment)?;
        settings.apply_environment(environment)?;
        Self::resolve(settings, environment)
    }

    /// A server of our own on the unix socket in `directory`, without a password.
    pub(crate) fn local(
        directory: &Path,
        port: u16,
        user: &str,
        database: &str,
    ) -> Result<Self, ConninfoError> {
        let directory = directory.to_str().ok_or(ConninfoError::NotUtf8 { keyword: "host" })?;
        let mut settings = Settings::default();
        settings.replace("host", directory);
        settings.replace("port", &port.to_string());
        settings.replace("user", user);
        settings.replace("dbname", database);
        settings.replace("passfile", child::NO_FILE);
        Self::resolve(settings, &ClientEnvironment::empty())
    }

    /// The same with settings for its sessions, as in the connection option `options`: `-c NAME=VALUE`.
    pub(crate) fn with_session_options(&self, text: &str) -> Result<Self, ConninfoError> {
        let mut settings = self.settings.clone();
        settings.replace("options", text);
        let parameters = Parameters::read(&settings, None)?;
        Ok(Self { settings, parameters: Arc::new(parameters), ..self.clone() })
    }

    fn resolve(mut settings: Settings, environment: &ClientEnvironment) -> Result<Self, ConninfoError> {
        if settings.get("application_name").is_none() {
            let name = settings.get("fallback_application_name").unwrap_or(APPLICATION_NAME).to_owned();
            settings.replace("application_name", &name);
        }
        let parameters = Parameters::read(&settings, environment.home().as_deref())?;
        let hosts = hosts(&settings)?;
        let given = settings.get("user").map(str::to_owned);
        let user = given.or_else(|| environment.user()).ok_or(ConninfoError::NoUser)?;
        let database = settings.get("dbname").unwrap_or(&user).to_owned();
        let (passfile, warning) = match (settings.password(), passfile_path(&settings, environment)) {
            (None, Some(path)) => Passfile::read(&path),
            _ => (Passfile::default(), None),
        };
        Ok(Self {
            settings,
            user,
            database,
            hosts,
            passfile: Arc::new(passfile),
            parameters: Arc::new(parameters),
            warnings: warning.into_iter().collect(),
        })
    }

    /// The database to connect to.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The user to connect as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The same, for another database of the same server. A password from a password file is looked up again.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Self {
        Self { database: name.to_owned(), ..self.clone() }
    }

    /// The same under another name in the server's logs and in `pg_stat_activity`.
    #[must_use]
    pub fn with_application_name(&self, name: &str) -> Self {
        let mut options = self.clone();
        options.settings.replace("application_name", name);
        options
    }

    /// The same, but only this host and address: what a client is connected to.
    pub(crate) fn pinned(&self, host: &Host, address: Option<IpAddr>) -> Self {
        let host = Host { address: address.or(host.address), ..host.clone() };
        Self { hosts: vec![host], ..self.clone() }
    }

    /// Who connects to what, for people: `books on db.example:5432 as alice`.
    pub fn describe(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        format!("{} on {} as {}", self.database, hosts.join(" or "), self.user)
    }

    /// What libpq would have warned about while reading the settings.
    pub fn warnings(&self) -> &[ConninfoWarning] {
        &self.warnings
    }

    pub(crate) fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    pub(crate) fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    pub(crate) fn application_name(&self) -> &str {
        self.settings.get("application_name").unwrap_or(APPLICATION_NAME)
    }

    /// The password for `host`.
    pub(crate) fn password(&self, host: &Host) -> Option<Password> {
        self.settings
            .password()
            .cloned()
            .or_else(|| self.passfile.lookup(host.passfile_name(), host.port, &self.database, &self.user))
    }
}

/// As [`ConnectOptions::describe`].
impl fmt::Display for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectOptions({})", self.describe())
    }
}

fn passfile_path(settings: &Settings, environment: &ClientEnvironment) -> Option<PathBuf> {
    let given = settings.get("passfile").map(PathBuf::from);
    given.or_else(|| environment.home().map(|home| home.join(".pgpass")))
}

/// Pairs the lists of hosts, addresses and ports, as `connectOptions2` in libpq does.
fn hosts(settings: &Settings) -> Result<Vec<Host>, ConninfoError> {
    let list = |keyword| settings.get(keyword).map(|text| text.split(',').collect::<Vec<_>>());
    let names = list("host");
    let addresses = list("hostaddr");
    let ports = list("port").unwrap_or_else(|| vec![""]);
    let count = addresses.as_ref().or(names.as_ref()).map_or(1, Vec::len);
    if let Some(names) = names.as_ref().filter(|names| names.len() != count) {
        return Err(ConninfoError::Counts { hosts: names.len(), keyword: "hostaddr", others: count });
    }
    if ports.len() != 1 && ports.len() != count {
        return Err(ConninfoError::Counts { hosts: count, keyword: "port", others: ports.len() });
    }
    let nth = |list: &Option<Vec<&str>>, at: usize| {
        list.as_ref().and_then(|list| list.get(at)).map_or(String::new(), |text| (*text).to_owned())
    };
    (0..count)
        .map(|at| {
            let port = port(ports.get(at).or(ports.first()).copied().unwrap_or(""))?;
            let address = address(&nth(&addresses, at))?;
            let mut name = nth(&names, at);
            if name.is_empty() {
                name = address.map_or_else(|| default_socket_directory(port), |address| address.to_string());
            }
            if name.starts_with('@') {
                return Err(ConninfoError::Unsupported { keyword: "host", why: ": abstract sockets" });
            }
            Ok(Host { name, address, port })
        })
        .collect()
}

fn port(text: &str) -> Result<u16, ConninfoError> {
    let expected =
        "a number from 1 to 65535 (a password with ':', '/' or '@' must be percent-encoded in a URI)";
    match text.trim() {
        "" => Ok(DEFAULT_PORT),
        digits => match digits.parse() {
            Ok(0) | Err(_) => Err(ConninfoError::Value { keyword: "port", expected }),
            Ok(port) => Ok(port),
        },
    }
}

fn address(text: &str) -> Result<Option<IpAddr>, ConninfoError> {
    if text.is_empty() {
        return Ok(None);
    }
    let parsed =
        text.parse().map_err(|_| ConninfoError::Value { keyword: "hostaddr", expected: "an IP address" })?;
    Ok(Some(parsed))
}

/// The first of the usual directories that has the socket, else the first that exists.
fn default_socket_directory(port: u16) -> String {
    let has_socket = |directory: &&str| Path::new(directory).join(format!(".s.PGSQL.{port}")).exists();
    let exists = |directory: &&str| Path::new(directory).is_dir();
    let mut directories = SOCKET_DIRECTORIES.iter().copied();
    let found = directories.clone().find(has_socket).or_else(|| directories.find(exists));
    found.unwrap_or(SOCKET_DIRECTORIES[0]).to_owned()
}
