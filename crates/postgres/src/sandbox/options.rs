//! What a sandbox is like, and the configuration files that make it so.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::SandboxError;
use super::owner::Owner;

/// Who decides how text is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LocaleProvider {
    /// The C library.
    Libc,
    /// ICU (PostgreSQL 15 and newer for whole clusters).
    Icu,
    /// PostgreSQL itself (17 and newer).
    Builtin,
}

/// As in SQL.
impl fmt::Display for LocaleProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Libc => "libc",
            Self::Icu => "icu",
            Self::Builtin => "builtin",
        })
    }
}

/// The locale of the databases that `initdb` makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locale {
    /// Who decides.
    pub provider: LocaleProvider,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// The name of the locale for ICU or the builtin provider: `en-US`, `C.UTF-8`.
    pub name: Option<String>,
}

/// The plain C locale, which every system has.
impl Default for Locale {
    fn default() -> Self {
        Self { provider: LocaleProvider::Libc, collate: "C".to_owned(), ctype: "C".to_owned(), name: None }
    }
}

/// A server certificate with its key, as PEM files that are copied into the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsServer {
    /// The certificate, and behind it any intermediate ones.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authority for certificates of clients.
    pub client_authority: Option<PathBuf>,
}

/// What a sandbox is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxOptions {
    /// The directory in which the directory of the sandbox is made. The account that runs the server must be able to reach it.
    pub parent: PathBuf,
    /// The superuser.
    pub superuser: String,
    /// The encoding of the template databases.
    pub encoding: String,
    /// Their locale.
    pub locale: Locale,
    /// Pages have checksums in any case; without it, what `initdb` of this version does by itself.
    pub data_checksums: bool,
    /// Locks are kept for this many objects per connection; a restore takes one lock per table.
    pub locks_per_transaction: u32,
    /// Wait for the disk as a real server does. Off, a crash of the machine (not of the server) destroys the cluster.
    pub durable: bool,
    /// Listen on 127.0.0.1 too, on a free port. Who may connect there is for `access` to say; without it, nobody.
    pub tcp: bool,
    /// TLS for TCP.
    pub tls: Option<TlsServer>,
    /// Lines for `pg_hba.conf`, before the one that trusts everyone on the socket.
    pub access: Vec<String>,
    /// Settings for `postgresql.conf`; they win over ours.
    pub settings: Vec<(String, String)>,
    /// Copy this data directory instead of running `initdb`; superuser, encoding and locale are then those of the template.
    pub template: Option<PathBuf>,
}

impl SandboxOptions {
    /// A fast, private cluster below `parent` with a superuser `postgres`, UTF-8 and the C locale.
    pub fn new(parent: impl Into<PathBuf>) -> Self {
        Self {
            parent: parent.into(),
            superuser: "postgres".to_owned(),
            encoding: "UTF8".to_owned(),
            locale: Locale::default(),
            data_checksums: false,
            locks_per_transaction: 1024,
            durable: false,
            tcp: false,
            tls: None,
            access: Vec::new(),
            settings: Vec::new(),
            template: None,
        }
    }
}

/// The arguments of `initdb` besides the directory.
pub(super) fn initdb_arguments(options: &SandboxOptions, major: u32) -> Result<Vec<String>, SandboxError> {
    let locale = &options.locale;
    let mut arguments = vec![
        "--no-sync".to_owned(),
        "--auth=trust".to_owned(),
        format!("--username={}", options.superuser),
        format!("--encoding={}", options.encoding),
        format!("--lc-collate={}", locale.collate),
        format!("--lc-ctype={}", locale.ctype),
        "--lc-messages=C".to_owned(),
        "--lc-monetary=C".to_owned(),
        "--lc-numeric=C".to_owned(),
        "--lc-time=C".to_owned(),
    ];
    if major >= 14 {
        arguments.push("--no-instructions".to_owned());
    }
    if options.data_checksums {
        arguments.push("--data-checksums".to_owned());
    }
    let lacks = |what| SandboxError::Locale { major, what };
    match locale.provider {
        LocaleProvider::Libc if major >= 15 => arguments.push("--locale-provider=libc".to_owned()),
        LocaleProvider::Libc => {}
        LocaleProvider::Icu if major >= 15 => {
            arguments.push("--locale-provider=icu".to_owned());
            arguments.extend(locale.name.iter().map(|name| format!("--icu-locale={name}")));
        }
        LocaleProvider::Icu => return Err(lacks("clusters with ICU locales")),
        LocaleProvider::Builtin if major >= 17 => {
            arguments.push("--locale-provider=builtin".to_owned());
            arguments.extend(locale.name.iter().map(|name| format!("--builtin-locale={name}")));
        }
        LocaleProvider::Builtin => return Err(lacks("builtin locale provider")),
    }
    Ok(arguments)
}

