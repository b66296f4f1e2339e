//! What the test vectors are made of. Everything follows from constants, so that a reader in another language can make
//! the inputs again.

use chronavault_format::{HolderKey, Keyring, RepositoryId, RootKey};

pub(crate) type Failed = Box<dyn std::error::Error>;

pub(crate) const HOLDER_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
pub(crate) const REPOSITORY: RepositoryId =
    RepositoryId(*b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef");
pub(crate) const ROOT_KEYS: [[u8; 32]; 2] = [[0xa1; 32], [0xb2; 32]];
pub(crate) const CREATED_AT: &str = "2026-11-23T12:00:00Z";
pub(crate) const BACKUP: &str = "backup-2026-11-23-120000-abc123";

/// The generator that the file describes: 64-bit LCG, each draw the new state.
pub(crate) struct Lcg(pub(crate) u64);

impl Lcg {
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0
    }

    /// Bytes: the top 8 bits of each draw.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.draw().to_be_bytes()[0]).collect()
    }

    /// Row `number`: its number, a number, and a text of up to 127 letters, with tabs between and a newline at the end.
    pub(crate) fn row(&mut self, number: usize) -> Vec<u8> {
        let mut row = format!("{number}\t{}\t", self.draw() >> 33).into_bytes();
        let letters = self.draw() >> 57;
        row.extend((0..letters).map(|_| b"abcdefghijklmnopqrstuvwxyz012345"[(self.draw() >> 59) as usize]));
        row.push(b'\n');
        row
    }
}

pub(crate) fn holder() -> Result<HolderKey, Failed> {
    Ok(HolderKey::parse(HOLDER_KEY)?)
}

/// The keys of a repository that has `epochs` of the two epochs.
pub(crate) fn keyring(epochs: usize) -> Keyring {
    let later = ROOT_KEYS[1..epochs].iter().map(|key| RootKey::new(*key)).collect();
    Keyring::new(REPOSITORY, RootKey::new(ROOT_KEYS[0]), later)
}

/// The rows of the base chunk of the sample pack.
pub(crate) fn base_rows() -> Vec<u8> {
    let mut lcg = Lcg(1);
    (0..24).flat_map(|number| lcg.row(number)).collect()
}

/// The same rows, but for one that is gone and one that was changed.
pub(crate) fn changed_rows() -> Vec<u8> {
    let mut lcg = Lcg(1);
    let rows = (0..24).map(|number| (number, lcg.row(number)));
    rows.filter(|(number, _)| *number != 7)
        .flat_map(|(number, row)| if number == 12 { b"12\t0\tchanged\n".to_vec() } else { row })
        .collect()
}

/// A region of a file.
pub(crate) fn region() -> Vec<u8> {
    Lcg(3).bytes(1024)
}

/// The region with two bytes changed; that and longer; that and shorter.
pub(crate) fn changed_regions() -> [Vec<u8>; 3] {
    let mut changed = region();
    changed[100] ^= 0xff;
    changed[700] ^= 0x01;
    let longer = [&changed[..], b"what was added"].concat();
    let shorter = changed[..701].to_vec();
    [changed, longer, shorter]
}
