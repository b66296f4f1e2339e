//! Manifests and proofs that were sealed by somebody who has the key: what is accepted can be sealed again and is the same.

#![no_main]

use format::{Codec, ContainerBuilder, ContainerKind, Keyring, Manifest, NewRecord, Proof, RecordType};
use libfuzzer_sys::fuzz_target;
use model::BackupId;

/// The container that holds `text` alone.
fn seal(kind: ContainerKind, record_type: RecordType, text: &[u8], keyring: &Keyring) -> Vec<u8> {
    let mut builder =
        ContainerBuilder::new(kind, keyring, [3; 32], Vec::new()).expect("a container can be begun");
    let record = NewRecord {
        record_type,
        codec: Codec::Stored,
        plain_len: text.len() as u32,
        id: keyring.secrets().chunk_id(text),
        base: None,
        body: text,
    };
    builder.append(&record).expect("an input is much smaller than a container may be");
    builder.finish().expect("a container can be ended").bytes
}

fuzz_target!(|text: &[u8]| {
    let keyring = chronavault_fuzz::keyring();
    let id: BackupId = "backup-2026-11-23-120000-abc123".parse().expect("it is an id");
    let mut bytes = seal(ContainerKind::Manifest, RecordType::Manifest, text, &keyring);
    if let Ok(manifest) = Manifest::open(&mut bytes, &id, &keyring) {
        let mut again = manifest.seal(&keyring, [4; 32]).expect("what was accepted can be sealed").bytes;
        assert_eq!(Manifest::open(&mut again, &id, &keyring).as_ref(), Ok(&manifest));
    }
    let mut bytes = seal(ContainerKind::Proof, RecordType::Proof, text, &keyring);
    if let Ok(proof) = Proof::open(&mut bytes, &id, &keyring) {
        let mut again = proof.seal(&keyring, [4; 32]).expect("what was accepted can be sealed").bytes;
        assert_eq!(Proof::open(&mut again, &id, &keyring), Ok(proof));
    }
});
