//! Looking at a database as a backup would, without taking one.

use std::num::NonZeroUsize;

use model::Filters;
use postgres::{
    Checkpoint, Client, ConnectOptions, DataDirectory, DataDirectoryOptions, Finding, Tools, ToolsError,
    Unusable,
};

use crate::{Context, Error};

/// What a backup of a database would meet.
#[derive(Debug)]
pub struct Examination {
    /// The version of the server, as in `server_version_num`.
    pub server_version: u32,
    /// The client tools that a backup would use.
    pub client_tools: Result<Tools, ToolsError>,
    /// The server's programs, without which a restore cannot be rehearsed on this machine.
    pub server_tools: Result<Tools, ToolsError>,
    /// What a logical backup would meet.
    pub findings: Vec<Finding>,
    /// What physical backups and the receiving of WAL would meet.
    pub physical: Vec<Finding>,
    /// Why the files cannot be read from the data directory on this machine, which is the fastest way; nothing if they can.
    pub data_directory: Result<(), Unusable>,
}

/// Connects to `source` and looks.
pub fn examine(
    source: &ConnectOptions,
    filters: &Filters,
    context: &Context<'_>,
) -> Result<Examination, Error> {
    let mut client = Client::connect(source)?;
    postgres::apply_session_settings(&mut client)?;
    let (major, path) = (client.server_major(), context.tool_path.as_deref());
    Ok(Examination {
        server_version: client.server_version(),
        client_tools: Tools::find(major, path),
        server_tools: Tools::find_server(major, path),
        findings: postgres::preflight(&mut client, filters)?,
        physical: postgres::preflight_replication(&mut client)?,
        data_directory: data_directory(source)?,
    })
}

/// Whether a physical backup could read the data directory itself.
fn data_directory(source: &ConnectOptions) -> Result<Result<(), Unusable>, Error> {
    let options = DataDirectoryOptions {
        label: String::new(),
        checkpoint: Checkpoint::Spread,
        threads: NonZeroUsize::MIN,
        earlier: None,
    };
    Ok(DataDirectory::usable(Client::connect(source)?, options).map(drop))
}
