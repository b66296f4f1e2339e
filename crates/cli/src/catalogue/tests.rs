use std::collections::BTreeSet;

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
