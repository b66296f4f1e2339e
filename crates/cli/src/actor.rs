//! Who runs this program, as the system knows it.

use model::Actor;
use operations::postgres::account_name;

/// The actor of everything that is done from this command line. The account is the effective one: names in the environment are
/// whatever somebody wants them to be.
pub(crate) fn current() -> Actor {
    let uid = rustix::process::geteuid().as_raw();
    Actor {
        user: account_name(uid).unwrap_or_else(|| uid.to_string()),
        uid,
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        pid: std::process::id(),
        token: None,
        program: concat!("chronavault ", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}

/// The same in few words: who at which machine.
pub(crate) fn name() -> String {
    let actor = current();
    format!("{}@{}", actor.user, actor.host)
}
