//! The report of a recovery, for people and auditors.

use std::fmt::{self, Write};

use super::record::{RecoveryRecord, RecoveryState, StepRecord, StepState};

/// Problems that are shown.
const SHOWN: usize = 20;

/// The report as Markdown.
pub fn markdown(record: &RecoveryRecord) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(record, &mut text);
    text
}

fn write(record: &RecoveryRecord, text: &mut String) -> fmt::Result {
    let what = if record.rehearsal { "Drill" } else { "Recovery" };
    writeln!(text, "# {what}: {} of {}\n", record.scenario, cell(&record.source))?;
    writeln!(text, "{}\n", verdict(record))?;
    head(record, text)?;
    writeln!(text, "\n## Steps\n")?;
    steps(&record.steps, text)?;
    if !record.rollback.is_empty() {
        writeln!(text, "\n## Going back\n")?;
        steps(&record.rollback, text)?;
    }
    if !record.found.findings.is_empty() {
        writeln!(text, "\n## Known before\n")?;
        for finding in &record.found.findings {
            writeln!(text, "- {}", cell(finding))?;
        }
    }
    if !record.found.skipped.is_empty() {
        writeln!(text, "\n## Backups that were passed over\n")?;
        for skipped in &record.found.skipped {
            writeln!(text, "- {}: {}", skipped.backup, cell(&skipped.reason))?;
        }
    }
    if !record.found.problems.is_empty() {
        writeln!(text, "\n## Problems\n")?;
        for problem in record.found.problems.iter().take(SHOWN) {
            writeln!(text, "- `{}` {}: {}", problem.code, cell(&problem.object), cell(&problem.message))?;
        }
    }
    if !record.found.left_out.is_empty() {
        writeln!(text, "\n## Not restored\n")?;
        for left_out in &record.found.left_out {
            writeln!(text, "- {}", cell(left_out))?;
        }
    }
    Ok(())
}

fn verdict(record: &RecoveryRecord) -> String {
    match record.state {
        RecoveryState::Running => "It goes on.".to_owned(),
        RecoveryState::RolledBack => "It was undone.".to_owned(),
        RecoveryState::Stopped => match record.failed() {
            Some(step) => format!("**It stopped at the step `{}`.**", step.step),
            None => "**It stopped.**".to_owned(),
        },
        RecoveryState::Done => match record.facts() {
            Some(facts) if facts.is_within() => "Done, **within the objectives**.".to_owned(),
            _ => "Done, but **not within the objectives**.".to_owned(),
        },
    }
}

fn head(record: &RecoveryRecord, text: &mut String) -> fmt::Result {
    writeln!(text, "| | |\n|---|---|")?;
    let mut row = |name: &str, value: &str| writeln!(text, "| {name} | {} |", cell(value));
    row("id", &record.id.to_string())?;
    row("asked for by", &record.asked_by)?;
    if let Some(head) = &record.journal_head {
        row("journal up to", head)?;
    }
    row("target", &record.target)?;
    row("began", &format!("{:.0}", record.began_at))?;
    if let Some(at) = record.at {
        row("to the moment", &at.to_string())?;
    }
    if let Some(ended_at) = record.ended_at {
        row("ended", &format!("{ended_at:.0}"))?;
    }
    if let Some(backup) = &record.found.backup {
        row("backup", &backup.to_string())?;
    }
    if let Some(sha256) = &record.found.manifest_sha256 {
        row("SHA-256 of its manifest", sha256)?;
    }
    if let Some(data_at) = record.found.data_at {
        row("data of", &format!("{data_at:.0}"))?;
    }
    if let (Some(tables), Some(rows)) = (record.found.tables, record.found.rows) {
        row("restored", &format!("{tables} tables, {rows} rows"))?;
    }
    let against = |ms: Option<u64>, limit: u64| {
        let ms = ms.map_or_else(|| "unknown".to_owned(), duration);
        format!("{ms} (objective: {})", duration(limit))
    };
    row("time to recover", &against(record.rto_ms(), record.objectives.rto_ms))?;
    row("data lost", &against(record.rpo_ms(), record.objectives.rpo_ms))
}

fn steps(steps: &[StepRecord], text: &mut String) -> fmt::Result {
    writeln!(text, "| step | state | time | expected | |\n|---|---|---|---|---|")?;
    for step in steps {
        let state = match step.state {
            StepState::Pending => "not begun",
            StepState::Running => "begun",
            StepState::Done => "done",
            StepState::Failed => "**failed**",
        };
        let ms = |ms: Option<u64>| ms.map(duration).unwrap_or_default();
        writeln!(
            text,
            "| {} | {state} | {} | {} | {} |",
            step.step,
            ms(step.duration_ms),
            ms(step.estimate_ms),
            cell(step.says.as_deref().unwrap_or_default()),
        )?;
    }
    Ok(())
}

/// A text that does not end its cell.
fn cell(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('|', "\\|")
}

/// `1 h 02 min`, `3 min 05 s`, `4.2 s`
pub(super) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{}.{} s", seconds, ms % 1000 / 100),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}
