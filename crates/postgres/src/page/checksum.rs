//! The data checksum.

/// Sums that run beside each other (`N_SUMS`), so that the compiler makes vector instructions of them.
const SUMS: usize = 32;
/// Bytes that all sums take in one step.
const ROW_BYTES: usize = SUMS * 4;
/// The multiplier of FNV-1a.
const FNV_PRIME: u32 = 16_777_619;
/// Where each sum begins (`checksumBaseOffsets`).
const OFFSETS: [u32; SUMS] = [
    0x5B1F_36E9,
    0xB852_5960,
    0x02AB_50AA,
    0x1DE6_6D2A,
    0x79FF_467A,
    0x9BB9_F8A3,
    0x217E_7CD2,
    0x83E1_3D2C,
    0xF8D4_474F,
    0xE39E_B970,
    0x42C6_AE16,
    0x9932_16FA,
    0x7B09_3B5D,
    0x98DA_FF3C,
    0xF718_902A,
    0x0B1C_9CDB,
    0xE58F_764B,
    0x1876_36BC,
    0x5D7B_3BB1,
    0xE73D_E7DE,
    0x92BE_C979,
    0xCCA6_C0B2,
    0x304A_0979,
    0x85AA_43D4,
    0x7831_25BB,
    0x6CA8_EAA2,
    0xE407_EAC6,
    0x4B5C_FC3E,
    0x9FBF_8C76,
    0x15CA_20BE,
    0xF2CA_9FD3,
    0x959B_D756,
];

/// The checksum that the page should have in its head as the block `block` of its relation. What it has there does not count. The
/// size of a page is a multiple of 128 bytes.
pub fn checksum(page: &[u8], block: u32) -> u16 {
    let mut sums = OFFSETS;
    let (rows, _) = page.as_chunks::<ROW_BYTES>();
    if let Some((first, rest)) = rows.split_first() {
        let mut first = *first;
        first[super::CHECKSUM_AT] = 0;
        first[super::CHECKSUM_AT + 1] = 0;
        mix(&mut sums, &first);
        for row in rest {
            mix(&mut sums, row);
        }
    }
    for _ in 0..2 {
        mix(&mut sums, &[0; ROW_BYTES]);
    }
    let folded = sums.iter().fold(block, |folded, sum| folded ^ sum);
    // Never 0: the server adds one.
    u16::try_from(folded % 0xffff + 1).unwrap_or(u16::MAX)
}

/// Takes one number into each sum.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the sums have to stay in registers")]
fn mix(sums: &mut [u32; SUMS], row: &[u8; ROW_BYTES]) {
    let (numbers, _) = row.as_chunks::<4>();
    for (sum, number) in sums.iter_mut().zip(numbers) {
        let mixed = *sum ^ u32::from_le_bytes(*number);
        *sum = mixed.wrapping_mul(FNV_PRIME) ^ (mixed >> 17);
    }
}
