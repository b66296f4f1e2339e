//! Operating system accounts, read from `/etc/passwd`.
//!
//! Deliberately absent: network directories of accounts. Reading them needs the C library's `getpwuid`, which no safe
//! interface offers; `USER` and an explicit `user=` cover those machines.

use std::path::PathBuf;

const FILE: &str = "/etc/passwd";

/// One line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: Option<PathBuf>,
}

/// The account that this process runs as.
pub(crate) fn current() -> Option<Account> {
    let uid = rustix::process::geteuid().as_raw();
    by(|account| account.uid == uid)
}

/// The account called `name`.
pub(crate) fn named(name: &str) -> Option<Account> {
    by(|account| account.name == name)
}

/// The account with the number `uid`.
pub(crate) fn numbered(uid: u32) -> Option<Account> {
    by(|account| account.uid == uid)
}

/// The name of the account with the number `uid`, where `/etc/passwd` has one.
pub fn account_name(uid: u32) -> Option<String> {
    numbered(uid).map(|account| account.name)
}

fn by(wanted: impl Fn(&Account) -> bool) -> Option<Account> {
    let text = std::fs::read(FILE).ok()?;
    String::from_utf8_lossy(&text).lines().filter_map(parse).find(wanted)
}

fn parse(line: &str) -> Option<Account> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, _, home, ..] = fields[..] else { return None };
    let home = Some(PathBuf::from(home)).filter(|home| home.is_absolute());
    Some(Account { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_password_file() {
        let account =
            parse("postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash").unwrap();
        assert_eq!((account.name.as_str(), account.uid, account.gid), ("postgres", 101, 104));
        assert_eq!(account.home, Some(PathBuf::from("/var/lib/postgresql")));
        assert_eq!(parse("broken:x:abc"), None);
        assert_eq!(named("root").unwrap().uid, 0);
        assert_eq!(numbered(0).unwrap().name, "root");
    }
}
