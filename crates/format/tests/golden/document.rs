//! The whole of `tests/golden/vectors.json`.

use std::fmt::Write as _;

use aws_lc_rs::hmac;
use chronavault_format::{Chunking, Commitment, Head, RootKey, SlotRandom, seal_slot};
use serde_json::{Value, json};

use crate::containers::{self, Encode};
use crate::cuts;
use crate::journal;
use crate::site;
use crate::values::{CREATED_AT, Failed, HOLDER_KEY, REPOSITORY, ROOT_KEYS, holder, keyring};

const ABOUT: [&str; 9] = [
    "Test vectors of the repository format, version 1 (docs/format.md). Byte strings are hexadecimal.",
    "The inputs of `row_hashes` and `cuts` come from a generator with a 64-bit state s, which starts as `seed`.",
    "A draw is: s = (s * 6364136223846793005 + 1442695040888963407) mod 2^64; the value is the new s.",
    "Bytes: one draw each, shifted right by 56.",
    "Rows 0, 1, 2, …: decimal row number, tab, decimal (draw >> 33), tab, n = (draw >> 57) letters, newline.",
    "Each letter is one draw >> 59 as an index into abcdefghijklmnopqrstuvwxyz012345.",
    "The row `long_row`, if any, has 15000 letters z more before its newline.",
    "`cuts` are the offsets after the last byte of each chunk that was ended by a cut; what follows is not listed.",
    "`encoded` is what is sealed in a record, without the base id of a delta.",
];

pub(crate) fn build(encode: &mut dyn Encode) -> Result<Value, Failed> {
    Ok(json!({
        "about": ABOUT,
        "keys": keys()?,
        "slots": slots()?,
        "heads": heads()?,
        "containers": containers::all(encode)?,
        "row_hashes": cuts::row_hashes(),
        "cuts": {"rows": cuts::rows(), "gear": cuts::gear()},
        "journal": journal::build(&hkdf(&ROOT_KEYS[0], &REPOSITORY.0, b"chronavault v1 journal"))?,
        "site_document": site::build()?,
    }))
}

fn keys() -> Result<Value, Failed> {
    let (holder, keyring) = (holder()?, keyring(2));
    let secrets = keyring.secrets();
    let gear: Vec<u8> = secrets.gear().iter().flat_map(|word| word.to_le_bytes()).collect();
    let slot_ids = [1, 2].map(|epoch| holder.slot_id(REPOSITORY, epoch));
    let chunks = [&b""[..], b"abc", &[0x5a; 3000]];
    Ok(json!({
        "holder_key": HOLDER_KEY,
        "repository_id": REPOSITORY,
        "root_keys": ROOT_KEYS.map(hex::encode),
        "slot_ids": slot_ids,
        "commitments": commitments(),
        "row_secret": hex::encode(secrets.row_secret()),
        "gear": hex::encode(gear),
        "chunk_ids": chunks.map(|chunk| json!({"plaintext": hex::encode(chunk), "id": secrets.chunk_id(chunk)})),
    }))
}

fn commitments() -> Vec<Commitment> {
    ROOT_KEYS.iter().zip(1..).map(|(key, epoch)| RootKey::new(*key).commitment(REPOSITORY, epoch)).collect()
}

fn slots() -> Result<Value, Failed> {
    let mut slots = Vec::new();
    for (epoch, root_key) in (1..).zip(ROOT_KEYS) {
        let random = SlotRandom { salt: [0x50; 32], nonce: [u8::try_from(epoch)?; 12] };
        let bytes = seal_slot(&holder()?, REPOSITORY, epoch, &RootKey::new(root_key), &random)?;
        slots.push(json!({
            "epoch": epoch,
            "salt": hex::encode(random.salt),
            "nonce": hex::encode(random.nonce),
            "bytes": hex::encode(bytes),
        }));
    }
    Ok(slots.into())
}

/// The head of a new repository as this program writes it, and one of two epochs, whose MAC is computed here.
fn heads() -> Result<Value, Failed> {
    let one = Head::new(REPOSITORY, CREATED_AT.parse()?, Chunking::default(), &RootKey::new(ROOT_KEYS[0]));
    let mut two: Value = serde_json::from_slice(&one.to_json()?)?;
    let mut message = format!(
        "chronavault\nversion=1\nsuite=1\nrepository_id={REPOSITORY}\ncreated_at={CREATED_AT}\n\
         rows=262144,262144,1048576\narchive=262144,262144,1048576\nregion=524288\n"
    );
    let mut epochs = Vec::new();
    for (commitment, epoch) in commitments().iter().zip(1..) {
        epochs.push(json!({"epoch": epoch, "commitment": commitment}));
        writeln!(message, "epoch={epoch},{commitment}")?;
    }
    two["epochs"] = epochs.into();
    let key = hkdf(&ROOT_KEYS[1], &REPOSITORY.0, b"chronavault v1 head");
    two["head_mac"] = hex::encode(sign(&key, message.as_bytes())).into();
    Ok(json!([String::from_utf8(one.to_json()?)?, two.to_string()]))
}

fn sign(key: &[u8], message: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message)
}

/// 32 bytes of HKDF-SHA256, written from RFC 5869 so as not to test the program with itself.
fn hkdf(key: &[u8], salt: &[u8], info: &[u8]) -> Vec<u8> {
    let extracted = sign(salt, key);
    sign(extracted.as_ref(), &[info, &[1]].concat()).as_ref().to_vec()
}
