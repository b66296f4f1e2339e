//! What the parser of the command line has to say: help, the version, or one sentence about what is not understood.

use std::ffi::{OsStr, OsString};

use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::args::{Cli, GlobalArgs};
use crate::catalogue::Code;
use crate::environment::Environment;
use crate::failure::{Exit, Failure, one_line};
use crate::screen::Screen;

/// Prints help where it was asked for, else the failure.
pub(crate) fn explain(error: &clap::Error, arguments: &[OsString], environment: &Environment) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that goes away in the middle of the help needs no message.
            let _ = error.print();
            Exit::Done
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            Exit::Usage
        }
        _ => {
            let json = arguments
                .iter()
                .take_while(|argument| *argument != "--")
                .any(|argument| argument == "--json");
            Screen::new(&GlobalArgs { json, ..GlobalArgs::default() }, environment)
                .failure(&failure(error, arguments))
        }
    }
}

fn failure(error: &clap::Error, arguments: &[OsString]) -> Failure {
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n");
    let first = paragraphs.next().unwrap_or_default();
    let message = one_line(first.strip_prefix("error: ").unwrap_or(first));
    let tip = paragraphs.find_map(|paragraph| paragraph.trim().strip_prefix("tip: ")).map(one_line);
    let help = match command_name(arguments) {
        Some(name) => format!("Run `chronavault {name} --help`."),
        None => Code::Usage.hint().to_owned(),
    };
    let hint = match tip {
        Some(tip) => format!("{}{}. {help}", tip[..1].to_uppercase(), &tip[1..]),
        None => help,
    };
    let shown = |text: &str| without_keys(&redact(text));
    Failure::new(Code::Usage, shown(&message)).with_hint(shown(&hint))
}

/// The command that was meant.
fn command_name(arguments: &[OsString]) -> Option<String> {
    let command = Cli::command();
    let names = || command.get_subcommands().map(clap::Command::get_name);
    let given = |name: &str| arguments.iter().skip(1).any(|argument| argument == OsStr::new(name));
    names().find(|name| given(name)).map(str::to_owned)
}

/// `text` without the passwords of connection strings that ended up in the wrong place.
pub(crate) fn redact(text: &str) -> String {
    text.split(' ').map(redact_word).collect::<Vec<_>>().join(" ")
}

/// Longer runs of hexadecimal digits than a slot id has are taken for a key.
const SLOT_ID_DIGITS: usize = 32;

/// `text` without keys that ended up on the command line. (Names of packs are as long; they are no matter for the parser.)
fn without_keys(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for run in text.split_inclusive(|c: char| !c.is_ascii_hexdigit()) {
        let digits = run.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
        if digits.len() > SLOT_ID_DIGITS {
            shown.push('…');
            shown.push_str(&run[digits.len()..]);
        } else {
            shown.push_str(run);
        }
    }
    shown
}

fn redact_word(word: &str) -> String {
    if let Some((scheme, rest)) = word.split_once("://")
        && let Some((userinfo, host)) = rest.rsplit_once('@')
    {
        let user = userinfo.split(':').next().unwrap_or_default();
        return redact_parameter(&format!("{scheme}://{user}:…@{host}"));
    }
    redact_parameter(word)
}

fn redact_parameter(word: &str) -> String {
    match word.split_once("password=") {
        Some((before, _)) => format!("{before}password=…"),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn explained(arguments: &[&str]) -> Failure {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        failure(&Cli::try_parse_from(&arguments).unwrap_err(), &arguments)
    }

    #[test]
    fn the_sentence_and_the_command_are_named() {
        let failure = explained(&["chronavault", "restore", "latest"]);
        assert_eq!(failure.message, "the following required arguments were not provided: --to <URL>");
        assert_eq!(failure.hint(), "Run `chronavault restore --help`.");
        let failure = explained(&["chronavault", "bakcup"]);
        assert_eq!(failure.message, "unrecognized subcommand 'bakcup'");
        assert!(failure.hint().contains("'backup'"), "{}", failure.hint());
    }

    #[test]
    fn a_misplaced_key_is_not_repeated() {
        let key = "5ec2e7c0".repeat(8);
        for arguments in
            [&["remove", key.as_str()][..], &["list", &key], &["add", "--from", "x", &key], &[&key]]
        {
            let failure = explained(&[&["chronavault", "keys"], arguments].concat());
            assert!(
                !failure.message.contains("5ec2") && failure.message.contains('…'),
                "{}",
                failure.message
            );
            assert!(!failure.hint().contains("5ec2"), "{}", failure.hint());
        }
        let slot = "5ec2e7c0".repeat(4);
        assert!(explained(&["chronavault", "keys", "list", &slot]).message.contains(&slot));
    }

    #[test]
    fn a_misplaced_password_is_not_repeated() {
        for word in
            ["postgres://u:hunter2@h/d", "postgres://u:p@hunter2@h/d", "postgres://h/d?password=hunter2"]
        {
            let failure = explained(&["chronavault", "restore", "latest", "--to", "x", word]);
            assert!(failure.message.contains("postgres://"), "{}", failure.message);
            assert!(!failure.message.contains("hunter2"), "{}", failure.message);
        }
        let failure = explained(&["chronavault", "show", "host=h password=hunter2 dbname=d"]);
        assert!(!failure.message.contains("hunter2"), "{}", failure.message);
    }
}
