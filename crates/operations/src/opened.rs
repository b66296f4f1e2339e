//! A logical backup, open for reading: its manifest, the table of contents of its archive, and what it says about its
//! database.

use std::io::{BufReader, Read};

use model::{BackupId, Check, Inventory, QualifiedName};
use postgres::archive::Toc;
use postgres::load::{DatabaseProperties, RoleRecord};
use repository::{BackupReader, LogicalRecord, Repository, StreamKind, StreamReader};
use serde::de::DeserializeOwned;

use crate::Error;
use crate::streams::{ARCHIVE, INVENTORY};

/// An open backup.
pub(crate) struct Opened {
    pub(crate) id: BackupId,
    pub(crate) reader: BackupReader,
    pub(crate) record: LogicalRecord,
    pub(crate) toc: Toc,
    pub(crate) properties: DatabaseProperties,
    pub(crate) roles: Vec<RoleRecord>,
}

impl Opened {
    pub(crate) fn open(repository: &Repository, id: &BackupId) -> Result<Self, Error> {
        let reader = repository.read(id)?;
        let Some(record) = reader.manifest().logical.clone() else {
            return Err(Error::NotLogical { id: id.clone() });
        };
        let toc = Toc::read(&mut BufReader::new(reader.stream(ARCHIVE)?))?;
        let properties = parse(id, "the description of the database", record.properties.clone())?;
        let roles = parse(id, "the list of roles", serde_json::Value::Array(record.roles.clone()))?;
        Ok(Self { id: id.clone(), reader, record, toc, properties, roles })
    }

    /// The archive from its first byte.
    pub(crate) fn archive(&self) -> Result<StreamReader, Error> {
        Ok(self.reader.stream(ARCHIVE)?)
    }

    /// The inventory that was taken at backup time.
    pub(crate) fn inventory(&self) -> Result<Inventory, Error> {
        let mut text = Vec::new();
        self.reader.stream(INVENTORY)?.read_to_end(&mut text).map_err(Error::Pipe)?;
        serde_json::from_slice(&text).map_err(|error| Error::Malformed {
            id: self.id.clone(),
            what: "the inventory",
            message: error.to_string(),
        })
    }

    /// Those of the checks of a site that can hold in what is restored: those for its source, and none in a part of a database.
    pub(crate) fn checks(&self, checks: &[Check]) -> Vec<Check> {
        let source = &self.reader.manifest().source;
        let is_whole = self.record.filters.is_empty();
        checks.iter().filter(|check| is_whole && check.is_for(source)).cloned().collect()
    }

    /// The row streams: their names and tables.
    pub(crate) fn row_streams(&self) -> impl Iterator<Item = (&str, &QualifiedName)> {
        let rows = self.reader.manifest().streams.iter().filter(|stream| stream.kind == StreamKind::Rows);
        rows.filter_map(|stream| Some((stream.name.as_str(), stream.table.as_ref()?)))
    }

    /// The columns of a table in the order in which its rows were read.
    pub(crate) fn columns(&self, table: &QualifiedName) -> Result<&[String], Error> {
        let found = self.record.tables.iter().find(|record| record.name == *table);
        let missing = || Error::NoRows { id: self.id.clone(), table: table.clone() };
        found.map(|record| record.columns.as_slice()).ok_or_else(missing)
    }
}

fn parse<T: DeserializeOwned>(
    id: &BackupId,
    what: &'static str,
    value: serde_json::Value,
) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|error| Error::Malformed {
        id: id.clone(),
        what,
        message: error.to_string(),
    })
}
