//! What can go wrong while sample rows are made.

/// A sample could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// Something of a user's is in the database already, and stays as it is.
    #[error("the database {database} is not empty: it has {object}; the sample needs an empty one")]
    NotEmpty {
        /// The database.
        database: String,
        /// The first object found.
        object: String,
    },
    /// The sample has names and text that only UTF8 can hold.
    #[error("the database has the encoding {encoding}; the sample needs UTF8")]
    Encoding {
        /// What the server reported.
        encoding: String,
    },
    /// Roles, event triggers and large objects with chosen numbers need a superuser.
    #[error("the sample can only be made by a superuser")]
    NotSuperuser,
    /// The database was not made by [`crate::load`].
    #[error("the database is not a ledger: it has no table public.ledger_profile with one row")]
    NotLedger,
    /// The server refused one step.
    #[error("the step \"{step}\" of the sample failed")]
    Step {
        /// What the step makes.
        step: String,
        /// The server's answer.
        #[source]
        source: postgres::Error,
    },
    /// The server refused a question about the database.
    #[error("the database could not be examined")]
    Examine(#[source] postgres::Error),
}
