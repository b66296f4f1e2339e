//! Intents: how a writer announces itself, and what a prune makes of it.

use std::sync::Arc;

use chronavault_repository::{Error, INTENT_ABANDONED_AFTER, PacksLeft, Repository, TRASH_KEPT};
use jiff::SignedDuration;
use model::{Kind, Outcome};
use storage::{Effect, Fault, Faulty, Key, MemoryStore, Operation, Recording, Store};

use super::scene::{
    all_are_whole, id, keys, killed, logical, noon, policy, prune, small, try_logical, unnamed, verified,
};
use crate::ledger::{self, holder, in_memory};

fn key(text: String) -> Key {
    Key::new(text).unwrap()
}

fn three_days() -> (MemoryStore, Repository) {
    let (memory, repository) = in_memory();
    for day in 0..3 {
        verified(&repository, &logical(&repository, day), Outcome::Proven);
    }
    (memory, repository)
}

#[test]
fn a_writer_announces_itself() {
    let (memory, _) = three_days();
    let recording = Arc::new(Recording::new(memory.clone()));
    let repository = Repository::open(Arc::clone(&recording) as Arc<dyn Store>, &holder()).unwrap();
    recording.take();
    logical(&repository, 3);
    let calls = recording.take();
    let intent = format!("intents/{}.json", id(3, 1));
    let at = |operation, key: &str| {
        calls.0.iter().position(|call| call.operation == operation && call.key.starts_with(key))
    };
    let last = |operation, key: &str| {
        calls.0.iter().rposition(|call| call.operation == operation && call.key.starts_with(key))
    };
    let manifest = format!("{}.manifest", id(3, 1));
    // Before it looks for packs and before it puts any; and once more on both sides of the manifest.
    let order = [
        at(Operation::Put, &intent),
        at(Operation::List, "packs/"),
        at(Operation::Put, "packs/"),
        last(Operation::Put, "packs/"),
        at(Operation::Size, &intent),
        at(Operation::Put, &manifest),
        last(Operation::Size, &intent),
        last(Operation::Delete, &intent),
    ];
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{order:?}");
    // The backup to reuse from is looked at once more when the intent is there.
    let parent = format!("{}.manifest", id(2, 1));
    assert!(at(Operation::Size, &parent) > at(Operation::Put, &intent));
    assert!(at(Operation::Size, &parent) < at(Operation::List, "packs/"));
    assert_eq!(calls.keys(Operation::Put).iter().filter(|key| key.starts_with("intents/")).count(), 1);
    assert_eq!(keys(&memory, "intents/"), [""; 0]);
}

#[test]
fn an_intent_says_since_when_and_what_is_used_again() {
    let (memory, repository) = three_days();
    let writer = repository.begin(id(3, 1), "books", Kind::Logical, small()).unwrap();
    let intent = key(format!("intents/{}.json", id(3, 1)));
    let text = String::from_utf8(memory.get(&intent, 1000).unwrap()).unwrap();
    let (started, parent) = ("2026-11-26T12:00:00Z", id(2, 1));
    assert_eq!(text, format!("{{\"version\":1,\"started_at\":\"{started}\",\"parent\":\"{parent}\"}}\n"));
    drop(writer);
    assert_eq!(keys(&memory, "intents/"), [""; 0], "whoever gives up says so");

    // Whatever fails at the beginning, no intent stays.
    for effect in [Effect::FailBefore, Effect::FailAfter] {
        let fault = Fault::new(Operation::Put, 0, effect).on("intents/");
        let faulty = Arc::new(Faulty::new(memory.clone(), [fault]));
        let repository = Repository::open(faulty, &holder()).unwrap();
        assert!(repository.begin(id(3, 1), "books", Kind::Logical, small()).is_err());
        assert_eq!(keys(&memory, "intents/"), [""; 0]);
    }
}

