//! Looking at a database as a backup would, without taking one.

use model::Filters;
use postgres::{Client, ConnectOptions, Finding, Tools, ToolsError};

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
    /// What the preflight found.
    pub findings: Vec<Finding>,
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
    })
}
