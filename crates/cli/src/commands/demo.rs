//! `demo`: the whole story on a throwaway cluster. Back up, prove, destroy, restore, compare, back up again.
//!
//! Invariant: it uses a cluster, a repository and a key of its own, and none of the user's settings. Everything that it says
//! was measured in this run; a step that fails ends the demo. What it made is removed at the end, also when it fails.

mod scenario;

use std::fmt::Write;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{ByteSize, Check, Filters, Level, Outcome};
use operations::postgres::{Client, ConnectOptions, OLDEST_MAJOR, Sandbox, SandboxOptions, Tools};
use operations::{BackupReport, BackupRequest, Context, RestoreRequest, VerifyRequest};
use repository::Repository;
use sample::{LedgerOptions, LedgerSummary};
use serde::Serialize;
use storage::{Isolation, LocalStore};
use tempfile::TempDir;

use super::describe::{BackupBody, Totals};
use super::verify;
use crate::args::DemoArgs;
use crate::catalogue::Code;
use crate::failure::Failure;
use crate::key;
use crate::opening;
use crate::screen::{Answer, Screen};
use crate::session::Session;
use crate::settings::BackupSettings;
use crate::surroundings::{self, Surroundings};
use crate::wording;

/// The database of the story.
const DATABASE: &str = "ledger";
/// The source under which its backups are listed.
const SOURCE: &str = "ledger";

#[derive(Serialize)]
struct Body {
    steps: Vec<Step>,
    first: BackupBody,
    second: BackupBody,
    /// Where repository and key were kept, with `--keep`.
    kept: Option<PathBuf>,
}

#[derive(Serialize)]
struct Step {
    title: &'static str,
    detail: String,
    duration_ms: u64,
}

pub(super) fn run(args: &DemoArgs, session: Session) -> Result<Answer, Failure> {
    let mut story = Story::begin(args, session)?;
    if let Some(scenario) = args.scenario {
        return scenario::run(scenario, story, args);
    }
    let ledger = story.load(args.size)?;
    let repository = story.create_repository()?;
    let first = story.back_up(&repository, "back up")?;
    story.prove(&repository, &first)?;
    story.destroy()?;
    story.restore(&repository, &first)?;
    story.compare(&repository, &first)?;
    story.change(&ledger)?;
    let second = story.back_up(&repository, "back up again")?;
    story.end(args, &first, &second)
}

/// The demo as far as it has come.
struct Story {
    screen: Screen,
    surroundings: Surroundings,
    directory: TempDir,
    /// Dropped before the directory that it lives in.
    cluster: Option<Sandbox>,
    database: ConnectOptions,
    /// The defaults, whatever the user has set.
    backup: BackupSettings,
    steps: Vec<Step>,
}

