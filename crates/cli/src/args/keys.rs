//! `keys`: what its parts take. No key is ever an argument; files and standard input hold them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use repository::KeyLabel;

use super::examples;

/// The parts of `keys`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum KeysCommand {
    /// Show which keys open the repository, how old they are, and which one is in use.
    #[command(after_help = examples::KEYS_LIST)]
    List,
    /// Give a second key access to everything that the key in use opens.
    #[command(after_help = examples::KEYS_ADD)]
    Add(KeysAddArgs),
    /// Replace the key in use by a new one, and seal what is written from now on under a new root key.
    #[command(after_help = examples::KEYS_ROTATE)]
    Rotate(KeysRotateArgs),
    /// Take a key's access away.
    #[command(after_help = examples::KEYS_REMOVE)]
    Remove(KeysRemoveArgs),
    /// Print a recovery sheet with the key in use, or test one that was typed or scanned.
    #[command(after_help = examples::KEYS_ESCROW)]
    Escrow(KeysEscrowArgs),
}

/// `keys add`.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeysAddArgs {
    /// Make a new key and write it to FILE, which only its owner can read and which must not exist yet.
    #[arg(long, value_name = "FILE", required_unless_present = "from")]
    pub(crate) generate: Option<PathBuf>,
    /// Take the key in FILE; - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "generate")]
    pub(crate) from: Option<PathBuf>,
    /// Whose key it is, for `keys list`. It is stored in clear text.
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<KeyLabel>,
}

/// `keys rotate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeysRotateArgs {
    /// Write the new key to FILE, which must not exist yet, and leave the key file in use as it is [default: make a new key, and
    /// put it in the place of the key file in use at the end].
    #[arg(long, value_name = "FILE")]
    pub(crate) generate: Option<PathBuf>,
    /// Take the new key from FILE, and leave the key file in use as it is. Goes on with a rotation that was interrupted.
    #[arg(long, value_name = "FILE", conflicts_with = "generate")]
    pub(crate) from: Option<PathBuf>,
    /// Whose key it is [default: as the old one].
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<KeyLabel>,
    /// Another holder's key, which gets access to the new epoch, too. May be repeated.
    #[arg(long, value_name = "FILE")]
    pub(crate) also: Vec<PathBuf>,
    /// Say what would be done; change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `keys remove`.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeysRemoveArgs {
    /// The key, as `keys list` names it, or at least its first 4 digits.
    #[arg(value_name = "SLOT", value_parser = parse_slot)]
    pub(crate) slot: String,
    /// Remove it even when it is the key in use; with --through.
    #[arg(long, requires = "through")]
    pub(crate) force: bool,
    /// The file with a key that stays, through which all backups are tried before anything is removed [default: the key in use].
    #[arg(long, value_name = "FILE")]
    pub(crate) through: Option<PathBuf>,
    /// Say what would be removed; change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `keys escrow`.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeysEscrowArgs {
    /// Write the sheet to FILE.svg or FILE.txt, which only its owner can read and which must not exist yet.
    #[arg(short, long, value_name = "FILE", conflicts_with = "check")]
    pub(crate) output: Option<PathBuf>,
    /// Print the sheet even where standard output is no terminal, as into `lp`.
    #[arg(long, conflicts_with_all = ["check", "output"])]
    pub(crate) yes: bool,
    /// Read a key that was typed from a sheet or scanned, from FILE or standard input, and test it on the repository. A success is
    /// recorded, so that `doctor` knows that there is a copy.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub(crate) check: Option<PathBuf>,
}

/// Fewer digits would name another key too easily.
const SLOT_DIGITS: std::ops::RangeInclusive<usize> = 4..=32;

fn parse_slot(text: &str) -> Result<String, String> {
    if SLOT_DIGITS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else if text.len() == 64 {
        // What looks like a key itself is not repeated.
        Err("a slot has 32 hexadecimal digits; never put a key on the command line".to_owned())
    } else {
        Err("a slot has 4 to 32 hexadecimal digits".to_owned())
    }
}
