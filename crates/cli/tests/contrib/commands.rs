//! Command lines on pages and in rules.

use crate::{assert_understood, chronavault, text_of};

/// Where command lines stand.
const PAGES: [&str; 3] =
    ["docs/operations.md", "docs/monitoring.md", "contrib/prometheus/chronavault.rules.yml"];

/// Words as a shell makes them of a line without expansions.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '|' | '>' | ';') => break,
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// Every command line of ours in a text: lines of code blocks, and what stands between backticks.
fn command_lines(text: &str) -> Vec<String> {
    let blocks = text.lines().filter_map(|line| line.strip_prefix("    ")).map(str::to_owned);
    let inline = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).map(str::to_owned);
    blocks.chain(inline).filter(|line| line.starts_with("chronavault ")).collect()
}

#[test]
fn every_command_line_on_a_page_is_understood() {
    for page in PAGES {
        let lines = command_lines(&text_of(page));
        assert!(!lines.is_empty(), "{page}");
        for line in lines {
            let arguments = words(&line).split_off(1);
            assert_understood(&arguments, page);
        }
    }
}

#[test]
fn the_page_of_operations_has_every_duty() {
    let page = text_of("docs/operations.md");
    let lines = command_lines(&page);
    assert!(lines.len() > 40, "{}", lines.len());
    for command in [
        "backup", "list", "verify", "prune", "delete", "hold", "journal", "wal", "doctor", "keys", "alert",
        "restore",
    ] {
        assert!(lines.iter().any(|line| line.split(' ').nth(1) == Some(command)), "{command}");
    }
    for heading in ["Each day", "Each week", "Each month", "Each quarter", "Each year"] {
        assert!(page.contains(&format!("\n## {heading}\n")), "{heading}");
    }
}

#[test]
fn what_is_made_up_is_found() {
    for line in [
        "prune --dry",
        "verify latest --level deep",
        "keys rotate --now",
        "frobnicate",
        "restore latest --at yesterday",
    ] {
        let asked: Vec<String> = words(line).into_iter().chain(["--help".to_owned()]).collect();
        assert!(!chronavault(&asked).status.success(), "{line}");
    }
}

#[test]
fn a_line_is_taken_apart_as_a_shell_does_it() {
    assert_eq!(words("a 'b c'  \"d\" e#f '' # g"), ["a", "b c", "d", "e#f", ""]);
    assert_eq!(words("a b > c"), ["a", "b"]);
    let text =
        "    chronavault list   # all\nuse `chronavault show x` or `other`, `chronavault`.\n    other\n";
    assert_eq!(command_lines(text), ["chronavault list   # all", "chronavault show x"]);
}
