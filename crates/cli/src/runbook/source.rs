//! The part of a runbook that is about one source.

use std::fmt::Write;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::{BackupId, Kind, RetentionPolicy, SystemId};
use operations::{Objectives, RecoveryRecord, RecoveryState};

use super::shell::{Shell, block, quoted};
use super::{Runbook, cell, contacts};
use crate::wording;

/// What is known of a source.
#[derive(Debug, Clone)]
pub(crate) struct SourceBook {
    pub(crate) name: String,
    /// Its connection string without passwords.
    pub(crate) url: String,
    pub(crate) database: String,
    pub(crate) objectives: Objectives,
    pub(crate) stop: Option<Vec<String>>,
    pub(crate) start: Option<Vec<String>>,
    pub(crate) health: Option<String>,
    /// Whom to call, where that is not as for all.
    pub(crate) contacts: Vec<String>,
    /// The names of its schedules, and when they run.
    pub(crate) schedules: Vec<(String, String)>,
    pub(crate) retention: RetentionPolicy,
    /// The newest backups of each kind, newest first.
    pub(crate) backups: Vec<BackupLine>,
    /// The version of its server, as in its newest backup.
    pub(crate) server: Option<u32>,
    /// Its cluster, where there are physical backups.
    pub(crate) cluster: Option<ClusterBook>,
    /// The last drill of each scenario.
    pub(crate) drills: Vec<RecoveryRecord>,
}

/// A backup in few words.
#[derive(Debug, Clone)]
pub(crate) struct BackupLine {
    pub(crate) id: BackupId,
    pub(crate) kind: Kind,
    pub(crate) data_at: Timestamp,
    /// The outcome of the verification that counts, and when that was.
    pub(crate) proof: Option<(String, Timestamp)>,
    pub(crate) is_filtered: bool,
}

/// The cluster of a source.
#[derive(Debug, Clone)]
pub(crate) struct ClusterBook {
    pub(crate) system: SystemId,
    /// From when to when it can be recovered to every moment.
    pub(crate) windows: Vec<(Timestamp, Timestamp)>,
}

/// A moment for examples where there is no backup yet.
const SOME_MOMENT: &str = "2026-11-26T03:00:00Z";

impl SourceBook {
    pub(super) fn text(&self, shell: &Shell, book: &Runbook) -> String {
        let mut text = format!("## {}\n\n{}", self.name, self.facts());
        text.push_str(&self.stock());
        let of_database = |part: String| if self.is_logical() { part } else { String::new() };
        let parts = [
            of_database(self.damaged(shell)),
            of_database(self.moment(shell)),
            self.tables(shell),
            self.cluster(shell),
            self.afterwards(shell, book),
        ];
        text + &parts.concat()
    }