impl Story {
    /// Makes the place of the story and starts its cluster.
    fn begin(args: &DemoArgs, session: Session) -> Result<Self, Failure> {
        let screen = session.screen;
        let environment = session.environment;
        let parent = environment.path("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp"));
        let tool_path = environment.raw("PATH").map(ToOwned::to_owned);
        // The steps tell enough; between them only a bar, or everything when somebody wants to know.
        let surroundings = Surroundings::with(screen.without_lines(), tool_path, parent.clone())?;
        let directory =
            tempfile::Builder::new().prefix("chronavault-demo-").tempdir_in(&parent).map_err(|error| {
                Failure::new(Code::OutputFailed, format!("cannot work in {}: {error}", parent.display()))
            })?;
        screen.say(&format!(
            "A demo of Chronavault with about {}, on a cluster of its own.\n",
            megabytes(args.size)
        ));
        let began = Instant::now();
        let cluster = start_cluster(&surroundings.context())?;
        let database = cluster.options("postgres");
        let backup = BackupSettings { checks: rules()?, ..BackupSettings::default() };
        let mut story =
            Self { screen, surroundings, directory, cluster: Some(cluster), database, backup, steps: vec![] };
        let version = connect(&story.database)?.server_version();
        story.tell("start a cluster", format!("PostgreSQL {}", wording::server_version(version)), began);
        Ok(story)
    }

    /// Does a step, and says what it did and how long it took.
    fn tell(&mut self, title: &'static str, detail: String, began: Instant) {
        self.surroundings.reporter.finish();
        let took = began.elapsed();
        self.screen.say(&format!(
            "{:2}  {title:<22} {:>9}  {detail}",
            self.steps.len() + 1,
            wording::duration(took)
        ));
        self.steps.push(Step { title, detail, duration_ms: wording::millis(took) });
    }

    fn load(&mut self, size: u64) -> Result<LedgerSummary, Failure> {
        let began = Instant::now();
        execute(&self.database, &format!("CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8'"))?;
        self.database = self.database.with_database(DATABASE);
        let options = LedgerOptions { target_bytes: size * 1_000_000, ..LedgerOptions::default() };
        let screen = self.screen;
        let ledger = sample::load(&mut connect(&self.database)?, &options, &mut |step| screen.detail(step))?;
        self.tell("load the ledger", ledger_words(&ledger), began);
        Ok(ledger)
    }

    fn create_repository(&mut self) -> Result<Repository, Failure> {
        let began = Instant::now();
        let root = self.directory.path().join("backups/isolated");
        let key = key::generate(&self.directory.path().join("key"), &surroundings::random)?;
        let store = Arc::new(LocalStore::new(&root, Isolation::Required)?);
        let holder = opening::holder(&key);
        let repository = Repository::init(store, &holder, jiff::Timestamp::now(), &surroundings::random)?;
        self.tell("create the repository", "encrypted under a new 256-bit key".to_owned(), began);
        Ok(repository)
    }

    fn back_up(&mut self, repository: &Repository, title: &'static str) -> Result<BackupReport, Failure> {
        let began = Instant::now();
        let request = self.request();
        let report = operations::backup(repository, &request, &self.surroundings.context())
            .map_err(|error| self.surroundings.failure(error))?;
        let manifest = &report.manifest;
        let detail = format!(
            "{} as text, stored in {} (reused {})",
            ByteSize(manifest.plain_bytes),
            ByteSize(manifest.stored_bytes),
            ByteSize(manifest.reused_bytes),
        );
        self.tell(title, detail, began);
        Ok(report)
    }

    fn request(&self) -> BackupRequest {
        BackupRequest {
            source: self.database.clone(),
            source_name: SOURCE.to_owned(),
            filters: Filters::default(),
            jobs: self.backup.jobs,
            compression: self.backup.compression,
            large_table_bytes: self.backup.large_table_bytes,
            size_limit: None,
            lock_timeout: self.backup.lock_timeout,
        }
    }

    fn prove(&mut self, repository: &Repository, backup: &BackupReport) -> Result<(), Failure> {
        let began = Instant::now();
        let id = &backup.manifest.id;
        let request =
            VerifyRequest { level: Level::Restore, jobs: self.backup.jobs, checks: &self.backup.checks };
        let report = operations::verify(repository, id, request, &self.surroundings.context())
            .map_err(|error| self.surroundings.failure(error))?;
        if let Some(failure) = verify::failure(&report) {
            return Err(failure);
        }
        if report.outcome != Outcome::Proven {
            let reason = report.unreached.unwrap_or_default();
            return Err(Failure::new(Code::VerifyFailed, format!("{id} could not be proven: {reason}")));
        }
        let detail = format!("restored into a sandbox; {} compared", amount(report.tables, report.rows));
        self.tell("prove it", detail, began);
        Ok(())
    }

    fn destroy(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        execute(&self.database.with_database("postgres"), &format!("DROP DATABASE {DATABASE} WITH (FORCE)"))?;
        self.tell("destroy the database", format!("DROP DATABASE {DATABASE}"), began);
        Ok(())
    }

    fn restore(&mut self, repository: &Repository, backup: &BackupReport) -> Result<(), Failure> {
        let began = Instant::now();
        let request = RestoreRequest {
            target: self.database.clone(),
            create: true,
            clean: false,
            create_roles: false,
            tables: Vec::new(),
            jobs: self.backup.jobs,
            checks: Some(self.backup.checks.clone()),
            suffix: None,
        };
        let context = self.surroundings.context();
        let report = operations::restore(repository, &backup.manifest.id, &request, &context)
            .map_err(|error| self.surroundings.failure(error))?;
        let checks = report.checks.unwrap_or_default();
        if let Some(problem) = checks.problems().first() {
            let message = format!(
                "in the restored database, the {} does not hold: {}",
                problem.object, problem.message
            );
            return Err(Failure::new(Code::CheckFailed, message));
        }
        let held = checks.results.iter().filter(|result| result.passed).count() as u64;
        let detail =
            format!("{}; {} hold", amount(report.tables, report.rows), wording::count(held, "check"));
        self.tell("restore it", detail, began);
        Ok(())
    }

    /// Asks the restored database for every row again, and compares with what was read before it was destroyed.
    fn compare(&mut self, repository: &Repository, backup: &BackupReport) -> Result<(), Failure> {
        let began = Instant::now();
        let id = &backup.manifest.id;
        let context = self.surroundings.context();
        let problems = operations::compare(repository, id, &self.database, self.backup.jobs, &context)
            .map_err(|error| self.surroundings.failure(error))?;
        if let Some(first) = problems.first() {
            let message = format!("the restored database differs: {}: {}", first.object, first.message);
            return Err(Failure::new(Code::VerifyFailed, message));
        }
        let totals = Totals::of(&backup.manifest);
        self.tell("compare", format!("every row is back: {}", amount(totals.tables, totals.rows)), began);
        Ok(())
    }

    fn change(&mut self, before: &LedgerSummary) -> Result<(), Failure> {
        let began = Instant::now();
        let screen = self.screen;
        let after =
            sample::grow(&mut connect(&self.database)?, NonZeroU32::MIN, &mut |step| screen.detail(step))?;
        let added = after.journal_lines.saturating_sub(before.journal_lines);
        let detail =
            format!("{} more journal lines, others changed all over the table", wording::grouped(added));
        self.tell("let a day pass", detail, began);
        Ok(())
    }

    fn end(
        mut self,
        args: &DemoArgs,
        first: &BackupReport,
        second: &BackupReport,
    ) -> Result<Answer, Failure> {
        drop(self.cluster.take());
        let steps = std::mem::take(&mut self.steps);
        let total = steps.iter().map(|step| step.duration_ms).sum();
        let mut text = format!(
            "\nDone in {}. The second backup stored {} of what the first one did.\n",
            wording::duration(Duration::from_millis(total)),
            share(second.manifest.stored_bytes, first.manifest.stored_bytes),
        );
        let kept = args.keep.then(|| self.directory.keep());
        if let Some(path) = &kept {
            let path = path.display();
            let _ = writeln!(
                text,
                "\nKept. To look at it:\n  chronavault list --directory {path}/backups --key-file {path}/key"
            );
        }
        let body = Body {
            steps,
            first: BackupBody::new(&first.manifest, first.duration),
            second: BackupBody::new(&second.manifest, second.duration),
            kept,
        };
        Answer::new(text, &body)
    }
}

