//! The bytes below the protocol: a unix socket, a TCP socket, or TLS over one.
//!
//! Invariant: the socket is blocking, and nothing here blocks beyond the deadline while one is set. Sending never blocks
//! on its own; it says "would block", so that the caller can read what the server wants to get rid of first.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags};
use rustls::ClientConnection;

/// A connected socket with what it takes to wait for it.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    deadline: Option<Instant>,
}

/// What a socket is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) read: bool,
    pub(super) write: bool,
}

impl Socket {
    pub(super) fn new(fd: OwnedFd, deadline: Option<Instant>) -> Self {
        Self { fd, deadline }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Receives at least one byte; 0 at the end of the stream.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.deadline.is_some() {
            self.wait(PollFlags::IN, None)?;
        }
        retried(|| rustix::net::recv(&self.fd, &mut *buffer, RecvFlags::empty()))
            .map(|(_, received)| received)
    }

    fn receive_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        retried(|| rustix::net::recv(&self.fd, &mut *buffer, RecvFlags::DONTWAIT))
            .map(|(_, received)| received)
    }

    fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        retried(|| rustix::net::send(&self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL))
    }

    /// Waits until one of `flags` holds, the deadline passes (`TimedOut`) or `at_most` is over.
    fn wait(&self, flags: PollFlags, at_most: Option<Duration>) -> io::Result<PollFlags> {
        loop {
            let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let timeout = match (left, at_most) {
                (Some(left), Some(at_most)) => Some(left.min(at_most)),
                (left, at_most) => left.or(at_most),
            };
            let timespec = timeout.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
            let mut fds = [PollFd::new(&self.fd, flags)];
            match poll(&mut fds, timespec.as_ref()) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(0) if at_most.is_some() => return Ok(PollFlags::empty()),
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => return Ok(fds[0].revents()),
            }
        }
    }
}

fn retried<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}

/// rustls wants `Read` and `Write`; these two decide whether that may block.
struct Blocking<'a>(&'a Socket);
struct Immediate<'a>(&'a Socket);

impl Read for Blocking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.receive(buffer)
    }
}

impl Read for Immediate<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.receive_now(buffer)
    }
}

impl Write for Immediate<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send_now(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket, perhaps with TLS on it.
#[derive(Debug)]
pub(super) struct Stream {
    socket: Socket,
    tls: Option<Box<ClientConnection>>,
}

impl Stream {
    pub(super) fn plain(socket: Socket) -> Self {
        Self { socket, tls: None }
    }

    /// Performs the TLS handshake on this stream, which must be plain and have nothing unread.
    pub(super) fn start_tls(&mut self, mut connection: Box<ClientConnection>) -> io::Result<()> {
        while connection.is_handshaking() {
            while connection.wants_write() {
                match connection.write_tls(&mut Immediate(&self.socket)) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.socket.wait(PollFlags::OUT, None)?;
                    }
                    other => drop(other?),
                }
            }
            if connection.is_handshaking() && connection.wants_read() {
                if connection.read_tls(&mut Blocking(&self.socket))? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                if let Err(error) = connection.process_new_packets() {
                    // The alert tells the server why; that it arrives is not essential.
                    let _ = connection.write_tls(&mut Immediate(&self.socket));
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
        }
        self.tls = Some(connection);
        Ok(())
    }

    pub(super) fn tls(&self) -> Option<&ClientConnection> {
        self.tls.as_deref()
    }

    pub(super) fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.socket.deadline = deadline;
    }

    /// Receives at least one byte, waiting for it; 0 at the end of the stream.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.receive(buffer) };
        loop {
            match plaintext(tls, buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            // A key update or an alert may have to go out first.
            if tls.wants_write() {
                ignore_would_block(tls.write_tls(&mut Immediate(&self.socket)))?;
            }
            tls.read_tls(&mut Blocking(&self.socket))?;
            tls.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }

    /// Receives what is there without waiting; `WouldBlock` when there is nothing.
    pub(super) fn receive_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.receive_now(buffer) };
        loop {
            match plaintext(tls, buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            tls.read_tls(&mut Immediate(&self.socket))?;
            tls.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }

    /// Receives at least one byte, waiting `at_most` for it; `None` when there was none. 0 at the end of the stream.
    pub(super) fn receive_within(
        &mut self,
        buffer: &mut [u8],
        at_most: Duration,
    ) -> io::Result<Option<usize>> {
        let until = Instant::now().checked_add(at_most);
        loop {
            match self.receive_now(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other.map(Some),
            }
            let left = until.map_or(at_most, |until| until.saturating_duration_since(Instant::now()));
            if self.socket.wait(PollFlags::IN, Some(left))?.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Sends some of `bytes` without waiting; `WouldBlock` when nothing could be taken.
    pub(super) fn send_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.send_now(bytes) };
        let taken = tls.writer().write(bytes)?;
        ignore_would_block(tls.write_tls(&mut Immediate(&self.socket)))?;
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(taken)
    }

    /// Sends what TLS still holds back; true when nothing is left.
    pub(super) fn flush_now(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        while tls.wants_write() {
            match tls.write_tls(&mut Immediate(&self.socket)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                other => drop(other?),
            }
        }
        Ok(true)
    }

    /// Waits until the socket can be written, or read if `or_read`.
    pub(super) fn wait_to_send(&self, or_read: bool) -> io::Result<Ready> {
        let flags = if or_read { PollFlags::OUT | PollFlags::IN } else { PollFlags::OUT };
        let ready = self.socket.wait(flags, None)?;
        let broken = ready.intersects(PollFlags::ERR | PollFlags::HUP);
        Ok(Ready {
            read: or_read && (broken || ready.contains(PollFlags::IN)),
            write: broken || ready.contains(PollFlags::OUT),
        })
    }
}

fn ignore_would_block(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other.map(drop),
    }
}

fn plaintext(tls: &mut ClientConnection, buffer: &mut [u8]) -> io::Result<usize> {
    match tls.reader().read(buffer) {
        // PostgreSQL may close without a TLS goodbye. The protocol above has its own end marks.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        other => other,
    }
}
