//! How long backups and WAL are kept: flags over what a source says for itself over the environment over what is said for all.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use model::{RetentionPolicies, RetentionPolicy};

use super::file::RetentionTable;
use super::{DAYS, Layers, Settings, only};
use crate::args::RetentionArgs;
use crate::failure::Failure;

/// Numbers of backups, days, weeks, months and years of which one is kept.
const KEPT: RangeInclusive<u64> = 0..=10_000;

impl Settings {
    /// How long things are kept.
    pub(crate) fn retention(&self, flags: &RetentionArgs) -> Result<RetentionPolicies, Failure> {
        let general = RetentionPolicy {
            days: number(self.retention_days),
            wal_days: number(self.retention_days),
            ..RetentionPolicy::default()
        };
        // The days for all are already those of the environment, where it has some.
        let table = RetentionTable { days: None, ..self.file.content.retention };
        let general = self.merged(general, &table, "retention", flags)?;
        let mut sources = BTreeMap::new();
        for (name, source) in &self.file.content.sources {
            if source.retention != RetentionTable::default() {
                let at = format!("sources.{name}.retention");
                sources.insert(name.clone(), self.merged(general, &source.retention, &at, flags)?);
            }
        }
        Ok(RetentionPolicies { general, sources, limit: None })
    }

    /// What `table`, at `at` in the settings file, and the flags make of `base`.
    fn merged(
        &self,
        base: RetentionPolicy,
        table: &RetentionTable,
        at: &str,
        flags: &RetentionArgs,
    ) -> Result<RetentionPolicy, Failure> {
        let from = Layers { environment: &self.environment, file: &self.file };
        let read = |flag: Option<u64>, option, file, name: &str, range| {
            let given = only(flag.map(|n| (option, n)), file);
            Ok::<_, Failure>(from.number(&format!("{at}.{name}"), &given, range)?.map(number))
        };
        let days = read(flags.days, "--days", table.days, "days", DAYS)?;
        let wal_days = read(flags.wal_days, "--wal-days", table.wal_days, "wal_days", DAYS)?;
        let kept = |flag, option, file, name| read(flag, option, file, name, KEPT);
        let last = kept(flags.keep_last, "--keep-last", table.keep_last, "keep_last")?;
        let daily = kept(flags.keep_daily, "--keep-daily", table.keep_daily, "keep_daily")?;
        let weekly = kept(flags.keep_weekly, "--keep-weekly", table.keep_weekly, "keep_weekly")?;
        let monthly = kept(flags.keep_monthly, "--keep-monthly", table.keep_monthly, "keep_monthly")?;
        let yearly = kept(flags.keep_yearly, "--keep-yearly", table.keep_yearly, "keep_yearly")?;
        // Who says for how many days backups are kept, and not for how many WAL is, means both.
        let follows = base.wal_days == base.days;
        let wal_days = wal_days.or_else(|| days.filter(|_| follows)).unwrap_or(base.wal_days);
        Ok(RetentionPolicy {
            days: days.unwrap_or(base.days),
            wal_days,
            keep_last: last.unwrap_or(base.keep_last),
            keep_daily: daily.unwrap_or(base.keep_daily),
            keep_weekly: weekly.unwrap_or(base.keep_weekly),
            keep_monthly: monthly.unwrap_or(base.keep_monthly),
            keep_yearly: yearly.unwrap_or(base.keep_yearly),
        })
    }
}

fn number(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
