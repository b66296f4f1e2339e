//! A key on paper: eight numbered lines with a check each, so that a mistyped line is found (docs/format.md, section 20).
//!
//! Invariant: no error shows any digit of a key.

use std::fmt;

use zeroize::Zeroizing;

use crate::{HolderKey, KEY_BYTES};

/// Lines of a key on paper.
pub const ESCROW_LINES: usize = 8;
/// Digits of the key in a line.
const LINE_DIGITS: usize = 2 * KEY_BYTES / ESCROW_LINES;
/// Digits of the check of a line.
const CHECK_DIGITS: usize = 4;
/// Digits of a group.
const GROUP_DIGITS: usize = 4;

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFault {
    /// It is not there.
    Missing,
    /// It is there more than once.
    Twice,
    /// It has another number of digits than 12.
    Length {
        /// How many characters there are besides spaces.
        found: usize,
    },
    /// Something in it is no hexadecimal digit.
    NoDigit {
        /// Its place among the characters besides spaces, from 1.
        position: usize,
    },
    /// Its check does not fit its digits.
    Check,
}

/// A line that is not what was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MistypedLine {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: LineFault,
}

impl fmt::Display for MistypedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line;
        match self.fault {
            LineFault::Missing => write!(f, "line {line} is missing"),
            LineFault::Twice => write!(f, "line {line} is there twice"),
            LineFault::Length { found } => {
                write!(f, "line {line} has {found} digits instead of {}", LINE_DIGITS + CHECK_DIGITS)
            }
            LineFault::NoDigit { position } => {
                write!(f, "character {position} of line {line} is no hexadecimal digit")
            }
            LineFault::Check => write!(f, "line {line} is mistyped: its check does not fit"),
        }
    }
}

/// Text that is no key from paper.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EscrowError {
    /// There is neither a key of 64 digits nor anything like the lines of a sheet.
    #[error("it is neither the 64 digits of a key nor the {ESCROW_LINES} lines of a recovery sheet")]
    NoKey,
    /// Lines are not what was printed.
    #[error("{}", .lines.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Mistyped {
        /// Which, in order.
        lines: Vec<MistypedLine>,
    },
}

impl HolderKey {
    /// The key as the lines of a sheet: `1  5ec2 e7c0  0a1b`.
    pub fn to_escrow_lines(&self) -> Vec<Zeroizing<String>> {
        let digits = self.to_hex();
        (1..=ESCROW_LINES)
            .map(|number| {
                let own = digits.get((number - 1) * LINE_DIGITS..number * LINE_DIGITS).unwrap_or_default();
                let (first, second) = own.split_at(GROUP_DIGITS);
                Zeroizing::new(format!("{number}  {first} {second}  {:04x}", check(number, own)))
            })
            .collect()
    }

    /// Reads a key that was scanned (64 digits) or typed from a sheet. Spaces, hyphens and the case of letters say nothing, `o`
    /// counts as 0, and `i` and `l` as 1. With line numbers, lines may come in any order, and other lines are passed over;
    /// without, all eight come in order.
    ///
    /// # Errors
    /// [`EscrowError::Mistyped`] names every line that is not what was printed.
    pub fn from_escrow(text: &str) -> Result<Self, EscrowError> {
        let whole = digits_of(text);
        if whole.len() == 2 * KEY_BYTES {
            return Self::parse(&whole).map_err(|_| EscrowError::NoKey);
        }
        let lines = numbered(text);
        if lines.len() < 2 {
            return Err(EscrowError::NoKey);
        }
        let mut key = Zeroizing::new(String::with_capacity(2 * KEY_BYTES));
        let mut faults = Vec::new();
        for line in 1..=ESCROW_LINES {
            let mut found = lines.iter().filter(|(number, _)| *number == line).map(|(_, text)| *text);
            let read = match (found.next(), found.next()) {
                (None, _) => Err(LineFault::Missing),
                (Some(text), None) => read_line(line, text),
                (Some(_), Some(_)) => Err(LineFault::Twice),
            };
            match read {
                Ok(digits) => key.push_str(&digits),
                Err(fault) => faults.push(MistypedLine { line, fault }),
            }
        }
        if !faults.is_empty() {
            return Err(EscrowError::Mistyped { lines: faults });
        }
        Self::parse(&key).map_err(|_| EscrowError::NoKey)
    }
}

/// CRC-16 with the polynomial 0x1021 and the start 0 (`binascii.crc_hqx` of Python) over the number of the line and its digits as
/// ASCII. It sees every change within two neighbouring characters, and two lines that were exchanged.
fn check(number: usize, digits: &str) -> u16 {
    let number = Zeroizing::new(format!("{number}{digits}"));
    number.bytes().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc: u16, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// The lines with their numbers.
fn numbered(text: &str) -> Vec<(usize, &str)> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let with_number: Vec<_> = lines().filter_map(split_number).collect();
    if with_number.is_empty() {
        lines().zip(1..).map(|(text, number)| (number, text)).collect()
    } else {
        with_number
    }
}

/// `3  5ec2 …` or `3. 5ec2 …`
fn split_number(line: &str) -> Option<(usize, &str)> {
    let (number, rest) = line.split_at_checked(1)?;
    let number = number.parse().ok().filter(|number| (1..=ESCROW_LINES).contains(number))?;
    rest.starts_with([' ', '\t', '.', ':', ')']).then(|| (number, rest.trim_start_matches(['.', ':', ')'])))
}

