//! What the repository keeps of this site, so that it and the key are enough to begin with on an empty host.
//!
//! Invariant: nothing of it is a secret: passwords are replaced, and the key is not even read.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use repository::{Error, Repository, SiteDocument, SiteDocumentKey, SiteDocumentKind};

use crate::actor;
use crate::connection;
use crate::failure::Failure;
use crate::runbook::Runbook;
use crate::settings::{Settings, connection_without_password};
use crate::surroundings::random;
use crate::wording;

/// Manifests that are looked at for the version of a server: enough for every source of a usual site.
const MANIFESTS: usize = 50;
/// What a runbook says of the settings that it was written from.
const CONFIGURATION: &str = "configuration";
/// The variables that settings come from.
const VARIABLES: [&str; 12] = [
    "DATABASE_URL",
    "BACKUP_DIRECTORY",
    "BACKUP_REPOSITORY",
    "BACKUP_ENCRYPTION_KEY",
    "BACKUP_ENCRYPTION_KEY_FILE",
    "BACKUP_JOURNAL_DIRECTORY",
    "BACKUP_MAX_SIZE_GB",
    "BACKUP_COMPRESSION_ENABLED",
    "BACKUP_VERIFICATION_ENABLED",
    "BACKUP_ISOLATION_ENABLED",
    "BACKUP_RETENTION_DAYS",
    "BACKUP_INTERVAL_HOURS",
];

/// Keeps the settings in the repository, unless the newest that are there are the same. Returns where they are, and whether that is new.
pub(crate) fn keep_configuration(
    settings: &Settings,
    repository: &Repository,
) -> Result<(SiteDocumentKey, bool), Failure> {
    let facts = facts(settings, repository)?;
    let text = settings.file.shown.clone();
    let document = document(settings, SiteDocumentKind::Configuration, Timestamp::now(), facts, text);
    Ok(repository.update_site_document(&document, bits())?)
}

/// A runbook that is in the repository.
pub(crate) struct KeptRunbook {
    /// Where.
    pub(crate) key: SiteDocumentKey,
    /// The document.
    pub(crate) text: String,
    /// When it was written.
    pub(crate) written_at: Timestamp,
    /// Whether it was put there just now.
    pub(crate) is_new: bool,
}

/// Keeps a runbook that goes with the settings at `configuration`, unless the newest one says the same.
pub(crate) fn keep_runbook(
    settings: &Settings,
    repository: &Repository,
    runbook: &Runbook,
    configuration: &SiteDocumentKey,
) -> Result<KeptRunbook, Failure> {
    if let Some((key, kept)) = newest_runbook(settings, repository)?
        && goes_with(&kept, configuration)
        && kept.text == runbook.text(kept.written_at)
    {
        let (text, written_at) = (kept.text, kept.written_at);
        return Ok(KeptRunbook { key, text, written_at, is_new: false });
    }
    // To the second, as the document says it.
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    let text = runbook.text(now);
    let facts = BTreeMap::from([(CONFIGURATION.to_owned(), configuration.to_string())]);
    let document = document(settings, SiteDocumentKind::Runbook, now, facts, text.clone());
    let key = repository.put_site_document(&document, bits())?;
    Ok(KeptRunbook { key, text, written_at: now, is_new: true })
}

/// Keeps settings and runbook, the latter where the newest one goes with other settings.
pub(crate) fn keep_documents(settings: &Settings, repository: &Repository) -> Result<(), Failure> {
    let (configuration, _) = keep_configuration(settings, repository)?;
    let newest = newest_runbook(settings, repository)?;
    if newest.is_none_or(|(_, kept)| !goes_with(&kept, &configuration)) {
        let runbook = Runbook::gather(settings, repository, None)?;
        keep_runbook(settings, repository, &runbook, &configuration)?;
    }
    Ok(())
}

fn newest_runbook(
    settings: &Settings,
    repository: &Repository,
) -> Result<Option<(SiteDocumentKey, SiteDocument)>, Failure> {
    let site = repository::site_id(&host(), path(settings).as_deref());
    let newest = repository.newest_site_document(SiteDocumentKind::Runbook, Some(site))?;
    Ok(newest.found.filter(|_| newest.passed_over.is_empty()))
}

