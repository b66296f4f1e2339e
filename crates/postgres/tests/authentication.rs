//! Every way to prove who one is, and every `sslmode`, against a real server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsString;
use std::path::Path;

use chronavault_postgres::{Client, ClientEnvironment, ConnectOptions, Error, ErrorKind, TlsServer};
use testkit::Cluster;
use testkit::certificates::{Authority, Certificate, self_signed};

/// Who may come in how. Everyone's password is `pa ss'w\ö:@/`.
const ACCESS: [&str; 10] = [
    "host    all trusted  127.0.0.1/32 trust",
    "host    all plain    127.0.0.1/32 password",
    "host    all md5      127.0.0.1/32 md5",
    "host    all scram    127.0.0.1/32 scram-sha-256",
    "hostssl all only_tls 127.0.0.1/32 scram-sha-256",
    "hostnossl all no_tls 127.0.0.1/32 scram-sha-256",
    "hostssl all bearer   127.0.0.1/32 cert",
    "host    all rejected 127.0.0.1/32 reject",
    "local   all somebody              peer",
    "local   all scram                 scram-sha-256",
];
const PASSWORD: &str = r"pa ss'w\ö:@/";
const ENCODED: &str = "pa%20ss%27w%5C%C3%B6%3A%40%2F";

fn cluster(tls: Option<(&Certificate, Option<&Path>)>) -> Cluster {
    let cluster = Cluster::with(|options| {
        options.tcp = true;
        options.access = ACCESS.iter().map(|line| (*line).to_owned()).collect();
        options.tls = tls.map(|(certificate, authority)| TlsServer {
            certificate: certificate.certificate.clone(),
            key: certificate.key.clone(),
            client_authority: authority.map(Path::to_owned),
        });
    });
    let mut client = cluster.client("postgres");
    for user in ["trusted", "plain", "scram", "only_tls", "no_tls", "bearer", "rejected", "somebody"] {
        let quoted = PASSWORD.replace('\'', "''");
        client.execute(&format!("CREATE ROLE {user} LOGIN PASSWORD '{quoted}'")).unwrap();
    }
    let quoted = PASSWORD.replace('\'', "''");
    client
        .execute(&format!("SET password_encryption = md5; CREATE ROLE md5 LOGIN PASSWORD '{quoted}'"))
        .unwrap();
    cluster
}

/// Connects over TCP with `user:password` and further URI parameters.
fn connect(cluster: &Cluster, who: &str, host: &str, rest: &str) -> Result<Client, Error> {
    let port = cluster.sandbox().port();
    let text = format!("postgresql://{who}@{host}:{port}/postgres?hostaddr=127.0.0.1{rest}");
    Client::connect(&ConnectOptions::parse(&text, &ClientEnvironment::empty()).unwrap())
}

fn user_of(client: &mut Client) -> String {
    client.query_one("SELECT current_user", &[]).unwrap().text(0).unwrap().to_owned()
}

fn kind(result: Result<Client, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn every_method_without_tls() {
    let cluster = cluster(None);
    for user in ["plain", "md5", "scram", "no_tls", "trusted"] {
        let mut client = connect(&cluster, &format!("{user}:{ENCODED}"), "localhost", "").unwrap();
        assert_eq!(user_of(&mut client), user);
        assert!(!client.is_encrypted());
    }
    connect(&cluster, "trusted", "localhost", "").unwrap();
    for user in ["plain", "md5", "scram"] {
        let error = connect(&cluster, &format!("{user}:wrong"), "localhost", "").unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Authentication, Some("28P01")), "{error}");
        let error = connect(&cluster, user, "localhost", "").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication);
        assert!(error.to_string().ends_with("the server asks for a password and none was given"), "{error}");
    }
    let error = connect(&cluster, "rejected", "localhost", "").unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Authentication, Some("28000")));
    let error = connect(&cluster, "nobody_there", "localhost", "").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    // No TLS on this server, and these users want it.
    assert_eq!(kind(connect(&cluster, "trusted", "localhost", "&sslmode=require")), ErrorKind::Tls);
    assert_eq!(
        kind(connect(&cluster, &format!("scram:{ENCODED}"), "localhost", "&channel_binding=require")),
        ErrorKind::Authentication
    );
    assert_eq!(
        kind(connect(&cluster, "trusted", "localhost", "&channel_binding=require")),
        ErrorKind::Authentication
    );
}

