//! Cancelling a statement from another thread.

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use super::connect::{self, Endpoint};
use super::error::Error;
use super::startup::Session;
use crate::conninfo::ConnectOptions;

/// Cancels what a session is doing. It does not borrow the client, so another thread can hold it.
#[derive(Debug, Clone)]
pub struct Canceller {
    pub(super) options: ConnectOptions,
    pub(super) endpoint: Endpoint,
    pub(super) encrypted: bool,
    pub(super) session: Session,
}

impl Canceller {
    /// Asks the server to cancel, over a connection of its own, encrypted if that of the session is.
    ///
    /// The server does not say whether there was something to cancel; the statement, if it was still running, ends with
    /// [`ErrorKind::Cancelled`](super::ErrorKind::Cancelled).
    pub fn cancel(&self) -> Result<(), Error> {
        let mut request = BytesMut::new();
        frontend::cancel_request(self.session.pid, self.session.secret, &mut request);
        connect::deliver(&self.options, &self.endpoint, self.encrypted, &request)
    }
}