    fn facts(&self) -> String {
        let mut text = format!("- Database: `{}`", self.url);
        if let Some(version) = self.server {
            let _ = write!(text, ", PostgreSQL {}", wording::server_version(version));
        }
        let shown = |ms: u64| wording::duration(Duration::from_millis(ms));
        let Objectives { rto_ms, rpo_ms } = self.objectives;
        let _ = writeln!(
            text,
            "\n- Objectives: a recovery may take {}, and the changes of {} may be lost",
            shown(rto_ms),
            shown(rpo_ms)
        );
        let command = |words: &Option<Vec<String>>| match words {
            Some(words) => {
                format!("`{}`", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
            }
            None => "by hand: the settings name no command".to_owned(),
        };
        let _ = writeln!(text, "- Stop what uses it: {}", command(&self.stop));
        let _ = writeln!(text, "- Start it: {}", command(&self.start));
        let health =
            self.health.as_deref().map_or_else(|| "look by hand".to_owned(), |at| format!("`{at}` answers"));
        let _ = writeln!(text, "- Whether it is well: {health}");
        for (name, when) in &self.schedules {
            let _ = writeln!(text, "- {name}: {when}");
        }
        let _ = writeln!(text, "- Kept: {}", retention(&self.retention));
        if !self.contacts.is_empty() {
            let _ = write!(text, "\nWhom to call for it:\n\n{}", contacts(&self.contacts));
        }
        text
    }

    /// What there is to recover from, and how long it took last time.
    fn stock(&self) -> String {
        if self.backups.is_empty() {
            return "\n**There was no backup of it when this was written.**\n".to_owned();
        }
        let mut text = "\n| backup | kind | data of | proof |\n|---|---|---|---|\n".to_owned();
        for backup in &self.backups {
            let proof = match &backup.proof {
                Some((outcome, at)) => format!("{outcome}, {}", wording::time(*at)),
                None => "none".to_owned(),
            };
            let filtered = if backup.is_filtered { ", filtered: not complete" } else { "" };
            let (kind, at) = (backup.kind, wording::time(backup.data_at));
            let _ = writeln!(text, "| `{}` | {kind}{filtered} | {at} | {proof} |", backup.id);
        }
        if let Some(cluster) = &self.cluster {
            let _ =
                writeln!(text, "\nIts cluster is {}. It can be recovered to every moment", cluster.system);
            for (from, to) in &cluster.windows {
                let _ = writeln!(text, "- from {} to {}", wording::time(*from), wording::time(*to));
            }
        }
        text.push('\n');
        if self.drills.is_empty() {
            text.push_str("It was never rehearsed: how long a recovery takes is not known.\n");
        }
        for drill in &self.drills {
            let _ = writeln!(text, "{}", drilled(drill));
        }
        text
    }

    fn damaged(&self, shell: &Shell) -> String {
        let call = |flag: &str| shell.call(&["recover", "corruption", "--source", &self.name, flag]);
        "\n### Damaged\n\nThe newest backup that verifies is restored beside the database, checked, and takes its name in one transaction; the \
         damaged one is kept.\n\n"
            .to_owned()
            + &block(&[
                "# what would be done, and how long it takes".to_owned(),
                call("--dry-run"),
                "# do it".to_owned(),
                call("--yes"),
                "# after a step failed and its cause is gone; or to undo it".to_owned(),
                call("--resume"),
                call("--rollback"),
            ])
    }

    fn moment(&self, shell: &Shell) -> String {
        // A second later: the command line has no finer moments, and this one must not be before the backup.
        let second = SignedDuration::from_secs(1);
        let newest = self.newest(Kind::Logical).and_then(|at| at.checked_add(second).ok());
        let at = newest.map_or_else(|| SOME_MOMENT.to_owned(), wording::time);
        let call =
            |flag: &str| shell.call(&["recover", "point-in-time", "--source", &self.name, "--at", &at, flag]);
        let mut text = format!(
            "\n### Back to a moment\n\nPut the moment just before it went wrong in the place of `{at}`. The newest logical backup that is not later is \
             restored beside the live database; with --switch it takes its place.\n\n"
        );
        text.push_str(&block(&[call("--dry-run"), call("--yes"), call("--switch")]));
        if self.cluster.is_some() {
            text.push_str("\nTo exactly that moment: see \"The cluster\".\n");
        }
        text
    }

    fn tables(&self, shell: &Shell) -> String {
        let call = |rest: &[&str]| {
            shell.call(
                &[&["recover", "tables", "--source", &self.name, "--table", "schema.table"], rest].concat(),
            )
        };
        let into = format!("{}_tables", self.database);
        let to = other_database(&self.url, &into);
        let what = "\n### Some tables\n\nPut the names of the tables in the place of `schema.table`. Without --mode, rows are \
                    compared with the backup and nothing is changed.\n\n";
        what.to_owned()
            + &block(&[
                call(&[]),
                "# bring back rows that are missing; or beside the live tables, in a schema of their own"
                    .to_owned(),
                call(&["--mode", "insert-missing"]),
                call(&["--mode", "side-schema"]),
                "# or only the table, into a database of its own".to_owned(),
                shell.call(&[
                    "restore",
                    "latest",
                    "--source",
                    &self.name,
                    "--to",
                    &to,
                    "--create",
                    "--table",
                    "schema.table",
                ]),
            ])
    }

    fn cluster(&self, shell: &Shell) -> String {
        let Some(cluster) = &self.cluster else { return String::new() };
        let Some(newest) = self.backups.iter().find(|backup| backup.kind == Kind::Physical) else {
            return String::new();
        };
        let (live, directory) = (self.directory("main"), self.data_directory());
        let last = cluster.windows.last().map_or(newest.data_at, |(_, to)| *to);
        let (at, id) = (wording::time(last), newest.id.to_string());
        let recover = |scenario: &str, rest: &[&str]| {
            let words = ["recover", scenario, "--source", &self.name, "--data-dir", &live];
            shell.call(&[&words, rest].concat())
        };
        let restore = ["restore", &id, "--data-dir", &directory, "--at", &at];
        let major = self.major().unwrap_or_else(|| "of the same version".to_owned());
        format!(
            "\n### The cluster\n\nRun it as the user of the server, with PostgreSQL {major} installed. Put the data directory in the place of \
             `{live}`, and the moment in the place of `{at}`. The old directory is kept beside it.\n\n",
        ) + &block(&[
            "# to the end of what is archived".to_owned(),
            recover("corruption", &["--dry-run"]),
            recover("corruption", &["--yes"]),
            recover("corruption", &["--rollback"]),
            "# to a moment: beside the live cluster; with --switch in its place".to_owned(),
            recover("point-in-time", &["--at", &at, "--dry-run"]),
            recover("point-in-time", &["--at", &at, "--yes"]),
            recover("point-in-time", &["--at", &at, "--switch"]),
            "# or by hand, into an empty directory: the server replays WAL up to the target when it starts"
                .to_owned(),
            shell.call(&restore),
            format!("pg_ctl -D {} start", quoted(&directory)),
        ])
    }

    fn afterwards(&self, shell: &Shell, book: &Runbook) -> String {
        format!(
            "\n### Afterwards\n\nThe report of each step is in `{}`. Then check the data, make a backup at once, and rehearse it again:\n\n",
            book.recoveries
        ) + &block(&[
            shell.call(&["check", "--source", &self.name]),
            shell.call(&["backup", "--source", &self.name]),
            shell.call(&["drill", "--source", &self.name]),
        ])
    }

    /// Where a cluster is put that is recovered.
    pub(super) fn data_directory(&self) -> String {
        self.directory("recovered")
    }

    fn directory(&self, name: &str) -> String {
        format!("/var/lib/postgresql/{}/{name}", self.major().unwrap_or_else(|| "data".to_owned()))
    }

    fn major(&self) -> Option<String> {
        self.server.map(|version| (version / 10_000).to_string())
    }

    /// Whether its databases are recovered from logical backups: where there are any, or none of the cluster either.
    pub(super) fn is_logical(&self) -> bool {
        self.cluster.is_none() || self.backups.iter().any(|backup| backup.kind == Kind::Logical)
    }

    /// The moment of which the newest backup of a kind is.
    fn newest(&self, kind: Kind) -> Option<Timestamp> {
        self.backups.iter().find(|backup| backup.kind == kind).map(|backup| backup.data_at)
    }
}

fn retention(policy: &RetentionPolicy) -> String {
    let numbers = [
        ("of the newest", policy.keep_last),
        ("days", policy.keep_daily),
        ("weeks", policy.keep_weekly),
        ("months", policy.keep_monthly),
        ("years", policy.keep_yearly),
    ];
    let kept: String = numbers
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(of, number)| match *of {
            "of the newest" => format!(", the newest {number}"),
            of => format!(", one of each of the last {number} {of}"),
        })
        .collect();
    format!("backups for {} days, every moment of clusters for {} days{kept}", policy.days, policy.wal_days)
}

