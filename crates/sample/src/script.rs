//! SQL text in named steps.
//!
//! A line `-- step: NAME` begins a step; `(since N)` in the name means that it is for PostgreSQL N and newer. A step
//! travels in one message and so is one transaction. `:name` stands for a value, inside quotes too, because a script
//! also writes the bodies of functions.

use postgres::Client;

use crate::SampleError;

const MARK: &str = "-- step: ";

/// One step of a script.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step<'a> {
    /// What it makes, in words.
    pub(crate) name: &'a str,
    /// The oldest major version that can run it.
    pub(crate) since: u32,
    /// Its statements.
    pub(crate) sql: &'a str,
}

/// The steps of a script, in order. Text before the first step is a comment.
pub(crate) fn steps(text: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut rest = text;
    while let Some(at) = next_mark(rest) {
        let body = &rest[at + MARK.len()..];
        let (title, sql) = body.split_once('\n').unwrap_or((body, ""));
        let (name, since) = match title.split_once(" (since ") {
            Some((name, version)) => (name, version.trim_end_matches(')').parse().unwrap_or(u32::MAX)),
            None => (title, 0),
        };
        let end = next_mark(sql).unwrap_or(sql.len());
        steps.push(Step { name, since, sql: &sql[..end] });
        rest = &sql[end..];
    }
    steps
}

/// Where the next line that begins a step is.
fn next_mark(text: &str) -> Option<usize> {
    if text.starts_with(MARK) {
        return Some(0);
    }
    text.find(&format!("\n{MARK}")).map(|newline| newline + 1)
}

/// Puts values in the place of `:name`; `::` and unknown names stay.
pub(crate) fn fill(sql: &str, values: &[(&str, String)]) -> String {
    let mut filled = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(colon) = rest.find(':') {
        let (before, after) = (&rest[..colon], &rest[colon + 1..]);
        filled.push_str(before);
        let name_length = after.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(after.len());
        let (name, tail) = after.split_at(name_length);
        match values.iter().find(|(known, _)| *known == name) {
            Some((_, value)) if !filled.ends_with(':') => filled.push_str(value),
            _ => {
                filled.push(':');
                filled.push_str(name);
            }
        }
        rest = tail;
    }
    filled.push_str(rest);
    filled
}

/// Runs a script on a server, leaving out the steps that its version cannot run. `progress` hears of each step before it runs.
pub(crate) fn run(
    client: &mut Client,
    text: &str,
    values: &[(&str, String)],
    progress: &mut dyn FnMut(&str),
) -> Result<(), SampleError> {
    let major = client.server_major();
    for step in steps(text).iter().filter(|step| step.since <= major) {
        progress(step.name);
        client
            .execute(&fill(step.sql, values))
            .map_err(|source| SampleError::Step { step: step.name.to_owned(), source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_end_where_the_next_begins_and_know_their_version() {
        let text = "-- about\n\n-- step: one\nselect 1;\n-- a comment\n-- step: two (since 15)\nselect 2;\nselect 3;\n";
        assert_eq!(
            steps(text),
            [
                Step { name: "one", since: 0, sql: "select 1;\n-- a comment\n" },
                Step { name: "two", since: 15, sql: "select 2;\nselect 3;\n" },
            ]
        );
    }

    #[test]
    fn values_replace_names_but_not_casts() {
        let values = [("n", "7".to_owned()), ("day", "x".to_owned())];
        assert_eq!(
            fill("4*:n::bigint, g::n, ':day', ':days', 10:20, a:", &values),
            "4*7::bigint, g::n, 'x', ':days', 10:20, a:"
        );
    }
}
