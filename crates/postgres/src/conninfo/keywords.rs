//! The keywords that libpq knows (PostgreSQL documentation, 34.1.2, of version 18), each with its environment
//! variable and with what we do about it.

/// What a setting does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Support {
    /// It has an effect.
    Used,
    /// Accepted without effect, as libpq does where the feature was not compiled in or is not in use.
    Accepted,
    /// Refused, since leaving it out would change what the user asked for.
    Refused,
}

/// One keyword.
#[derive(Debug)]
pub(super) struct Keyword {
    /// As written in a connection string.
    pub(super) name: &'static str,
    /// The variable that is its default.
    pub(super) variable: Option<&'static str>,
    pub(super) support: Support,
}

const fn used(name: &'static str, variable: &'static str) -> Keyword {
    Keyword { name, variable: Some(variable), support: Support::Used }
}

const fn used_alone(name: &'static str) -> Keyword {
    Keyword { name, variable: None, support: Support::Used }
}

const fn accepted(name: &'static str, variable: Option<&'static str>) -> Keyword {
    Keyword { name, variable, support: Support::Accepted }
}

const fn refused(name: &'static str, variable: Option<&'static str>) -> Keyword {
    Keyword { name, variable, support: Support::Refused }
}

/// Every keyword, `service` first as it decides about the others.
pub(super) const KEYWORDS: &[Keyword] = &[
    used("service", "PGSERVICE"),
    used("servicefile", "PGSERVICEFILE"),
    used("user", "PGUSER"),
    used("password", "PGPASSWORD"),
    used("passfile", "PGPASSFILE"),
    used("dbname", "PGDATABASE"),
    used("host", "PGHOST"),
    used("hostaddr", "PGHOSTADDR"),
    used("port", "PGPORT"),
    used("channel_binding", "PGCHANNELBINDING"),
    used("connect_timeout", "PGCONNECT_TIMEOUT"),
    used("options", "PGOPTIONS"),
    used("application_name", "PGAPPNAME"),
    used_alone("fallback_application_name"),
    used_alone("keepalives"),
    used_alone("keepalives_idle"),
    used_alone("keepalives_interval"),
    used_alone("keepalives_count"),
    used_alone("tcp_user_timeout"),
    used("sslmode", "PGSSLMODE"),
    used("sslnegotiation", "PGSSLNEGOTIATION"),
    used("sslcert", "PGSSLCERT"),
    used("sslkey", "PGSSLKEY"),
    used("sslcertmode", "PGSSLCERTMODE"),
    used("sslrootcert", "PGSSLROOTCERT"),
    used("sslcrl", "PGSSLCRL"),
    used("sslsni", "PGSSLSNI"),
    used("requirepeer", "PGREQUIREPEER"),
    used("require_auth", "PGREQUIREAUTH"),
    used("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    used("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    used("target_session_attrs", "PGTARGETSESSIONATTRS"),
    used("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    used("gssencmode", "PGGSSENCMODE"),
    // The client always speaks UTF-8; COPY has an ENCODING option of its own.
    accepted("client_encoding", Some("PGCLIENTENCODING")),
    // Compression in TLS is gone from every library.
    accepted("sslcompression", Some("PGSSLCOMPRESSION")),
    accepted("min_protocol_version", Some("PGMINPROTOCOLVERSION")),
    accepted("max_protocol_version", Some("PGMAXPROTOCOLVERSION")),
    accepted("krbsrvname", Some("PGKRBSRVNAME")),
    accepted("gsslib", Some("PGGSSLIB")),
    accepted("gssdelegation", Some("PGGSSDELEGATION")),
    refused("sslcrldir", Some("PGSSLCRLDIR")),
    refused("sslpassword", None),
    refused("sslkeylogfile", None),
    refused("replication", None),
    refused("scram_client_key", None),
    refused("scram_server_key", None),
    refused("oauth_issuer", None),
    refused("oauth_client_id", None),
    refused("oauth_client_secret", None),
    refused("oauth_scope", None),
];

/// The keyword called `name`; case matters, as in libpq.
pub(super) fn find(name: &str) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|keyword| keyword.name == name)
}
