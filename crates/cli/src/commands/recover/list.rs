//! `recover list`: recoveries and drills so far.

use operations::{RecoveryDirectory, RecoveryRecord};
use serde::Serialize;

use super::body::shown;
use crate::args::RecoverListArgs;
use crate::failure::Failure;
use crate::screen::Answer;
use crate::session::Session;
use crate::wording::{self, Column};

#[derive(Serialize)]
struct Body {
    recoveries: Vec<RecoveryRecord>,
}

const COLUMNS: [Column; 6] = [
    Column::Text("recovery"),
    Column::Text("scenario"),
    Column::Text("source"),
    Column::Text("state"),
    Column::Number("time"),
    Column::Number("lost"),
];

pub(super) fn run(args: &RecoverListArgs, session: Session) -> Result<Answer, Failure> {
    let settings = session.settings()?;
    let directory = RecoveryDirectory::new(settings.recovery_directory());
    let mut recoveries = directory.all().map_err(operations::Error::from)?;
    recoveries.retain(|record| args.source.as_ref().is_none_or(|source| *source == record.source));
    let row = |record: &RecoveryRecord| {
        let scenario = if record.rehearsal {
            format!("{} (drill)", record.scenario)
        } else {
            record.scenario.to_string()
        };
        vec![
            record.id.to_string(),
            scenario,
            record.source.clone(),
            format!("{:?}", record.state).to_lowercase(),
            record.rto_ms().map(shown).unwrap_or_default(),
            record.rpo_ms().map(shown).unwrap_or_default(),
        ]
    };
    let text = if recoveries.is_empty() {
        "There was no recovery and no drill yet; `chronavault drill` rehearses one.".to_owned()
    } else {
        wording::table(&COLUMNS, recoveries.iter().map(row))
    };
    Answer::new(text, &Body { recoveries })
}
