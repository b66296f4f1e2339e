//! `<backup-id>.sha256`: what `sha256sum -c` reads (docs/format.md, section 10).

use std::fmt::Write as _;

use crate::Sha256;

/// The lines for objects given by key and hash, sorted by key.
pub fn render_checksums(objects: &[(String, Sha256)]) -> String {
    let mut sorted: Vec<_> = objects.iter().collect();
    sorted.sort();
    sorted.into_iter().fold(String::new(), |mut text, (key, hash)| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{hash}  {key}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sorted_and_as_sha256sum_writes_them() {
        let text = render_checksums(&[("b".into(), Sha256([1; 32])), ("a".into(), Sha256([2; 32]))]);
        assert_eq!(text, format!("{}  a\n{}  b\n", "02".repeat(32), "01".repeat(32)));
    }
}
