//! Threads that accept and answer.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use rustix::event::PollFlags;

use super::connection::{Connection, Socket, Stop, wait_for};
use super::response::Response;
use super::{Address, Limits, View, answer, request};

/// User and group of the daemon may connect.
const SOCKET_MODE: u32 = 0o660;
/// After an error of accepting, such as no more descriptors, this is waited before the next attempt.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// It cannot listen.
    #[error("cannot listen at {address}")]
    Listen {
        /// Where.
        address: Address,
        /// Why not.
        source: io::Error,
    },
    /// There is no thread for it.
    #[error("cannot start a thread to answer at {address}")]
    Thread {
        /// Where.
        address: Address,
        /// Why not.
        source: io::Error,
    },
}

/// A server. It ends when it is stopped or dropped.
#[derive(Debug)]
pub struct Server {
    address: Address,
    stop: Option<UnixStream>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Listens at `address` and answers from `view`.
///
/// # Errors
/// When it cannot listen there, or there are no threads.
pub fn serve(address: &Address, view: &View) -> Result<Server, HttpError> {
    serve_within(address, view, Limits::default())
}

/// As [`serve`], with other limits.
///
/// # Errors
/// As [`serve`].
pub fn serve_within(address: &Address, view: &View, limits: Limits) -> Result<Server, HttpError> {
    let unheard = |source| HttpError::Listen { address: address.clone(), source };
    let threadless = |source| HttpError::Thread { address: address.clone(), source };
    let (stop, stopped) = UnixStream::pair().map_err(unheard)?;
    let stopped: Stop = Arc::new(stopped);
    let (listener, bound) = listen(address).map_err(unheard)?;
    // From here on, dropping it undoes everything.
    let mut server = Server { address: bound, stop: Some(stop), threads: Vec::new() };
    let (queue, waiting) = bounded(limits.waiting);
    for number in 0..limits.workers {
        let (waiting, view, stop) = (waiting.clone(), view.clone(), Arc::clone(&stopped));
        server
            .start(format!("http-{number}"), move || work(&waiting, &view, &stop, limits))
            .map_err(threadless)?;
    }
    server
        .start("http-accept".to_owned(), move || accept(&listener, &queue, &stopped))
        .map_err(threadless)?;
    Ok(server)
}

impl Server {
    /// Where it listens: with the port that it was given, if it asked for 0.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Ends it: nobody is accepted any more, requests that are not answered yet are broken off, and all threads have ended.
    pub fn stop(self) {
        drop(self);
    }

    fn start(&mut self, name: String, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(std::thread::Builder::new().name(name).spawn(work)?);
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The other end of this, which all threads watch, is at its end now.
        drop(self.stop.take());
        for thread in self.threads.drain(..) {
            // One that panicked has said so already.
            let _ = thread.join();
        }
        if let Address::Unix(path) = &self.address {
            let _ = fs::remove_file(path);
        }
    }
}

fn listen(address: &Address) -> io::Result<(Listener, Address)> {
    match address {
        Address::Tcp(address) => {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let bound = Address::Tcp(listener.local_addr()?);
            Ok((Listener::Tcp(listener), bound))
        }
        Address::Unix(path) => {
            remove_left_over(path)?;
            let listener = UnixListener::bind(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
            listener.set_nonblocking(true)?;
            Ok((Listener::Unix(listener), address.clone()))
        }
    }
}

/// Removes a socket at which nobody listens any more.
fn remove_left_over(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Ok(()),
    }
}

impl Listener {
    fn accept(&self) -> io::Result<Socket> {
        let socket = match self {
            Self::Tcp(listener) => Socket::Tcp(listener.accept()?.0),
            Self::Unix(listener) => Socket::Unix(listener.accept()?.0),
        };
        socket.set_nonblocking()?;
        Ok(socket)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Accepts until the server ends.
fn accept(listener: &Listener, queue: &Sender<Socket>, stop: &Stop) {
    // One that cannot even wait can do nothing.
    while wait_for(listener, PollFlags::IN, stop, None).unwrap_or(false) {
        let goes_on = match listener.accept() {
            Ok(socket) => enqueue(socket, queue),
            // The client has gone, or it was somebody else's turn.
            Err(error) if is_of_client(&error) => true,
            // Nothing waits on the socket of the stop but its end.
            Err(_) => wait_for(stop.as_ref(), PollFlags::empty(), stop, Some(PAUSE)).unwrap_or(false),
        };
        if !goes_on {
            return;
        }
    }
}

fn is_of_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
    )
}

fn enqueue(socket: Socket, queue: &Sender<Socket>) -> bool {
    match queue.try_send(socket) {
        Ok(()) => true,
        Err(TrySendError::Full(socket)) => {
            // A socket that was just made takes so little at once.
            let _ = socket.write_some(&Response::sentence(503, "Too many requests at once.").bytes(true));
            true
        }
        Err(TrySendError::Disconnected(_)) => false,
    }
}

/// Answers until the server ends.
fn work(waiting: &Receiver<Socket>, view: &View, stop: &Stop, limits: Limits) {
    while let Ok(socket) = waiting.recv() {
        let connection = Connection::new(socket, Arc::clone(stop), limits.time);
        // A client that goes away needs no answer.
        let _ = converse(&connection, view, limits);
    }
}

fn converse(connection: &Connection, view: &View, limits: Limits) -> io::Result<()> {
    let bytes = match request::read(connection, limits.head_bytes) {
        Ok(request) => answer::to(&request, view).bytes(request.method != "HEAD"),
        Err(refusal) => match answer::to_refused(&refusal) {
            Some(response) => response.bytes(true),
            None => return Ok(()),
        },
    };
    connection.write_all(&bytes)?;
    connection.end()
}
