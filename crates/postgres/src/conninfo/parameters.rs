//! The settings with a fixed set of values, as types.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::ConninfoError;
use super::settings::Settings;

/// How long one attempt to connect to one address may take, authentication included, when `connect_timeout` does not say:
/// as long as a server gives it by default (`authentication_timeout`). libpq would wait for ever.
const CONNECT_TIMEOUT: Duration = Duration::from_mins(1);
/// libpq rounds shorter timeouts up to this.
const SHORTEST_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Silence before the first keepalive probe; the system default of two hours would hide a vanished server.
const KEEPALIVE_IDLE: Duration = Duration::from_mins(1);
/// Time between two probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Unanswered probes before the connection counts as lost.
const KEEPALIVE_COUNT: u32 = 6;

/// `sslmode` (PostgreSQL documentation, 34.19.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// `channel_binding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChannelBindingMode {
    Disable,
    Prefer,
    Require,
}

/// `sslcertmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CertMode {
    Disable,
    Allow,
}

/// `target_session_attrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionAttributes {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// A way in which the server may ask us to prove who we are (`require_auth`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthMethod {
    Password,
    Md5,
    ScramSha256,
    /// The server asked for nothing.
    None,
    /// One that we do not have.
    Other,
}

/// Where trusted certificates come from (`sslrootcert`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RootCertificates {
    /// The operating system's.
    System,
    /// A PEM file. A default that does not exist is allowed unless verification is asked for.
    File(PathBuf),
}

/// Files for TLS; a default file counts only if it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// `None` when no file is there.
    pub(crate) roots: Option<RootCertificates>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) revocations: Option<PathBuf>,
}

/// TCP keepalive; `None` when it is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keepalive {
    pub(crate) idle: Duration,
    pub(crate) interval: Duration,
    pub(crate) count: u32,
}

/// Everything about a connection that is not who and where.
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) ssl_mode: SslMode,
    pub(crate) ssl_direct: bool,
    pub(crate) ssl_files: TlsFiles,
    pub(crate) ssl_cert_mode: CertMode,
    pub(crate) ssl_sni: bool,
    /// TLS 1.2 is allowed.
    pub(crate) tls12: bool,
    /// TLS 1.3 is allowed.
    pub(crate) tls13: bool,
    pub(crate) channel_binding: ChannelBindingMode,
    /// `None`: anything goes.
    pub(crate) require_auth: Option<Vec<AuthMethod>>,
    pub(crate) require_peer: Option<String>,
    /// `None`: wait for ever.
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) keepalive: Option<Keepalive>,
    pub(crate) tcp_user_timeout: Option<Duration>,
    pub(crate) options: Option<String>,
    pub(crate) session_attributes: SessionAttributes,
    /// Try the hosts in random order.
    pub(crate) shuffle_hosts: bool,
}

impl Parameters {
    pub(super) fn read(settings: &Settings, home: Option<&Path>) -> Result<Self, ConninfoError> {
        let roots_are_system = settings.get("sslrootcert") == Some("system");
        let ssl_mode = ssl_mode(settings, roots_are_system)?;
        let ssl_direct = one_of(
            settings,
            "sslnegotiation",
            "postgres or direct",
            &[("postgres", false), ("direct", true)],
        )?
        .unwrap_or(false);
        if ssl_direct && ssl_mode < SslMode::Require {
            return Err(invalid("sslnegotiation", "\"direct\" needs sslmode=require or stricter"));
        }
        if settings.get("gssencmode") == Some("require") {
            return Err(ConninfoError::Unsupported { keyword: "gssencmode", why: ": there is no GSSAPI" });
        }
        let (tls12, tls13) = tls_versions(settings)?;
        Ok(Self {
            ssl_mode,
            ssl_direct,
            ssl_files: tls_files(settings, home),
            ssl_cert_mode: cert_mode(settings)?,
            ssl_sni: flag(settings, "sslsni")?,
            tls12,
            tls13,
            channel_binding: channel_binding(settings)?,
            require_auth: require_auth(settings)?,
            require_peer: settings.get("requirepeer").map(str::to_owned),
            connect_timeout: connect_timeout(settings)?,
            keepalive: keepalive(settings)?,
            tcp_user_timeout: number(settings, "tcp_user_timeout")?
                .filter(|ms| *ms > 0)
                .map(|ms| Duration::from_millis(u64::from(ms.unsigned_abs()))),
            options: settings.get("options").map(str::to_owned),
            session_attributes: session_attributes(settings)?,
            shuffle_hosts: one_of(
                settings,
                "load_balance_hosts",
                "disable or random",
                &[("disable", false), ("random", true)],
            )?
            .unwrap_or(false),
        })
    }
}

