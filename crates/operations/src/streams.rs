//! The names of the streams of a logical backup (docs/format.md, section 9).

/// What `pg_dump` wrote.
pub(crate) const ARCHIVE: &str = "archive";
/// Roles and tablespaces, as SQL.
pub(crate) const GLOBALS: &str = "globals";
/// The inventory, as JSON.
pub(crate) const INVENTORY: &str = "inventory";

/// The rows of the n-th large table.
pub(crate) fn rows(large: usize) -> String {
    format!("rows/{}", large + 1)
}
