//! The recovery sheet: a key on paper, with what one must know to use it.
//!
//! Invariant: what is rendered here is the one output that holds a key, and is kept in memory that is wiped. No line of the text but
//! those of the key begins with a number from 1 to 8, so that the whole text can be read back.

mod svg;

use std::fmt::Write;

use qrcodegen::{QrCode, QrCodeEcc};
use zeroize::Zeroizing;

use crate::catalogue::Code;
use crate::failure::Failure;

/// Light modules around the code, on each side (ISO/IEC 18004, section 5.3.8).
const QUIET_MODULES: i32 = 4;
/// More bytes than a sheet has, so that its text is never moved in memory.
const SHEET_BYTES: usize = 256 << 10;

/// What the sheet is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// A terminal, whose background may be dark.
    Terminal,
    /// Paper: light, and characters are dark.
    Paper,
}

/// One key with what goes with it.
pub(crate) struct Sheet {
    facts: Vec<(&'static str, String)>,
    lines: Vec<Zeroizing<String>>,
    code: QrCode,
}

const WARNING: &str = "\
Whoever has this sheet and the repository reads every backup. Keep it in a safe place
apart from the repository: without this key, nobody ever reads a backup again.";

const KEY: &str = "\
The key: 64 hexadecimal digits, two groups of four in each line. The last group of a line
checks the line and is no part of the key. The code holds the 64 digits.";

const TEST: &str = "\
To test this sheet:  chronavault keys escrow --check  (type the lines, or scan the code)";

const USE: &str = "\
To use the key, put the 64 digits into a file that only you can read:
    (umask 077; cat > keyfile)      type the digits and Enter, then Ctrl-D
    export BACKUP_ENCRYPTION_KEY_FILE=$PWD/keyfile

With Chronavault:
    chronavault list --directory DIR            the repository is DIR/isolated
    chronavault restore latest --directory DIR --to postgres://... --create

Without it, with stock tools: Python with cryptography and zstandard, PostgreSQL, and
recover.py, which lies in tools/ of Chronavault and should lie beside the repository:
    ls REPOSITORY | grep 'manifest$' | sort -r
    (cd REPOSITORY && sha256sum -c BACKUP.sha256)
    python3 recover.py REPOSITORY BACKUP OUT
    psql -X -d postgres -f OUT/globals.sql      roles, on a new server
    OUT/load.sh DATABASE                        of a physical backup: OUT/start.sh

To check a line without Chronavault, type its number and its 8 digits without spaces into
    python3 -c 'import binascii; print(\"%04x\" % binascii.crc_hqx(input().encode(), 0))'";

impl Sheet {
    /// A sheet with these lines of the key, which is `digits`.
    pub(crate) fn new(
        facts: impl IntoIterator<Item = (&'static str, String)>,
        lines: Vec<Zeroizing<String>>,
        digits: &Zeroizing<String>,
    ) -> Result<Self, Failure> {
        // Capital letters make a smaller code, in the alphanumeric mode.
        let digits = Zeroizing::new(digits.to_ascii_uppercase());
        let code = QrCode::encode_text(&digits, QrCodeEcc::Quartile)
            .map_err(|error| Failure::because(Code::Internal, &error))?;
        Ok(Self { facts: facts.into_iter().collect(), lines, code })
    }

    /// The sheet as text.
    pub(crate) fn text(&self, ink: Ink) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(SHEET_BYTES));
        let _ = writeln!(*text, "CHRONAVAULT RECOVERY SHEET\n\n{WARNING}\n");
        for (name, value) in &self.facts {
            let _ = writeln!(*text, "  {name:<11} {value}");
        }
        let _ = writeln!(*text, "\n{KEY}\n");
        for line in &self.lines {
            let _ = writeln!(*text, "    {}", line.as_str());
        }
        text.push('\n');
        self.write_code(&mut text, ink);
        let _ = writeln!(*text, "\n{TEST}\n\n{USE}");
        text
    }

    /// The code in half blocks: a character is two modules, one above the other.
    fn write_code(&self, text: &mut String, ink: Ink) {
        let range = -QUIET_MODULES..self.code.size() + QUIET_MODULES;
        for y in range.clone().step_by(2) {
            // On a terminal, colours make sure that dark is dark.
            if ink == Ink::Terminal {
                text.push_str("\x1b[30;107m");
            }
            for x in range.clone() {
                text.push(match (self.code.get_module(x, y), self.code.get_module(x, y + 1)) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                });
            }
            if ink == Ink::Terminal {
                text.push_str("\x1b[0m");
            }
            text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests;
