//! From settings to an open repository, and from `ID|latest` to a backup in it.

use std::sync::Arc;

use model::BackupId;
use repository::{HolderKey, Listed, OpenError, Repository};
use storage::{Isolation, LocalStore};

use crate::args::BackupArg;
use crate::catalogue::Code;
use crate::failure::Failure;
use crate::key::Key;
use crate::settings::Settings;

/// The store of the repository.
pub(crate) fn store(settings: &Settings) -> Result<Arc<LocalStore>, Failure> {
    let isolation = if settings.isolation { Isolation::Required } else { Isolation::Off };
    Ok(Arc::new(LocalStore::new(&settings.root, isolation)?))
}

/// The repository, opened with the key that the settings name; it is opened once. A key that is missing or malformed is reported
/// before the repository is looked at.
pub(crate) fn repository(settings: &Settings) -> Result<Repository, Failure> {
    if let Some(opened) = settings.opened.get() {
        return Ok(opened.clone());
    }
    let repository = anew(settings)?;
    Ok(settings.opened.get_or_init(|| repository).clone())
}

/// The repository as it is now, opened with the key as it is now.
pub(crate) fn anew(settings: &Settings) -> Result<Repository, Failure> {
    let key = settings.key.require(&settings.environment)?;
    open(settings, store(settings)?, &holder(&key))
}

/// The repository in `store`, opened with the key that the settings name.
pub(crate) fn open(
    settings: &Settings,
    store: Arc<LocalStore>,
    holder: &HolderKey,
) -> Result<Repository, Failure> {
    Repository::open(store, holder).map_err(|error| {
        let is_other_key = matches!(error, OpenError::WrongKey { .. } | OpenError::Outdated { .. });
        let next = settings.key.next_file().filter(|next| is_other_key && next.exists());
        match next {
            None => error.into(),
            Some(next) => Failure::from(error).with_hint(format!(
                "A rotation was interrupted, whose new key is in {}: run `chronavault keys rotate` again.",
                next.display()
            )),
        }
    })
}

/// The key in the form in which the repository takes it.
pub(crate) fn holder(key: &Key) -> HolderKey {
    HolderKey::new(**key)
}

/// The backup that was asked for.
pub(crate) fn backup(
    repository: &Repository,
    wanted: &BackupArg,
    source: Option<&str>,
) -> Result<BackupId, Failure> {
    match wanted {
        BackupArg::Id(id) => Ok(id.clone()),
        BackupArg::Latest => backups(repository, source)?.into_iter().next().ok_or_else(|| {
            let of = source.map(|source| format!(" of source {source:?}")).unwrap_or_default();
            Failure::new(Code::BackupNone, format!("the repository has no backup{of}"))
        }),
    }
}

/// The backups of a source, or all, newest first. A backup that cannot be read belongs to every source: it must be
/// found by a verification of any.
pub(crate) fn backups(repository: &Repository, source: Option<&str>) -> Result<Vec<BackupId>, Failure> {
    let wanted = |listed: &Listed| match (listed, source) {
        (Listed::Backup(summary), Some(source)) => summary.source == source,
        _ => true,
    };
    Ok(repository
        .backups()?
        .iter()
        .filter(|listed| wanted(listed))
        .map(|listed| listed.id().clone())
        .collect())
}
