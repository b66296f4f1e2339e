//! What a recovering server is told.
//!
//! Invariant: `wal fetch` ends with 0 when the file is there, with 1 when it is not archived, and with [`Exit::Abort`] in every
//! other case, whatever happens. A server takes every status up to 125 for "not archived", ends its recovery there and opens for
//! writing (PostgreSQL documentation, section 26.3.4), which must not happen because of a typing error or a bug of ours.

use std::ffi::{OsStr, OsString};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::failure::Exit;

/// Runs the program, and sees to its exit status when it is a server's `restore_command`.
pub(crate) fn guard(arguments: &[OsString], run: impl FnOnce() -> Exit) -> Exit {
    if !is_fetch(arguments) {
        return run();
    }
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(exit @ (Exit::Done | Exit::Absent)) => exit,
        Ok(_) | Err(_) => Exit::Abort,
    }
}

/// Whether these are arguments of `wal fetch`, however wrong they are otherwise.
fn is_fetch(arguments: &[OsString]) -> bool {
    let is = |argument: &OsString, word: &str| argument == OsStr::new(word);
    let mut words = arguments.iter().skip(1).skip_while(|argument| !is(argument, "wal")).skip(1);
    words
        .find(|argument| is(argument, "fetch") || is(argument, "push"))
        .is_some_and(|found| is(found, "fetch"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded(arguments: &[&str], run: impl FnOnce() -> Exit) -> Exit {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        guard(&arguments, run)
    }

    #[test]
    fn only_what_is_not_archived_looks_like_it() {
        let fetch = ["chronavault", "--key-file", "k", "wal", "-q", "fetch", "x"];
        for (exit, expected) in [
            (Exit::Done, Exit::Done),
            (Exit::Absent, Exit::Absent),
            (Exit::Failed, Exit::Abort),
            (Exit::Usage, Exit::Abort),
            (Exit::NotVerified, Exit::Abort),
            (Exit::Warnings, Exit::Abort),
            (Exit::Abort, Exit::Abort),
        ] {
            assert_eq!(guarded(&fetch, || exit), expected);
        }
        assert_eq!(guarded(&fetch, || panic!("a bug")), Exit::Abort);
        for other in
            [&["chronavault", "wal", "push", "fetch"][..], &["chronavault", "fetch"], &["wal", "fetch"]]
        {
            assert_eq!(guarded(other, || Exit::Usage), Exit::Usage, "{other:?}");
        }
    }

    #[test]
    fn a_server_stops_on_what_it_must_not_take_for_the_end() {
        let status = |exit: Exit| exit as u8;
        assert!(status(Exit::Abort) > 128 && status(Exit::Abort) != 128 + 15);
        assert_eq!(std::process::ExitCode::from(Exit::Absent), std::process::ExitCode::from(1));
    }
}