fn drilled(drill: &RecoveryRecord) -> String {
    let shown = |ms: u64| wording::duration(Duration::from_millis(ms));
    let took = drill.rto_ms().map_or_else(|| "not ended".to_owned(), |ms| format!("took {}", shown(ms)));
    let lost = drill.rpo_ms().map(|ms| format!(", lost {}", shown(ms))).unwrap_or_default();
    let how = match drill.state {
        RecoveryState::Done => "",
        RecoveryState::Running | RecoveryState::Stopped | RecoveryState::RolledBack => " It did not succeed.",
    };
    let mut text = format!(
        "Last drill, {} at {} ({}): {took}{lost}.{how}\n",
        drill.scenario,
        wording::time(drill.began_at),
        cell(&drill.asked_by)
    );
    for step in &drill.steps {
        let time = step.duration_ms.map(shown).unwrap_or_default();
        let _ = writeln!(text, "- {}: {time}", step.step);
    }
    text
}

/// A connection string for another database of the same server.
pub(super) fn other_database(url: &str, database: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return format!("{url} dbname={}", if database.contains([' ', '\'']) { "again" } else { database });
    };
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, format!("?{query}")),
        None => (rest, String::new()),
    };
    let host = place.split('/').next().unwrap_or_default();
    format!("{scheme}://{host}/{database}{query}")
}
