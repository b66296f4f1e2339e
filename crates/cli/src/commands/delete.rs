//! `delete`: backups that somebody names go, after a plan, a reason and a confirmation. What is needed does not go.

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal, Write};

use jiff::Timestamp;
use model::{BackupId, Fate};
use repository::{PrunePlan, RemovalRequest};

use super::prune::{Manner, answer, apply, reason};
use crate::args::{DeleteArgs, RetentionArgs};
use crate::catalogue::Code;
use crate::failure::Failure;
use crate::opening;
use crate::screen::Answer;
use crate::session::Session;
use crate::signals::Cancel;
use crate::wording;

pub(super) fn run(args: &DeleteArgs, session: Session) -> Result<Answer, Failure> {
    let (screen, noted) = (session.screen, session.noted.clone());
    let settings = session.settings()?;
    let policies = settings.retention(&RetentionArgs::default())?;
    let repository = opening::repository(&settings)?;
    let asked: BTreeSet<BackupId> = args.backups.iter().cloned().collect();
    let request = RemovalRequest::Named(asked.clone());
    let plan = repository.plan_removal(&policies, &request, args.shorten_window, Timestamp::now())?;
    refuse(&plan, &asked)?;
    let report = if args.dry_run {
        None
    } else {
        if !args.yes {
            confirm(&plan)?;
        }
        Some(apply(&repository, &plan, &Cancel::install()?, &noted)?)
    };
    answer(screen, &plan, report.as_ref(), policies.general, Manner::Removal)
}

/// Nothing is deleted when any of the backups is not there or is needed.
fn refuse(plan: &PrunePlan, asked: &BTreeSet<BackupId>) -> Result<(), Failure> {
    if let Some((id, problem)) = plan.damaged.iter().find(|(id, _)| asked.contains(id)) {
        let hint =
            format!("Nobody knows what it needs. If it is lost, delete {id}.manifest in the repository.");
        return Err(Failure::from(problem.clone()).with_hint(hint));
    }
    for id in asked {
        let Some(planned) = plan.backups.iter().find(|backup| backup.summary.id == *id) else {
            return Err(repository::Error::NoSuchBackup { id: id.clone() }.into());
        };
        if planned.fate != Fate::Goes {
            let why = reason(planned.fate, Manner::Removal).1;
            return Err(Failure::new(Code::DeleteRefused, format!("{id} is not deleted: {why}")));
        }
    }
    Ok(())
}

fn confirm(plan: &PrunePlan) -> Result<(), Failure> {
    let number = wording::count(plan.going().count() as u64, "backup");
    let unconfirmed =
        || Failure::new(Code::DeleteUnconfirmed, format!("{number} would go, and nobody said yes"));
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(unconfirmed());
    }
    let mut terminal = std::io::stderr();
    for backup in plan.going() {
        let summary = &backup.summary;
        let finished = wording::time(summary.finished_at);
        let _ = writeln!(terminal, "  {} ({} of {:?}, {finished})", summary.id, summary.kind, summary.source);
    }
    let _ = write!(terminal, "Delete {number}? Answer yes: ");
    let _ = terminal.flush();
    let mut line = String::new();
    input.lock().read_line(&mut line).map_err(|error| Failure::because(Code::DeleteUnconfirmed, &error))?;
    if line.trim() == "yes" { Ok(()) } else { Err(unconfirmed()) }
}
