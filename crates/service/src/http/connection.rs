//! A connection with an end: of its time, or of the server.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Bytes that are read and thrown away after an answer, so that a client that still sends gets to read it.
const LEFT_OVER_BYTES: usize = 64 * 1024;

/// Tells every thread of a server that it ends: then the other end is gone.
pub(super) type Stop = Arc<UnixStream>;

/// The socket of a client, which does not block.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A client, until the deadline.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Socket,
    stop: Stop,
    deadline: Instant,
}

impl Socket {
    pub(super) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(true),
            Self::Unix(stream) => stream.set_nonblocking(true),
        }
    }

    /// Writes what the socket takes at once.
    pub(super) fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).write(bytes),
            Self::Unix(stream) => (&mut &*stream).write(bytes),
        }
    }

    fn read_some(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).read(buffer),
            Self::Unix(stream) => (&mut &*stream).read(buffer),
        }
    }

    fn finish(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Connection {
    pub(super) fn new(socket: Socket, stop: Stop, time: Duration) -> Self {
        Self { socket, stop, deadline: Instant::now() + time }
    }

    /// Reads what is there, as soon as there is something; 0 bytes at the end.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.retry(PollFlags::IN, || self.socket.read_some(buffer))
    }

    /// Writes everything.
    pub(super) fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.retry(PollFlags::OUT, || self.socket.write_some(bytes))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => bytes = &bytes[written..],
            }
        }
        Ok(())
    }

    /// Ends the connection, and waits until the client has done so too. A socket that is closed before everything from it was read
    /// takes back what was written.
    pub(super) fn end(&self) -> io::Result<()> {
        self.socket.finish()?;
        let mut buffer = [0; 4096];
        let mut left = LEFT_OVER_BYTES;
        loop {
            match self.read(&mut buffer)? {
                0 => return Ok(()),
                bytes if bytes >= left => return Ok(()),
                bytes => left -= bytes,
            }
        }
    }

    fn retry(&self, flags: PollFlags, mut action: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        loop {
            match action() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(flags)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn wait(&self, flags: PollFlags) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if wait_for(&self.socket, flags, &self.stop, Some(left))? {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the server ends"))
    }
}

/// Waits until something can be done, or time is over. Returns whether the server goes on.
pub(super) fn wait_for(
    what: &impl AsFd,
    flags: PollFlags,
    stop: &Stop,
    time: Option<Duration>,
) -> io::Result<bool> {
    let time = time.and_then(|time| Timespec::try_from(time).ok());
    let mut waited = [PollFd::new(what, flags), PollFd::new(stop.as_ref(), PollFlags::IN)];
    match poll(&mut waited, time.as_ref()) {
        Ok(_) => Ok(waited[1].revents().is_empty()),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
