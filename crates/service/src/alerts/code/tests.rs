use std::collections::BTreeSet;
use std::fmt::Write;

use super::*;

#[test]
fn codes_are_unique_words_that_are_read_again() {
    let mut seen = BTreeSet::new();
    for code in AlertCode::ALL {
        let word = code.as_str();
        assert!(seen.insert(word), "{word} twice");
        assert!(word.strip_prefix("alert.").is_some_and(|rest| !rest.is_empty()), "{word}");
        assert!(word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_' | b'.')), "{word}");
        assert_eq!(word.parse::<AlertCode>().unwrap(), *code);
        assert!(code.meaning().ends_with('.') && code.action().ends_with('.'), "{word}");
    }
    assert!("alert.x".parse::<AlertCode>().is_err());
}

/// The table of docs/alerts.md, from the codes.
fn table() -> String {
    let mut table = String::from("| code | severity | meaning | what to do |\n|---|---|---|---|\n");
    for code in AlertCode::ALL {
        let cells = [code.severity(), code.meaning(), code.action()].map(|cell| cell.replace('|', "\\|"));
        writeln!(table, "| `{code}` | {} |", cells.join(" | ")).unwrap();
    }
    table
}

/// Scripts and runbooks depend on the codes, so that none of them changes without a change on that page.
#[test]
fn the_page_of_alerts_has_the_table_of_codes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/alerts.md");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    let is_table = |line: &&str| line.starts_with('|');
    let is_code = |line: &&str| line.starts_with("| code | severity");
    let found: String =
        written.split_inclusive('\n').skip_while(|line| !is_code(line)).take_while(is_table).collect();
    if std::env::var_os("CHRONAVAULT_UPDATE_PAGES").is_some() && !found.is_empty() {
        std::fs::write(path, written.replace(&found, &table())).unwrap();
        return;
    }
    assert!(
        found == table(),
        "the table of docs/alerts.md is not that of the codes; CHRONAVAULT_UPDATE_PAGES=1 writes it anew"
    );
}
