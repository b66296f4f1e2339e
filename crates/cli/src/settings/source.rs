//! Which database a command is about, and under which name.

use model::Filters;

use super::Settings;
use crate::args::BackupArgs;
use crate::catalogue::Code;
use crate::failure::Failure;

/// A source as the settings name it. The URL may hold a password: there is no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SourceSetting {
    /// Its name; nothing when it is to be called like its database.
    pub(crate) name: Option<String>,
    /// A connection string for libpq; empty when the `PG*` variables say everything.
    pub(crate) url: String,
    /// What named it, for messages.
    pub(crate) origin: String,
    /// What the settings file leaves out of its backups.
    pub(crate) filters: Filters,
}

impl Settings {
    /// The source that `--source` names, else the one that `DATABASE_URL` names, else the one of the settings file.
    pub(crate) fn source(&self, flag: Option<&str>) -> Result<SourceSetting, Failure> {
        let content = &self.file.content;
        if let Some(name) = flag {
            if let Some(found) = self.table(name) {
                return found;
            }
            // A misspelt name must not give the name to another database.
            if !content.sources.is_empty() && !content.sources.contains_key(name) {
                return Err(self.unknown(name));
            }
        }
        let name = flag.map(str::to_owned).or_else(|| content.backup.source.clone());
        if let Some(url) = self.environment.text("DATABASE_URL")? {
            return Ok(self.outside(name, url, "DATABASE_URL"));
        }
        if let Some(name) = &name {
            if let Some(found) = self.table(name) {
                return found;
            }
        } else if let Some((only, _)) = content.sources.first_key_value()
            && content.sources.len() == 1
        {
            return self.table(only).unwrap_or_else(|| Err(no_source()));
        }
        if self.environment.names_a_server() {
            return Ok(self.outside(name, "", "the PG* variables"));
        }
        match (name, content.sources.is_empty()) {
            (Some(name), false) => Err(self.unknown(&name)),
            (None, false) => {
                let message = format!("the settings have several sources: {}", self.names());
                Err(Failure::new(Code::SettingsSource, message))
            }
            (_, true) => Err(no_source()),
        }
    }

    /// `[sources.name]`, if it is there and has a URL; without one it adds its filters to `DATABASE_URL`.
    fn table(&self, name: &str) -> Option<Result<SourceSetting, Failure>> {
        let table = self.file.content.sources.get(name)?;
        let url = table.url.clone()?;
        Some(Ok(SourceSetting {
            name: Some(name.to_owned()),
            url,
            origin: self.file.origin(&format!("sources.{name}.url")),
            filters: self.filters(Some(name)),
        }))
    }

    fn outside(&self, name: Option<String>, url: &str, origin: &str) -> SourceSetting {
        let filters = self.filters(name.as_deref());
        SourceSetting { name, url: url.to_owned(), origin: origin.to_owned(), filters }
    }

    fn filters(&self, name: Option<&str>) -> Filters {
        let table = name.and_then(|name| self.file.content.sources.get(name)).cloned().unwrap_or_default();
        Filters {
            schemas: table.schemas,
            exclude_tables: table.exclude_tables,
            exclude_table_data: table.exclude_table_data,
        }
    }

    fn unknown(&self, name: &str) -> Failure {
        let message =
            format!("there is no source {name:?} with a url in the settings, only {}", self.names());
        Failure::new(Code::SettingsSource, message)
    }

    fn names(&self) -> String {
        self.file.content.sources.keys().cloned().collect::<Vec<_>>().join(", ")
    }
}

impl SourceSetting {
    /// The filters of a backup: the flags, or those of the settings file when there are none.
    pub(crate) fn filters(&self, flags: &BackupArgs) -> Filters {
        let given = Filters {
            schemas: flags.schemas.clone(),
            exclude_tables: flags.exclude_tables.clone(),
            exclude_table_data: flags.exclude_table_data.clone(),
        };
        if given.is_empty() { self.filters.clone() } else { given }
    }
}

fn no_source() -> Failure {
    Failure::new(Code::SettingsNoSource, "no database is named")
}
