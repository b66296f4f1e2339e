//! Dumps and restores with real servers and PostgreSQL's own programs.
#![expect(clippy::unwrap_used, reason = "what fails in a test should panic")]

#[path = "restore/books.rs"]
mod books;
#[path = "restore/failures.rs"]
mod failures;
#[path = "restore/roles.rs"]
mod roles;
#[path = "restore/splice.rs"]
mod splice;
#[path = "restore/tables.rs"]
mod tables;
#[path = "restore/whole.rs"]
mod whole;