fn invalid(keyword: &'static str, expected: &'static str) -> ConninfoError {
    ConninfoError::Value { keyword, expected }
}

/// The value of `keyword` as one of `choices`.
fn one_of<T: Copy>(
    settings: &Settings,
    keyword: &'static str,
    expected: &'static str,
    choices: &[(&str, T)],
) -> Result<Option<T>, ConninfoError> {
    let Some(value) = settings.get(keyword) else { return Ok(None) };
    let found = choices.iter().find(|(name, _)| *name == value);
    found.map(|(_, choice)| Some(*choice)).ok_or(invalid(keyword, expected))
}

fn number(settings: &Settings, keyword: &'static str) -> Result<Option<i32>, ConninfoError> {
    let parse = |text: &str| text.trim().parse().map_err(|_| invalid(keyword, "a whole number"));
    settings.get(keyword).map(parse).transpose()
}

/// A setting that is on unless it is 0.
fn flag(settings: &Settings, keyword: &'static str) -> Result<bool, ConninfoError> {
    Ok(number(settings, keyword)?.is_none_or(|value| value != 0))
}

fn ssl_mode(settings: &Settings, roots_are_system: bool) -> Result<SslMode, ConninfoError> {
    let choices = [
        ("disable", SslMode::Disable),
        ("allow", SslMode::Allow),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ];
    let expected = "disable, allow, prefer, require, verify-ca or verify-full";
    let default = if roots_are_system { SslMode::VerifyFull } else { SslMode::Prefer };
    let mode = one_of(settings, "sslmode", expected, &choices)?.unwrap_or(default);
    if roots_are_system && mode != SslMode::VerifyFull {
        return Err(invalid("sslmode", "with sslrootcert=system it must be verify-full"));
    }
    Ok(mode)
}

fn channel_binding(settings: &Settings) -> Result<ChannelBindingMode, ConninfoError> {
    let choices = [
        ("disable", ChannelBindingMode::Disable),
        ("prefer", ChannelBindingMode::Prefer),
        ("require", ChannelBindingMode::Require),
    ];
    let chosen = one_of(settings, "channel_binding", "disable, prefer or require", &choices)?;
    Ok(chosen.unwrap_or(ChannelBindingMode::Prefer))
}

fn cert_mode(settings: &Settings) -> Result<CertMode, ConninfoError> {
    if settings.get("sslcertmode") == Some("require") {
        return Err(ConninfoError::Unsupported { keyword: "sslcertmode", why: ": \"require\"" });
    }
    let choices = [("disable", CertMode::Disable), ("allow", CertMode::Allow)];
    let chosen = one_of(settings, "sslcertmode", "disable, allow or require", &choices)?;
    Ok(chosen.unwrap_or(CertMode::Allow))
}

fn session_attributes(settings: &Settings) -> Result<SessionAttributes, ConninfoError> {
    let choices = [
        ("any", SessionAttributes::Any),
        ("read-write", SessionAttributes::ReadWrite),
        ("read-only", SessionAttributes::ReadOnly),
        ("primary", SessionAttributes::Primary),
        ("standby", SessionAttributes::Standby),
        ("prefer-standby", SessionAttributes::PreferStandby),
    ];
    let expected = "any, read-write, read-only, primary, standby or prefer-standby";
    let chosen = one_of(settings, "target_session_attrs", expected, &choices)?;
    Ok(chosen.unwrap_or(SessionAttributes::Any))
}

