//! P11: memory is bounded by configuration, not by the size of the database.

use std::process::Command;

use testkit::Cluster;

use crate::harness::{KEY, Place, Said};

/// What the program may have at most, and less than the table has: 256 MiB.
const LIMIT_KIB: u32 = 256 << 10;
/// About 290 MB as text.
const ROWS: u32 = 300_000;

/// Runs the program where the system gives it, and each of its children, no more memory than that.
fn run_limited(place: &Place, arguments: &[&str]) -> Said {
    let program = place.command(arguments);
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -d {LIMIT_KIB} && exec \"$0\" \"$@\"")]);
    limited.arg(program.get_program()).args(program.get_args()).current_dir(place.root());
    limited.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Said::from(limited.output().unwrap())
}

#[test]
fn a_database_larger_than_the_memory_is_backed_up_checked_and_restored() {
    let cluster = Cluster::start();
    cluster.create_database("books");
    let create = format!(
        "CREATE TABLE entry AS SELECT g AS id, repeat(md5(g::text), 30) AS memo FROM generate_series(1, {ROWS}) g"
    );
    cluster.psql("books", &create);
    let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY).with("DATABASE_URL", &cluster.url("books"));
    place.run(&["init"]).succeeds();
    let made = run_limited(&place, &["backup", "--no-verify", "--json"]).succeeds().json();
    assert!(made["plain_bytes"].as_u64().unwrap() > u64::from(LIMIT_KIB) << 10, "{made}");
    // Once more, where every chunk is looked for in the backup before.
    let again = run_limited(&place, &["backup", "--no-verify", "--json"]).succeeds().json();
    assert!(again["reused_bytes"].as_u64().unwrap() > u64::from(LIMIT_KIB) << 10, "{again}");
    run_limited(&place, &["verify", "latest", "--level", "contents"]).succeeds();
    let to = cluster.url("again");
    run_limited(&place, &["restore", "latest", "--to", &to, "--create"]).succeeds();
    assert_eq!(cluster.psql("again", "SELECT count(*) FROM entry").trim(), ROWS.to_string());
}
