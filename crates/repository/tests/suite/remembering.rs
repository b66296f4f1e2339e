//! A repository that is looked at again and again: what was read once is not read again, and what is new is.

use std::ops::ControlFlow;
use std::sync::Arc;

use chronavault_repository::{Listed, Repository, TRASH_KEPT};
use model::{Outcome, RetentionPolicies, RetentionPolicy, TimelineId};
use storage::{Key, MemoryStore, Operation, Recording, Store};

use crate::ledger::{holder, init};
use crate::prune::scene::{logical, noon, physical, verified};

/// Two logical backups, one of them proven, and one of a cluster; the second handle counts its calls and remembers.
fn scene() -> (MemoryStore, Repository, Arc<Recording<MemoryStore>>, Repository) {
    let memory = MemoryStore::new();
    let writer = init(memory.clone());
    verified(&writer, &logical(&writer, 1), Outcome::Proven);
    logical(&writer, 2);
    physical(&writer, 3, TimelineId::FIRST, 5);
    let recording = Arc::new(Recording::new(memory.clone()));
    let looking = Repository::open(Arc::clone(&recording) as Arc<dyn Store>, &holder()).unwrap();
    (memory, writer, recording, looking.remembering())
}

/// Everything that is looked at.
fn look(repository: &Repository) {
    repository.backups().unwrap();
    repository.keys().unwrap();
    repository.cluster_backups().unwrap();
    repository.plan_prune(&RetentionPolicies::default(), TRASH_KEPT, noon(4)).unwrap();
}

#[test]
fn what_did_not_change_is_listed_and_not_read() {
    let (_memory, writer, recording, looking) = scene();
    recording.take();
    look(&looking);
    let first = recording.take();
    // 3 manifests, 1 proof, 1 slot: each once, whoever asks for it.
    assert_eq!(first.count(Operation::Get), 5, "{:?}", first.keys(Operation::Get));
    look(&looking.clone());
    let second = recording.take();
    assert_eq!(second.count(Operation::Get) + second.count(Operation::ReadRange), 0, "{second:?}");
    assert_eq!(second.count(Operation::List), first.count(Operation::List));

    let committed = logical(&writer, 4);
    verified(&writer, &committed, Outcome::Failed);
    look(&looking);
    let third = recording.take();
    assert_eq!(third.count(Operation::Get), 2, "{:?}", third.keys(Operation::Get));
    let plain = writer.backups().unwrap();
    assert_eq!(looking.backups().unwrap(), plain);
    assert_eq!(plain.len(), 4);
    recording.take();
    look(&looking.remembering());
    assert_eq!(recording.take().count(Operation::Get), 7, "an empty memory reads everything");
}

#[test]
fn what_is_gone_or_cut_off_is_not_remembered() {
    let (memory, writer, recording, looking) = scene();
    look(&looking);
    let ids = writer.ids().unwrap();
    let manifest = |index: usize| Key::new(format!("{}.manifest", ids[index])).unwrap();
    let whole = memory.get(&manifest(1), 1 << 20).unwrap();
    memory.delete(&manifest(1)).unwrap();
    memory.delete(&manifest(0)).unwrap();
    memory.put(&manifest(1), &whole[..whole.len() - 1]).unwrap();
    let listed = looking.backups().unwrap();
    assert!(
        matches!(&listed[..], [Listed::Damaged { id, .. }, Listed::Backup(_)] if *id == ids[1]),
        "{listed:?}"
    );
    // Damage is looked at each time, so that what was mended is seen.
    recording.take();
    looking.backups().unwrap();
    assert_eq!(recording.take().keys(Operation::Get), [manifest(1).as_str()]);
    memory.delete(&manifest(1)).unwrap();
    memory.put(&manifest(1), &whole).unwrap();
    assert_eq!(looking.backups().unwrap(), writer.backups().unwrap());
}

#[test]
fn a_prune_reads_what_it_relies_on_whatever_is_remembered() {
    let (_memory, writer, recording, looking) = scene();
    verified(&writer, &logical(&writer, 4), Outcome::Proven);
    look(&looking);
    let policy = RetentionPolicy { days: 1, ..RetentionPolicy::default() };
    let plan = looking.plan_prune(&policy.into(), TRASH_KEPT, noon(60)).unwrap();
    assert_eq!(plan.going().count(), 2);
    recording.take();
    looking.prune(&plan, [7, 7, 7], &|_| ControlFlow::Continue(())).unwrap();
    let calls = recording.take();
    let staying = writer.ids().unwrap();
    assert_eq!(staying.len(), 2);
    for id in staying {
        let key = format!("{id}.manifest");
        assert!(calls.keys(Operation::Get).contains(&key.as_str()), "{key}: {calls:?}");
    }
}
