use repository::HolderKey;

use super::*;

const KEY_DIGITS: &str = "5ec2e7c0ffee1102001122334455667700112233445566778899aabbccddeeff";

fn sheet() -> Sheet {
    let key = HolderKey::parse(KEY_DIGITS).unwrap();
    let facts = [("Repository", "ab".repeat(16)), ("Where", "/srv/<&>".to_owned())];
    Sheet::new(facts, key.to_escrow_lines(), &key.to_hex()).unwrap()
}

#[test]
fn the_whole_text_can_be_read_back() {
    for ink in [Ink::Paper, Ink::Terminal] {
        let text = sheet().text(ink);
        assert_eq!(HolderKey::from_escrow(&text).unwrap().to_hex().as_str(), KEY_DIGITS);
        assert!(
            text.capacity() == SHEET_BYTES && text.contains("recover.py"),
            "the text was moved in memory"
        );
        assert_eq!(text.contains('\x1b'), ink == Ink::Terminal);
        assert!(text.lines().all(|line| line.chars().count() <= 120));
    }
}

/// The modules of a code in half blocks.
fn modules(text: &str) -> Vec<Vec<bool>> {
    let is_code = |line: &&str| line.chars().any(|c| "█▀▄".contains(c));
    let mut rows = Vec::new();
    for line in text.lines().filter(is_code) {
        rows.push(line.chars().map(|c| "█▀".contains(c)).collect());
        rows.push(line.chars().map(|c| "█▄".contains(c)).collect());
    }
    rows
}

#[test]
fn the_code_in_text_and_svg_is_the_code() {
    let sheet = sheet();
    let rows = modules(&sheet.text(Ink::Paper));
    let size = usize::try_from(sheet.code.size()).unwrap();
    let quiet = usize::try_from(QUIET_MODULES).unwrap();
    // Rows of light modules only are not told from empty lines.
    assert_eq!(&rows[0][quiet..quiet + 7], [true; 7], "the finder pattern");
    let mut dark = 0;
    for (y, row) in rows.iter().enumerate().take(size) {
        for x in 0..size {
            let module = sheet.code.get_module(i32::try_from(x).unwrap(), i32::try_from(y).unwrap());
            assert_eq!(row[x + quiet], module, "{x} {y}");
            dark += usize::from(module);
        }
    }
    let svg = sheet.svg();
    assert_eq!(svg.matches("h1v1h-1z").count(), dark);
    assert!(svg.contains("&lt;&amp;&gt;") && svg.capacity() == SHEET_BYTES);
    assert!(svg.contains("1  5ec2 e7c0  cfe3"));
}
