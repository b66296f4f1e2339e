//! Laws that hold whatever is found, whatever the channels do, and whenever the program is restarted.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::alerts::{ChannelError, Route};

/// Minutes in which anything may happen. After them, nothing is wrong and every channel works.
const WILD: usize = 400;
/// Minutes after which everything must be said: longer than the longest pause of a channel.
const CALM: usize = 200;
const OBJECTS: [&str; 3] = ["a", "b", "c"];
const CHANNELS: [&str; 3] = ["ops", "mail", "boss"];

/// What happens in one round, some minutes after the one before it.
#[derive(Debug, Clone)]
struct Round {
    pause_minutes: i64,
    /// Of each object: how bad it is.
    found: [Option<Severity>; 3],
    /// Of each channel: whether it works.
    works: [bool; 3],
    restarts: bool,
}

fn severity() -> impl Strategy<Value = Option<Severity>> {
    prop_oneof![3 => Just(None), 2 => Just(Some(Severity::Warning)), 3 => Just(Some(Severity::Critical))]
}

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    // Stretches in which all stays as it is, so that alerts become old and channels fail for long.
    let stretch = (
        1..40_usize,
        prop_oneof![4 => Just(1_i64), 1 => 1..500_i64],
        [severity(), severity(), severity()],
        prop::array::uniform3(prop::bool::weighted(0.6)),
        any::<bool>(),
    );
    prop::collection::vec(stretch, 1..20).prop_map(|stretches| {
        let rounds = stretches.into_iter().flat_map(|(count, pause_minutes, found, works, restarts)| {
            std::iter::repeat_n(Round { pause_minutes, found, works, restarts }, count)
        });
        rounds.take(WILD).collect()
    })
}

fn routing(all_to_ops: bool) -> Routing {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let route = Route {
        severities: [Severity::Warning, Severity::Critical].into(),
        sources: vec!["*".into()],
        channels: names(if all_to_ops { &["ops"] } else { &["ops", "mail"] }),
        escalate_to: names(&["boss"]),
        escalate_after: Routing::ESCALATE_AFTER,
    };
    Routing {
        channels: names(&CHANNELS),
        routes: vec![route],
        repeat: Routing::REPEAT,
        instance: "vault".into(),
    }
}

/// Everything that a channel took: when, and what.
type Taken = Vec<(Timestamp, String, Message)>;

fn play(rounds: &[Round], routing: &Routing) -> (Book, Taken) {
    let mut now: Timestamp = "2026-11-26T12:00:00Z".parse().unwrap();
    let (mut book, mut taken) = (Book::default(), Taken::new());
    for round in rounds {
        now += SignedDuration::from_mins(round.pause_minutes);
        let found = OBJECTS.iter().zip(round.found).filter_map(|(object, severity)| {
            let finding = Finding::new(AlertCode::Trouble, severity?, now, "it is wrong", "Look.");
            Some(finding.about(*object))
        });
        book.update(found.collect(), &|_| false, routing, now);
        for (channel, works) in CHANNELS.iter().zip(round.works) {
            while let Some(delivery) = book.next(channel, now) {
                let message = delivery.message.clone();
                if works {
                    book.sent(channel, &message.id, now);
                    taken.push((now, (*channel).to_owned(), message));
                } else {
                    let error = ChannelError::Late { place: "h".into(), limit: std::time::Duration::ZERO };
                    book.failed(channel, &message.id, &error, now);
                    break;
                }
            }
        }
        if round.restarts {
            book = serde_json::from_str(&serde_json::to_string(&book).unwrap()).unwrap();
        }
    }
    (book, taken)
}

fn calm() -> Vec<Round> {
    vec![Round { pause_minutes: 1, found: [None; 3], works: [true; 3], restarts: false }; CALM]
}

/// What one channel was told about one episode of one alert, in order.
type Episodes<'a> = BTreeMap<(String, AlertKey, Timestamp), Vec<(Timestamp, &'a Message)>>;

