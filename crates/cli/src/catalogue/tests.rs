use std::collections::BTreeSet;
use std::fmt::Write;

use super::*;

#[test]
fn codes_are_unique_words() {
    let mut seen = BTreeSet::new();
    for code in Code::ALL {
        let word = code.as_str();
        assert!(seen.insert(word), "{word} twice");
        assert!(word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_' | b'.')), "{word}");
        assert_ne!(code.exit(), Exit::Done, "{word}");
    }
}

#[test]
fn every_hint_names_an_action() {
    for code in Code::ALL {
        let hint = code.hint();
        assert!(hint.ends_with('.') && hint.len() > 15, "{}: {hint}", code.as_str());
        assert!(hint.starts_with(char::is_uppercase), "{}: {hint}", code.as_str());
    }
}

/// docs/errors.md, from the catalogue.
fn page() -> String {
    let mut page = String::from(INTRODUCTION);
    for code in Code::ALL {
        let hint = code.hint().replace('|', "\\|");
        writeln!(page, "| `{}` | {} | {hint} |", code.as_str(), code.exit() as u8).unwrap();
    }
    page
}

const INTRODUCTION: &str = "\
# Codes of errors

An error is one sentence with a code and a hint: `error[CODE]: …`, `hint: …`, or `error` with `code`, `message` and `hint`
in JSON. Scripts may rely on codes and exit statuses; sentences and hints may get better. A hint may be more exact than
the one that stands here.

Problems that a verification finds have the codes `object.…` of this table, or `restore.failed`, `inventory.differs`,
`table.missing`, `rows.differ`, `foreign_key.violated`; of a physical backup `recovery.label`, `recovery.failed`,
`recovery.damaged`, `page.bad`, `file.missing`, `index.damaged`, `table.unreadable`.

| code | exit status | hint |
|---|---:|---|
";

/// Scripts depend on codes and exit statuses, so that none of them changes without a change on that page.
#[test]
fn the_page_of_errors_is_the_catalogue() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
    if std::env::var_os("CHRONAVAULT_UPDATE_PAGES").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == page(),
        "docs/errors.md is not the catalogue; CHRONAVAULT_UPDATE_PAGES=1 writes it anew"
    );
}
