//! A server for one test.

use std::process::Command;

use chronavault_postgres::{Client, ConnectOptions, RowSink};
use testkit::Cluster;
use testkit::cluster::client_tools;

/// A server that ends with the test.
pub(crate) struct Server {
    cluster: Cluster,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(&[("max_prepared_transactions", "4")])
    }

    /// With other settings than usual.
    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { cluster: Cluster::with(|options| options.settings.extend(settings)) }
    }

    pub(crate) fn options(&self, database: &str) -> ConnectOptions {
        self.cluster.options(database)
    }

    pub(crate) fn options_as(&self, database: &str, role: &str) -> ConnectOptions {
        self.cluster.sandbox().options_as(role, database).unwrap()
    }

    pub(crate) fn client(&self, database: &str) -> Client {
        self.cluster.client(database)
    }

    pub(crate) fn client_as(&self, database: &str, role: &str) -> Client {
        Client::connect(&self.options_as(database, role)).unwrap()
    }

    pub(crate) fn create(&self, database: &str) {
        let sql = format!("CREATE DATABASE {database} TEMPLATE template0");
        self.client("postgres").execute(&sql).unwrap();
    }

    pub(crate) fn psql(&self, database: &str, sql: &str) -> String {
        self.cluster.psql(database, sql)
    }

    /// A client program that connects to `database`.
    pub(crate) fn program(&self, name: &str, database: &str) -> Command {
        client_tools(self.cluster.sandbox().tools()).command(name, Some(&self.options(database)))
    }
}

/// The rows of a COPY, as text with marks for what is not UTF-8.
pub(crate) fn copy_out(client: &mut Client, sql: &str) -> Vec<String> {
    let mut rows = Rows::default();
    client.copy_out(sql, &mut rows).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    rows.whole.iter().map(|row| String::from_utf8_lossy(row).into_owned()).collect()
}

/// Loads COPY text.
pub(crate) fn copy_in(client: &mut Client, sql: &str, text: &[u8]) {
    let mut copy = client.copy_in(sql).unwrap();
    copy.send(text).unwrap();
    copy.finish().unwrap();
}

#[derive(Default)]
struct Rows {
    whole: Vec<Vec<u8>>,
    part: Vec<u8>,
}

impl RowSink for Rows {
    type Error = std::convert::Infallible;

    fn row(&mut self, row: &[u8]) -> Result<(), Self::Error> {
        self.whole.push(row.to_vec());
        Ok(())
    }

    fn row_part(&mut self, part: &[u8], last: bool) -> Result<(), Self::Error> {
        self.part.extend_from_slice(part);
        if last {
            self.whole.push(std::mem::take(&mut self.part));
        }
        Ok(())
    }
}