#[test]
fn a_backup_whose_intent_went_away_is_not_committed() {
    let (memory, repository) = three_days();
    let writer = repository.begin(id(3, 1), "books", Kind::Logical, small()).unwrap();
    let intent = format!("intents/{}.json", id(3, 1));
    memory.delete(&key(intent.clone())).unwrap();
    let result = writer.commit(ledger::facts(vec![]));
    assert!(matches!(result, Err(Error::IntentVanished { key }) if key == intent));
    assert_eq!(all_are_whole(&memory, &repository).len(), 3);

    // Taken away just when the manifest was put: it is taken back.
    let fault = Fault::new(Operation::Size, 1, Effect::FailBefore).on("intents/");
    let faulty = Arc::new(Faulty::new(memory.clone(), [fault]));
    let failing = Repository::open(faulty, &holder()).unwrap();
    assert!(matches!(try_logical(&failing, &id(3, 1), "books", 3), Err(Error::Store(_))));
    assert_eq!(all_are_whole(&memory, &repository).len(), 3);
}

#[test]
fn packs_are_collected_only_when_nobody_needs_them() {
    let (memory, repository) = three_days();
    // Packs of a writer that was killed, and its intent.
    killed(&memory, &id(3, 1), 300);
    let intent = key(format!("intents/{}.json", id(3, 1)));
    let lost = unnamed(&memory, &repository);
    assert!(lost > 0);

    // Backups expire while it may be alive, packs do not go.
    let report =
        prune(&repository, &policy(2, 2), noon(3) + INTENT_ABANDONED_AFTER - SignedDuration::from_secs(1));
    assert_eq!((report.backups.len(), report.packs.objects), (2, 0));
    assert_eq!(report.packs_left, Some(PacksLeft::Running(id(3, 1))));
    assert!(memory.size(&intent).unwrap().is_some() && unnamed(&memory, &repository) > lost);
    assert_eq!(all_are_whole(&memory, &repository), [id(2, 1)]);

    // Three days later it is taken for dead.
    let now = noon(3) + INTENT_ABANDONED_AFTER;
    let plan = repository.plan_prune(&policy(2, 2), TRASH_KEPT, now).unwrap();
    assert_eq!((plan.abandoned.as_slice(), &plan.packs.left), (&[id(3, 1)][..], &None));
    let report = prune(&repository, &policy(2, 2), now);
    assert_eq!((report.abandoned, report.packs_left), (vec![id(3, 1)], None));
    assert_eq!((unnamed(&memory, &repository), keys(&memory, "intents/")), (0, vec![]));
    assert_eq!(ledger::problems(&repository, &id(2, 1)), []);
}

#[test]
fn intents_of_the_dead_that_need_nothing_go_too() {
    let (memory, repository) = three_days();
    let put = |name: String| memory.put(&key(name), b"{}\n").unwrap();
    // A writer that was killed just after its manifest, a prune that was killed, and something of somebody else.
    put(format!("intents/{}.json", id(2, 1)));
    put("intents/prune-2026-11-23-120000-abcdef.json".to_owned());
    put("intents/README".to_owned());
    let report = prune(&repository, &policy(1, 1), noon(3));
    assert_eq!(
        (report.backups.len(), report.packs_left),
        (2, None),
        "a backup that is complete is not running"
    );
    assert!(report.packs.objects > 0);
    // That of the prune is three days old, but the backup has only just been complete.
    assert_eq!(
        keys(&memory, "intents/"),
        ["intents/README".to_owned(), format!("intents/{}.json", id(2, 1))]
    );
    logical(&repository, 3);
    put("packs/ab/".to_owned() + &"ab".repeat(32) + ".pack");
    let report = prune(&repository, &policy(1, 1), noon(5));
    assert_eq!((report.packs.objects, report.abandoned.len()), (1, 0));
    assert_eq!(keys(&memory, "intents/"), ["intents/README"]);
}

#[test]
fn a_prune_needs_no_room() {
    let (memory, _) = three_days();
    let fault = Fault::new(Operation::Put, 0, Effect::Full).forever();
    let repository = Repository::open(Arc::new(Faulty::new(memory.clone(), [fault])), &holder()).unwrap();
    let report = prune(&repository, &policy(1, 1), noon(3));
    assert_eq!((report.backups.len(), unnamed(&memory, &repository)), (2, 0));
    assert!(report.packs.objects > 0);
}
