//! A machine with a journal and a repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chronavault_service::journal::{
    FILE_BYTES, Finding, FindingKind, Journal, JournalDirectory, JournalError, Recorded,
};
use jiff::Timestamp;
use model::{Actor, Operation, RunEnd, RunFacts, RunOutcome, RunStart};
use repository::{HolderKey, Repository};
use storage::{Isolation, LocalStore};
use tempfile::TempDir;

/// A machine. The directory is removed with it.
pub(crate) struct Machine {
    pub(crate) repository: Repository,
    pub(crate) directory: JournalDirectory,
    file_bytes: u64,
    actor: Actor,
    root_directory: Option<TempDir>,
}

pub(crate) fn random(bytes: &mut [u8]) {
    // A name of its own for each journal; nothing here needs more.
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let seed = time.to_le_bytes();
    bytes.iter_mut().zip(seed.iter().cycle()).for_each(|(byte, seed)| *byte = *seed);
}

fn store(root: &Path) -> Arc<LocalStore> {
    Arc::new(LocalStore::new(root.join("isolated"), Isolation::Required).unwrap())
}

fn holder() -> HolderKey {
    HolderKey::new([7; 32])
}

impl Machine {
    pub(crate) fn new() -> Self {
        let root = TempDir::new().unwrap();
        Repository::init(store(root.path()), &holder(), Timestamp::UNIX_EPOCH, &random).unwrap();
        let mut machine = Self::at(root.path());
        machine.root_directory = Some(root);
        machine
    }

    /// The machine with a journal whose files are closed at this size.
    pub(crate) fn with_files_of(mut self, bytes: u64) -> Self {
        self.file_bytes = bytes;
        self
    }

    /// The machine whose directories are below `root`.
    pub(crate) fn at(root: &Path) -> Self {
        let actor = Actor {
            user: "postgres".into(),
            uid: 101,
            host: "db1".into(),
            pid: std::process::id(),
            token: None,
            program: "chronavault test".into(),
        };
        Self {
            repository: Repository::open(store(root), &holder()).unwrap(),
            directory: JournalDirectory::new(root.join("journal"), true),
            file_bytes: FILE_BYTES,
            actor,
            root_directory: None,
        }
    }

    /// Another machine with a journal of its own and the same repository.
    pub(crate) fn other(&self, host: &str) -> Self {
        let actor = Actor { host: host.into(), ..self.actor.clone() };
        Self {
            repository: self.repository.clone(),
            directory: JournalDirectory::new(self.root().join(format!("journal-{host}")), true),
            file_bytes: self.file_bytes,
            actor,
            root_directory: None,
        }
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path().parent().unwrap()
    }

    pub(crate) fn journal(&self) -> Journal<'_> {
        Journal {
            directory: &self.directory,
            repository: &self.repository,
            actor: &self.actor,
            clock: &Timestamp::now,
            random: &random,
            file_bytes: self.file_bytes,
        }
    }

    pub(crate) fn start(&self) -> Recorded {
        self.try_start().unwrap()
    }

    pub(crate) fn try_start(&self) -> Result<Recorded, JournalError> {
        let (operation, source) = (Operation::Backup, Some("books".to_owned()));
        let start = RunStart { operation, actor: self.actor.clone(), source, parameters: BTreeMap::new() };
        self.journal().start(start)
    }

    pub(crate) fn run(&self) -> Recorded {
        let started = self.start();
        let facts = RunFacts { source: Some("books".into()), rows: Some(24), ..RunFacts::default() };
        let end = RunEnd {
            outcome: RunOutcome::Done,
            code: None,
            message: None,
            duration_ms: 5,
            warnings: Vec::new(),
            facts,
        };
        self.journal().end(started.sequence, end).unwrap()
    }

    /// So many runs, one after another.
    pub(crate) fn runs(&self, number: usize) {
        for _ in 0..number {
            self.run();
        }
    }

    /// The files of the journal, in their order.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let listed = fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> =
            listed.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect();
        files.sort();
        files
    }

    /// The only file.
    pub(crate) fn file(&self) -> PathBuf {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        self.directory.verify(&self.repository, &self.actor.host).unwrap().findings
    }

    /// What is found, without sentences.
    pub(crate) fn kinds(&self) -> Vec<FindingKind> {
        self.findings().iter().map(|finding| finding.kind).collect()
    }
}
