//! A cluster, a repository on disk, and the operations between them, for tests.

#![allow(dead_code, reason = "each test binary uses a part of this")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod lost;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chronavault_operations as operations;
use jiff::Timestamp;
use model::{BackupId, Filters, Level};
use operations::postgres::Tools;
use operations::{
    BackupReport, BackupRequest, Context, Error, RestoreReport, RestoreRequest, Unobserved, VerifyReport,
    VerifyRequest,
};
use repository::{HolderKey, Repository};
use storage::{Isolation, LocalStore, Store};
use testkit::Cluster;

pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) repository: Repository,
    pub(crate) directory: tempfile::TempDir,
}

pub(crate) const KEY: [u8; 32] = [7; 32];

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with(Cluster::start())
    }

    pub(crate) fn with(cluster: Cluster) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(LocalStore::new(directory.path().join("isolated"), Isolation::Required).unwrap());
        let repository =
            Repository::init(Arc::clone(&store), &HolderKey::new(KEY), Timestamp::now(), &fill).unwrap();
        Self { cluster, store, repository, directory }
    }

    /// A database with what `sql` makes.
    pub(crate) fn database(&self, name: &str, sql: &str) {
        self.cluster.create_database(name);
        self.cluster.psql(name, sql);
    }

    /// Does work with the programs of the version under test.
    pub(crate) fn context<T>(work: impl FnOnce(&Context<'_>) -> T) -> T {
        Self::context_with(&testkit::cluster::server_tools(), work)
    }

    /// Does work with the programs of this server.
    fn context_with<T>(server: &Tools, work: impl FnOnce(&Context<'_>) -> T) -> T {
        let clock = Timestamp::now;
        work(&Context {
            clock: &clock,
            random: &fill,
            observer: &Unobserved,
            lease: None,
            tool_path: Some(tool_path(server)),
            sandbox_parent: PathBuf::from("/tmp"),
        })
    }

    pub(crate) fn request(&self, database: &str) -> BackupRequest {
        BackupRequest {
            source: self.cluster.options(database),
            source_name: database.to_owned(),
            filters: Filters::default(),
            jobs: 2,
            compression: Some(1),
            // Small, so that small databases have row streams, too.
            large_table_bytes: 64 << 10,
            size_limit: None,
            lock_timeout: Duration::from_secs(5),
        }
    }

    pub(crate) fn try_backup(&self, request: &BackupRequest) -> Result<BackupReport, Error> {
        Self::context_with(self.cluster.sandbox().tools(), |context| {
            operations::backup(&self.repository, request, context)
        })
    }

    pub(crate) fn backup(&self, database: &str) -> BackupReport {
        self.try_backup(&self.request(database)).unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    pub(crate) fn verify(&self, id: &BackupId, level: Level) -> VerifyReport {
        let request = VerifyRequest { level, jobs: 2 };
        Self::context_with(self.cluster.sandbox().tools(), |context| {
            operations::verify(&self.repository, id, request, context)
        })
        .unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    pub(crate) fn try_restore(
        &self,
        id: &BackupId,
        database: &str,
        change: impl FnOnce(&mut RestoreRequest),
    ) -> Result<RestoreReport, Error> {
        let mut request = RestoreRequest {
            target: self.cluster.options(database),
            create: true,
            clean: false,
            create_roles: false,
            tables: Vec::new(),
            jobs: 2,
            suffix: None,
        };
        change(&mut request);
        Self::context_with(self.cluster.sandbox().tools(), |context| {
            operations::restore(&self.repository, id, &request, context)
        })
    }

    pub(crate) fn restore(&self, id: &BackupId, database: &str) -> RestoreReport {
        self.try_restore(id, database, |_| ()).unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    /// What a query gives in two databases, compared.
    pub(crate) fn assert_same(&self, one: &str, other: &str, query: &str) {
        assert_eq!(self.cluster.psql(one, query), self.cluster.psql(other, query), "{query}");
    }
}

fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).unwrap();
}

/// An error with everything that caused it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The directories of the cluster's programs and of client programs for it.
fn tool_path(server: &Tools) -> OsString {
    let client = testkit::cluster::client_tools(server);
    std::env::join_paths([server.directory(), client.directory()]).unwrap()
}
