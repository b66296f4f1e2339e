//! `hold`: backups that somebody wants to stay, whatever their age.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::BackupId;
use repository::{PlacedHold, Repository};
use serde::Serialize;

use crate::actor;
use crate::args::HoldArgs;
use crate::catalogue::Code;
use crate::failure::Failure;
use crate::opening;
use crate::screen::Answer;
use crate::session::Session;
use crate::surroundings::random;
use crate::wording::{self, Column};

const COLUMNS: [Column; 4] =
    [Column::Text("ID"), Column::Text("UNTIL"), Column::Text("BY"), Column::Text("REASON")];

#[derive(Serialize)]
struct Body {
    holds: Vec<Entry>,
    /// How many holds were released.
    released: usize,
}

#[derive(Serialize)]
struct Entry {
    id: BackupId,
    #[serde(flatten)]
    hold: HoldBody,
}

/// A hold in JSON.
#[derive(Serialize)]
pub(super) struct HoldBody {
    placed_at: Option<String>,
    by: Option<String>,
    reason: String,
    /// Nothing when somebody has to release it.
    until: Option<String>,
    ended: bool,
}

impl From<&PlacedHold> for HoldBody {
    fn from(placed: &PlacedHold) -> Self {
        match placed {
            PlacedHold::Known(hold) => Self {
                placed_at: Some(wording::time(hold.placed_at)),
                by: Some(hold.by.clone()),
                reason: hold.reason.clone(),
                until: hold.until.map(wording::time),
                ended: placed.until() <= Timestamp::now(),
            },
            PlacedHold::Unreadable(key) => Self {
                placed_at: None,
                by: None,
                reason: format!("{key} cannot be read"),
                until: None,
                ended: false,
            },
        }
    }
}

pub(super) fn run(args: &HoldArgs, session: Session) -> Result<Answer, Failure> {
    let noted = session.noted.clone();
    let settings = session.settings()?;
    let repository = opening::repository(&settings)?;
    let Some(id) = &args.backup else { return list(&repository, None) };
    noted.note(|facts| facts.backup = Some(id.clone()));
    if args.release {
        let released = repository.release(id)?;
        let text = format!("{} of {id} released.", wording::count(released as u64, "hold"));
        return Answer::new(text, &Body { holds: Vec::new(), released });
    }
    let Some(reason) = &args.reason else { return list(&repository, Some(id)) };
    let now = Timestamp::now();
    let until = args.until.as_deref().map(end).transpose()?;
    if until.is_some_and(|until| until <= now) {
        return Err(Failure::new(Code::Usage, "the end of the hold lies in the past"));
    }
    let mut name = [0; 3];
    random(&mut name);
    let hold = repository.hold(id, reason, &actor::name(), (now, until), name)?;
    let end = until.map_or_else(|| "it is released".to_owned(), wording::time);
    let entry = Entry { id: id.clone(), hold: HoldBody::from(&PlacedHold::Known(hold)) };
    Answer::new(format!("{id} is held until {end}."), &Body { holds: vec![entry], released: 0 })
}

fn list(repository: &Repository, only: Option<&BackupId>) -> Result<Answer, Failure> {
    let mut holds = Vec::new();
    for (id, placed) in repository.holds()? {
        if only.is_none_or(|only| *only == id) {
            holds.extend(placed.iter().map(|placed| Entry { id: id.clone(), hold: HoldBody::from(placed) }));
        }
    }
    let row = |entry: &Entry| {
        let until = entry.hold.until.clone().unwrap_or_else(|| "released".to_owned());
        let until = if entry.hold.ended { format!("{until} (ended)") } else { until };
        vec![
            entry.id.to_string(),
            until,
            entry.hold.by.clone().unwrap_or_default(),
            entry.hold.reason.clone(),
        ]
    };
    let text = match (holds.is_empty(), only) {
        (true, None) => "No backup is held.".to_owned(),
        (true, Some(id)) => format!("{id} is not held. --reason TEXT holds it."),
        (false, _) => wording::table(&COLUMNS, holds.iter().map(row)),
    };
    Answer::new(text, &Body { holds, released: 0 })
}

/// A day ends with its last second.
fn end(text: &str) -> Result<Timestamp, Failure> {
    let day = text.parse::<Date>().ok().and_then(|date| {
        let next = date.tomorrow().ok()?;
        next.to_zoned_datetime(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    });
    day.or_else(|| text.parse().ok()).ok_or_else(|| {
        Failure::new(Code::Usage, format!("{text:?} is neither a day (YYYY-MM-DD) nor a time with its zone"))
    })
}
