use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::alerts::{ChannelError, Event};
use crate::observation::{Observation, StorageState};

fn now() -> Timestamp {
    "2026-11-26T12:00:00Z".parse().unwrap()
}

fn minute(minute: i64) -> Timestamp {
    now() + SignedDuration::from_mins(minute)
}

/// A place whose storage is as full as it says.
fn observation(percent: u64) -> Observation {
    let storage = StorageState {
        place: "/srv".into(),
        used_bytes: BTreeMap::from([("packs", percent)]),
        free_bytes: Some(100 - percent),
        prunable_bytes: None,
        history: vec![],
    };
    Observation {
        at: now(),
        backups: vec![],
        runs: [].into(),
        storage: Some(storage),
        keys: vec![],
        journal: None,
        wal: vec![],
        troubles: vec![],
    }
}

/// Keeps what it gets.
#[derive(Default)]
struct Kept {
    got: Mutex<Vec<(Event, String)>>,
    is_broken: AtomicBool,
}

impl Kept {
    fn events(&self) -> Vec<Event> {
        self.got.lock().unwrap().iter().map(|(event, _)| *event).collect()
    }
}

impl Channel for Kept {
    fn send(&self, message: &Message, _now: Timestamp) -> Result<(), ChannelError> {
        if self.is_broken.load(Ordering::SeqCst) {
            return Err(ChannelError::Unreachable { place: self.place(), reason: "no".into() });
        }
        self.got.lock().unwrap().push((message.event, message.id.clone()));
        Ok(())
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn place(&self) -> String {
        "nowhere".into()
    }
}

/// Takes a message and does not answer until it is let go.
struct Hanging {
    let_go: Receiver<()>,
    got: AtomicBool,
}

impl Channel for Hanging {
    fn send(&self, _message: &Message, _now: Timestamp) -> Result<(), ChannelError> {
        self.got.store(true, Ordering::SeqCst);
        let _ = self.let_go.recv();
        Ok(())
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(100)
    }

    fn place(&self) -> String {
        "hang.example".into()
    }
}

struct Scene {
    directory: tempfile::TempDir,
    channels: BTreeMap<String, Arc<dyn Channel>>,
    ping: Arc<Kept>,
}

impl Scene {
    fn new(channels: &[(&str, Arc<dyn Channel>)]) -> Self {
        let channels = channels.iter().map(|(name, channel)| ((*name).to_owned(), Arc::clone(channel)));
        Self {
            directory: tempfile::tempdir().unwrap(),
            channels: channels.collect(),
            ping: Arc::new(Kept::default()),
        }
    }

