//! The checks of the settings.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{Check, CheckSeverity, Comparison, Expectation};
use operations::BUILT_IN_CHECKS;

use super::Settings;
use super::file::{CheckTable, ExpectedValue};
use crate::catalogue::Code;
use crate::failure::Failure;

/// Seconds that a query may take.
const LIMIT_SECONDS: std::ops::RangeInclusive<u64> = 1..=86_400;
/// Bytes of the name of a check.
const NAME_BYTES: usize = 100;

impl Settings {
    /// The checks of all sources, in the order of the file.
    pub(crate) fn checks(&self) -> Result<Vec<Check>, Failure> {
        let tables = &self.file.content.checks;
        let mut names: BTreeSet<&str> = BUILT_IN_CHECKS.into();
        let mut checks = Vec::with_capacity(tables.len());
        for (number, table) in tables.iter().enumerate() {
            let origin = self.file.origin(&format!("checks, the {}.", number + 1));
            let wrong = |message: String| Failure::new(Code::SettingsValue, format!("{origin}: {message}"));
            if table.name.is_empty() || table.name.len() > NAME_BYTES || table.name.contains(char::is_control)
            {
                return Err(wrong(format!("name is not 1 to {NAME_BYTES} bytes of one line")));
            }
            if !names.insert(&table.name) {
                return Err(wrong(format!("there is another check {:?}", table.name)));
            }
            let known = &self.file.content.sources;
            if let Some(source) =
                table.sources.iter().find(|name| !known.is_empty() && !known.contains_key(*name))
            {
                return Err(wrong(format!("there is no source {source:?}")));
            }
            checks.push(check(table).map_err(wrong)?);
        }
        Ok(checks)
    }

    /// Those of the checks that are for `source`.
    pub(crate) fn checks_of(&self, source: &str) -> Result<Vec<Check>, Failure> {
        let mut checks = self.checks()?;
        checks.retain(|check| check.is_for(source));
        Ok(checks)
    }
}

fn check(table: &CheckTable) -> Result<Check, String> {
    if table.query.trim().is_empty() {
        return Err("query is empty".to_owned());
    }
    let expectation = match &table.expect {
        None => Expectation::NoRows,
        Some(ExpectedValue::Text(text)) => text.parse().map_err(|error| format!("expect {error}"))?,
        Some(ExpectedValue::Number(value)) => Expectation::Value(Comparison::Equal, value.to_string()),
        Some(ExpectedValue::Truth(value)) => Expectation::Value(Comparison::Equal, value.to_string()),
    };
    let limit = table.limit_seconds.unwrap_or(Check::LIMIT.as_secs());
    if !LIMIT_SECONDS.contains(&limit) {
        return Err(format!("limit_seconds is {limit}, which is not 1 to {}", LIMIT_SECONDS.end()));
    }
    Ok(Check {
        name: table.name.clone(),
        query: table.query.clone(),
        expectation,
        severity: table.severity.unwrap_or(CheckSeverity::Critical),
        sources: table.sources.clone(),
        limit: Duration::from_secs(limit),
    })
}
