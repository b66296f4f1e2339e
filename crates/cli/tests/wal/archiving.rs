//! `archive_command` of a real server.

use std::fs;

use crate::servers::Archived;

/// Writes about `megabytes` of WAL.
pub(crate) fn load(archived: &Archived, megabytes: u32) {
    archived.cluster.psql(
        "postgres",
        &format!(
            "CREATE TABLE IF NOT EXISTS entry (id bigserial, memo text);
             INSERT INTO entry (memo) SELECT repeat(md5(random()::text), 30) FROM generate_series(1, {megabytes} * 900);"
        ),
    );
}

#[test]
fn every_segment_of_a_busy_server_is_archived_byte_for_byte() {
    let archived = Archived::start();
    std::thread::scope(|scope| {
        let archived = &archived;
        scope.spawn(move || load(archived, 40));
        archived.cluster.psql("postgres", "CREATE TABLE other (n int)");
        for _ in 0..8 {
            archived.cluster.psql(
                "postgres",
                "INSERT INTO other SELECT generate_series(1, 1000); SELECT FROM pg_switch_wal()",
            );
        }
    });
    archived.base_backup("base");
    archived.archive_everything();

    let pg_wal = archived.cluster.sandbox().data_directory().join("pg_wal");
    let (mut compared, mut labels) = (0, 0);
    for entry in fs::read_dir(pg_wal.join("archive_status")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = file.strip_suffix(".done") else { continue };
        let fetched = archived.path("fetched");
        archived.run(&["wal", "fetch", name, fetched.to_str().unwrap(), "--ahead", "0"]).succeeds();
        assert!(fs::read(&fetched).unwrap() == fs::read(pg_wal.join(name)).unwrap(), "{name}");
        compared += 1;
        labels += u32::from(name.ends_with(".backup"));
    }
    assert!(compared >= 8 && labels == 1, "{compared} files, {labels} of base backups");
    let failed = archived.cluster.psql("postgres", "SELECT failed_count FROM pg_stat_archiver");
    assert_eq!(failed.trim(), "0");

    let said = archived.run(&["wal", "status", "--verify", "--json"]);
    let cluster = &said.succeeds().json()["clusters"][0];
    let system = archived.cluster.psql("postgres", "SELECT system_identifier FROM pg_control_system()");
    assert_eq!(cluster["system_id"], system.trim());
    assert_eq!(
        (&cluster["gaps"], cluster["archived"].as_array().unwrap().len()),
        (&serde_json::json!([]), 1)
    );
}
