//! Warnings, findings and problems of a verification: what to do next about each, and which of them need a person.

use std::time::Duration;

use operations::postgres::Severity;
use operations::{RecoveryRecord, Warning};
use repository::Proof;
use service::journal::{Finding, FindingKind};

use super::Code;
use crate::failure::{Failure, one_line};
use crate::screen::Notice;
use crate::wording;

impl From<&Warning> for Notice {
    fn from(warning: &Warning) -> Self {
        let hint = match warning {
            Warning::Preflight(_) => "Run `chronavault doctor` to see everything that was found.",
            Warning::LargerThanLimit { .. } => {
                "Raise BACKUP_MAX_SIZE_GB if this is expected, or find out why the database grew."
            }
            Warning::RolesWithoutPasswords => {
                "After a restore into a new cluster, set the passwords again; a superuser's backup includes them."
            }
            Warning::RolesNotSaved { .. } => "Save the roles in another way: pg_dumpall --globals-only.",
            Warning::Filtered { .. } => {
                "Make backups without filters, too: nothing brings back what was left out."
            }
            Warning::NotProven { .. } => {
                "Do what the sentence says, then run `chronavault verify latest`; until then the backup may not restore."
            }
            Warning::DefinitionsNotCompared { .. } => {
                "Rows were compared all the same. To compare definitions, verify with the version of chronavault that made the backup; a new backup has the inventory of this version."
            }
            Warning::StartedAgain { .. } => {
                "Nothing needs to be done; run backups when no tables are being altered or truncated."
            }
            Warning::ParentUnreadable { .. } => "Run `chronavault verify --all --level contents`.",
            Warning::NoChecksums { .. } => {
                "Check free space and the disk; `sha256sum -c` cannot check this backup."
            }
            Warning::Restore { .. } => "Read what the program says, and look at the restored database.",
            Warning::Server { .. } => "Read what the server says, and look into its log.",
            Warning::BadPages { .. } => {
                "Find out what is damaged with pg_amcheck, restore it from an earlier backup, and check the disk."
            }
            Warning::WalGap { .. } => {
                "Take a physical backup now, and set max_slot_wal_keep_size or wal_keep_size so that the server keeps more."
            }
            Warning::Slot { .. } => {
                "Find out why WAL is not archived fast enough, raise max_slot_wal_keep_size, or drop a slot that nobody needs."
            }
            Warning::SlotNotWatched { .. } => "Let the role connect to a database of the cluster as well.",
            Warning::CheckFailed { .. } => {
                "Run `chronavault check` on the database to see the rows that are concerned, and find out what put them there."
            }
            Warning::RoleCreated { .. } => "Set a password for it if it is to log in: ALTER ROLE … PASSWORD.",
        };
        let message = match warning {
            Warning::Preflight(finding) => format!("{}: {}", finding.object, finding.message),
            _ => warning.to_string(),
        };
        Self { code: warning.code().to_owned(), message: one_line(&message), hint: hint.to_owned() }
    }
}

/// Whether it is only good to know. `doctor` shows it; other commands keep quiet about it.
pub(crate) fn is_note(warning: &Warning) -> bool {
    matches!(warning, Warning::Preflight(finding) if finding.severity == Severity::Note)
}

/// Whether a warning changes the exit status. What somebody asked for, or what is so on every run, does not.
pub(crate) fn needs_person(warning: &Warning) -> bool {
    match warning {
        Warning::Preflight(finding) => finding.severity > Severity::Note,
        Warning::LargerThanLimit { .. }
        | Warning::RolesNotSaved { .. }
        | Warning::NotProven { .. }
        | Warning::NoChecksums { .. }
        | Warning::Restore { .. }
        | Warning::Server { .. }
        | Warning::BadPages { .. }
        | Warning::WalGap { .. }
        | Warning::Slot { .. }
        | Warning::CheckFailed { .. }
        | Warning::ParentUnreadable { .. } => true,
        Warning::RolesWithoutPasswords
        | Warning::Filtered { .. }
        | Warning::DefinitionsNotCompared { .. }
        | Warning::StartedAgain { .. }
        | Warning::SlotNotWatched { .. }
        | Warning::RoleCreated { .. } => false,
    }
}

impl From<&Failure> for Notice {
    fn from(failure: &Failure) -> Self {
        Self {
            code: failure.code.as_str().to_owned(),
            message: failure.message.clone(),
            hint: failure.hint().to_owned(),
        }
    }
}

/// A connection string on the command line has a password in it.
pub(crate) fn password_on_command_line(flag: &str) -> Notice {
    Notice {
        code: "password.visible".to_owned(),
        message: format!("the password in {flag} can be read by everyone who can list processes"),
        hint: "Use PGPASSFILE, PGPASSWORD or a service file, and change this password.".to_owned(),
    }
}

