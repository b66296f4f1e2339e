//! What `wal push` tells a server.

use std::fs;

use jiff::Timestamp;

use crate::harness::Place;
use crate::segments::{SYSTEM, archive, name, object, opened, place, ready, timeline, wal, write};

fn push(place: &Place, file: &str) -> crate::harness::Said {
    place.run(&["wal", "push", &format!("pg_wal/{file}")])
}

#[test]
fn a_segment_is_archived_once_and_silently() {
    let place = place();
    write(&place, 1, 3);
    let file = name(1, 3).to_string();
    let said = push(&place, &file);
    said.succeeds();
    assert_eq!(
        (said.out.as_str(), said.err.as_str()),
        ("", ""),
        "the server's log has better things to hold"
    );
    let before = fs::read(object(&place, 1, &format!("{file}.wal"))).unwrap();
    let again = place.run(&["wal", "push", &format!("pg_wal/{file}"), "--json"]);
    let json = again.succeeds().json();
    assert_eq!((&json["already_there"], &json["plain_bytes"]), (&true.into(), &(1 << 20).into()));
    assert_eq!((&json["system_id"], &json["timeline"]), (&SYSTEM.to_string().into(), &1.into()));
    assert_eq!(fs::read(object(&place, 1, &format!("{file}.wal"))).unwrap(), before);
}

#[test]
fn other_bytes_under_the_same_name_fail_loudly() {
    let place = place();
    archive(&place, 1, [3]);
    let path = write(&place, 1, 3);
    fs::write(&path, wal(1, 3, 9)).unwrap();
    let said = push(&place, &name(1, 3).to_string());
    said.fails(1, "wal.differs", "is already archived with other bytes");
    let mut bytes = Vec::new();
    opened(&place).get(model::WalName::Segment(name(1, 3)), &mut bytes).unwrap();
    assert!(bytes == wal(1, 3, 0), "nothing was replaced");
}

#[test]
fn what_is_not_what_its_name_says_is_refused() {
    let place = place();
    let path = write(&place, 1, 3);
    let wrong = path.with_file_name(name(1, 4).to_string());
    fs::rename(&path, &wrong).unwrap();
    push(&place, &name(1, 4).to_string()).fails(1, "wal.misnamed", "0/300000, not at 0/400000");
    fs::write(&wrong, &wal(1, 4, 0)[..1 << 19]).unwrap();
    push(&place, &name(1, 4).to_string()).fails(1, "wal.misnamed", "has 524288 bytes, not 1048576");
    fs::write(&wrong, b"not WAL at all").unwrap();
    push(&place, &name(1, 4).to_string()).fails(1, "wal.misnamed", "is not a WAL segment");
    fs::write(&wrong, wal(1, 4, 0)).unwrap();
    let other = ["wal", "push", wrong.to_str().unwrap(), "--system-id", "5"];
    place.run(&other).fails(1, "wal.misnamed", "not 5");
    push(&place, "postmaster.pid").fails(2, "wal.name", "\"postmaster.pid\" is not the name");
    push(&place, &name(1, 5).to_string()).fails(1, "wal.unreadable", "No such file");
    assert!(opened(&place).catalogue().unwrap().timelines.is_empty());
}

#[test]
fn files_that_do_not_say_their_cluster_get_it_from_elsewhere() {
    let place = place();
    let history = b"1\t0/300148\tno recovery target specified\n";
    fs::write(place.path("pg_wal/00000002.history"), history).unwrap();
    push(&place, "00000002.history").fails(2, "wal.no_system", "global/pg_control");
    fs::create_dir(place.path("global")).unwrap();
    fs::write(place.path("global/pg_control"), [0; 8192]).unwrap();
    push(&place, "00000002.history").fails(2, "wal.no_system", "version 0");
    let id = SYSTEM.to_string();
    place.run(&["wal", "push", "pg_wal/00000002.history", "--system-id", &id]).succeeds();
    assert_eq!(opened(&place).history(timeline(2)).unwrap().unwrap(), history);
}

#[test]
fn what_is_ready_is_taken_along() {
    let place = place();
    for number in 3..9 {
        write(&place, 1, number);
        ready(&place, 1, number);
    }
    let json = |number, more: &[&str]| {
        let path = format!("pg_wal/{}", name(1, number));
        place.run(&[&["wal", "push", "--json", &path], more].concat()).succeeds().json()
    };
    let names =
        |numbers: &[u64]| numbers.iter().map(|number| name(1, *number).to_string()).collect::<Vec<_>>();
    let said = json(3, &["--ahead", "2"]);
    assert_eq!((&said["already_there"], &said["ahead"]), (&false.into(), &names(&[4, 5]).into()));
    // What was taken along is only compared; nothing else is looked at then.
    let said = json(4, &[]);
    assert_eq!((&said["already_there"], &said["ahead"]), (&true.into(), &names(&[]).into()));
    let said = json(6, &[]);
    assert_eq!(said["ahead"], serde_json::Value::from(names(&[7, 8])));
    assert_eq!(opened(&place).catalogue().unwrap().timelines[&timeline(1)].segments.len(), 6);
}

#[test]
fn trouble_with_what_comes_next_is_left_for_later() {
    let place = place();
    for number in 3..6 {
        write(&place, 1, number);
        ready(&place, 1, number);
    }
    // Another segment 4 is archived already.
    let archive = opened(&place);
    archive.put_segment(name(1, 4), crate::segments::size(), &wal(1, 4, 9), Timestamp::UNIX_EPOCH).unwrap();
    push(&place, &name(1, 3).to_string()).succeeds();
    push(&place, &name(1, 4).to_string()).fails(1, "wal.differs", "");
}

#[test]
fn a_push_without_key_or_repository_is_no_success() {
    let place = place();
    write(&place, 1, 3);
    let path = format!("pg_wal/{}", name(1, 3));
    let elsewhere = place.run(&["wal", "push", &path, "--directory", "nowhere"]);
    elsewhere.fails(1, "repository.missing", "nowhere");
    let wrong = place.with("BACKUP_ENCRYPTION_KEY", &"ab".repeat(32));
    wrong.run(&["wal", "push", &path]).fails(2, "key.wrong", "does not belong");
}

#[test]
fn what_was_taken_along_is_believed_only_while_nothing_has_changed() {
    let place = place();
    for number in 3..7 {
        write(&place, 1, number);
        ready(&place, 1, number);
    }
    push(&place, &name(1, 3).to_string()).succeeds();
    let notes = |place: &Place| {
        let directories = fs::read_dir(place.path("pg_wal/chronavault-spool")).unwrap();
        directories.map(|entry| fs::read_dir(entry.unwrap().path()).unwrap().count()).sum::<usize>()
    };
    assert_eq!(notes(&place), 3);
    // Another file under the same name.
    fs::write(place.path("pg_wal").join(name(1, 4).to_string()), wal(1, 4, 9)).unwrap();
    push(&place, &name(1, 4).to_string()).fails(1, "wal.differs", "");
    // The object has gone.
    fs::remove_file(object(&place, 1, &format!("{}.wal", name(1, 5)))).unwrap();
    push(&place, &name(1, 5).to_string()).succeeds();
    assert!(object(&place, 1, &format!("{}.wal", name(1, 5))).exists());
    // Its head is damaged.
    let file = object(&place, 1, &format!("{}.wal", name(1, 6)));
    let mut bytes = fs::read(&file).unwrap();
    bytes[200] ^= 1;
    fs::write(&file, bytes).unwrap();
    push(&place, &name(1, 6).to_string()).fails(1, "object.changed", "");
    assert_eq!(notes(&place), 1, "notes about what the server has passed are gone");
}
