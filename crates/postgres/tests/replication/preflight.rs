//! What is missing for physical backups is named, with what to do about it.

use chronavault_postgres::{Client, Finding, Severity, preflight_replication};
use testkit::Cluster;

use crate::commands::slot;

fn findings(client: &mut Client) -> Vec<Finding> {
    let findings = preflight_replication(client).unwrap();
    assert!(findings.is_sorted_by_key(|finding| std::cmp::Reverse(finding.severity)));
    findings.into_iter().filter(|finding| finding.severity > Severity::Note).collect()
}

/// The one finding.
fn only(client: &mut Client) -> (Severity, String, String) {
    let findings = findings(client);
    let [finding] = &findings[..] else { panic!("{findings:#?}") };
    (finding.severity, finding.object.clone(), finding.message.clone())
}

fn as_role(cluster: &Cluster, role: &str) -> Client {
    Client::connect(&cluster.sandbox().options_as(role, "postgres").unwrap()).unwrap()
}

#[test]
fn nothing_is_missing_where_nothing_is_missing() {
    let cluster = Cluster::replicating(|_| ());
    cluster.client("postgres").execute("CREATE ROLE backup LOGIN REPLICATION").unwrap();
    // Not a superuser, and without any other right.
    assert_eq!(findings(&mut as_role(&cluster, "backup")), []);
    assert_eq!(findings(&mut cluster.client("postgres")), []);
}

#[test]
fn the_role_and_its_access_are_looked_at() {
    let cluster = Cluster::with(|options| {
        options.tcp = true;
        options.access =
            vec!["local replication postgres trust".into(), "host all all 127.0.0.1/32 trust".into()];
        for (name, value) in [("wal_level", "replica"), ("max_wal_senders", "8")] {
            options.settings.push((name.into(), value.into()));
        }
    });
    let mut client = cluster.client("postgres");
    client.execute("CREATE ROLE \"Plain\" LOGIN; CREATE ROLE backup LOGIN REPLICATION").unwrap();
    let (severity, object, message) = only(&mut as_role(&cluster, "Plain"));
    assert_eq!((severity, object.as_str()), (Severity::Error, "role Plain"));
    assert!(message.ends_with("ALTER ROLE \"Plain\" REPLICATION"), "{message}");
    let (severity, _, message) = only(&mut as_role(&cluster, "backup"));
    assert_eq!(severity, Severity::Error);
    assert!(message.contains("`local  replication  \"backup\"  peer`"), "{message}");
    let text = format!("host=127.0.0.1 port={} user=backup dbname=postgres", cluster.sandbox().port());
    let environment = chronavault_postgres::ClientEnvironment::empty();
    let options = chronavault_postgres::ConnectOptions::parse(&text, &environment).unwrap();
    let (_, _, message) = only(&mut Client::connect(&options).unwrap());
    assert!(message.contains("`host  replication  \"backup\"  127.0.0.1/32  scram-sha-256`"), "{message}");
}

#[test]
fn the_settings_of_the_server_are_looked_at() {
    let cluster = Cluster::start();
    let (severity, object, message) = only(&mut cluster.client("postgres"));
    assert_eq!((severity, object.as_str()), (Severity::Error, "server"));
    assert!(message.contains("set wal_level = replica"), "{message}");
    let with = |senders: &str, slots: &str| {
        Cluster::replicating(|options| {
            for (name, value) in [("max_wal_senders", senders), ("max_replication_slots", slots)] {
                options.settings.push((name.into(), value.into()));
            }
        })
    };
    let (severity, _, message) = only(&mut with("0", "5").client("postgres"));
    assert_eq!(severity, Severity::Error);
    assert!(message.contains("max_wal_senders is 0") && message.contains("none is left"), "{message}");
    let (severity, _, message) = only(&mut with("5", "1").client("postgres"));
    assert_eq!(severity, Severity::Warning);
    assert!(message.contains("set max_replication_slots = 2 or more"), "{message}");
}

#[test]
fn slots_that_nobody_reads_are_named() {
    let cluster = Cluster::replicating(|_| ());
    let mut client = cluster.client("postgres");
    for name in ["chronavault_books", "other"] {
        client.query("SELECT pg_create_physical_replication_slot($1, true)", &[Some(name)]).unwrap();
    }
    let (severity, object, message) = only(&mut client);
    assert_eq!((severity, object.as_str()), (Severity::Warning, "replication slot chronavault_books"));
    assert!(message.contains("pg_drop_replication_slot('chronavault_books')"), "{message}");
    let mut receiver = crate::commands::connect(&cluster);
    let identity = receiver.identify_system().unwrap();
    let _stream =
        receiver.stream_wal(Some(&slot("chronavault_books")), identity.timeline, identity.flushed).unwrap();
    assert_eq!(findings(&mut client), []);
}
