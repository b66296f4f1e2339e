//! `serve`: a daemon with a real server, its runs, its signals, and what the journal says of them.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::Cluster;

use crate::harness::{KEY, Place};

/// A daemon that runs, and what it says.
pub(crate) struct Daemon {
    child: Child,
    lines: Receiver<Value>,
}

impl Daemon {
    pub(crate) fn start(place: &Place) -> Self {
        let mut command = place.command(&["serve", "--json"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = lines(child.stderr.take().unwrap());
        Self { child, lines }
    }

    /// The next event of a kind, whatever comes before it.
    pub(crate) fn wait_for(&self, event: &str) -> Value {
        self.wait_until(event, |line| line["event"] == event)
    }

    /// The next line that is wanted, whatever comes before it.
    pub(crate) fn wait_until(&self, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let mut before = Vec::new();
        loop {
            let line = self.lines.recv_timeout(Duration::from_mins(1));
            let line = line.unwrap_or_else(|error| panic!("no {what}: {error}; {before:#?}"));
            if is_wanted(&line) {
                return line;
            }
            before.push(line);
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = std::process::Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn ends(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stderr: ChildStderr) -> Receiver<Value> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            assert!(!line.contains(KEY) && !line.contains("panicked"), "{line}");
            let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// A repository, and a server with a table.
fn scene() -> (Cluster, Place) {
    let cluster = Cluster::start();
    cluster.psql("postgres", "CREATE TABLE t AS SELECT generate_series(1, 100) AS i");
    let url = cluster.url("postgres");
    let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY).with("DATABASE_URL", &url);
    place.run(&["init"]).succeeds();
    (cluster, place)
}

#[test]
fn a_recovery_is_rehearsed_by_schedule_and_measured() {
    let (cluster, place) = scene();
    let (url, http, notify) = (cluster.url("postgres"), place.path("http.sock"), place.path("notify.sock"));
    let settings = format!(
        "[service]\nobserve_seconds = 1\nlisten = \"unix:{}\"\n[sources.books]\nurl = {url:?}\n[[schedules]]\ntask = \"drill\"\nsource = \"books\"\n\
         every_hours = 720\njitter_minutes = 0\n[recovery]\nrto_hours = 0\n",
        http.display()
    );
    fs::write(place.path("chronavault.toml"), settings).unwrap();
    place.run(&["backup", "--source", "books", "--no-verify"]).succeeds();
    let manager = UnixDatagram::bind(&notify).unwrap();
    let place = place.with("NOTIFY_SOCKET", notify.to_str().unwrap());
    let daemon = Daemon::start(&place);
    assert_eq!(daemon.wait_for("started")["run"], "drill/books/corruption");
    assert_eq!(daemon.wait_for("ended")["status"], 4, "it took longer than nothing");
    // What a run did is seen before the loop turns again. What was told before that is of no interest.
    manager.set_nonblocking(true).unwrap();
    while manager.recv(&mut [0; 1000]).is_ok() {}
    manager.set_nonblocking(false).unwrap();
    turns(&manager, "WATCHDOG=1");
    turns(&manager, "WATCHDOG=1");
    let page = get(&http, "/metrics");
    assert!(
        page.contains("chronavault_drill_rto_seconds{source=\"books\",scenario=\"corruption\"} 0"),
        "{page}"
    );
    daemon.signal("-TERM");
    assert_eq!(daemon.ends(), Some(0));
    let alerts = place.run(&["alert", "list", "--json"]).json();
    let is_missed = |alert: &Value| alert["code"] == "alert.drill_missed";
    assert!(alerts["alerts"].as_array().unwrap().iter().any(is_missed), "{alerts}");
}

#[test]
fn what_is_due_runs_and_is_in_the_journal() {
    let (_cluster, place) = scene();
    let daemon = Daemon::start(&place);
    let started = daemon.wait_for("started");
    assert_eq!(started["run"], "backup/default/logical");
    assert_eq!(daemon.wait_for("ended")["status"], 0);
    // What expired is removed after a backup.
    assert_eq!(daemon.wait_for("started")["run"], "prune");
    assert_eq!(daemon.wait_for("ended")["status"], 0);
    daemon.signal("-TERM");
    daemon.wait_for("stopping");
    assert_eq!(daemon.ends(), Some(0));
    let listed = place.run(&["list", "--json"]).succeeds().json();
    assert_eq!(listed["backups"][0]["proof"]["level"], "restore");

    let journal = place.run(&["journal", "show", "--json"]).succeeds().json();
    let backup = journal["runs"].as_array().unwrap().iter().find(|run| run["operation"] == "backup").unwrap();
    assert_eq!(backup["parameters"]["schedule"], "backup/default/logical");
    assert_eq!(
        backup["parameters"]["planned_at"].as_str().unwrap()[..19],
        started["planned_at"].as_str().unwrap()[..19]
    );
    place.run(&["journal", "verify"]).succeeds();

    // The next one is due in a day, also for a daemon that has only just begun.
    let again = Daemon::start(&place);
    again.wait_for("ready");
    again.signal("-HUP");
    again.wait_for("reloaded");
    again.signal("-TERM");
    again.wait_for("stopping");
    assert_eq!(again.ends(), Some(0));
    assert_eq!(place.run(&["list", "--json"]).succeeds().json()["backups"].as_array().unwrap().len(), 1);
}

#[test]
fn settings_and_runbook_are_kept_at_the_start_and_after_a_change() {
    let (cluster, place) = scene();
    let kept = |kind: &str| {
        let sites = fs::read_dir(place.path("backups/isolated/site")).into_iter().flatten();
        let files = sites.flat_map(|site| fs::read_dir(site.unwrap().path()).unwrap());
        files.filter(|file| file.as_ref().unwrap().file_name().to_str().unwrap().ends_with(kind)).count()
    };
    let write = |more: &str| {
        let url = cluster.url("postgres");
        let text = format!("[service]\nlisten = \"off\"\n{more}\n[sources.books]\nurl = {url:?}\n");
        fs::write(place.path("chronavault.toml"), text).unwrap();
    };
    let both = || (kept("configuration"), kept("runbook"));
    // Verifications, removals, and no backup: nothing but the daemon itself keeps anything.
    let schedules =
        "[[schedules]]\ntask = \"backup\"\nsource = \"books\"\ncron = \"0 0 29 2 *\"\ncatch_up = false\n";
    write(schedules);
    let daemon = Daemon::start(&place);
    daemon.wait_for("ready");
    assert_eq!(both(), (1, 1));
    daemon.signal("-HUP");
    daemon.wait_for("reloaded");
    assert_eq!(both(), (1, 1), "nothing changed");
    write(&format!("{schedules}[recovery]\ncontacts = [\"Ada\"]\n"));
    daemon.signal("-HUP");
    daemon.wait_for("reloaded");
    assert_eq!(both(), (2, 2));
    fs::write(place.path("chronavault.toml"), "[service").unwrap();
    daemon.signal("-HUP");
    daemon.wait_for("not_reloaded");
    assert_eq!(both(), (2, 2));
    daemon.signal("-TERM");
    assert_eq!(daemon.ends(), Some(0));
}

/// What the daemon answers on its socket.
pub(crate) fn get(socket: &std::path::Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Waits until the service manager is told something.
fn turns(manager: &UnixDatagram, wanted: &str) {
    let mut notice = [0; 1000];
    loop {
        let length = manager.recv(&mut notice).unwrap();
        if std::str::from_utf8(&notice[..length]).unwrap().contains(wanted) {
            return;
        }
    }
}

#[test]
fn metrics_health_and_the_service_manager_are_told_how_it_does() {
    let (_cluster, place) = scene();
    let (http, notify) = (place.path("http.sock"), place.path("notify.sock"));
    let file = format!("[service]\nlisten = \"unix:{}\"\nobserve_seconds = 1\n", http.display());
    fs::write(place.path("chronavault.toml"), file).unwrap();
    let manager = UnixDatagram::bind(&notify).unwrap();
    let place = place.with("NOTIFY_SOCKET", notify.to_str().unwrap());
    let daemon = Daemon::start(&place);
    let told = |wanted: &str| turns(&manager, wanted);
    told("READY=1");
    told("WATCHDOG=1");
    while daemon.wait_for("ended")["run"] != "prune" {}
    // What a run did is seen soon, while the loop turns.
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let metrics = get(&http, "/metrics");
        let proven = "chronavault_proof_last_timestamp_seconds{";
        assert!(metrics.starts_with("HTTP/1.1 200") && Instant::now() < deadline, "{metrics}");
        if metrics.contains(proven) && metrics.contains("source=\"postgres\"") {
            break;
        }
        told("WATCHDOG=1");
    }
    assert!(get(&http, "/health").starts_with("HTTP/1.1 200"));
    let ready = get(&http, "/ready");
    assert!(ready.starts_with("HTTP/1.1 "), "{ready}");
    daemon.signal("-HUP");
    told("RELOADING=1");
    told("READY=1");
    daemon.signal("-TERM");
    told("STOPPING=1");
    assert_eq!(daemon.ends(), Some(0));
    let shown = place.run(&["config", "show"]).succeeds().out.clone();
    assert!(shown.contains("unix:"), "{shown}");
}

#[test]
fn a_bad_file_keeps_the_old_settings() {
    let (_cluster, place) = scene();
    let file = place.path("chronavault.toml");
    fs::write(&file, "[backup]\ninterval_hours = 24\nverification = false\n").unwrap();
    let daemon = Daemon::start(&place);
    assert_eq!(daemon.wait_for("ended")["status"], 0);
    fs::write(&file, "[backup]\ninterval_hour = 1\n").unwrap();
    daemon.signal("-HUP");
    let said = daemon.wait_for("not_reloaded");
    assert!(said["message"].as_str().unwrap().contains("unknown field `interval_hour`"), "{said}");
    fs::write(
        &file,
        "[backup]\nverification = false\n\n[[schedules]]\ntask = \"backup\"\nevery_hours = 1000\n",
    )
    .unwrap();
    daemon.signal("-HUP");
    daemon.wait_for("reloaded");
    daemon.signal("-INT");
    daemon.wait_for("stopping");
    assert_eq!(daemon.ends(), Some(0));
}

#[test]
fn a_run_that_fails_is_tried_again_and_one_daemon_dies_with_its_runs() {
    let (cluster, place) = scene();
    let fails = place.with("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
    let daemon = Daemon::start(&fails);
    let ended = daemon.wait_for("ended");
    assert_eq!(ended["status"], 1);
    assert!(ended["message"].as_str().unwrap().contains("; again at "), "{ended}");
    daemon.signal("-TERM");
    assert_eq!(daemon.ends(), Some(0));

    // A backup that waits for a lock ends when its daemon is killed.
    let waits = fails.with("DATABASE_URL", &cluster.url("postgres"));
    fs::write(waits.path("chronavault.toml"), "[backup]\nlock_timeout_seconds = 1\n").unwrap();
    let mut locked = cluster.hold_lock("postgres", "t");
    let daemon = Daemon::start(&waits);
    let pid = daemon.wait_for("started")["pid"].to_string();
    cluster.await_waiter(&mut locked, "t");
    daemon.signal("-KILL");
    drop(daemon);
    // Nobody waits for it any more, so it stays as a zombie where init does not care.
    let has_ended = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
    };
    while !has_ended() {
        std::thread::yield_now();
    }
    drop(locked);
    // Its lease holds nobody up: everybody on this machine can see that the process is gone.
    waits.run(&["backup", "--no-verify"]).succeeds();
}

#[test]
fn settings_are_shown_with_their_origin_and_without_secrets() {
    let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY).with("BACKUP_RETENTION_DAYS", "14");
    let file = "[sources.books]\nurl = \"postgres://backup:hunter2@db.example/books\"\nreceive_wal = true\n\
                [[schedules]]\ntask = \"backup\"\nsource = \"books\"\ncron = \"30 2 * * *\"\ntime_zone = \"Europe/Berlin\"\n";
    fs::write(place.path("chronavault.toml"), file).unwrap();
    let shown = place.run(&["config", "show", "--json"]).succeeds().json();
    let of = |name: &str| {
        let all = shown["settings"].as_array().unwrap();
        let found = all.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("{name}: {shown:#}"));
        (found["value"].as_str().unwrap().to_owned(), found["origin"].as_str().unwrap().to_owned())
    };
    assert_eq!(of("retention.days"), ("14".into(), "BACKUP_RETENTION_DAYS".into()));
    assert_eq!(of("backup.jobs").1, "default");
    assert_eq!(
        of("schedule backup/books/logical"),
        ("30 2 * * * (Europe/Berlin)".into(), "chronavault.toml".into())
    );
    assert!(of("sources.books.url").0.contains("db.example"));
    assert!(
        place
            .run(&["config", "check"])
            .succeeds()
            .out
            .contains("The settings are in order (chronavault.toml")
    );

    let refused = |file: &str, code: &str, words: &str| {
        fs::write(place.path("chronavault.toml"), file).unwrap();
        let said = place.run(&["config", "check"]);
        said.fails(2, code, words);
        said
    };
    let misspelt = refused("[retention]\ndayz = 3\n", "settings.file", "line 2: unknown field `dayz`");
    assert!(misspelt.err.contains("Did you mean `days`?"), "{misspelt:?}");
    let schedule = |text: &str| {
        format!("[sources.books]\nurl = \"postgres://db/books\"\n[[schedules]]\ntask = \"backup\"\n{text}\n")
    };
    refused(&schedule("source = \"book\"\nevery_hours = 1"), "settings.value", "there is no source \"book\"");
    refused(&schedule("cron = \"61 * * * *\""), "settings.value", "no cron expression of five fields");
    refused(
        &schedule("cron = \"0 1 * * *\"\ntime_zone = \"Mars/Olympus\""),
        "settings.value",
        "no time zone \"Mars/Olympus\"",
    );
    refused(&schedule(""), "settings.value", "it needs cron or every_hours");
    refused(&schedule("every_hours = 1\ncron = \"@daily\""), "settings.value", "it has both");
}

#[test]
fn hooks_run_before_and_after_and_know_nothing_secret() {
    let (_cluster, place) = scene();
    let said = place.path("said").display().to_string();
    let hook = format!("[\"/bin/sh\", \"-c\", \"env | sort >> {said}\"]");
    let hooks =
        format!("[hooks]\nbefore_backup = {hook}\nafter_backup = {hook}\nbefore_prune = [\"/bin/false\"]\n");
    fs::write(place.path("chronavault.toml"), &hooks).unwrap();
    let id =
        place.run(&["backup", "--no-verify", "--json"]).succeeds().json()["id"].as_str().unwrap().to_owned();
    let said = fs::read_to_string(said).unwrap();
    for line in [
        "CHRONAVAULT_EVENT=before-backup",
        "CHRONAVAULT_EVENT=after-backup",
        "CHRONAVAULT_OUTCOME=done",
        &format!("CHRONAVAULT_BACKUP={id}"),
    ] {
        assert!(said.lines().any(|it| it == line), "{line}: {said}");
    }
    assert!(!said.contains(KEY) && !said.contains("DATABASE_URL") && !said.contains("HOME"), "{said}");
    place.run(&["prune"]).fails(
        1,
        "hook.failed",
        "the hook before this prune failed: \"/bin/false\" ended with exit status: 1",
    );
    let fails = "[hooks]\nafter_backup = [\"/bin/false\"]\n";
    fs::write(place.path("chronavault.toml"), fails).unwrap();
    let warned = place.run(&["backup", "--no-verify"]);
    assert!(warned.exit == 4 && warned.err.contains("warning[hook.failed]"), "{warned:?}");
}

#[test]
fn people_are_told_of_a_failed_backup_and_of_its_end() {
    let (cluster, place) = scene();
    let messages = place.path("messages").display().to_string();
    let settings = |url: &str| {
        format!(
            "[service]\nobserve_seconds = 1\nlisten = \"off\"\n[sources.books]\nurl = \"{url}\"\n\
             [alerts.channels.ops]\ntype = \"command\"\ncommand = [\"/bin/sh\", \"-c\", \"cat >> {messages}; echo >> {messages}\"]\n\
             [[alerts.routes]]\nseverity = [\"warning\", \"critical\"]\nsources = [\"*\"]\nchannels = [\"ops\"]\n"
        )
    };
    fs::write(place.path("chronavault.toml"), settings("postgres://nobody@127.0.0.1:1/none")).unwrap();
    let daemon = Daemon::start(&place);
    assert_eq!(daemon.wait_for("ended")["status"], 1);
    let told = |wanted: &[&str]| loop {
        let said = fs::read_to_string(&messages).unwrap_or_default();
        if said.lines().any(|line| wanted.iter().all(|word| line.contains(word))) {
            return said;
        }
        std::thread::yield_now();
    };
    let said = told(&["alert.backup_failed", "books", "server.unreachable"]);
    assert!(!said.contains(KEY), "{said}");
    let listed = place.run(&["alert", "list", "--json"]);
    assert!(listed.out.contains("alert.backup_failed"), "{listed:?}");
    // Mended: the backup is made by hand, and people hear that it is over.
    fs::write(place.path("chronavault.toml"), settings(&cluster.url("postgres"))).unwrap();
    place.run(&["backup", "--source", "books"]).succeeds();
    told(&["resolved", "alert.backup_failed"]);
    daemon.signal("-TERM");
    assert_eq!(daemon.ends(), Some(0));
}

#[test]
fn two_services_on_one_repository_take_turns() {
    let (cluster, one) = scene();
    let repository = format!("file://{}", one.path("backups/isolated").display());
    let two = Place::new()
        .with("BACKUP_ENCRYPTION_KEY", KEY)
        .with("DATABASE_URL", &cluster.url("postgres"))
        .with("BACKUP_REPOSITORY", &repository);
    let two = two.with("BACKUP_JOURNAL_DIRECTORY", one.path("other-journal").to_str().unwrap());
    fs::write(
        two.path("chronavault.toml"),
        format!("[service]\nstate_directory = \"{}\"\n", two.path("state").display()),
    )
    .unwrap();
    let mut locked = cluster.hold_lock("postgres", "t");
    let first = Daemon::start(&one);
    first.wait_for("started");
    cluster.await_waiter(&mut locked, "t");
    let second = Daemon::start(&two);
    let ended = second.wait_for("ended");
    assert!(ended["status"] == 1 && ended["message"].as_str().unwrap().contains("; again at"), "{ended}");
    let journal = two.run(&["journal", "show", "--json"]).succeeds().json();
    let refused =
        journal["runs"].as_array().unwrap().iter().find(|run| run["operation"] == "backup").unwrap();
    assert_eq!(refused["code"], "lease.held", "{refused}");
    drop(locked);
    assert_eq!(first.wait_for("ended")["status"], 0);
    drop(second);
    // Whoever begins now sees that the moment was served elsewhere.
    let second = Daemon::start(&two);
    second.wait_for("ready");
    second.signal("-HUP");
    second.wait_for("reloaded");
    second.signal("-TERM");
    assert_eq!(second.ends(), Some(0));
    assert_eq!(one.run(&["list", "--json"]).succeeds().json()["backups"].as_array().unwrap().len(), 1);
}

#[test]
fn one_backup_of_a_source_runs_at_a_time() {
    let (cluster, place) = scene();
    let mut locked = cluster.hold_lock("postgres", "t");
    let mut first = place
        .command(&["backup", "--no-verify"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    cluster.await_waiter(&mut locked, "t");
    place.run(&["backup", "--no-verify"]).fails(1, "lease.held", "backs up \"postgres\" since");
    drop(locked);
    assert!(first.wait().unwrap().success());
    place.run(&["backup", "--no-verify"]).succeeds();
}
