//! What a logical backup was told to leave out. A filtered backup is never called complete.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The filters of a logical backup, as patterns in the syntax of `pg_dump` (psql's `\d` patterns).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filters {
    /// Only schemas that match one of these (`pg_dump --schema`).
    pub schemas: Vec<String>,
    /// Without the tables that match one of these (`pg_dump --exclude-table`).
    pub exclude_tables: Vec<String>,
    /// With the definition but without the rows of tables that match (`pg_dump --exclude-table-data`).
    pub exclude_table_data: Vec<String>,
}

impl Filters {
    /// Whether nothing was left out on request.
    pub fn is_empty(&self) -> bool {
        self.schemas.is_empty() && self.exclude_tables.is_empty() && self.exclude_table_data.is_empty()
    }
}

/// The flags that ask for these filters, as a person would type them; empty when there are none.
impl fmt::Display for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = [
            ("--schema", &self.schemas),
            ("--exclude-table", &self.exclude_tables),
            ("--exclude-table-data", &self.exclude_table_data),
        ];
        let mut separator = "";
        for (flag, patterns) in flags {
            for pattern in patterns {
                write!(f, "{separator}{flag} {pattern}")?;
                separator = " ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_read_as_flags() {
        assert_eq!(Filters::default().to_string(), "");
        let filters = Filters {
            schemas: vec!["ledger".into()],
            exclude_tables: vec!["*.tmp_*".into()],
            exclude_table_data: vec![],
        };
        assert!(!filters.is_empty());
        assert_eq!(filters.to_string(), "--schema ledger --exclude-table *.tmp_*");
    }
}
