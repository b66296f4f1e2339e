//! A canary of every backup: its manifest, and one chunk of it. That it opens shows that the keys are those of the backup.

use std::collections::BTreeMap;

use model::BackupId;

use super::KeyError;
use crate::error::Problem;
use crate::{Error, Repository};

/// What was found when a canary of every backup was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Canaries {
    /// Backups that were looked at.
    pub(super) backups: u64,
    /// Those that cannot be read, and why.
    pub(super) damaged: BTreeMap<BackupId, Problem>,
}

impl Canaries {
    /// Opens a canary of every backup of `repository`.
    ///
    /// Store calls: 1 list, and some 5 reads for each backup.
    pub(super) fn of(repository: &Repository) -> Result<Self, Error> {
        let mut canaries = Self::default();
        for id in repository.ids()? {
            match open_one(repository, &id) {
                Ok(()) => {}
                // Pruned since it was listed.
                Err(Error::NoSuchBackup { .. }) => continue,
                Err(Error::Damaged(problem)) => {
                    canaries.damaged.insert(id, problem);
                }
                Err(error) => return Err(error),
            }
            canaries.backups += 1;
        }
        Ok(canaries)
    }

    /// Demands that everything can be read that could be `before`.
    pub(super) fn require(&self, before: &Self) -> Result<(), KeyError> {
        match self.damaged.iter().find(|(id, _)| !before.damaged.contains_key(id)) {
            None => Ok(()),
            Some((id, problem)) => {
                Err(KeyError::Canary { id: id.clone(), source: Box::new(problem.clone()) })
            }
        }
    }
}

fn open_one(repository: &Repository, id: &BackupId) -> Result<(), Error> {
    let reader = repository.read(id)?;
    for stream in &reader.manifest().streams {
        if let Some(entry) = reader.entries(&stream.name)?.next() {
            reader.chunk(&entry?)?;
            return Ok(());
        }
    }
    Ok(())
}
