//! The settings file as it may be kept elsewhere: passwords are replaced by `…`.
//!
//! Invariant: what cannot be understood is replaced as a whole. Too much is left out rather than too little.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

/// What stands for a secret.
pub(crate) const LEFT_OUT: &str = "…";

/// Where the connection strings of a file are.
#[derive(Deserialize)]
struct Urls {
    #[serde(default)]
    sources: BTreeMap<String, Source>,
}

#[derive(Deserialize)]
struct Source {
    url: Option<Spanned<String>>,
}

/// The text of a settings file without passwords. Connection strings are understood, also with what TOML and URLs escape; everywhere
/// else, in comments too, what looks like a password is replaced.
pub(super) fn without_secrets(text: &str) -> String {
    let urls = toml::from_str::<Urls>(text).map(|urls| urls.sources).unwrap_or_default();
    let urls = urls.into_values().filter_map(|source| source.url);
    let mut places: Vec<(Range<usize>, String)> =
        urls.map(|url| (url.span(), literal(&of_connection(url.get_ref())))).collect();
    places.sort_by_key(|(place, _)| place.start);
    let (mut shown, mut from) = (String::with_capacity(text.len()), 0);
    for (place, url) in places {
        shown.push_str(&lines(&text[from..place.start]));
        shown.push_str(&url);
        from = place.end;
    }
    shown.push_str(&lines(&text[from..]));
    shown
}

/// A connection string without its passwords.
pub(crate) fn of_connection(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) => of_url(scheme, rest),
        None => of_words(text).unwrap_or_else(|| LEFT_OUT.to_owned()),
    }
}

fn of_url(scheme: &str, rest: &str) -> String {
    // A password may have a ? or an @ in it that should be written as %XX; so the last @ counts.
    let (user, rest) = match rest.rsplit_once('@') {
        None => (String::new(), rest),
        Some((userinfo, rest)) => match userinfo.split_once(':') {
            None => (format!("{userinfo}@"), rest),
            Some((user, _)) => (format!("{user}:{LEFT_OUT}@"), rest),
        },
    };
    let Some((place, query)) = rest.split_once('?') else { return format!("{scheme}://{user}{rest}") };
    let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
        // Names can be escaped, too.
        Some((name, _)) if is_secret(name) || name.contains('%') => format!("{name}={LEFT_OUT}"),
        _ => parameter.to_owned(),
    });
    format!("{scheme}://{user}{place}?{}", parameters.collect::<Vec<_>>().join("&"))
}

/// Words as `name = value` or `name = 'va\'lue'`; nothing when they are not.
fn of_words(text: &str) -> Option<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let end = end_of_value(after)?;
        let value = if is_secret(name) { LEFT_OUT } else { &after[..end] };
        words.push(format!("{}={value}", name.trim()));
        rest = after[end..].trim_start();
    }
    Some(words.join(" "))
}

/// Where the value ends that `text` begins with; nothing when its quote is not closed.
fn end_of_value(text: &str) -> Option<usize> {
    let is_quoted = text.starts_with('\'');
    let mut characters = text.char_indices().skip(usize::from(is_quoted));
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '\'' if is_quoted => return Some(at + 1),
            _ if !is_quoted && character.is_whitespace() => return Some(at),
            _ => {}
        }
    }
    (!is_quoted).then_some(text.len())
}

fn is_secret(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    name.ends_with("password") || name.contains("secret") || name.contains("token")
}

/// A text as TOML has it.
fn literal(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Lines without what looks like a password: of a URL, and what follows `password=` up to the end of a text.
fn lines(text: &str) -> String {
    text.split_inclusive('\n').map(line).collect()
}

fn line(line: &str) -> String {
    let (content, end) = match line.strip_suffix('\n') {
        Some(content) => (content, "\n"),
        None => (line, ""),
    };
    after_password(&of_urls(content)) + end
}

/// The userinfo of every URL in a line.
fn of_urls(line: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`');
    let (mut shown, mut rest) = (String::with_capacity(line.len()), line);
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = url.find(is_end).unwrap_or(url.len());
        match url[..end].rsplit_once('@').and_then(|(userinfo, _)| userinfo.split_once(':')) {
            Some((user, _)) => {
                let userinfo = url[..end].rfind('@').unwrap_or(end);
                shown.extend([user, ":", LEFT_OUT, &url[userinfo..end]]);
            }
            None => shown.push_str(&url[..end]),
        }
        rest = &url[end..];
    }
    shown + rest
}

fn after_password(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let mut from = 0;
    while let Some(found) = lower[from..].find("password") {
        let at = from + found + "password".len();
        let rest = &line[at..];
        let after = rest.trim_start().strip_prefix('=');
        if let Some(after) = after {
            let value = line.len() - after.len();
            // Within a text up to its end; else everything.
            let is_text = line[..from + found].contains(['"', '\'']);
            let end = after.rfind('"').filter(|_| is_text).map_or("", |quote| &after[quote..]);
            return format!("{}{LEFT_OUT}{end}", &line[..value]);
        }
        from = at;
    }
    line.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_keeps_everything_but_its_passwords() {
        for (text, expected) in [
            ("postgres://alice@db/books", "postgres://alice@db/books"),
            ("postgres://alice:hunter2@db:5432/books", "postgres://alice:…@db:5432/books"),
            (
                "postgres://alice:hun@ter2?x@db/books?sslmode=require",
                "postgres://alice:…@db/books?sslmode=require",
            ),
            (
                "postgres://db/books?password=hunter2&sslmode=require",
                "postgres://db/books?password=…&sslmode=require",
            ),
            ("postgres://db/books?pass%77ord=hunter2", "postgres://db/books?pass%77ord=…"),
            ("postgres://db/books?sslpassword=hunter2", "postgres://db/books?sslpassword=…"),
            ("host=db password=hunter2 dbname=books", "host=db password=… dbname=books"),
            ("host = db password = 'hun ter2\\'s' dbname='my books'", "host=db password=… dbname='my books'"),
            ("host=db password='hunter2", "…"),
            ("hunter2", "…"),
            ("", ""),
        ] {
            assert_eq!(of_connection(text), expected, "{text}");
        }
    }

    #[test]
    fn a_settings_file_keeps_everything_but_its_passwords() {
        let text = r#"# url = "postgres://u:hunter2@h/d" as of old; PGPASSWORD=hunter2
[sources.books]
url = "postgres://alice:hunter2@db/books"   # the live one
[sources.'more']
url = 'host=db password=hunter2'
[sources.escaped]
url = "postgres\u003a//alice:hunter2@db/\u0062ooks"
receive_wal = true
[hooks]
before_backup = ["curl", "https://u:hunter2@h/x", "--data", "password=hunter2 x", "y"]
[alerts.channels.boss]
type = "email"
password_file = "/etc/chronavault/smtp-password"
"#;
        let shown = without_secrets(text);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("url = \"postgres://alice:…@db/books\"   # the live one\n"), "{shown}");
        assert!(shown.contains("url = \"host=db password=…\"\n"), "{shown}");
        assert!(shown.contains("\"https://u:…@h/x\""), "{shown}");
        assert!(shown.contains("password_file = \"/etc/chronavault/smtp-password\"\n"), "{shown}");
        assert_eq!(shown.lines().count(), text.lines().count());
        // What is kept can be used again, once passwords are where they belong.
        toml::from_str::<super::super::file::Content>(&shown).unwrap();
    }

    #[test]
    fn the_settings_of_the_documentation_are_kept_as_they_are() {
        let text = include_str!("../../../../docs/chronavault.toml");
        assert_eq!(without_secrets(text), text);
    }
}