fn goes_with(runbook: &SiteDocument, configuration: &SiteDocumentKey) -> bool {
    runbook.facts.get(CONFIGURATION) == Some(&configuration.to_string())
}

fn document(
    settings: &Settings,
    kind: SiteDocumentKind,
    at: Timestamp,
    facts: BTreeMap<String, String>,
    text: String,
) -> SiteDocument {
    let (host, path) = (host(), path(settings));
    SiteDocument::new(kind, at, (&host, path.as_deref()), env!("CARGO_PKG_VERSION"), facts, text)
}

/// The settings file, as every working directory finds it.
fn path(settings: &Settings) -> Option<String> {
    settings.file.path.as_deref().map(absolute)
}

fn bits() -> [u8; 3] {
    let mut bits = [0; 3];
    random(&mut bits);
    bits
}

/// The name of this host.
pub(crate) fn host() -> String {
    actor::current().host
}

/// What a host needs to know that takes the place of this one (docs/format.md, section 21).
fn facts(settings: &Settings, repository: &Repository) -> Result<BTreeMap<String, String>, Failure> {
    let mut facts = BTreeMap::new();
    let mut fact = |name: &str, value: String| facts.insert(name.to_owned(), value);
    if let Ok(program) = std::env::current_exe() {
        fact("program", program.display().to_string());
    }
    fact("user", actor::current().user);
    fact("repository", absolute(&settings.root));
    fact("journal", absolute(&settings.journal_directory));
    fact("state", absolute(&settings.state_directory()));
    if let Some(file) = settings.key.file() {
        fact("key_file", absolute(file));
    }
    let environment = &settings.environment;
    let is_set = |name: &&str| {
        environment.raw(name).is_some() || name.ends_with("_KEY") && environment.key().is_some()
    };
    let variables: Vec<_> = VARIABLES.into_iter().filter(is_set).collect();
    if !variables.is_empty() {
        fact("environment", variables.join(", "));
    }
    if let Some(url) = environment.text("DATABASE_URL")? {
        fact("database_url", connection_without_password(url));
    }
    for (source, version) in servers(settings, repository)? {
        facts.insert(format!("source.{source}.server"), version);
    }
    Ok(facts)
}

/// The sources that the settings name, in the order of their names.
pub(crate) fn sources(settings: &Settings) -> Vec<String> {
    let named = settings.file.content.sources.iter().filter(|(_, source)| source.url.is_some());
    let mut sources: Vec<_> = named.map(|(name, _)| name.clone()).collect();
    if let Ok(source) = settings.source(None) {
        let of_database = connection::parse(&settings.environment, &source.url, &source.origin);
        let name = source.name.or_else(|| of_database.ok().map(|options| options.database().to_owned()));
        sources.extend(name.filter(|name| !sources.contains(name)).into_iter().collect::<Vec<_>>());
    }
    // A database that the environment names beside named sources has no name that a command takes.
    sources.retain(|name| settings.source(Some(name)).is_ok());
    sources.sort_unstable();
    sources
}

/// The version of the server of each source, as its newest backup has it.
fn servers(settings: &Settings, repository: &Repository) -> Result<BTreeMap<String, String>, Failure> {
    let mut missing = sources(settings);
    let mut servers = BTreeMap::new();
    for id in repository.ids()?.into_iter().take(MANIFESTS) {
        if missing.is_empty() {
            break;
        }
        let manifest = match repository.manifest(&id) {
            Ok(manifest) => manifest,
            Err(Error::Damaged(_) | Error::NoSuchBackup { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let logical = manifest.logical.as_ref().map(|logical| logical.server_version);
        let version = logical.or_else(|| manifest.physical.as_ref().map(|physical| physical.server_version));
        if let (Some(at), Some(version)) = (missing.iter().position(|name| *name == manifest.source), version)
        {
            servers.insert(missing.swap_remove(at), wording::server_version(version));
        }
    }
    Ok(servers)
}

/// A path as it is found from anywhere.
pub(crate) fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
