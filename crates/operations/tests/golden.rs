//! Repositories of released formats are read by every later version (`tests/golden/README.md`).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use chronavault_operations as operations;
use model::{Level, Outcome};
use operations::VerifyRequest;
use repository::{HolderKey, Repository};
use scene::{Scene, chain};
use storage::{Isolation, LocalStore};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/v1");
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_repository_of_format_1_still_restores() {
    let directory = tempfile::tempdir().unwrap();
    copy(Path::new(GOLDEN), directory.path());
    let store = Arc::new(LocalStore::new(directory.path(), Isolation::Off).unwrap());
    let repository = Repository::open(store, &HolderKey::parse(KEY).unwrap()).unwrap();
    let ids = repository.ids().unwrap();
    assert_eq!(ids.len(), 2);
    // Newest first.
    for (id, expected) in ids.iter().zip([40_123, 40_023]) {
        let request = VerifyRequest { level: Level::Restore, jobs: 2, checks: &[] };
        let verified = Scene::context(|context| operations::verify(&repository, id, request, context))
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert_eq!((verified.outcome, verified.problems, verified.rows), (Outcome::Proven, vec![], expected));
    }
}
