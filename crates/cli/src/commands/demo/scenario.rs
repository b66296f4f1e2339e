//! `demo --scenario`: damage, and the recovery from it, with the same procedures that an operator uses.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use model::{Level, RecoveryStep, Scenario};
use operations::{
    ApplyMode, BareSite, DatabaseChecks, DatabaseRecovery, Objectives, PlanRequest, RecoveryDirectory,
    RecoveryRecord, TableOrigin, TableRecoveryRequest,
};
use repository::Repository;
use serde::Serialize;

use super::{DATABASE, SOURCE, Step, Story, execute, start_cluster};
use crate::actor;
use crate::args::DemoArgs;
use crate::failure::Failure;
use crate::screen::Answer;
use crate::wording;

/// The table whose rows are lost in the scenario `tables`.
const TABLE: &str = "public.payments";
/// How long its lock is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Body {
    scenario: Scenario,
    steps: Vec<Step>,
    /// What the procedure says of itself; nothing of tables.
    recovery: Option<RecoveryRecord>,
}

/// Loads the ledger, backs it up, damages it and recovers it.
pub(super) fn run(scenario: Scenario, mut story: Story, args: &DemoArgs) -> Result<Answer, Failure> {
    story.load(args.size)?;
    let repository = story.create_repository()?;
    let backup = story.back_up(&repository, "back up")?;
    story.prove(&repository, &backup)?;
    let moment = Timestamp::now();
    story.damage(scenario)?;
    let recovery = if scenario == Scenario::Tables {
        story.recover_table(&repository, &backup.manifest.id)?;
        None
    } else {
        Some(story.recover(&repository, scenario, moment)?)
    };
    story.compare(&repository, &backup)?;
    let total = story.steps.iter().map(|step| step.duration_ms).sum();
    let text = format!(
        "\nDone in {}. The same for your own databases: `chronavault recover {scenario} --help`.\n",
        wording::duration(Duration::from_millis(total)),
    );
    drop(story.cluster.take());
    Answer::new(text, &Body { scenario, steps: std::mem::take(&mut story.steps), recovery })
}

impl Story {
    fn damage(&mut self, scenario: Scenario) -> Result<(), Failure> {
        let began = Instant::now();
        let sql = match scenario {
            Scenario::Corruption => "DROP TABLE public.journal_lines CASCADE",
            Scenario::PointInTime => "UPDATE public.accounts SET name = 'oops'",
            Scenario::Tables => "DELETE FROM public.payments",
            Scenario::LostHost => {
                self.lose_host()?;
                self.tell("lose the host", "its server and all its data are gone".to_owned(), began);
                return Ok(());
            }
        };
        execute(&self.database, sql)?;
        self.tell("damage it", sql.to_owned(), began);
        Ok(())
    }

    /// Another server in the place of the one that is lost.
    fn lose_host(&mut self) -> Result<(), Failure> {
        drop(self.cluster.take());
        let cluster = start_cluster(&self.surroundings.context())?;
        self.database = cluster.options(DATABASE);
        self.cluster = Some(cluster);
        Ok(())
    }

    fn recover(
        &mut self,
        repository: &Repository,
        scenario: Scenario,
        moment: Timestamp,
    ) -> Result<RecoveryRecord, Failure> {
        let began = Instant::now();
        let directory = RecoveryDirectory::new(self.directory.path().join("recoveries"));
        let request = DatabaseRecovery {
            source: SOURCE.to_owned(),
            database: self.database.clone(),
            at: (scenario == Scenario::PointInTime).then_some(moment),
            backup: None,
            level: Level::Objects,
            create_roles: true,
            jobs: self.backup.jobs,
            switch: true,
            checks: DatabaseChecks { checks: self.backup.checks.clone(), despite: false },
            site: &BareSite,
        };
        let plan = PlanRequest {
            scenario,
            asked_by: actor::name(),
            journal_head: None,
            objectives: Objectives::default(),
            directory: &directory,
        };
        let context = self.surroundings.context();
        let failed = |error| self.surroundings.failure(error);
        let record = operations::plan_database(repository, &request, &plan, &context).map_err(failed)?;
        let expected = record.estimate_ms();
        let (record, result) =
            operations::recover_database(repository, &request, record, &directory, &context)
                .map_err(failed)?;
        result.map_err(failed)?;
        let expected = expected.map_or_else(String::new, |ms| {
            format!(" (expected {})", wording::duration(Duration::from_millis(ms)))
        });
        self.tell("recover", format!("{scenario}: {} steps{expected}", record.steps.len()), began);
        for step in record.steps.iter().filter(|step| step.step != RecoveryStep::Preflight) {
            let took = Duration::from_millis(step.duration_ms.unwrap_or(0));
            let says = step.says.as_deref().unwrap_or_default();
            self.screen.say(&format!("      {:<20} {:>9}  {says}", step.step, wording::duration(took)));
        }
        Ok(record)
    }

    fn recover_table(&mut self, repository: &Repository, backup: &model::BackupId) -> Result<(), Failure> {
        let mut request = TableRecoveryRequest {
            live: self.database.clone(),
            tables: vec![TABLE.to_owned()],
            origin: TableOrigin::Logical(backup.clone()),
            mode: None,
            samples: 0,
            jobs: self.backup.jobs,
            lock_timeout: LOCK_TIMEOUT,
        };
        for (title, mode) in
            [("compare the table", None), ("recover its rows", Some(ApplyMode::InsertMissing))]
        {
            let began = Instant::now();
            request.mode = mode;
            let context = self.surroundings.context();
            let report = operations::recover_tables(repository, &request, &context)
                .map_err(|error| self.surroundings.failure(error))?;
            let detail = report.tables.iter().map(|table| {
                let written = table.written.as_ref().map_or(0, |written| written.inserted);
                let before = &table.before;
                format!(
                    "{}: {} missing, {} extra, {} changed; {} inserted",
                    before.table,
                    wording::grouped(before.missing),
                    wording::grouped(before.extra),
                    wording::grouped(before.changed),
                    wording::grouped(written)
                )
            });
            let detail = detail.collect::<Vec<_>>().join(", ");
            self.tell(title, detail, began);
        }
        Ok(())
    }
}