fn require_auth(settings: &Settings) -> Result<Option<Vec<AuthMethod>>, ConninfoError> {
    const METHODS: [(&str, AuthMethod); 7] = [
        ("password", AuthMethod::Password),
        ("md5", AuthMethod::Md5),
        ("scram-sha-256", AuthMethod::ScramSha256),
        ("none", AuthMethod::None),
        ("gss", AuthMethod::Other),
        ("sspi", AuthMethod::Other),
        ("oauth", AuthMethod::Other),
    ];
    let expected =
        "a list of password, md5, scram-sha-256, gss, sspi, oauth or none, all or none of them with '!'";
    let Some(text) = settings.get("require_auth") else { return Ok(None) };
    let mut listed = Vec::new();
    let negated = text.trim_start().starts_with('!');
    for item in text.split(',').map(str::trim) {
        let name = item.strip_prefix('!');
        if name.is_some() != negated {
            return Err(invalid("require_auth", expected));
        }
        let name = name.unwrap_or(item);
        let found = METHODS.iter().find(|(known, _)| *known == name);
        listed.push(found.ok_or(invalid("require_auth", expected))?.1);
    }
    if !negated {
        return Ok(Some(listed));
    }
    let allowed = METHODS.iter().map(|(_, method)| *method).filter(|method| !listed.contains(method));
    Ok(Some(allowed.collect()))
}

fn connect_timeout(settings: &Settings) -> Result<Option<Duration>, ConninfoError> {
    Ok(match number(settings, "connect_timeout")? {
        None => Some(CONNECT_TIMEOUT),
        Some(..=0) => None,
        Some(seconds) => {
            Some(Duration::from_secs(u64::from(seconds.unsigned_abs())).max(SHORTEST_CONNECT_TIMEOUT))
        }
    })
}

fn keepalive(settings: &Settings) -> Result<Option<Keepalive>, ConninfoError> {
    if !flag(settings, "keepalives")? {
        return Ok(None);
    }
    let positive =
        |keyword| number(settings, keyword).map(|value| value.filter(|n| *n > 0).map(i32::unsigned_abs));
    let seconds = |value: Option<u32>, default| value.map_or(default, |n| Duration::from_secs(u64::from(n)));
    Ok(Some(Keepalive {
        idle: seconds(positive("keepalives_idle")?, KEEPALIVE_IDLE),
        interval: seconds(positive("keepalives_interval")?, KEEPALIVE_INTERVAL),
        count: positive("keepalives_count")?.unwrap_or(KEEPALIVE_COUNT),
    }))
}

fn tls_versions(settings: &Settings) -> Result<(bool, bool), ConninfoError> {
    let expected = "TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3";
    let choices = [("TLSv1", 10), ("TLSv1.1", 11), ("TLSv1.2", 12), ("TLSv1.3", 13)];
    let lowest = one_of(settings, "ssl_min_protocol_version", expected, &choices)?.unwrap_or(12);
    let highest = one_of(settings, "ssl_max_protocol_version", expected, &choices)?.unwrap_or(13);
    if highest < 12 {
        let why = ": TLS before 1.2";
        return Err(ConninfoError::Unsupported { keyword: "ssl_max_protocol_version", why });
    }
    if lowest > highest {
        return Err(invalid("ssl_min_protocol_version", "not above ssl_max_protocol_version"));
    }
    Ok((lowest <= 12, highest >= 13))
}

fn tls_files(settings: &Settings, home: Option<&Path>) -> TlsFiles {
    let file = |keyword: &str, default: &str| {
        let given = settings.get(keyword).map(PathBuf::from);
        let usual = || home.map(|home| home.join(".postgresql").join(default)).filter(|path| path.exists());
        given.or_else(usual)
    };
    TlsFiles {
        roots: match settings.get("sslrootcert") {
            Some("system") => Some(RootCertificates::System),
            _ => file("sslrootcert", "root.crt").map(RootCertificates::File),
        },
        certificate: file("sslcert", "postgresql.crt"),
        key: file("sslkey", "postgresql.key"),
        revocations: file("sslcrl", "root.crl"),
    }
}
