//! `prune`: what expired goes. `--dry-run` says what would go, and why the rest stays.

mod body;
mod reasons;
mod totals;
mod warnings;
mod words;

use std::ops::ControlFlow;

use jiff::{SignedDuration, Timestamp};
use model::RetentionPolicy;
use repository::{PrunePlan, PruneReport, RemovalRequest, Repository, TRASH_KEPT};

pub(super) use self::reasons::{Manner, reason};
use crate::args::PruneArgs;
use crate::catalogue::Code;
use crate::failure::Failure;
use crate::opening;
use crate::recording::Noted;
use crate::screen::{Answer, Screen};
use crate::session::Session;
use crate::signals::Cancel;
use crate::surroundings::random;

/// Backups that went which the journal names one by one.
const NOTED_BACKUPS: usize = 500;

pub(super) fn run(args: &PruneArgs, session: Session) -> Result<Answer, Failure> {
    let (screen, noted) = (session.screen, session.noted.clone());
    let settings = session.settings()?;
    let mut policies = settings.retention(&args.retention)?;
    policies.limit = args.limit;
    let repository = opening::repository(&settings)?;
    let cancel = Cancel::install()?;
    let now = Timestamp::now();
    let (plan, manner) = if args.failed {
        let plan = repository.plan_removal(&policies, &RemovalRequest::Failed, false, now)?;
        (plan, Manner::Removal)
    } else {
        let kept = if args.empty_trash { SignedDuration::ZERO } else { TRASH_KEPT };
        (repository.plan_prune(&policies, kept, now)?, Manner::Prune)
    };
    let report = if args.dry_run { None } else { Some(apply(&repository, &plan, &cancel, &noted)?) };
    answer(screen, &plan, report.as_ref(), policies.general, manner)
}

/// Does what a plan says.
pub(super) fn apply(
    repository: &Repository,
    plan: &PrunePlan,
    cancel: &Cancel,
    noted: &Noted,
) -> Result<PruneReport, Failure> {
    noted.note(|facts| {
        facts.removed = plan.going().map(|backup| backup.summary.id.clone()).take(NOTED_BACKUPS).collect();
    });
    let mut name = [0; 3];
    random(&mut name);
    let go_on = || if cancel.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let pruned = repository.prune(plan, name, &|_| go_on());
    let report = pruned.map_err(|error| match error {
        repository::Error::Cancelled => Failure::new(Code::Cancelled, "the prune was stopped")
            .with_hint("No backup is half gone; run the command again, and it goes on."),
        error => Failure::from(error),
    })?;
    noted.note(|facts| {
        facts.backups = Some(report.backups.len() as u64);
        facts.removed = report.backups.iter().take(NOTED_BACKUPS).cloned().collect();
        facts.removed_bytes = Some(totals::Totals::of(plan, Some(&report)).pruned_bytes);
    });
    Ok(report)
}

/// What was done, or would be.
pub(super) fn answer(
    screen: Screen,
    plan: &PrunePlan,
    report: Option<&PruneReport>,
    policy: RetentionPolicy,
    manner: Manner,
) -> Result<Answer, Failure> {
    let warnings = warnings::warnings(plan, report);
    for warning in &warnings {
        screen.warning(warning);
    }
    let needs_person = warnings.iter().any(|warning| warning.code != "prune.packs_left");
    let text = words::words(plan, report, policy, manner);
    let body = body::body(plan, report, policy, manner, warnings);
    Ok(Answer::new(text, &body)?.needing_person(needs_person))
}