    fn start(&self) -> Dispatcher {
        let routing = Routing {
            channels: self.channels.keys().cloned().collect(),
            routes: vec![],
            repeat: Routing::REPEAT,
            instance: "vault".into(),
        };
        let channel: Arc<dyn Channel> = self.ping.clone();
        let settings = AlertSettings {
            policy: AlertPolicy::default(),
            routing,
            channels: self.channels.clone(),
            ping: Some(PingSettings { channel, interval: SignedDuration::from_mins(5) }),
        };
        Dispatcher::start(settings, StateFile::new(self.directory.path().join("state"))).unwrap()
    }
}

#[test]
fn a_round_sends_what_is_new_and_a_restart_sends_nothing_twice() {
    let kept = Arc::new(Kept::default());
    let scene = Scene::new(&[("ops", kept.clone())]);
    for at in 0..3 {
        // A new one each time: what it knows is in the file.
        assert_eq!(scene.start().round(&observation(90), minute(at)), []);
        assert_eq!(kept.events(), [Event::Raised]);
    }
    scene.start().round(&observation(10), minute(3));
    scene.start().round(&observation(10), minute(4));
    assert_eq!(kept.events(), [Event::Raised, Event::Resolved]);
}

#[test]
fn what_a_channel_does_not_take_is_sent_when_it_does() {
    let kept = Arc::new(Kept { is_broken: AtomicBool::new(true), ..Kept::default() });
    let scene = Scene::new(&[("ops", kept.clone())]);
    let mut dispatcher = scene.start();
    let troubles = dispatcher.round(&observation(90), minute(0));
    assert_eq!(troubles.len(), 1);
    assert_eq!(troubles[0].message, "nowhere cannot be reached: no");
    kept.is_broken.store(false, Ordering::SeqCst);
    assert_eq!(dispatcher.round(&observation(90), now() + SignedDuration::from_secs(59)), []);
    assert_eq!(kept.events(), [], "too early");
    drop(dispatcher);
    scene.start().round(&observation(90), minute(1));
    assert_eq!(kept.events(), [Event::Raised]);
}

#[test]
fn a_channel_that_hangs_holds_up_no_other_and_its_late_answer_counts() {
    let (let_go, wait) = unbounded();
    let hanging = Arc::new(Hanging { let_go: wait, got: AtomicBool::new(false) });
    let kept = Arc::new(Kept::default());
    let scene = Scene::new(&[("a", hanging.clone()), ("ops", kept.clone())]);
    let mut dispatcher = scene.start();
    let began = Instant::now();
    let troubles = dispatcher.round(&observation(90), minute(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(kept.events(), [Event::Raised]);
    assert_eq!(troubles.len(), 1);
    assert_eq!(troubles[0].message, "hang.example did not answer within 100ms");
    assert!(hanging.got.load(Ordering::SeqCst));
    // It is still at it, and so gets nothing else, and holds up nobody.
    let began = Instant::now();
    assert_eq!(dispatcher.round(&observation(90), minute(5)), []);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(dispatcher.book().outbox().len(), 1);
    let_go.send(()).unwrap();
    // The answer comes when its thread gets to run.
    while !dispatcher.book().outbox().is_empty() {
        dispatcher.round(&observation(90), minute(6));
        std::thread::yield_now();
    }
    assert_eq!(dispatcher.book().channels()["a"].failures, 0);
}

#[test]
fn a_ping_comes_at_its_interval_and_not_while_the_service_is_unwell() {
    let kept = Arc::new(Kept::default());
    let scene = Scene::new(&[("ops", kept)]);
    let mut dispatcher = scene.start();
    let mut pings = |observation: &Observation, at| {
        dispatcher.round(observation, minute(at));
        scene.ping.events().len()
    };
    assert_eq!(pings(&observation(99), 0), 1, "a full disk is not the service's fault");
    assert_eq!(pings(&observation(10), 4), 1);
    assert_eq!(pings(&observation(10), 5), 2);
    let trouble = crate::observation::Trouble {
        code: "clock.jumped".into(),
        object: String::new(),
        message: "it jumped".into(),
        hint: String::new(),
    };
    let unwell = Observation { troubles: vec![trouble], ..observation(10) };
    assert_eq!(pings(&unwell, 60), 2);
    assert_eq!(pings(&observation(10), 61), 3);
}

#[test]
fn a_ping_does_not_come_when_no_channel_works() {
    let kept = Arc::new(Kept { is_broken: AtomicBool::new(true), ..Kept::default() });
    let scene = Scene::new(&[("ops", kept)]);
    let mut dispatcher = scene.start();
    for at in 0..60 {
        dispatcher.round(&observation(90), minute(at));
    }
    // Five attempts, after 0, 1, 3, 7 and 15 minutes; the round after that knows.
    assert_eq!(scene.ping.events().len(), 4, "at 0, 5, 10 and 15");
}

#[test]
fn a_state_that_cannot_be_read_is_set_aside_and_one_that_cannot_be_written_is_said_and_stops_the_ping() {
    let kept = Arc::new(Kept::default());
    let scene = Scene::new(&[("ops", kept.clone())]);
    let state = scene.directory.path().join("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("alerts.json"), "{").unwrap();
    let mut dispatcher = scene.start();
    let troubles = dispatcher.round(&observation(90), minute(0));
    assert_eq!(troubles.len(), 1);
    assert!(troubles[0].message.contains("does not hold the state of alerts"), "{troubles:?}");
    assert!(state.join("alerts.json.unreadable").exists());
    assert_eq!(kept.events(), [Event::Raised]);
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::write(&state, "a file").unwrap();
    let pings = scene.ping.events().len();
    let troubles = dispatcher.round(&observation(10), minute(30));
    assert_eq!(troubles.len(), 1, "once: {troubles:?}");
    assert_eq!(troubles[0].channel, "alerts.json");
    dispatcher.round(&observation(10), minute(31));
    assert_eq!(kept.events(), [Event::Raised, Event::Resolved], "messages go on");
    assert_eq!(scene.ping.events().len(), pings);
}