#[test]
fn require_auth_limits_what_a_server_may_ask_for() {
    let cluster = cluster(None);
    let try_with = |user: &str, methods: &str| {
        connect(&cluster, &format!("{user}:{ENCODED}"), "localhost", &format!("&require_auth={methods}"))
    };
    try_with("scram", "scram-sha-256").unwrap();
    try_with("scram", "!password,!md5").unwrap();
    try_with("trusted", "none").unwrap();
    for (user, methods) in [
        ("plain", "scram-sha-256"),
        ("plain", "!password"),
        ("md5", "scram-sha-256,password"),
        ("trusted", "scram-sha-256"),
        ("scram", "!scram-sha-256"),
    ] {
        assert_eq!(kind(try_with(user, methods)), ErrorKind::Authentication, "{user} {methods}");
    }
}

#[test]
fn peer_on_the_socket() {
    let cluster = cluster(None);
    let me = String::from_utf8(std::process::Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    let error = Client::connect(&cluster.sandbox().options_as("somebody", "postgres").unwrap()).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Authentication, Some("28000")), "{error}");
    let sockets = cluster.sandbox().socket_directory().to_str().unwrap().to_owned();
    let port = cluster.sandbox().port();
    let server_owner = if me.trim() == "root" { "postgres" } else { me.trim() };
    let text =
        |peer: &str| format!("host={sockets} port={port} user=postgres dbname=postgres requirepeer={peer}");
    let connect = |peer: &str| {
        Client::connect(&ConnectOptions::parse(&text(peer), &ClientEnvironment::empty()).unwrap())
    };
    connect(server_owner).unwrap();
    assert_eq!(kind(connect("daemon")), ErrorKind::Authentication);
}

