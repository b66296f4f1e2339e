//! What `check` takes.

use clap::Args;

/// `check`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArgs {
    /// The source: a name in the `sources` table of the settings file [default: as for backup].
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Check this database instead of the source's own, with the checks of the source: any connection string that libpq accepts.
    /// Put no password here, other users can read it in the process list; use PGPASSFILE or PGPASSWORD.
    #[arg(long, value_name = "URL")]
    pub(crate) database: Option<String>,
    /// Run only this check, one of the settings or one that is built in. May be repeated.
    #[arg(long = "only", value_name = "CHECK")]
    pub(crate) only: Vec<String>,
}
