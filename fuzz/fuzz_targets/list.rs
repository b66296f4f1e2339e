//! Lists: what is accepted survives being written again.

#![no_main]

use format::{decode_list, encode_list};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(entries) = decode_list(bytes) {
        let again = encode_list(&entries).expect("what was read can be written");
        assert_eq!(decode_list(&again).expect("what was written can be read"), entries);
    }
});
