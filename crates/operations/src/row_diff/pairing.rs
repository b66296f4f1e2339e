//! The same table in two databases: which columns are compared, and by which key rows are known.

use std::collections::{BTreeMap, BTreeSet};

use postgres::{ColumnOrder, ColumnShape, TableShape};

use super::TableDiff;
use super::line::Layout;

/// A table on both sides.
#[derive(Debug, Clone)]
pub(crate) struct TablePair {
    /// As the backup has it.
    pub(crate) backup: TableShape,
    /// As it is now.
    pub(crate) live: TableShape,
    /// The key and its order; empty where rows have none that both sides know.
    pub(crate) key: Vec<(String, ColumnOrder)>,
    /// The columns that both have and that are not computed, in the order of the live table.
    pub(crate) columns: Vec<String>,
}

impl TablePair {
    /// Finds what the two have in common. A table that was made a moment ago has no keys yet: then those of the backup count alone.
    pub(crate) fn new(backup: TableShape, live: TableShape, is_new: bool) -> Self {
        let columns: Vec<String> = live
            .stored_columns()
            .filter(|column| backup.stored_columns().any(|other| other.name == column.name))
            .map(|column| column.name.clone())
            .collect();
        let set = |key: &[String]| key.iter().cloned().collect::<BTreeSet<_>>();
        let candidates = if is_new { &backup.keys } else { &live.keys };
        let is_shared = |key: &&Vec<String>| {
            key.iter().all(|name| columns.contains(name))
                && backup.keys.iter().any(|other| set(other) == set(key))
        };
        let key = candidates.iter().find(is_shared).map_or_else(Vec::new, |key| {
            let order = |name: &String| {
                let (old, new) = (backup.column(name)?, live.column(name)?);
                Some((name.clone(), old.order.shared(new.order)))
            };
            key.iter().filter_map(order).collect()
        });
        Self { backup, live, key, columns }
    }

    /// The fields of a row that is read.
    pub(super) fn layout(&self, place: bool) -> Layout {
        let key = self.key.iter().map(|(_, order)| *order == ColumnOrder::Number);
        let key: Vec<bool> = if self.key.is_empty() { vec![false] } else { key.collect() };
        Layout { key, columns: self.columns.len(), place }
    }

    /// What is known before a row is read.
    pub(crate) fn empty_diff(&self) -> TableDiff {
        let lacks = |other: &TableShape| {
            let other = other.clone();
            move |column: &&ColumnShape| other.column(&column.name).is_none()
        };
        let names =
            |columns: Vec<&ColumnShape>| columns.into_iter().map(|column| column.name.clone()).collect();
        let is_retyped = |name: &&String| {
            let sql_type = |shape: &TableShape| shape.column(name).map(|column| column.sql_type.clone());
            sql_type(&self.backup) != sql_type(&self.live)
        };
        TableDiff {
            table: self.live.name.clone(),
            key: self.key.iter().map(|(name, _)| name.clone()).collect(),
            only_in_backup: names(self.backup.columns.iter().filter(lacks(&self.live)).collect()),
            only_in_live: names(self.live.columns.iter().filter(lacks(&self.backup)).collect()),
            retyped: self.columns.iter().filter(is_retyped).cloned().collect(),
            missing: 0,
            extra: 0,
            changed: 0,
            same: 0,
            changed_columns: BTreeMap::new(),
            samples: Vec::new(),
        }
    }
}
