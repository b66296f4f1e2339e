//! Which entries of an archive are restored when.
//!
//! `pg_restore` restores a whole archive in this order: definitions, data, indexes and the like; then privileges; then materialized views
//! and event triggers. Its `--section` cuts that into parts by place only: privileges on tables come with the definitions, before the
//! rows. Here each part is an archive of its own with exactly the entries that belong to it, so that the order of the whole is
//! kept, with three refinements:
//!
//! - privileges that stand among the definitions come after the data, as in a restore of the whole. Before, a table's owner
//!   without the right to insert could not load it;
//! - triggers come after indexes and constraints, one after another. `pg_dump` does not say that the entry which enables or
//!   disables the trigger of a partition needs the entry of its root, from which the partition has it, so that several
//!   sessions at once may look for a trigger that is not there yet;
//! - event triggers come last of all, with them. `pg_restore` makes them in the same pass as it fills materialized views, in either
//!   order, and one that fires on `REFRESH MATERIALIZED VIEW` could write rows that were never backed up.
//!
//! Checked on `pg_dump` 15 to 18: values of sequences (`SEQUENCE SET`) and large objects (`BLOBS`, and from 17 on
//! their definitions) are in the section of data; `MATERIALIZED VIEW DATA`, which is the command that fills the view, is in the last
//! section, after every index that stands on the view, so that rows loaded beside the archive are there when it runs. Up to 16 large
//! objects are made among the definitions and filled with the data. Rows of tables of an extension's configuration are
//! `TABLE DATA` without a `TABLE`; the extension puts its own rows there when it is made, and these are the user's.
//!
//! No entry here fires anything: triggers and rules are made after all rows. Identity columns take the values that `COPY`
//! brings; generated columns are not in the list of columns and are computed again.

use std::fmt;

use crate::archive::{Section, Toc, TocEntry};

/// A part of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Definitions that rows need.
    PreData,
    /// The data within the archive. Rows beside the archive may come before, after or at the same time.
    Data,
    /// Indexes, constraints, privileges; then materialized views are filled.
    PostData,
    /// Triggers, then event triggers.
    Triggers,
}

/// For messages, as in "failed in definitions".
impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PreData => "definitions",
            Self::Data => "data",
            Self::PostData => "indexes and constraints",
            Self::Triggers => "triggers",
        })
    }
}

/// Settings that are not objects and belong to every part: encoding, quoting and search path.
pub(super) fn is_setting(entry: &TocEntry) -> bool {
    matches!(entry.desc.as_str(), "ENCODING" | "STDSTRINGS" | "SEARCHPATH")
}

/// Whether the entry describes the database itself, which is made from its properties and not from the archive.
pub(super) fn is_of_database(entry: &TocEntry) -> bool {
    match entry.desc.as_str() {
        "DATABASE" | "DATABASE PROPERTIES" => true,
        "ACL" | "COMMENT" | "SECURITY LABEL" => entry.tag.starts_with(b"DATABASE "),
        _ => false,
    }
}

/// When each entry is restored; `None` for settings, and for what describes the database itself.
pub(super) fn phases(toc: &Toc) -> impl Iterator<Item = (Option<Phase>, &TocEntry)> {
    toc.sections().map(|(section, entry)| {
        let phase = if is_setting(entry) || is_of_database(entry) {
            None
        } else if is_of_trigger(entry) {
            Some(Phase::Triggers)
        } else {
            Some(match (section, entry.desc.as_str()) {
                (Section::Data, _) => Phase::Data,
                (Section::PostData, _) | (_, "ACL" | "DEFAULT ACL") => Phase::PostData,
                (Section::None | Section::PreData, _) => Phase::PreData,
            })
        };
        (phase, entry)
    })
}

fn is_of_trigger(entry: &TocEntry) -> bool {
    match entry.desc.as_str() {
        "TRIGGER" | "EVENT TRIGGER" => true,
        "COMMENT" | "SECURITY LABEL" => {
            entry.tag.starts_with(b"TRIGGER ") || entry.tag.starts_with(b"EVENT TRIGGER ")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMPS: [&[u8]; 4] = [
        include_bytes!("../../tests/archives/pg15.dump"),
        include_bytes!("../../tests/archives/pg16.dump"),
        include_bytes!("../../tests/archives/pg17.dump"),
        include_bytes!("../../tests/archives/pg18.dump"),
    ];

    fn phase_of(toc: &Toc, desc: &str, tag: &str) -> Option<Phase> {
        let mut found = phases(toc).filter(|(_, entry)| entry.desc == desc && entry.tag == tag);
        found.next().unwrap_or_else(|| panic!("there is {desc} {tag}")).0
    }

    #[test]
    fn the_order_is_that_of_the_whole_with_triggers_last() {
        for dump in DUMPS {
            let toc = Toc::read(&mut &dump[..]).unwrap();
            for (desc, tag, phase) in [
                ("ENCODING", "ENCODING", None),
                ("DATABASE", "books", None),
                ("DATABASE PROPERTIES", "books", None),
                ("ACL", "DATABASE books", None),
                ("COMMENT", "DATABASE books", None),
                ("TABLE", "account", Some(Phase::PreData)),
                ("COMMENT", "TABLE account", Some(Phase::PreData)),
                ("ACL", "TABLE account", Some(Phase::PostData)),
                ("ACL", "SCHEMA ledger", Some(Phase::PostData)),
                ("TABLE ATTACH", "event_2025", Some(Phase::PreData)),
                ("DEFAULT", "entry id", Some(Phase::PreData)),
                ("TABLE DATA", "account", Some(Phase::Data)),
                ("SEQUENCE SET", "counter", Some(Phase::Data)),
                ("INDEX", "account_code", Some(Phase::PostData)),
                ("COMMENT", "INDEX account_code", Some(Phase::PostData)),
                ("TRIGGER", "entry entry_touch", Some(Phase::Triggers)),
                ("DEFAULT ACL", "DEFAULT PRIVILEGES FOR TABLES", Some(Phase::PostData)),
                ("MATERIALIZED VIEW DATA", "totals", Some(Phase::PostData)),
                ("EVENT TRIGGER", "watch", Some(Phase::Triggers)),
            ] {
                assert_eq!(phase_of(&toc, desc, tag), phase, "{desc} {tag}");
            }
            assert!(phases(&toc).all(|(phase, entry)| entry.desc != "BLOBS" || phase == Some(Phase::Data)));
        }
    }

    #[test]
    fn only_the_phase_of_data_has_data() {
        for dump in DUMPS {
            let toc = Toc::read(&mut &dump[..]).unwrap();
            assert!(phases(&toc).all(|(phase, entry)| !entry.had_dumper || phase == Some(Phase::Data)));
        }
    }
}
