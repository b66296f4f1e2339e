//! Telling the service manager how the daemon does (`sd_notify(3)`).
//!
//! Invariant: a manager that is not there or does not listen never stops the daemon. `NOTIFY_SOCKET` and `WATCHDOG_USEC` are arguments.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The service manager, if there is one.
#[derive(Debug, Default)]
pub struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

/// Something that the manager is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice<'a> {
    /// The daemon has started, or has read its settings again.
    Ready,
    /// The daemon reads its settings again. The clock is `CLOCK_MONOTONIC`, by which managers tell this notice from an earlier one.
    Reloading {
        /// What that clock shows.
        monotonic: Duration,
    },
    /// The daemon stops.
    Stopping,
    /// The daemon is alive.
    Watchdog,
    /// What the daemon does, in one line for people.
    Status(&'a str),
}

impl Manager {
    /// The manager that listens at the value of `NOTIFY_SOCKET`: a path, or a name of the abstract namespace after `@`. Without it,
    /// nobody is told anything.
    ///
    /// # Errors
    /// When no socket can be made or the value is no address.
    pub fn at(notify_socket: Option<&OsStr>) -> io::Result<Self> {
        let Some(value) = notify_socket.map(OsStr::as_bytes).filter(|value| !value.is_empty()) else {
            return Ok(Self::default());
        };
        let address = match value {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not hold up backups.
        socket.set_nonblocking(true)?;
        Ok(Self { socket: Some((socket, address)) })
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    /// Tells it everything at once.
    ///
    /// # Errors
    /// When it does not listen. There is nothing to be done about that but to say so.
    pub fn tell(&self, notices: &[Notice<'_>]) -> io::Result<()> {
        let Some((socket, address)) = &self.socket else { return Ok(()) };
        let lines: Vec<String> = notices.iter().map(Notice::line).collect();
        socket.send_to_addr(lines.join("\n").as_bytes(), address).map(drop)
    }
}

impl Notice<'_> {
    fn line(&self) -> String {
        match self {
            Self::Ready => "READY=1".to_owned(),
            Self::Reloading { monotonic } => format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic.as_micros()),
            Self::Stopping => "STOPPING=1".to_owned(),
            Self::Watchdog => "WATCHDOG=1".to_owned(),
            // A line break would begin another assignment.
            Self::Status(text) => format!("STATUS={}", text.replace(['\n', '\r', '\0'], " ")),
        }
    }
}

/// How often the manager wants to hear [`Notice::Watchdog`] at the latest, from `WATCHDOG_USEC` and `WATCHDOG_PID`. Nothing when it
/// does not want to, or means another process than `pid`. To be safe, tell it twice as often.
pub fn watchdog(usec: Option<&OsStr>, meant_pid: Option<&OsStr>, pid: u32) -> Option<Duration> {
    let meant: Option<u32> = match meant_pid.filter(|text| !text.is_empty()) {
        Some(text) => Some(text.to_str()?.parse().ok()?),
        None => None,
    };
    if meant.is_some_and(|meant| meant != pid) {
        return None;
    }
    let usec: u64 = usec?.to_str()?.parse().ok()?;
    (usec > 0).then(|| Duration::from_micros(usec))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 1024];
        let bytes = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..bytes].to_vec()).unwrap()
    }

    #[test]
    fn a_manager_hears_what_it_is_told() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let manager = Manager::at(Some(path.as_os_str())).unwrap();
        assert!(manager.is_there());
        manager.tell(&[Notice::Ready, Notice::Status("waits for 3:00\nREADY=0")]).unwrap();
        assert_eq!(heard(&socket), "READY=1\nSTATUS=waits for 3:00 READY=0");
        manager.tell(&[Notice::Reloading { monotonic: Duration::from_micros(12_345_678) }]).unwrap();
        assert_eq!(heard(&socket), "RELOADING=1\nMONOTONIC_USEC=12345678");
        manager.tell(&[Notice::Watchdog]).unwrap();
        assert_eq!(heard(&socket), "WATCHDOG=1");
        manager.tell(&[Notice::Stopping]).unwrap();
        assert_eq!(heard(&socket), "STOPPING=1");
    }

    #[test]
    fn a_name_of_the_abstract_namespace_is_an_address() {
        let name = format!("chronavault-test-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let manager = Manager::at(Some(OsStr::new(&format!("@{name}")))).unwrap();
        manager.tell(&[Notice::Ready]).unwrap();
        assert_eq!(heard(&socket), "READY=1");
    }

    #[test]
    fn without_a_manager_nobody_is_told_and_nothing_fails() {
        for absent in [None, Some(OsStr::new(""))] {
            let manager = Manager::at(absent).unwrap();
            assert!(!manager.is_there());
            manager.tell(&[Notice::Ready]).unwrap();
        }
        assert!(Manager::at(Some(OsStr::new("/nowhere/at/all"))).unwrap().tell(&[Notice::Ready]).is_err());
    }

    #[test]
    fn a_manager_that_does_not_read_holds_nobody_up() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("notify");
        let _deaf = UnixDatagram::bind(&path).unwrap();
        let manager = Manager::at(Some(path.as_os_str())).unwrap();
        let refused = (0..100_000).find_map(|_| manager.tell(&[Notice::Watchdog]).err()).unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn the_watchdog_is_for_the_process_that_is_meant() {
        let usec = Some(OsStr::new("30000000"));
        assert_eq!(watchdog(usec, None, 7), Some(Duration::from_secs(30)));
        assert_eq!(watchdog(usec, Some(OsStr::new("7")), 7), Some(Duration::from_secs(30)));
        assert_eq!(watchdog(usec, Some(OsStr::new("8")), 7), None);
        assert_eq!(watchdog(usec, Some(OsStr::new("x")), 7), None);
        assert_eq!(watchdog(None, None, 7), None);
        assert_eq!(watchdog(Some(OsStr::new("0")), None, 7), None);
        assert_eq!(watchdog(Some(OsStr::new("soon")), None, 7), None);
    }
}