/// The rules of the ledger.
fn rules() -> Result<Vec<Check>, Failure> {
    let wrong = |error: &dyn std::error::Error| Failure::new(Code::Internal, error.to_string());
    let check = |rule: &sample::Rule| {
        Ok(Check {
            name: rule.name.to_owned(),
            query: rule.query.to_owned(),
            expectation: rule.expect.parse().map_err(|error| wrong(&error))?,
            severity: rule.severity.parse().map_err(|error| wrong(&error))?,
            sources: vec![SOURCE.to_owned()],
            limit: Check::LIMIT,
        })
    };
    sample::RULES.iter().map(check).collect()
}

/// A server of the story.
fn start_cluster(context: &Context<'_>) -> Result<Sandbox, Failure> {
    let tools = Tools::find_server(OLDEST_MAJOR, context.tool_path.as_deref())
        .map_err(|error| Failure::because(Code::ToolsMissing, &error))?;
    Ok(Sandbox::start(&tools, &SandboxOptions::new(&context.sandbox_parent))?)
}

fn connect(options: &ConnectOptions) -> Result<Client, Failure> {
    Ok(Client::connect(options)?)
}

fn execute(options: &ConnectOptions, sql: &str) -> Result<(), Failure> {
    Ok(connect(options)?.execute(sql)?)
}

fn megabytes(number: u64) -> String {
    ByteSize(number * 1_000_000).to_string()
}

fn amount(tables: u64, rows: u64) -> String {
    format!("{}, {}", wording::count(tables, "table"), wording::count(rows, "row"))
}

fn ledger_words(ledger: &LedgerSummary) -> String {
    format!(
        "{}: {}, {} journal entries with {} lines",
        ByteSize(ledger.database_bytes),
        wording::count(ledger.tables, "table"),
        wording::grouped(ledger.journal_entries),
        wording::grouped(ledger.journal_lines),
    )
}

/// `1.2 %`
fn share(part: u64, whole: u64) -> String {
    let tenths = u128::from(part) * 1000 / u128::from(whole.max(1));
    format!("{}.{} %", tenths / 10, tenths % 10)
}
