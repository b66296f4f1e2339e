//! An extension of the ledger's own, `ledger_tax`, with configuration tables.
//!
//! A dump carries the rows that users added to such tables, and only those. None of the extensions that come with PostgreSQL has
//! them, so the ledger brings one. Its two files belong into the server's directory `extension`, which only the
//! administrator of a machine can write; where they are not there, [`crate::load`] leaves the extension out.

/// The name of the extension.
pub const NAME: &str = "ledger_tax";

/// Its files: their names in the server's directory `extension`, and their text.
pub const FILES: [(&str, &str); 2] = [
    ("ledger_tax.control", include_str!("extension/ledger_tax.control")),
    ("ledger_tax--1.0.sql", include_str!("extension/ledger_tax--1.0.sql")),
];
