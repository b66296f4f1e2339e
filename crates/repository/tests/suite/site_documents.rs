//! Documents of sites: put once, the newest found, none stored twice, the oldest pruned, and damage named.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use chronavault_repository::{
    Error, ProblemKind, Repository, SITE_DOCUMENTS_KEPT, SiteDocument, SiteDocumentKind, TRASH_KEPT,
};
use jiff::{SignedDuration, Timestamp};
use model::RetentionPolicies;
use storage::{Key, MemoryStore, Operation, Recording, Store};
use testkit::damage::{Damage, contents};

use crate::damage::{damaged, damages, get, init_other, is_right, key, open, seed};
use crate::ledger::{holder, in_memory, now};
use SiteDocumentKind::{Configuration, Runbook};

/// What `host` has to say at a minute.
fn document(kind: SiteDocumentKind, minute: i64, host: &str, text: &str) -> SiteDocument {
    let facts = BTreeMap::from([("user".to_owned(), "postgres".to_owned())]);
    let path = Some("/etc/chronavault.toml");
    SiteDocument::new(kind, at(minute), (host, path), "0.1.0", facts, text.to_owned())
}

fn at(minute: i64) -> Timestamp {
    now() + SignedDuration::from_mins(minute)
}

fn put(repository: &Repository, document: &SiteDocument) -> String {
    repository.put_site_document(document, [1, 2, 3]).unwrap().to_string()
}

/// The text of the newest document of a kind, and how many were passed over.
fn newest(repository: &Repository, kind: SiteDocumentKind) -> (Option<String>, usize) {
    let newest = repository.newest_site_document(kind, None).unwrap();
    (newest.found.map(|(_, document)| document.text), newest.passed_over.len())
}

#[test]
fn the_newest_document_is_found_and_none_is_stored_twice() {
    let (memory, _) = in_memory();
    let recording = Arc::new(Recording::new(memory));
    let repository = Repository::open(Arc::clone(&recording) as Arc<dyn Store>, &holder()).unwrap();
    recording.take();
    let calls = || recording.take().0.iter().map(|call| call.operation).collect::<Vec<_>>();
    let first = document(Configuration, 0, "db1", "one");
    let (place, is_new) = repository.update_site_document(&first, [1, 2, 3]).unwrap();
    assert!(is_new);
    let expected = format!("site/{}/2026-11-23-120000-010203.configuration", first.site());
    assert_eq!(place.to_string(), expected);
    assert_eq!(calls(), [Operation::List, Operation::List, Operation::Put]);
    assert_eq!(repository.read_site_document(&place).unwrap(), first);

    // What says the same is the same, whenever it was made; nothing of another kind or host is.
    calls();
    let (again, is_new) =
        repository.update_site_document(&document(Configuration, 9, "db1", "one"), [4, 5, 6]).unwrap();
    assert_eq!((again, is_new, calls()), (place, false, vec![Operation::List, Operation::Get]));
    for other in [document(Runbook, 1, "db1", "one"), document(Configuration, 1, "db2", "one")] {
        assert!(repository.update_site_document(&other, [4, 5, 6]).unwrap().1);
    }
    assert!(repository.update_site_document(&document(Configuration, 2, "db1", "two"), [4, 5, 6]).unwrap().1);
    assert_eq!(newest(&repository, Configuration), (Some("two".to_owned()), 0));
    let of_host =
        repository.newest_site_document(Configuration, Some(document(Runbook, 0, "db2", "").site()));
    assert_eq!(of_host.unwrap().found.unwrap().1.host, "db2");
    assert_eq!(repository.site_documents().unwrap().len(), 4);
}

#[test]
fn a_clock_that_was_set_back_does_not_hide_what_is_newest() {
    let (_, repository) = in_memory();
    put(&repository, &document(Configuration, 60, "db1", "before"));
    let after = document(Configuration, 0, "db1", "after");
    assert!(put(&repository, &after).contains("/2026-11-23-130001-"));
    assert_eq!(newest(&repository, Configuration), (Some("after".to_owned()), 0));
    assert!(!repository.update_site_document(&after, [1, 2, 3]).unwrap().1);
}

