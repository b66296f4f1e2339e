use jiff::SignedDuration;

use super::*;
use crate::alerts::{ChannelError, Route};

fn start() -> Timestamp {
    "2026-11-26T12:00:00Z".parse().unwrap()
}

fn minutes(minutes: i64) -> Timestamp {
    start() + SignedDuration::from_mins(minutes)
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn routing() -> Routing {
    let route = |severity, channels: &[&str]| Route {
        severities: [severity].into(),
        sources: vec!["*".into()],
        channels: names(channels),
        escalate_to: names(&["boss"]),
        escalate_after: Routing::ESCALATE_AFTER,
    };
    Routing {
        channels: names(&["ops", "mail", "boss"]),
        routes: vec![route(Severity::Critical, &["ops"]), route(Severity::Warning, &["mail"])],
        repeat: Routing::REPEAT,
        instance: "vault".into(),
    }
}

fn finding(severity: Severity) -> Finding {
    Finding::new(AlertCode::BackupFailed, severity, start(), "it failed", "Run it.").of(Some("books"), None)
}

/// A book that is stored and read again before each step, as after a restart.
struct Story {
    book: Book,
    routing: Routing,
    said: Vec<String>,
}

impl Story {
    fn new() -> Self {
        Self { book: Book::default(), routing: routing(), said: Vec::new() }
    }

    fn restart(&mut self) {
        let text = serde_json::to_string(&self.book).unwrap();
        self.book = serde_json::from_str(&text).unwrap();
    }

    fn find(&mut self, findings: &[Finding], minute: i64) {
        self.restart();
        self.book.update(findings.to_vec(), &|_| false, &self.routing, minutes(minute));
    }

    /// Sends everything that is due; channels in `broken` cannot be reached.
    fn send(&mut self, broken: &[&str], minute: i64) -> Vec<String> {
        self.restart();
        let (mut said, now) = (Vec::new(), minutes(minute));
        for channel in self.routing.channels.clone() {
            while let Some(delivery) = self.book.next(&channel, now) {
                let id = delivery.message.id.clone();
                if broken.contains(&channel.as_str()) {
                    self.book.failed(&channel, &id, &unreachable(), now);
                    break;
                }
                let message = &delivery.message;
                said.push(format!("{channel}: {} {}", message.event.as_str(), message.finding.severity));
                self.book.sent(&channel, &id, now);
            }
        }
        self.said.extend(said.iter().cloned());
        said
    }

    fn step(&mut self, findings: &[Finding], minute: i64) -> Vec<String> {
        self.find(findings, minute);
        self.send(&[], minute)
    }
}

fn unreachable() -> ChannelError {
    ChannelError::Unreachable { place: "hooks.example".into(), reason: "no".into() }
}

const NOTHING: [&str; 0] = [];

#[test]
fn an_alert_is_raised_once_reminded_of_daily_and_resolved_after_two_absences() {
    let mut story = Story::new();
    let warning = [finding(Severity::Warning)];
    assert_eq!(story.step(&warning, 0), ["mail: raised warning"]);
    for minute in 1..24 * 60 {
        assert_eq!(story.step(&warning, minute), NOTHING, "minute {minute}");
    }
    assert_eq!(story.step(&warning, 24 * 60), ["mail: reminder warning"]);
    assert_eq!(story.step(&[], 24 * 60 + 1), NOTHING);
    assert_eq!(story.step(&warning, 24 * 60 + 2), NOTHING, "it only flapped");
    assert_eq!(story.step(&[], 24 * 60 + 3), NOTHING);
    assert_eq!(story.step(&[], 24 * 60 + 4), ["mail: resolved warning"]);
    assert_eq!(story.book.alerts(), [] as [&Alert; 0]);
    assert_eq!(story.step(&warning, 24 * 60 + 5), ["mail: raised warning"]);
}

#[test]
fn who_was_told_is_told_that_it_got_worse_and_better() {
    let mut story = Story::new();
    assert_eq!(story.step(&[finding(Severity::Warning)], 0), ["mail: raised warning"]);
    assert_eq!(
        story.step(&[finding(Severity::Critical)], 1),
        ["mail: changed critical", "ops: raised critical"]
    );
    assert_eq!(
        story.step(&[finding(Severity::Warning)], 2),
        ["mail: changed warning", "ops: changed warning"]
    );
    story.step(&[], 3);
    assert_eq!(story.step(&[], 4), ["mail: resolved warning", "ops: resolved warning"]);
}

#[test]
fn what_is_critical_for_four_hours_is_escalated_once() {
    let mut story = Story::new();
    let critical = [finding(Severity::Critical)];
    assert_eq!(story.step(&critical, 0), ["ops: raised critical"]);
    assert_eq!(story.step(&critical, 239), NOTHING);
    assert_eq!(story.step(&critical, 240), ["boss: escalated critical"]);
    assert_eq!(story.step(&critical, 241), NOTHING);
    assert!(story.book.alerts()[0].escalated_at.is_some());
    story.step(&[], 242);
    assert_eq!(story.step(&[], 243), ["boss: resolved critical", "ops: resolved critical"]);
    let mut warned = Story::new();
    warned.step(&[finding(Severity::Warning)], 0);
    assert_eq!(warned.step(&[finding(Severity::Warning)], 600), NOTHING, "a warning is not escalated");
}

#[test]
fn what_nobody_could_look_at_is_not_resolved() {
    let mut story = Story::new();
    story.step(&[finding(Severity::Warning)], 0);
    for minute in 1..9 {
        story.book.update(vec![], &|_| true, &story.routing, minutes(minute));
    }
    assert_eq!(story.send(&[], 9), NOTHING);
    assert_eq!(story.book.alerts().len(), 1);
}

#[test]
fn a_channel_that_fails_is_tried_again_later_and_later_and_reported_by_the_others() {
    let mut story = Story::new();
    let critical = [finding(Severity::Critical)];
    let mut tried = Vec::new();
    let mut said = Vec::new();
    for minute in 0..60 {
        story.find(&critical, minute);
        let before = story.book.channels().get("ops").map_or(0, |health| health.failures);
        said.extend(story.send(&["ops"], minute).into_iter().map(|words| format!("{minute} {words}")));
        if story.book.channels()["ops"].failures > before {
            tried.push(minute);
        }
    }
    assert_eq!(tried, [0, 1, 3, 7, 15, 31]);
    assert_eq!(said, ["16 boss: raised critical", "16 mail: raised critical"]);
    let alerts = story.book.alerts();
    let failed = alerts.iter().find(|alert| alert.finding.code == AlertCode::ChannelFailed).unwrap();
    assert_eq!(
        failed.finding.message,
        "the channel \"ops\" fails since 2026-11-26T12:00:00Z: hooks.example cannot be reached: no"
    );
    assert_eq!(failed.finding.hint, "Run `chronavault alert test ops`.");
    assert_eq!(story.send(&[], 63), ["ops: raised critical"], "nothing was lost");
    story.step(&critical, 64);
    assert_eq!(story.step(&critical, 65), ["boss: resolved critical", "mail: resolved critical"]);
}

#[test]
fn a_message_that_is_never_taken_is_given_up_and_counted() {
    let mut story = Story::new();
    let critical = [finding(Severity::Critical)];
    let mut minute = 0;
    while story.book.channels().get("ops").map_or(0, |health| health.given_up) == 0 {
        story.find(&critical, minute);
        story.send(&["ops"], minute);
        minute += 1;
        assert!(minute < 3 * 24 * 60, "never");
    }
    assert!((24 * 60..48 * 60).contains(&minute), "after {minute} minutes");
    let failed: Vec<_> = story.book.channels().values().filter(|health| health.failures > 0).collect();
    assert_eq!((failed.len(), failed[0].failures), (1, ATTEMPTS));
}

#[test]
fn messages_about_one_alert_stay_in_order_and_others_pass() {
    let mut story = Story::new();
    let refused = ChannelError::Refused { place: "h".into(), reason: "HTTP status 400".into() };
    story.find(&[finding(Severity::Warning)], 0);
    let id = story.book.next("mail", minutes(0)).unwrap().message.id.clone();
    story.book.failed("mail", &id, &refused, minutes(0));
    story.find(&[finding(Severity::Warning).about("other")], 0);
    story.find(&[finding(Severity::Warning).about("other")], 0);
    assert_eq!(story.send(&[], 0), ["mail: raised warning"], "the other one");
    assert_eq!(story.send(&[], 1), ["mail: raised warning", "mail: resolved warning"]);
}

#[test]
fn a_channel_that_is_gone_is_forgotten_and_a_new_one_told() {
    let mut story = Story::new();
    story.find(&[finding(Severity::Critical)], 0);
    story.routing.channels = names(&["mail", "new"]);
    story.routing.routes[0].channels = names(&["new"]);
    assert_eq!(story.step(&[finding(Severity::Critical)], 1), ["new: raised critical"]);
    assert!(story.book.outbox().is_empty());
    story.step(&[], 2);
    assert_eq!(story.step(&[], 3), ["new: resolved critical"]);
}

#[test]
fn nothing_waits_for_a_future_that_a_wrong_clock_saw() {
    let mut story = Story::new();
    let warning = [finding(Severity::Warning)];
    let year = 365 * 24 * 60;
    assert_eq!(story.step(&warning, year), ["mail: raised warning"]);
    assert_eq!(story.step(&warning, 0), NOTHING);
    assert_eq!(story.step(&warning, 24 * 60), ["mail: reminder warning"]);
    story.find(&[finding(Severity::Critical)], year);
    story.send(&["mail", "ops", "boss"], year);
    assert_eq!(
        story.send(&[], 0),
        ["boss: escalated critical", "mail: changed critical", "ops: raised critical"][1..].to_vec()
    );
}

#[test]
fn the_outbox_has_a_limit() {
    let mut story = Story::new();
    let many: Vec<_> =
        (0..OUTBOX_LIMIT + 3).map(|n| finding(Severity::Warning).about(n.to_string())).collect();
    story.find(&many, 0);
    assert_eq!(story.book.outbox().len(), OUTBOX_LIMIT);
    assert_eq!(story.book.channels()["mail"].given_up, 3);
}
