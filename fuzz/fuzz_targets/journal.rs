//! Lines of journals that somebody without the key has written, read as a file of one: nothing panics, and no line is believed. What can
//! be read without a key can be sealed, and is then the same.

#![no_main]

use format::{FormatError, JournalChain, JournalEntry, JournalId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let keyring = chronavault_fuzz::keyring();
    let key = keyring.secrets().journal_key();
    let mut chain = JournalChain::new(key, keyring.repository(), JournalId([3; 8]));
    for line in text.split(|byte| *byte == b'\n') {
        let (entry, _) = chain.follow(line);
        assert!(entry.is_none(), "an entry was made up");
        let Ok(entry) = JournalEntry::read(line) else { continue };
        match entry.seal(key) {
            Ok(sealed) => {
                let sealed = sealed.strip_suffix(b"\n").expect("a line ends with a newline");
                assert_eq!(JournalEntry::open(sealed, key), Ok(entry));
            }
            // It may be longer when it is written anew.
            Err(error) => assert!(matches!(error, FormatError::Limit { .. }), "{error}"),
        }
    }
    chain.finish(true);
});
