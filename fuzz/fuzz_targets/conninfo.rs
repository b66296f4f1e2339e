//! Connection strings, from whoever writes them: refused or understood, and never shown with their password.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postgres::{ClientEnvironment, ConnectOptions};

fuzz_target!(|text: &str| {
    let environment = ClientEnvironment::from_vars([
        ("HOME".into(), "/nonexistent".into()),
        ("PGPASSWORD".into(), "correct horse battery staple".into()),
    ]);
    if let Ok(options) = ConnectOptions::parse(text, &environment) {
        let shown = format!("{options:?} {} {:?}", options.describe(), options.warnings());
        // Unless it is in the text in another place.
        if !text.contains("horse") && !text.contains('%') {
            assert!(!shown.contains("correct horse"), "{shown}");
        }
        let other = options.with_database("another database");
        assert_eq!(other.database(), "another database");
    }
});
