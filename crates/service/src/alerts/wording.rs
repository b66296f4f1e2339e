//! How findings read.

use jiff::{SignedDuration, Timestamp};
use model::Kind;

/// `text` in one line, without control characters, and without what looks like a password.
pub(super) fn without_secrets(text: &str) -> String {
    let words = text.split(|c: char| c.is_control() || c == ' ').filter(|word| !word.is_empty());
    words.map(without_secret).collect::<Vec<_>>().join(" ")
}

fn without_secret(word: &str) -> String {
    if let Some((scheme, rest)) = word.split_once("://")
        && let Some((user, host)) = rest.rsplit_once('@')
    {
        let user = user.split(':').next().unwrap_or_default();
        return without_parameter(&format!("{scheme}://{user}:…@{host}"));
    }
    without_parameter(word)
}

fn without_parameter(word: &str) -> String {
    match word.split_once("password=") {
        Some((before, _)) => format!("{before}password=…"),
        None => word.to_owned(),
    }
}

/// A span of time: `40 s`, `12 min`, `3 h 20 min`, `4 days`.
pub(super) fn span(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..172_800 if minutes % 60 == 0 => format!("{hours} h"),
        3600..172_800 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{} days", hours / 24),
    }
}

/// A moment in UTC to the second.
pub(super) fn time(time: Timestamp) -> String {
    format!("{time:.0}")
}

/// `"books" (logical)`.
pub(super) fn series(source: Option<&str>, kind: Option<Kind>) -> String {
    let source = source.map_or_else(|| "a source without a name".to_owned(), |name| format!("{name:?}"));
    match kind {
        Some(kind) => format!("{source} ({kind})"),
        None => source,
    }
}

/// The options that choose a source and kind: ` --source books --kind logical`, or nothing.
pub(super) fn options(source: Option<&str>, kind: Option<Kind>) -> String {
    let source = source.map(|name| format!(" --source {}", argument(name))).unwrap_or_default();
    let kind = kind.map(|kind| format!(" --kind {kind}")).unwrap_or_default();
    source + &kind
}

/// A word as a shell takes it.
pub(super) fn argument(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, text) in [
            (-5, "0 s"),
            (59, "59 s"),
            (720, "12 min"),
            (7200, "2 h"),
            (12_060, "3 h 21 min"),
            (172_800, "2 days"),
            (700_000, "8 days"),
        ] {
            assert_eq!(span(SignedDuration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn passwords_are_left_out() {
        for (text, clean) in [
            ("a\n b\x1b[31m.", "a b [31m."),
            ("at postgres://u:hunter2@h/d now", "at postgres://u:…@h/d now"),
            ("https://u:p@hunter2@h/x?password=hunter2", "https://u:…@h/x?password=…"),
            ("host=h password=hunter2 x", "host=h password=… x"),
        ] {
            assert_eq!(without_secrets(text), clean);
        }
    }

    #[test]
    fn arguments_are_quoted_where_a_shell_needs_it() {
        assert_eq!(options(Some("books"), Some(Kind::Logical)), " --source books --kind logical");
        assert_eq!(argument("it's"), r"'it'\''s'");
    }
}
