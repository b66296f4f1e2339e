//! The database that is dumped and restored, and the ways to do so.

use std::io::Read;

use chronavault_postgres::archive::{Toc, Walker};
use chronavault_postgres::load::{Apply, DatabaseProperties, LoadOptions, Loader, NewDatabase};
use chronavault_postgres::{Client, ConnectOptions, Input, Process, RowSink, Tools};
use model::{QualifiedName, quote_identifier};
use testkit::Cluster;
use testkit::cluster::client_tools;

/// A server with the database `books`.
pub(crate) fn cluster() -> Cluster {
    let cluster = Cluster::with(|options| {
        options.settings.push(("wal_level".into(), "logical".into()));
        options.settings.push(("max_prepared_transactions".into(), "2".into()));
    });
    cluster.create_database("books");
    // The fixture is written for servers that have everything in it.
    let schema = include_str!("../archives/schema.sql");
    let has_columns = cluster.client("books").server_major() >= 15;
    let schema =
        if has_columns { schema.to_owned() } else { schema.replace("account (id, code);", "account;") };
    cluster.psql("books", &schema);
    cluster
}

pub(crate) fn tools(cluster: &Cluster) -> Tools {
    client_tools(cluster.sandbox().tools())
}

/// A custom archive of the database, through a pipe as in a backup, and proven whole.
pub(crate) fn dump(cluster: &Cluster, database: &str, more: &[&str]) -> (Toc, Vec<u8>) {
    let mut command = tools(cluster).command("pg_dump", Some(&cluster.options(database)));
    command.args(["-Fc", "-Z0"]).args(more);
    let bytes = output(command);
    let (toc, ()) = Walker::new(()).read_all(&mut &bytes[..]).unwrap();
    (toc, bytes)
}

/// The whole database as SQL, without what differs between two dumps of the same.
pub(crate) fn text(cluster: &Cluster, database: &str) -> String {
    let bytes = output(tools(cluster).command("pg_dump", Some(&cluster.options(database))));
    let text = String::from_utf8(bytes).unwrap();
    text.lines().filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict")).fold(
        String::new(),
        |mut text, line| {
            text.push_str(line);
            text.push('\n');
            text
        },
    )
}

pub(crate) fn output(command: std::process::Command) -> Vec<u8> {
    let mut process = Process::spawn_with(command, Input::Empty, |_| true).unwrap();
    let mut bytes = Vec::new();
    process.take_stdout().unwrap().read_to_end(&mut bytes).unwrap();
    process.finish().unwrap();
    bytes
}

pub(crate) fn properties(cluster: &Cluster, database: &str) -> DatabaseProperties {
    DatabaseProperties::read(&mut cluster.client(database)).unwrap()
}

pub(crate) fn new_database(
    cluster: &Cluster,
    properties: &DatabaseProperties,
    suffix: [u8; 4],
) -> NewDatabase {
    NewDatabase::create(&cluster.options("books"), properties.clone(), Apply::default(), suffix).unwrap()
}

/// Restores an archive, and calls `load_rows` when the rest of the rows are due.
pub(crate) fn restore(
    cluster: &Cluster,
    target: &ConnectOptions,
    archive: &[u8],
    options: LoadOptions,
    load_rows: impl FnOnce(&mut Client),
) {
    let tools = tools(cluster);
    let toc = Toc::read(&mut &archive[..]).unwrap();
    let mut client = Client::connect(target).unwrap();
    let loader = Loader::new(&tools, target, client.server_major(), &toc, options);
    loader.pre_data().unwrap();
    loader.data(&mut &archive[..]).unwrap();
    load_rows(&mut client);
    loader.post_data().unwrap();
}

/// The rows of a table as COPY text.
pub(crate) fn rows(client: &mut Client, table: &QualifiedName, columns: &[String]) -> Vec<u8> {
    struct Rows(Vec<u8>);
    impl RowSink for Rows {
        type Error = std::convert::Infallible;
        fn row(&mut self, row: &[u8]) -> Result<(), Self::Error> {
            self.0.extend_from_slice(row);
            Ok(())
        }
        fn row_part(&mut self, part: &[u8], _: bool) -> Result<(), Self::Error> {
            self.row(part)
        }
    }
    let mut rows = Rows(Vec::new());
    let list: Vec<_> = columns.iter().map(|column| quote_identifier(column)).collect();
    let list = if list.is_empty() { String::new() } else { format!("({})", list.join(", ")) };
    client.copy_out(&format!("COPY {} {list} TO STDOUT", table.quoted()), &mut rows).unwrap();
    rows.0
}
