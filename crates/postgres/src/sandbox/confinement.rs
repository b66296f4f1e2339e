//! Walls around a server on restored data: it and everything that it starts can write below some directories and nowhere else.
//!
//! Replay of WAL makes tablespaces again where they were made first, and writes their files there. On the machine of the original
//! cluster, and under its account, these are its files. No setting keeps a server from that; Landlock does, a part of Linux since
//! 5.13 that needs no rights.
//!
//! Deliberately absent: a wall where the kernel has none. Then the account of the server is all there is.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;

use landlock::{
    ABI, Access, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError,
};

/// What is known of the kernel's rights; those that an older kernel lacks are left out.
const RIGHTS: ABI = ABI::V4;
/// Where servers send what nobody is to read.
const NOWHERE: &str = "/dev/null";

/// Where a server may write.
#[derive(Debug, Clone)]
pub(super) struct Confinement {
    /// Directories, with all that is below them.
    pub(super) writable: Vec<PathBuf>,
    /// It may neither listen nor connect by TCP.
    pub(super) no_network: bool,
}

impl Confinement {
    /// Starts `command` within the walls. They are around a thread and its children for good, so the thread is one of its own.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let started = thread::scope(|scope| {
            let starting = scope.spawn(|| {
                self.enter().map_err(io::Error::other)?;
                command.spawn()
            });
            starting.join()
        });
        started.unwrap_or_else(|_| Err(io::Error::other("the thread that starts the server panicked")))
    }

    fn enter(&self) -> Result<(), RulesetError> {
        let write = AccessFs::from_write(RIGHTS);
        let mut rules = Ruleset::default().handle_access(write)?;
        if self.no_network {
            rules = rules.handle_access(AccessNet::from_all(RIGHTS))?;
        }
        let mut rules = rules.create()?;
        for path in &self.writable {
            // A path that is not there cannot be written either.
            let Ok(path) = PathFd::new(path) else { continue };
            rules = rules.add_rule(PathBeneath::new(path, write))?;
        }
        if let Ok(nowhere) = PathFd::new(NOWHERE) {
            rules = rules.add_rule(PathBeneath::new(nowhere, write & AccessFs::from_file(RIGHTS)))?;
        }
        rules.restrict_self().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_confined_program_writes_where_it_may_and_nowhere_else() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let confinement = Confinement { writable: vec![inside.path().to_owned()], no_network: true };
        let run = |script: String| {
            let mut command = Command::new("/bin/sh");
            let status = confinement.spawn(command.args(["-c", &script])).unwrap().wait().unwrap();
            status.success()
        };
        let (inner, outer) = (inside.path().join("file"), outside.path().join("file"));
        assert!(run(format!("echo x > {} && echo x > /dev/null", inner.display())));
        fs::write(&outer, "as it was").unwrap();
        for script in [
            format!("echo x > {}", outer.display()),
            format!("rm {}", outer.display()),
            format!("mkdir {}", outside.path().join("directory").display()),
            format!("mv {} {}", inner.display(), outside.path().join("moved").display()),
        ] {
            assert!(!run(format!("{{ {script}; }} 2>/dev/null")), "{script}");
        }
        assert_eq!(fs::read_to_string(&outer).unwrap(), "as it was");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
        // We ourselves are not confined.
        fs::write(&outer, "changed").unwrap();
    }
}
