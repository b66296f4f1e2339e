//! What the daemon says: lines for people on a terminal, one JSON object a line elsewhere.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};

use jiff::Timestamp;
use serde_json::{Value, json};
use service::alerts::ChannelTrouble;
use service::daemon::DaemonEvent;
use service::observation::Trouble;

use crate::failure::Failure;
use crate::screen::Screen;
use crate::wording;

/// Writes what happens to standard error.
pub(super) struct Log {
    is_json: bool,
    /// Troubles that were said.
    said: BTreeSet<(String, String)>,
}

impl Log {
    pub(super) fn new(screen: Screen) -> Self {
        Self { is_json: screen.json || !std::io::stderr().is_terminal(), said: BTreeSet::new() }
    }

    pub(super) fn event(&mut self, event: &DaemonEvent) {
        let (level, words, fields) = describe(event);
        self.line(level, &words, fields);
    }

    pub(super) fn failure(&mut self, failure: &Failure) {
        self.line(
            "error",
            &failure.message,
            json!({ "code": failure.code.as_str(), "hint": failure.hint() }),
        );
    }

    pub(super) fn channel(&self, trouble: &ChannelTrouble) {
        let words = format!("alerts through {:?}: {}", trouble.channel, trouble.message);
        self.line("error", &words, json!({ "code": "alert.channel_failed", "channel": trouble.channel }));
    }

    /// Says each trouble once, until it is over.
    pub(super) fn troubles(&mut self, troubles: &[Trouble]) {
        let name = |trouble: &Trouble| (trouble.code.clone(), trouble.object.clone());
        for trouble in troubles.iter().filter(|trouble| !self.said.contains(&name(trouble))) {
            let Trouble { code, object, message, hint } = trouble;
            self.line("warning", message, json!({ "code": code, "object": object, "hint": hint }));
        }
        self.said = troubles.iter().map(name).collect();
    }

    fn line(&self, level: &str, words: &str, fields: Value) {
        let now = wording::time(Timestamp::now());
        let line = if self.is_json {
            let mut object = json!({ "at": now, "level": level, "message": words });
            if let (Value::Object(all), Value::Object(fields)) = (&mut object, fields) {
                all.extend(fields);
            }
            object.to_string()
        } else {
            format!("{now} {level}: {words}")
        };
        // Whoever closed our standard error does not want to know.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

fn describe(event: &DaemonEvent) -> (&'static str, String, Value) {
    match event {
        DaemonEvent::Ready { tasks, receivers } => {
            let words = format!(
                "the service runs: {}, {}",
                wording::count(*tasks as u64, "scheduled task"),
                wording::count(*receivers as u64, "WAL receiver")
            );
            ("info", words, json!({ "event": "ready", "tasks": tasks, "receivers": receivers }))
        }
        DaemonEvent::Started { task, planned_at, attempt, pid } => {
            let again = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
            let planned = wording::time(*planned_at);
            let words = format!("{task} started, for {planned}{again}");
            let fields = json!({ "event": "started", "run": task, "planned_at": planned, "attempt": attempt, "pid": pid });
            ("info", words, fields)
        }
        DaemonEvent::Missed { task, moments } => {
            let words =
                format!("{task}: {} passed without a run", wording::count(u64::from(*moments), "moment"));
            ("warning", words, json!({ "event": "missed", "run": task, "moments": moments }))
        }
        DaemonEvent::Said { run, line } => {
            ("info", format!("{run}: {line}"), json!({ "event": "said", "run": run }))
        }
        DaemonEvent::Ended { run, status, duration, again_at } => {
            let how = match status {
                Some(0) => "done".to_owned(),
                Some(4) => "done, with something for a person to look at".to_owned(),
                Some(status) => format!("ended with status {status}"),
                None => "ended by a signal".to_owned(),
            };
            let again = again_at.map(|at| format!("; again at {}", wording::time(at))).unwrap_or_default();
            let words = format!("{run}: {how} after {}{again}", wording::duration(*duration));
            let level = if matches!(status, Some(0)) { "info" } else { "warning" };
            let fields = json!({ "event": "ended", "run": run, "status": status, "duration_ms": wording::millis(*duration) });
            (level, words, fields)
        }
        DaemonEvent::Overdue { task } => {
            let words = format!("{task} has outlived its limit and is being stopped");
            ("error", words, json!({ "event": "overdue", "run": task }))
        }
        DaemonEvent::NotStarted { run, message } => {
            let words = format!("{run} could not be started: {message}");
            ("error", words, json!({ "event": "not_started", "run": run }))
        }
        DaemonEvent::Reloaded => {
            ("info", "the settings were read again".to_owned(), json!({ "event": "reloaded" }))
        }
        DaemonEvent::NotReloaded { message } => {
            let words = format!("the settings cannot be read, the old ones stay in force: {message}");
            ("error", words, json!({ "event": "not_reloaded" }))
        }
        DaemonEvent::Rekeyed => {
            let words = "the key of the repository was rotated; the service goes on with the new one";
            ("info", words.to_owned(), json!({ "event": "rekeyed" }))
        }
        DaemonEvent::ClockJumped { by } => {
            let words = format!("the clock of this machine jumped by {by:#}");
            ("warning", words, json!({ "event": "clock_jumped", "seconds": by.as_secs() }))
        }
        DaemonEvent::Stopping { runs } => {
            let words = format!("the service is ending; {} under way", wording::count(*runs as u64, "run"));
            ("info", words, json!({ "event": "stopping", "runs": runs }))
        }
    }
}
