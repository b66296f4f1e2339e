//! Cut points and row hashes of generated streams.

use chronavault_format::{CutSizes, GearCutter, RowCutter};
use model::{RowHasher, RowProof};
use serde_json::{Value, json};

use crate::values::{Lcg, keyring};

const SMALL: CutSizes = CutSizes { min_bytes: 2048, spread_bytes: 4096, max_bytes: 6000 };
const DEFAULT: CutSizes = CutSizes { min_bytes: 262_144, spread_bytes: 262_144, max_bytes: 1_048_576 };

fn hasher() -> RowHasher {
    RowHasher::new(keyring(1).secrets().row_secret())
}

/// Hashes of rows of many lengths: XXH3 treats up to 16, 128, 240 and more bytes differently.
pub(crate) fn row_hashes() -> Value {
    let lengths =
        [0, 1, 3, 4, 8, 9, 16, 17, 32, 33, 64, 96, 97, 128, 129, 160, 240, 241, 512, 1024, 1025, 5000];
    let mut proof = RowProof::default();
    let rows: Vec<_> = lengths
        .into_iter()
        .map(|length| {
            let hash = hasher().hash(&Lcg(length as u64).bytes(length));
            proof.add(hash);
            json!({"seed": length, "length": length, "hash": format!("{hash:032x}")})
        })
        .collect();
    json!({"rows": rows, "proof": proof, "key_hash": {"row": "12\tx\n", "hash": format!("{:016x}", hasher().key_hash(b"12\tx\n"))}})
}

pub(crate) fn rows() -> Value {
    json!([row_cuts(SMALL, 2, 1500, Some(700)), row_cuts(DEFAULT, 3, 36_000, None)])
}

/// Ends of the chunks of `count` generated rows; row `long` has 15,000 letters more.
fn row_cuts(sizes: CutSizes, seed: u64, count: usize, long: Option<usize>) -> Value {
    let (hasher, cutter, mut lcg) = (hasher(), RowCutter::new(sizes), Lcg(seed));
    let (mut ends, mut end, mut start) = (Vec::new(), 0, 0);
    for number in 0..count {
        let mut row = lcg.row(number);
        if long == Some(number) {
            row.pop();
            row.extend([b'z'; 15_000]);
            row.push(b'\n');
        }
        if row.len() > cutter.max_bytes() {
            ends.extend((end > start).then_some(end));
            ends.extend((1..=row.len() / cutter.max_bytes()).map(|piece| end + piece * cutter.max_bytes()));
            end += row.len();
            ends.extend((ends.last() != Some(&end)).then_some(end));
            start = end;
            continue;
        }
        end += row.len();
        if cutter.cut_after(end - start, row.len(), hasher.hash(&row[..row.len() - 1])) {
            ends.push(end);
            start = end;
        }
    }
    json!({"sizes": sizes, "seed": seed, "rows": count, "long_row": long, "bytes": end, "cuts": ends})
}

pub(crate) fn gear() -> Value {
    let small = CutSizes { max_bytes: 12_000, ..SMALL };
    json!([gear_cuts(small, 4, 100_000), gear_cuts(DEFAULT, 5, 3_000_000)])
}

fn gear_cuts(sizes: CutSizes, seed: u64, length: usize) -> Value {
    let data = Lcg(seed).bytes(length);
    let mut cutter = GearCutter::new(sizes, keyring(1).secrets());
    let (mut ends, mut end) = (Vec::new(), 0);
    while let Some(cut) = cutter.find_cut(&data[end..]) {
        end += cut;
        ends.push(end);
    }
    json!({"sizes": sizes, "seed": seed, "bytes": length, "cuts": ends})
}