fn read_line(number: usize, text: &str) -> Result<Zeroizing<String>, LineFault> {
    let digits = digits_of(text);
    if let Some(position) = digits.chars().position(|c| !c.is_ascii_hexdigit()) {
        return Err(LineFault::NoDigit { position: position + 1 });
    }
    if digits.len() != LINE_DIGITS + CHECK_DIGITS {
        return Err(LineFault::Length { found: digits.len() });
    }
    let (own, given) = digits.split_at(LINE_DIGITS);
    if u16::from_str_radix(given, 16) == Ok(check(number, own)) {
        Ok(Zeroizing::new(own.to_owned()))
    } else {
        Err(LineFault::Check)
    }
}

/// `text` in lower case without spaces and hyphens, and with the digits for letters that look like them.
fn digits_of(text: &str) -> Zeroizing<String> {
    let mut digits = Zeroizing::new(String::with_capacity(text.len()));
    for c in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
        digits.push(match c.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            c => c,
        });
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> HolderKey {
        HolderKey::parse("5ec2e7c0ffee1102001122334455667700112233445566778899aabbccddeeff").unwrap()
    }

    fn sheet() -> Vec<String> {
        key().to_escrow_lines().iter().map(|line| line.to_string()).collect()
    }

    fn read(text: &str) -> Result<String, EscrowError> {
        HolderKey::from_escrow(text).map(|key| key.to_hex().to_string())
    }

    fn faults(lines: &[String]) -> Vec<(usize, LineFault)> {
        match read(&lines.join("\n")).unwrap_err() {
            EscrowError::Mistyped { lines } => lines.iter().map(|line| (line.line, line.fault)).collect(),
            other @ EscrowError::NoKey => panic!("{other}"),
        }
    }

    #[test]
    fn the_lines_are_those_of_the_document() {
        let lines = sheet();
        assert_eq!(lines.len(), ESCROW_LINES);
        // python3 -c 'import binascii; print("%04x" % binascii.crc_hqx(b"15ec2e7c0", 0))'
        assert_eq!(lines[0], "1  5ec2 e7c0  cfe3");
        assert_eq!(lines[7], "8  ccdd eeff  022b");
    }

    #[test]
    fn what_is_typed_or_scanned_is_read() {
        let expected = Ok(key().to_hex().to_string());
        let lines = sheet();
        assert_eq!(read(&lines.join("\n")), expected);
        assert_eq!(read(&key().to_hex().to_uppercase()), expected);
        assert_eq!(read(&format!("  {}\r\n", key().to_hex().as_str())), expected);
        let mut shuffled = lines.clone();
        shuffled.rotate_left(3);
        assert_eq!(
            read(&format!("A SHEET\nof 2026\n\n{}\n9 of 9 people\n", shuffled.join("\r\n"))),
            expected
        );
        let sloppy: Vec<_> =
            lines.iter().map(|line| line.replacen("  ", ". ", 1).replace("  ", "-")).collect();
        assert_eq!(read(&sloppy.join("\n")), expected);
        let unnumbered: Vec<_> =
            lines.iter().map(|line| line[1..].replace(' ', "").replace("00", "oO")).collect();
        assert_eq!(read(&unnumbered.join("\n")), expected);
    }

    #[test]
    fn every_wrong_digit_and_every_exchange_is_found_at_its_line() {
        let lines = sheet();
        for line in 0..ESCROW_LINES {
            let places: Vec<_> = (3..lines[line].len()).filter(|at| &lines[line][*at..=*at] != " ").collect();
            for at in &places {
                for digit in
                    "0123456789abcdef".chars().filter(|digit| !lines[line][*at..].starts_with(*digit))
                {
                    let mut changed = lines.clone();
                    changed[line].replace_range(*at..=*at, &digit.to_string());
                    assert_eq!(faults(&changed), [(line + 1, LineFault::Check)], "{at}");
                }
            }
            for pair in places.windows(2) {
                let mut changed = lines.clone();
                let (first, second) = (lines[line].as_bytes()[pair[0]], lines[line].as_bytes()[pair[1]]);
                if first == second {
                    continue;
                }
                changed[line].replace_range(pair[0]..=pair[0], &char::from(second).to_string());
                changed[line].replace_range(pair[1]..=pair[1], &char::from(first).to_string());
                assert_eq!(faults(&changed), [(line + 1, LineFault::Check)], "{pair:?}");
            }
        }
        // The content of two lines exchanged.
        let mut changed = lines.clone();
        changed[2] = format!("3{}", &lines[4][1..]);
        changed[4] = format!("5{}", &lines[2][1..]);
        assert_eq!(faults(&changed), [(3, LineFault::Check), (5, LineFault::Check)]);
    }

    #[test]
    fn every_other_fault_is_named() {
        let with = |line: usize, text: &str| {
            let mut lines = sheet();
            text.clone_into(&mut lines[line - 1]);
            faults(&lines)
        };
        assert_eq!(with(4, ""), [(4, LineFault::Missing)]);
        assert_eq!(with(4, "4 5ec2 e7c 10a3"), [(4, LineFault::Length { found: 11 })]);
        assert_eq!(with(4, "4 5ec2 e7cx 10a3"), [(4, LineFault::NoDigit { position: 8 })]);
        assert_eq!(with(4, &sheet()[2]), [(3, LineFault::Twice), (4, LineFault::Missing)]);
        for text in ["", "hello", "5ec2 e7c0", &"a".repeat(63)] {
            assert_eq!(read(text), Err(EscrowError::NoKey), "{text}");
        }
    }
}
