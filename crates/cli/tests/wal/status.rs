//! What `wal status` shows.

use std::fs;

use jiff::Timestamp;

use crate::segments::{SYSTEM, archive, name, object, opened, place, size, timeline, wal};

#[test]
fn an_empty_archive_says_how_to_fill_it() {
    let place = place();
    let said = place.run(&["wal", "status"]);
    assert!(said.succeeds().out.contains("archive_command"), "{said:?}");
    assert_eq!(place.run(&["wal", "status", "--json"]).json()["clusters"].as_array().unwrap().len(), 0);
}

#[test]
fn wal_is_shown_with_its_gaps_and_their_causes() {
    let place = place();
    archive(&place, 1, [3, 4, 7, 8]);
    let archived = opened(&place);
    archived.put_piece(name(1, 9), size(), 0, &wal(1, 9, 0)[..5000], Timestamp::now()).unwrap();
    archived.put_segment(name(2, 8), size(), &wal(1, 8, 0), Timestamp::UNIX_EPOCH).unwrap();
    let said = place.run(&["wal", "status", "--json"]);
    assert_eq!(said.exit, 4, "a gap needs a person: {said:?}");
    let cluster = &said.json()["clusters"][0];
    assert_eq!(cluster["system_id"], SYSTEM.to_string());
    assert_eq!((&cluster["segment_bytes"], &cluster["segments"]), (&(1 << 20).into(), &5.into()));
    assert_eq!(cluster["newest"]["segment"], name(1, 9).to_string());
    assert!(cluster["newest"]["age_ms"].as_u64().unwrap() < 3_600_000);
    assert_eq!(cluster["archived"][1]["to_lsn"], "0/901388");
    let gaps = cluster["gaps"].as_array().unwrap();
    let shown: Vec<_> = gaps
        .iter()
        .map(|gap| {
            (
                gap["first_segment"].as_str().unwrap(),
                gap["segments"].as_u64().unwrap(),
                gap["cause"].as_str().unwrap(),
            )
        })
        .collect();
    let (gap, branch) = (name(1, 5).to_string(), name(2, 8).to_string());
    assert_eq!(shown, [(gap.as_str(), 2, "missing"), (branch.as_str(), 1, "no_history")]);
    let text = place.run(&["wal", "status"]).out;
    for part in ["GAP: ", "2 segments", "not archived", "history of timeline 2", "no physical backup"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    archived.put_history(timeline(2), b"1\t0/800100\tx\n", Timestamp::UNIX_EPOCH).unwrap();
    let other = place.run(&["wal", "status", "--json", "--system-id", "5"]);
    assert_eq!((other.exit, &other.json()["clusters"]), (0, &serde_json::json!([])));
    assert_eq!(
        place.run(&["wal", "status", "--json"]).json()["clusters"][0]["gaps"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn damage_is_found_when_it_is_looked_for() {
    let place = place();
    archive(&place, 1, [3, 4, 5]);
    place.run(&["wal", "status", "--verify"]).succeeds();
    let file = object(&place, 1, &format!("{}.wal", name(1, 4)));
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() - 50;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    place.run(&["wal", "status"]).succeeds();
    let said = place.run(&["wal", "status", "--verify", "--json"]);
    assert_eq!(said.exit, 4, "{said:?}");
    let cluster = &said.json()["clusters"][0];
    assert_eq!(
        (&cluster["gaps"][0]["cause"], &cluster["gaps"][0]["segments"]),
        (&"damaged".into(), &1.into())
    );
    assert_eq!(cluster["problems"][0]["code"], "object.changed");
    assert!(file.ends_with(cluster["problems"][0]["object"].as_str().unwrap()));
    assert!(said.err.contains("warning[object.changed]"), "{said:?}");
}
