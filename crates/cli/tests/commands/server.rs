//! Servers that cannot be reached or refuse: one sentence, the right code, no password.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use operations::postgres::TlsServer;
use testkit::Cluster;
use testkit::certificates::Authority;

use crate::harness::{KEY, Place};

fn place(url: &str) -> Place {
    let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY).with("DATABASE_URL", url);
    place.run(&["init"]).succeeds();
    place
}

#[test]
fn a_server_that_is_not_there() {
    let place = place("postgres://u:hunter2@127.0.0.1:1/books");
    place.run(&["backup"]).fails(1, "server.unreachable", "127.0.0.1:1");
    let said = place.run(&["backup", "--json"]);
    assert_eq!(said.json()["error"]["code"], "server.unreachable");
    let socket = place.path("none").display().to_string();
    let place = place.with("DATABASE_URL", &format!("host={socket} dbname=books user=u password=hunter2"));
    place.run(&["backup"]).fails(1, "server.unreachable", "none");
}

#[test]
fn a_server_that_refuses() {
    let cluster = Cluster::with(|options| {
        options.tcp = true;
        options.access.push("host all all 127.0.0.1/32 scram-sha-256".to_owned());
    });
    cluster.psql(
        "postgres",
        "CREATE ROLE clerk LOGIN PASSWORD 'right horse'; CREATE DATABASE books;
         CREATE TABLE secret (id int);",
    );
    let port = cluster.sandbox().port();
    let url = |user: &str, database: &str| format!("postgres://{user}@127.0.0.1:{port}/{database}");
    let place = place(&url("clerk:hunter2", "books"));
    place.run(&["backup"]).fails(1, "server.password", "clerk");
    let run = |url: &str| {
        crate::harness::Said::from(place.command(&["backup"]).env("DATABASE_URL", url).output().unwrap())
    };
    run(&url("clerk", "books")).fails(1, "server.password", "password");
    run(&url("nobody:hunter2", "books")).fails(1, "server.password", "nobody");
    run(&url("clerk:right%20horse", "nothing")).fails(1, "server.database", "nothing");
    let said = run(&url("clerk:right%20horse", "postgres"));
    assert_eq!(said.exit, 1, "{said:?}");
    assert!(said.err.contains("secret") && !said.err.contains("right horse"), "{said:?}");

    // A password on the command line works, and is warned about without being repeated.
    let to = format!("postgres://clerk:right%20horse@127.0.0.1:{port}/nothing");
    let said = place.run(&["restore", "latest", "--to", &to]);
    assert!(said.err.contains("warning[password.visible]"), "{said:?}");
    assert!(!said.err.contains("right%20horse") && !said.err.contains("right horse"), "{said:?}");
}

#[test]
fn a_database_behind_tls_is_backed_up_and_restored() {
    let authority = Authority::new("Authority");
    let certificate = authority.issue("server", "localhost", &["DNS:localhost"]);
    let cluster = Cluster::with(|options| {
        options.tcp = true;
        options.access.push("hostssl all all 127.0.0.1/32 scram-sha-256".to_owned());
        options.tls = Some(TlsServer {
            certificate: certificate.certificate.clone(),
            key: certificate.key.clone(),
            client_authority: None,
        });
    });
    cluster.psql(
        "postgres",
        r"CREATE ROLE clerk SUPERUSER LOGIN PASSWORD 'hunter2:\ö@/'; CREATE DATABASE books;",
    );
    cluster.psql("books", "CREATE TABLE entry AS SELECT n FROM generate_series(1, 1000) n");
    let url = |database: &str, authority: &Authority| {
        let (port, root) = (cluster.sandbox().port(), authority.certificate().display().to_string());
        format!(
            "postgres://clerk@localhost:{port}/{database}?hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={root}"
        )
    };
    let place = place(&url("books", &authority));
    let passwords = place.path("passwords");
    fs::write(&passwords, "localhost:*:*:clerk:hunter2\\:\\\\ö@/\n").unwrap();
    fs::set_permissions(&passwords, Permissions::from_mode(0o600)).unwrap();
    let place = place.with("PGPASSFILE", passwords.to_str().unwrap());

    // Our own sessions, pg_dump, pg_dumpall and pg_restore connect alike.
    assert_eq!(place.run(&["backup", "--json"]).succeeds().json()["verified"], true);
    place.run(&["restore", "latest", "--to", &url("again", &authority), "--create"]).succeeds();
    assert_eq!(cluster.psql("again", "SELECT count(*) FROM entry").trim(), "1000");

    let another = Authority::new("Another authority");
    let place = place.with("DATABASE_URL", &url("books", &another));
    place.run(&["backup"]).fails(1, "server.tls", "certificate");
}

#[test]
fn the_doctor_finds_what_is_wrong_and_says_what_to_do() {
    let cluster = Cluster::start();
    let place = Place::new();
    let said = place.run(&["doctor", "--json"]);
    assert_eq!(said.exit, 1, "{said:?}");
    let codes = |json: &serde_json::Value| -> Vec<String> {
        let findings = json["findings"].as_array().unwrap().clone();
        assert!(
            findings.iter().all(|f| f["state"] == "ok" || !f["hint"].as_str().unwrap().is_empty()),
            "{json}"
        );
        findings
            .iter()
            .filter(|f| f["state"] != "ok")
            .map(|f| f["code"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(codes(&said.json()), ["key.missing", "settings.no_source"]);
    assert_eq!(said.json()["error"]["code"], "doctor.found");

    let place = place.with("DATABASE_URL", &cluster.url("postgres")).with("BACKUP_ENCRYPTION_KEY", KEY);
    assert_eq!(codes(&place.run(&["doctor", "--json"]).json()), ["repository.missing"]);
    place.run(&["init"]).succeeds();
    // The key is in one place only, until a copy was checked.
    let said = place.run(&["doctor"]);
    assert_eq!(said.exit, 4, "{said:?}");
    assert!(said.out.contains("keys escrow") && said.out.contains("1 key opens the repository"), "{said:?}");
    assert_eq!(codes(&place.run(&["doctor", "--json"]).json()), ["key.one_place"]);
    std::fs::write(place.path("typed"), KEY).unwrap();
    place.run(&["keys", "escrow", "--check", "typed"]).succeeds();
    let said = place.run(&["doctor"]);
    said.succeeds();
    for word in ["PostgreSQL 1", "client programs", "the repository opens", "are free"] {
        assert!(said.out.contains(word), "{word}: {said:?}");
    }
    assert_eq!(codes(&place.run(&["doctor", "--json"]).json()), Vec::<String>::new());

    // What only physical backups lack is a fault where they are wanted.
    assert!(said.out.contains("only for physical backups: wal_level is minimal"), "{said:?}");
    let said = place.run(&["doctor", "--kind", "physical", "--json"]);
    assert_eq!((said.exit, codes(&said.json())), (1, vec!["server.preflight".to_owned()]), "{said:?}");
}