#[test]
fn a_prune_keeps_the_newest_documents_of_each_site_and_kind() {
    let (memory, repository) = in_memory();
    for minute in 0..i64::try_from(SITE_DOCUMENTS_KEPT + 3).unwrap() {
        put(&repository, &document(Configuration, minute, "db1", &minute.to_string()));
    }
    put(&repository, &document(Configuration, -90, "db2", "old"));
    put(&repository, &document(Runbook, -90, "db1", "old"));
    // Not ours: nobody knows what it is.
    memory.put(&key("site/notes"), b"of somebody").unwrap();
    let all = memory.list("site/").unwrap();
    let plan = repository.plan_prune(&RetentionPolicies::default(), TRASH_KEPT, at(60)).unwrap();
    assert_eq!((plan.documents.number(), plan.objects()), (3, 3));
    assert!(plan.bytes() > 0);
    assert_eq!(memory.list("site/").unwrap(), all, "a plan changes nothing");
    let report = repository.prune(&plan, [7, 7, 7], &|_| ControlFlow::Continue(())).unwrap();
    assert_eq!(report.others.objects, 3);
    let left: Vec<_> = repository.site_documents().unwrap();
    assert_eq!(left.len(), SITE_DOCUMENTS_KEPT + 2);
    let mut texts: Vec<_> = left.iter().map(|key| repository.read_site_document(key).unwrap().text).collect();
    texts.sort_unstable();
    assert!(!["0", "1", "2"].iter().any(|old| texts.contains(&(*old).to_owned())), "{texts:?}");
    assert!(get(&memory, &key("site/notes")).starts_with(b"of"));
    assert_eq!(memory.list("trash/").unwrap().len(), 3);
    assert!(repository.plan_prune(&RetentionPolicies::default(), TRASH_KEPT, at(60)).unwrap().is_nothing());
}

#[test]
fn damage_to_a_document_is_named_and_the_one_before_is_found() {
    let (store, repository) = in_memory();
    let foreign_store = MemoryStore::new();
    let foreign = init_other(&foreign_store);
    let texts = ["one\n".repeat(40), "two\n".repeat(40)];
    let older = put(&repository, &document(Configuration, 0, "db1", &texts[0]));
    let name = put(&repository, &document(Configuration, 1, "db1", &texts[1]));
    put(&foreign, &document(Configuration, 1, "db1", &texts[1]));
    let runbook = put(&repository, &document(Runbook, 1, "db1", &texts[1]));
    let object = key(name.as_str());
    let others = [
        ("another of this repository", get(&store, &key(older.as_str()))),
        ("another of this repository", get(&store, &key(runbook))),
        ("that of another repository", get(&foreign_store, &object)),
    ];
    for damage in damages(&store, &object, &mut seed(), &others) {
        let store = damaged(&store, &object, &damage);
        let before = contents(&store).unwrap();
        let repository = open(&store).unwrap();
        let newest = repository.newest_site_document(Configuration, None).unwrap();
        let (found, document) = newest.found.unwrap();
        assert_eq!((found.to_string(), &document.text), (older.clone(), &texts[0]), "{damage:?}");
        match &newest.passed_over[..] {
            [] => assert_eq!(damage, Damage::Delete),
            [problem] => {
                assert_eq!(problem.object, name);
                assert!(is_right(&damage, problem.kind), "{damage:?}: {problem:?}");
            }
            other => panic!("{damage:?}: {other:?}"),
        }
        assert_eq!(contents(&store).unwrap(), before, "{damage:?}");
        // A damaged one is replaced by what it should say.
        let whole = crate::site_documents::document(Configuration, 2, "db1", &texts[1]);
        assert!(repository.update_site_document(&whole, [1, 2, 3]).unwrap().1, "{damage:?}");
    }
}

#[test]
fn a_document_under_the_name_of_another_is_not_read() {
    let (store, repository) = in_memory();
    let first = document(Configuration, 0, "db1", "one");
    let bytes = get(&store, &key(put(&repository, &first)));
    let other = document(Configuration, 0, "db2", "").site();
    for place in [
        format!("site/{}/2026-11-24-120000-010203.configuration", first.site()),
        format!("site/{other}/2026-11-24-120000-010203.configuration"),
        format!("site/{}/2026-11-23-120000-010203.runbook", first.site()),
    ] {
        store.put(&Key::new(place.as_str()).unwrap(), &bytes).unwrap();
        let keys = repository.site_documents().unwrap();
        let moved = keys.iter().find(|key| key.to_string() == place).unwrap();
        let error = repository.read_site_document(moved).unwrap_err();
        assert!(
            matches!(&error, Error::Damaged(problem) if problem.kind == ProblemKind::Swapped),
            "{error:?}"
        );
    }
}
