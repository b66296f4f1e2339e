//! The row proof of COPY text that comes in chunks.

use model::{RowHasher, RowProof};

/// Adds up the proof of rows, of which the last may go on in the next chunk.
pub(super) struct RowScanner<'a> {
    hasher: &'a RowHasher,
    proof: RowProof,
    /// A row that goes on.
    open: Option<model::RowHashState>,
}

impl<'a> RowScanner<'a> {
    pub(super) fn new(hasher: &'a RowHasher) -> Self {
        Self { hasher, proof: RowProof::default(), open: None }
    }

    /// Adds the rows of one chunk. Returns how many rows end in it.
    pub(super) fn scan(&mut self, chunk: &[u8]) -> u64 {
        let before = self.proof.rows;
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            match (piece.strip_suffix(b"\n"), self.open.take()) {
                (Some(row), None) => self.proof.add(self.hasher.hash(row)),
                (Some(end), Some(mut row)) => {
                    row.update(end);
                    self.proof.add(row.digest128());
                }
                (None, row) => {
                    let mut row = row.unwrap_or_else(|| self.hasher.start());
                    row.update(piece);
                    self.open = Some(row);
                }
            }
        }
        self.proof.rows - before
    }

    /// The proof of all rows; nothing when the last one has no end.
    pub(super) fn finish(self) -> Option<RowProof> {
        if self.open.is_some() { None } else { Some(self.proof) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_may_span_chunks() {
        let hasher = RowHasher::new([3; model::ROW_SECRET_BYTES]);
        let text = b"1\ta\n\n22\tb\n333\tc\n";
        let mut whole = RowScanner::new(&hasher);
        assert_eq!(whole.scan(text), 4);
        let expected = whole.finish().unwrap();
        for cut in 1..text.len() {
            let mut parts = RowScanner::new(&hasher);
            let (head, tail) = text.split_at(cut);
            assert_eq!(parts.scan(head) + parts.scan(tail), 4);
            assert_eq!(parts.finish(), Some(expected), "cut at {cut}");
        }
        let mut cut_off = RowScanner::new(&hasher);
        cut_off.scan(b"1\ta\n2");
        assert_eq!(cut_off.finish(), None);
    }
}
