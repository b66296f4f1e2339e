//! `keys list`: the keys, and which one is in use.

use std::fmt::Write;

use jiff::Timestamp;
use repository::{KeyConcern, KeyLabel, KeySummary, key_health};
use serde::Serialize;

use super::{OriginBody, time};
use crate::failure::Failure;
use crate::opening;
use crate::screen::Answer;
use crate::session::Session;
use crate::wording::{self, Column};

const COLUMNS: [Column; 7] = [
    Column::Text("KEY"),
    Column::Text("LABEL"),
    Column::Text("EPOCHS"),
    Column::Text("CREATED"),
    Column::Number("AGE"),
    Column::Text("COPY CHECKED"),
    Column::Text(""),
];

#[derive(Serialize)]
struct Body {
    repository_id: String,
    epoch: u32,
    key: OriginBody,
    keys: Vec<KeyBody>,
}

#[derive(Serialize)]
struct KeyBody {
    id: String,
    label: Option<KeyLabel>,
    in_use: bool,
    /// Whether it opens the repository as it is now.
    opens: bool,
    created_at: Option<String>,
    age_days: Option<i64>,
    checked_at: Option<String>,
    slots: Vec<SlotBody>,
}

#[derive(Serialize)]
struct SlotBody {
    id: String,
    epoch: Option<u32>,
    created_at: Option<String>,
    problem: Option<String>,
}

pub(super) fn run(session: Session) -> Result<Answer, Failure> {
    let settings = session.settings()?;
    let repository = opening::repository(&settings)?;
    let (keys, epoch, now) = (repository.keys()?, repository.current_epoch(), Timestamp::now());
    let origin = OriginBody::of(&settings.key);
    let mut text = wording::table(&COLUMNS, keys.iter().map(|key| row(key, epoch, now)));
    let _ = writeln!(
        text,
        "\n\nThe key in use comes from {}. What is written now is sealed under epoch {epoch}.",
        origin.words()
    );
    let damaged = key_health(&keys, epoch, now)
        .concerns
        .iter()
        .any(|concern| matches!(concern, KeyConcern::Damaged(_) | KeyConcern::Ahead { .. }));
    let body = Body {
        repository_id: repository.id().to_string(),
        epoch,
        key: origin,
        keys: keys.iter().map(|key| body(key, epoch, now)).collect(),
    };
    Ok(Answer::new(text, &body)?.needing_person(damaged))
}

/// Whole days for which a key has had access.
pub(crate) fn age_days(key: &KeySummary, now: Timestamp) -> Option<i64> {
    key.age(now).map(|age| age.as_hours() / 24)
}

fn row(key: &KeySummary, epoch: u32, now: Timestamp) -> Vec<String> {
    let unknown = || "-".to_owned();
    let state = match (key.in_use, key.is_complete(epoch)) {
        _ if key.slots.iter().any(|slot| slot.problem.is_some()) => "DAMAGED",
        (true, _) => "in use",
        (false, true) => "",
        (false, false) => "left behind by a rotation",
    };
    vec![
        key.id.to_string(),
        key.label.as_ref().map_or_else(unknown, |label| label.as_str().to_owned()),
        epochs(key),
        time(key.created_at).unwrap_or_else(unknown),
        age_days(key, now).map_or_else(unknown, |days| format!("{days} d")),
        time(key.checked_at).unwrap_or_else(unknown),
        state.to_owned(),
    ]
}

/// `1-3`, or whatever there is.
fn epochs(key: &KeySummary) -> String {
    let epochs: Vec<_> = key.slots.iter().filter_map(|slot| slot.epoch).collect();
    match epochs[..] {
        [] => "-".to_owned(),
        [only] => only.to_string(),
        [first, .., last] if (first..=last).eq(epochs.iter().copied()) => format!("{first}-{last}"),
        _ => epochs.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
    }
}

fn body(key: &KeySummary, epoch: u32, now: Timestamp) -> KeyBody {
    let slots = key.slots.iter().map(|slot| SlotBody {
        id: slot.id.to_string(),
        epoch: slot.epoch,
        created_at: time(slot.created_at),
        problem: slot.problem.as_ref().map(|problem| problem.message.clone()),
    });
    KeyBody {
        id: key.id.to_string(),
        label: key.label.clone(),
        in_use: key.in_use,
        opens: key.is_complete(epoch),
        created_at: time(key.created_at),
        age_days: age_days(key, now),
        checked_at: time(key.checked_at),
        slots: slots.collect(),
    }
}