fn episodes(taken: &Taken) -> Episodes<'_> {
    let mut episodes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (at, channel, message) in taken {
        let key = (channel.clone(), message.finding.key(), message.raised_at);
        episodes.entry(key).or_default().push((*at, message));
    }
    episodes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_message_comes_twice_and_no_reminder_before_its_time(rounds in rounds(), one in any::<bool>()) {
        let routing = routing(one);
        let (_, taken) = play(&rounds, &routing);
        let ids: BTreeSet<_> = taken.iter().map(|(_, channel, message)| (channel, &message.id)).collect();
        prop_assert_eq!(ids.len(), taken.len(), "an id twice");
        for ((channel, key, _), told) in episodes(&taken) {
            let begun = |event: &Event| matches!(event, Event::Raised | Event::Escalated);
            let beginnings = told.iter().filter(|(_, message)| begun(&message.event)).count();
            prop_assert!(beginnings <= 1, "{} was told of {} {} times", channel, key, beginnings);
            for pair in told.windows(2) {
                let [(_, earlier), (_, later)] = pair else { continue };
                prop_assert!(earlier.at <= later.at, "out of order");
                if later.event == Event::Reminder {
                    prop_assert!(later.at.duration_since(earlier.at) >= routing.repeat, "{} too early", key);
                }
                if later.event == Event::Changed {
                    // Severities that are told alternate, unless one on the way was given up.
                    prop_assert_ne!(earlier.event, Event::Resolved);
                }
            }
        }
    }

    #[test]
    fn what_began_and_ended_is_told_to_the_end(rounds in rounds(), one in any::<bool>()) {
        // With less than the time after which messages are given up, nothing is lost.
        let short = rounds.into_iter().map(|round| Round { pause_minutes: 1, ..round });
        let rounds: Vec<_> = short.chain(calm()).collect();
        let (book, taken) = play(&rounds, &routing(one));
        prop_assert!(book.alerts().is_empty() && book.outbox().is_empty());
        prop_assert!(book.channels().values().all(|health| health.given_up == 0 && health.failures == 0));
        let raised: BTreeSet<_> = rounds.iter().flat_map(|round| OBJECTS.iter().zip(round.found)).filter_map(|(object, found)| found.map(|_| *object)).collect();
        let told: BTreeSet<_> = taken.iter().filter(|(_, channel, _)| channel == "ops").filter_map(|(_, _, message)| message.finding.object.as_deref()).filter(|object| OBJECTS.contains(object)).collect();
        prop_assert_eq!(raised, told, "everything is told");
        for ((channel, key, _), told) in episodes(&taken) {
            let events: Vec<_> = told.iter().map(|(_, message)| message.event).collect();
            prop_assert!(matches!(events.first(), Some(Event::Raised | Event::Escalated)), "{} {}: {:?}", channel, key, events);
            prop_assert_eq!(events.last(), Some(&Event::Resolved), "{} {}", channel, key);
            prop_assert_eq!(events.iter().filter(|event| **event == Event::Resolved).count(), 1);
        }
    }

    #[test]
    fn a_channel_that_fails_for_long_is_reported_by_another(rounds in rounds()) {
        let broken = rounds.into_iter().map(|round| Round { pause_minutes: 1, works: [false, true, true], ..round });
        let constant = Round { pause_minutes: 1, found: [Some(Severity::Critical); 3], works: [false, true, true], restarts: true };
        let rounds: Vec<_> = broken.chain(std::iter::repeat_n(constant, 200)).collect();
        let (book, taken) = play(&rounds, &routing(true));
        prop_assert!(book.channels()["ops"].failures >= ATTEMPTS_UNTIL_FAILED);
        let reports: Vec<_> = taken.iter().filter(|(_, _, message)| message.finding.code == AlertCode::ChannelFailed).collect();
        prop_assert_eq!(reports.len(), 2, "mail and boss, once each");
        prop_assert!(!taken.iter().any(|(_, channel, _)| channel == "ops"));
        prop_assert!(book.outbox().iter().all(|delivery| delivery.channel == "ops"));
    }
}