/// A proof that names another manifest than the one that is there.
pub(crate) fn foreign_proof(proof: &Proof) -> Notice {
    Notice {
        code: "proof.foreign".to_owned(),
        message: format!(
            "a proof of {:.0} is of another manifest than the one that is there, and proves nothing",
            proof.at
        ),
        hint: "Run `chronavault verify` again; find out who put the manifest or the proof there.".to_owned(),
    }
}

/// A lost host could not get its settings back.
pub(crate) fn no_configuration() -> Notice {
    Notice {
        code: "recovery.no_configuration".to_owned(),
        message: "the repository has no settings that a new host could begin with".to_owned(),
        hint: "Keep them in chronavault.toml: `serve`, or the next backup, puts a copy into the repository."
            .to_owned(),
    }
}

/// What a recovery, rehearsed or not, took more of than it may.
pub(crate) fn missed_objectives(record: &RecoveryRecord) -> Vec<Notice> {
    let shown = |ms: u64| wording::duration(Duration::from_millis(ms));
    let mut notices = Vec::new();
    let (rto, rpo) = (record.objectives.rto_ms, record.objectives.rpo_ms);
    if let Some(took) = record.rto_ms().filter(|took| *took > rto) {
        notices.push(Notice {
            code: "recovery.rto".to_owned(),
            message: format!("it took {}, and may take {}", shown(took), shown(rto)),
            hint: "Look at the longest step in the report; more --jobs, faster storage or a physical backup may help."
                .to_owned(),
        });
    }
    if let Some(lost) = record.rpo_ms().filter(|lost| *lost > rpo) {
        notices.push(Notice {
            code: "recovery.rpo".to_owned(),
            message: format!("the changes of {} are lost, and those of {} may be", shown(lost), shown(rpo)),
            hint: "Make backups more often, or archive WAL: `chronavault wal receive`.".to_owned(),
        });
    }
    notices
}

/// What was found in the journal that is no problem by itself, and problems, which have the object beside them.
pub(crate) fn journal_finding(finding: &Finding) -> Notice {
    let hint = match finding.kind {
        FindingKind::Changed | FindingKind::Missing | FindingKind::Order | FindingKind::Differs => {
            "Find out who changed the file; compare it with the copies in the repository: `chronavault journal show --copies`."
        }
        FindingKind::Cut => {
            "Find out who cut it off; if the disk was restored from an older state, move the files aside, and a new journal begins that says so."
        }
        FindingKind::Replaced => {
            "Put the files of that journal back, or find out who removed them; `chronavault journal show --copies` shows what is known of it."
        }
        FindingKind::Followed => "Put the files of that journal back if there is a copy of them.",
        FindingKind::Copy => "Restore the object from a copy of the repository, and find out who changed it.",
        FindingKind::Torn => "Nothing needs to be done.",
    };
    Notice { code: finding.kind.code().to_owned(), message: finding.message.clone(), hint: hint.to_owned() }
}

/// What was recorded is not in the repository.
pub(crate) fn journal_not_copied(failure: &Failure) -> Notice {
    Notice {
        code: "journal.not_copied".to_owned(),
        message: format!("the journal could not be copied into the repository: {}", failure.message),
        hint: "Run `chronavault journal verify`; the next operation tries it again.".to_owned(),
    }
}

/// The settings of this site could not be kept in the repository.
pub(crate) fn site_not_kept(failure: &Failure) -> Notice {
    Notice {
        code: "site.not_kept".to_owned(),
        message: format!("the settings could not be kept in the repository: {}", failure.message),
        hint: "Run `chronavault runbook`: a lost host is recovered from what it keeps there.".to_owned(),
    }
}

/// A hook after an operation failed.
pub(crate) fn hook_failed(message: &str) -> Notice {
    Notice {
        code: Code::HookFailed.as_str().to_owned(),
        message: message.to_owned(),
        hint: "What was done is done; do by hand what the hook was to do.".to_owned(),
    }
}

/// Somebody changed the journal.
pub(crate) fn journal_damaged() -> Notice {
    Notice {
        code: "journal.damaged".to_owned(),
        message: "the last entry of the journal was changed by somebody; the journal goes on behind it"
            .to_owned(),
        hint: "Run `chronavault journal verify`, and find out who changed it.".to_owned(),
    }
}

/// What to do about a problem that a verification found.
pub(crate) fn problem_hint(code: &str) -> &'static str {
    if let Some(known) = Code::ALL.iter().find(|known| known.as_str() == code) {
        return known.hint();
    }
    match code.split('.').next() {
        Some("page" | "file" | "index" | "recovery") => {
            "Do not rely on this backup: look at the cluster itself now, then make a new one."
        }
        Some("rows" | "inventory" | "restore" | "foreign_key" | "table") => {
            "Do not rely on this backup: make a new one now, and report what was found."
        }
        _ => "Make a new backup now, and find out what happened to this one.",
    }
}
