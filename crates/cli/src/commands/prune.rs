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
use crate::screen::{Answer, Screen};
use crate::session::Session;
use crate::signals::Cancel;
use crate::surroundings::random;

pub(super) fn run(args: &PruneArgs, session: Session) -> Result<Answer, Failure> {
    let screen = session.screen;
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
    let report = if args.dry_run { None } else { Some(apply(&repository, &plan, &cancel)?) };
    answer(screen, &plan, report.as_ref(), policies.general, manner)
}

/// Does what a plan says.
pub(super) fn apply(
    repository: &Repository,
    plan: &PrunePlan,
    cancel: &Cancel,
) -> Result<PruneReport, Failure> {
    let mut name = [0; 3];
    random(&mut name);
    let go_on = || if cancel.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    repository.prune(plan, name, &|_| go_on()).map_err(|error| match error {
        repository::Error::Cancelled => Failure::new(Code::Cancelled, "the prune was stopped")
            .with_hint("No backup is half gone; run the command again, and it goes on."),
        error => Failure::from(error),
    })
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