#[test]
fn every_sslmode() {
    let authority = Authority::new("Authority");
    let other = Authority::new("Another authority");
    let certificate =
        authority.issue("server", "localhost", &["DNS:localhost", "DNS:*.books.example", "IP:127.0.0.1"]);
    let cluster = cluster(Some((&certificate, Some(authority.certificate()))));
    let right = format!("&sslrootcert={}", authority.certificate().display());
    let wrong = format!("&sslrootcert={}", other.certificate().display());
    let who = format!("scram:{ENCODED}");
    let try_with =
        |host: &str, mode: &str, rest: &str| connect(&cluster, &who, host, &format!("&sslmode={mode}{rest}"));

    assert!(!try_with("localhost", "disable", "").unwrap().is_encrypted());
    assert!(!try_with("localhost", "allow", "").unwrap().is_encrypted());
    for (host, mode, roots) in [
        ("localhost", "prefer", ""),
        ("localhost", "require", ""),
        ("elsewhere.example", "require", ""),
        ("elsewhere.example", "require", "&sslrootcert=/nonexistent"),
        ("elsewhere.example", "require", right.as_str()),
        ("elsewhere.example", "verify-ca", &right),
        ("localhost", "verify-full", &right),
        ("db.books.example", "verify-full", &right),
        ("127.0.0.1", "verify-full", &right),
    ] {
        let mut client = try_with(host, mode, roots).unwrap();
        let row = client
            .query_one("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[])
            .unwrap();
        assert!(client.is_encrypted() && row.is_true(0), "{host} {mode} {roots}");
        assert_eq!(row.get(1), Some("TLSv1.3"));
    }
    for (host, mode, roots, reason) in [
        (
            "elsewhere.example",
            "verify-full",
            right.as_str(),
            "certificate not valid for name \"elsewhere.example\"",
        ),
        ("a.b.books.example", "verify-full", &right, "certificate not valid for name \"a.b.books.example\""),
        ("127.0.0.2", "verify-full", &right, "certificate not valid for name \"127.0.0.2\""),
        ("localhost", "require", &wrong, "not issued by a trusted authority"),
        ("localhost", "verify-ca", &wrong, "not issued by a trusted authority"),
        ("localhost", "verify-full", &wrong, "not issued by a trusted authority"),
        ("localhost", "verify-full", "", "there is no root certificate file"),
        ("localhost", "verify-ca", "&sslrootcert=/nonexistent", "there is no root certificate file"),
    ] {
        let error = try_with(host, mode, roots).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls);
        assert!(error.to_string().contains(reason), "{host} {mode} {roots}: {error}");
    }
    // As libpq: with a root file, even `prefer` does not take a server that fails it over TLS, and then goes without.
    assert!(!try_with("localhost", "prefer", &wrong).unwrap().is_encrypted());
    // A root file that holds no certificate is an error that names it.
    let error = try_with("localhost", "verify-ca", "&sslrootcert=/etc/passwd").unwrap_err();
    assert!(matches!(&error, Error::TlsFile { path, .. } if path == "/etc/passwd"), "{error}");
    // Older TLS, when it is asked for.
    let mut client = try_with("localhost", "require", "&ssl_max_protocol_version=TLSv1.2").unwrap();
    let row = client.query_one("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).unwrap();
    assert_eq!(row.get(0), Some("TLSv1.2"));
}

#[test]
fn prefer_and_allow_try_the_other_way() {
    let authority = Authority::new("Authority");
    let certificate = authority.issue("server", "localhost", &["DNS:localhost"]);
    let cluster = cluster(Some((&certificate, None)));
    let try_with = |user: &str, mode: &str| {
        connect(&cluster, &format!("{user}:{ENCODED}"), "localhost", &format!("&sslmode={mode}"))
    };
    assert!(try_with("only_tls", "allow").unwrap().is_encrypted());
    assert!(!try_with("no_tls", "prefer").unwrap().is_encrypted());
    assert_eq!(kind(try_with("only_tls", "disable")), ErrorKind::Authentication);
    assert_eq!(kind(try_with("no_tls", "require")), ErrorKind::Authentication);
    // The telling error of the two attempts is shown.
    for (user, mode) in [("only_tls", "prefer"), ("only_tls", "allow"), ("no_tls", "prefer")] {
        let error = connect(&cluster, &format!("{user}:wrong"), "localhost", &format!("&sslmode={mode}"))
            .unwrap_err();
        assert_eq!(error.code(), Some("28P01"), "{user} {mode}: {error}");
    }
}

#[test]
fn channel_binding_with_every_hash() {
    let authority = Authority::new("Authority");
    for hash in ["-sha256", "-sha384", "-sha512"] {
        let certificate =
            authority.issue_with("server", "localhost", &["DNS:localhost"], &["-days", "2", hash]);
        let cluster = cluster(Some((&certificate, None)));
        let who = format!("only_tls:{ENCODED}");
        for binding in ["require", "prefer", "disable"] {
            let client = connect(&cluster, &who, "localhost", &format!("&channel_binding={binding}"));
            assert!(client.unwrap().is_encrypted(), "{hash} {binding}");
        }
        let error = connect(&cluster, "only_tls:wrong", "localhost", "&channel_binding=require").unwrap_err();
        assert_eq!(error.code(), Some("28P01"));
    }
}

#[test]
fn certificates_as_people_have_them() {
    let authority = Authority::new("Authority");
    // Version 1, without names: good for encryption.
    let plain = authority.issue("plain", "localhost", &[]);
    // Its own root, and allowed to sign others, as PostgreSQL's manual makes it.
    let own = self_signed(authority.directory(), "own", "localhost", &["DNS:localhost"]);
    let expired = authority.issue_with("expired", "localhost", &["DNS:localhost"], &["-days", "-1"]);
    let who = format!("only_tls:{ENCODED}");

    let with_plain = cluster(Some((&plain, None)));
    assert!(connect(&with_plain, &who, "localhost", "&sslmode=require").unwrap().is_encrypted());

    let with_own = cluster(Some((&own, None)));
    let roots = format!("&sslrootcert={}", own.certificate.display());
    for (host, mode) in [("localhost", "verify-full"), ("elsewhere.example", "verify-ca")] {
        assert!(connect(&with_own, &who, host, &format!("&sslmode={mode}{roots}")).unwrap().is_encrypted());
    }
    assert_eq!(
        kind(connect(&with_own, &who, "elsewhere.example", &format!("&sslmode=verify-full{roots}"))),
        ErrorKind::Tls
    );

    let with_expired = cluster(Some((&expired, None)));
    let roots = format!("&sslmode=verify-ca&sslrootcert={}", authority.certificate().display());
    assert_eq!(kind(connect(&with_expired, &who, "localhost", &roots)), ErrorKind::Tls);
    connect(&with_expired, &who, "localhost", "&sslmode=require").unwrap();
}

#[test]
fn revoked_certificates() {
    let authority = Authority::new("Authority");
    let certificate = authority.issue("server", "localhost", &["DNS:localhost"]);
    let revoked = authority.issue("revoked", "localhost", &["DNS:localhost"]);
    let list = authority.revoke(&revoked);
    let rest = format!(
        "&sslmode=verify-full&sslrootcert={}&sslcrl={}",
        authority.certificate().display(),
        list.display()
    );
    let who = format!("scram:{ENCODED}");
    connect(&cluster(Some((&certificate, None))), &who, "localhost", &rest).unwrap();
    let error = connect(&cluster(Some((&revoked, None))), &who, "localhost", &rest).unwrap_err();
    assert!(error.to_string().contains("revoked"), "{error}");
}

#[test]
fn client_certificates() {
    let authority = Authority::new("Authority");
    let certificate = authority.issue("server", "localhost", &["DNS:localhost"]);
    let bearer = authority.issue("bearer", "bearer", &["DNS:bearer"]);
    let other = authority.issue("other", "somebody", &["DNS:somebody"]);
    let cluster = cluster(Some((&certificate, Some(authority.certificate()))));
    let with = |own: &Certificate| {
        format!("&sslmode=require&sslcert={}&sslkey={}", own.certificate.display(), own.key.display())
    };
    let mut client = connect(&cluster, "bearer", "localhost", &with(&bearer)).unwrap();
    assert_eq!(user_of(&mut client), "bearer");
    assert_eq!(kind(connect(&cluster, "bearer", "localhost", "&sslmode=require")), ErrorKind::Authentication);
    assert_eq!(kind(connect(&cluster, "bearer", "localhost", &with(&other))), ErrorKind::Authentication);
    let disabled = format!("{}&sslcertmode=disable", with(&bearer));
    assert_eq!(kind(connect(&cluster, "bearer", "localhost", &disabled)), ErrorKind::Authentication);

    // The usual files of the home directory.
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join(".postgresql");
    std::fs::create_dir(&directory).unwrap();
    std::fs::copy(&bearer.certificate, directory.join("postgresql.crt")).unwrap();
    std::fs::copy(&bearer.key, directory.join("postgresql.key")).unwrap();
    std::fs::copy(authority.certificate(), directory.join("root.crt")).unwrap();
    let environment = ClientEnvironment::from_vars([(OsString::from("HOME"), home.path().into())]);
    let text = format!(
        "host=localhost hostaddr=127.0.0.1 port={} user=bearer dbname=postgres sslmode=verify-full",
        cluster.sandbox().port()
    );
    Client::connect(&ConnectOptions::parse(&text, &environment).unwrap()).unwrap();

    // A key that others can read is not used.
    std::fs::set_permissions(&bearer.key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let error = connect(&cluster, "bearer", "localhost", &with(&bearer)).unwrap_err();
    assert!(matches!(&error, Error::TlsFile { reason, .. } if reason.contains("0600")), "{error}");
}