/// Writes `pg_hba.conf` and a file of settings that `postgresql.conf` includes.
pub(super) fn write_configuration(
    options: &SandboxOptions,
    base: &Path,
    sockets: &Path,
    port: u16,
    owner: &Owner,
) -> Result<(), SandboxError> {
    let data = base.join("data");
    let mut settings = settings(options, sockets, port);
    if let Some(tls) = &options.tls {
        let mut copy = |setting: &str, from: &Path, name: &str| {
            let to = base.join(name);
            let bytes = fs::read(from).map_err(|source| SandboxError::io("reading", from, source))?;
            owner.write_file(&to, &bytes)?;
            settings.push((setting.to_owned(), to.to_string_lossy().into_owned()));
            Ok::<(), SandboxError>(())
        };
        copy("ssl_cert_file", &tls.certificate, "server.crt")?;
        copy("ssl_key_file", &tls.key, "server.key")?;
        if let Some(authority) = &tls.client_authority {
            copy("ssl_ca_file", authority, "clients.crt")?;
        }
        settings.push(("ssl".to_owned(), "on".to_owned()));
    }
    settings.extend(options.settings.iter().cloned());
    owner.write_file(&data.join("postgresql.conf"), configuration(&settings).as_bytes())?;
    let mut access = options.access.join("\n");
    access.push_str("\nlocal all all trust\n");
    owner.write_file(&data.join("pg_hba.conf"), access.as_bytes())
}

/// Settings as the text of a configuration file.
pub(super) fn configuration(settings: &[(String, String)]) -> String {
    let mut text = String::new();
    for (name, value) in settings {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name} = '{}'", value.replace('\\', "\\\\").replace('\'', "''"));
    }
    text
}

fn settings(options: &SandboxOptions, sockets: &Path, port: u16) -> Vec<(String, String)> {
    let on = |yes: bool| if yes { "on" } else { "off" };
    let port = port.to_string();
    let locks = options.locks_per_transaction.to_string();
    let sockets = sockets.to_string_lossy();
    let fixed = [
        ("listen_addresses", if options.tcp { "127.0.0.1" } else { "" }),
        ("port", &port),
        ("unix_socket_directories", &sockets),
        ("unix_socket_permissions", "0700"),
        ("fsync", on(options.durable)),
        ("full_page_writes", on(options.durable)),
        ("synchronous_commit", on(options.durable)),
        // Nothing here lives long enough to need vacuum, and it would take locks.
        ("autovacuum", "off"),
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
        ("max_wal_size", "4GB"),
        ("checkpoint_timeout", "1h"),
        ("max_connections", "50"),
        ("max_locks_per_transaction", &locks),
        ("shared_buffers", "128MB"),
        ("maintenance_work_mem", "128MB"),
        // Memory that vanishes with the processes, and files only below the data directory.
        ("shared_memory_type", "mmap"),
        ("dynamic_shared_memory_type", "mmap"),
        ("huge_pages", "off"),
        ("jit", "off"),
        ("restart_after_crash", "off"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("lc_messages", "C"),
        ("lc_monetary", "C"),
        ("lc_numeric", "C"),
        ("lc_time", "C"),
        ("default_text_search_config", "pg_catalog.english"),
        ("logging_collector", "off"),
    ];
    fixed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
