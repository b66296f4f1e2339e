//! The encryption key: where it comes from, how a new one is made, and where that one is kept.
//!
//! Invariant: the key exists only in memory that is wiped; no text that is printed contains any part of it but the recovery sheet
//! that was asked for. A key file
//! is read only when nobody but its owner can read it, and a new one is never written inside the repository.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::catalogue::Code;
use crate::environment::{ENCRYPTION_KEY, Environment};
use crate::failure::Failure;

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;
/// Bytes of a key file that are read; a larger file holds something else.
const FILE_LIMIT: u64 = 4096;
/// Bytes of a recovery sheet that are read.
const SHEET_CAPACITY: usize = 64 << 10;
/// The key file of a machine whose users have no home.
const SYSTEM_KEY_FILE: &str = "/etc/chronavault/key";

/// A key, wiped when dropped.
pub(crate) type Key = Zeroizing<[u8; KEY_BYTES]>;

/// Where the key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// `BACKUP_ENCRYPTION_KEY`.
    Environment,
    /// A file that a flag, a variable or the settings file names.
    File {
        /// The file.
        path: PathBuf,
        /// What named it.
        origin: String,
    },
    /// The file where `init` puts a new key: the first of these that is there.
    Default(Vec<PathBuf>),
}

impl KeySource {
    /// The places that are looked at when nothing is set, best first.
    pub(crate) fn by_default(environment: &Environment) -> Self {
        let config = environment
            .path("XDG_CONFIG_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| environment.path("HOME").map(|home| home.join(".config")));
        let mine = config.map(|directory| directory.join("chronavault").join("key"));
        Self::Default(mine.into_iter().chain([PathBuf::from(SYSTEM_KEY_FILE)]).collect())
    }

    /// The file of the key, or what stands for it, and what named it. Never the key.
    pub(crate) fn shown(&self) -> (String, String) {
        match self {
            Self::Environment => ("(the key itself)".to_owned(), ENCRYPTION_KEY.to_owned()),
            Self::File { path, origin } => (path.display().to_string(), origin.clone()),
            Self::Default(_) => {
                let file = self.file().map(|path| path.display().to_string());
                (file.unwrap_or_default(), "default".to_owned())
            }
        }
    }

    /// The file that holds the key or would hold a new one; nothing when the key is in the environment.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::Environment => None,
            Self::File { path, .. } => Some(path),
            Self::Default(places) => {
                places.iter().find(|path| is_there(path)).or_else(|| places.first()).map(PathBuf::as_path)
            }
        }
    }

    /// Where a rotation keeps the new key until it takes the place of the one in use; nothing when that is in the environment.
    pub(crate) fn next_file(&self) -> Option<PathBuf> {
        self.file().map(|path| beside(path, ".next"))
    }

    /// The key, or nothing when none is set: no variable, and no file at the default places.
    pub(crate) fn find(&self, environment: &Environment) -> Result<Option<Key>, Failure> {
        match self {
            Self::Environment => environment.key().map(|text| parse(text, ENCRYPTION_KEY)).transpose(),
            Self::File { path, origin } => read(path, origin).map(Some),
            Self::Default(places) => match places.iter().find(|path| is_there(path)) {
                Some(path) => read(path, "the default key file").map(Some),
                None => Ok(None),
            },
        }
    }

    /// The key; a failure when none is set.
    pub(crate) fn require(&self, environment: &Environment) -> Result<Key, Failure> {
        self.find(environment)?.ok_or_else(|| {
            let places = match self {
                Self::Default(places) => places.as_slice(),
                _ => &[],
            };
            let places: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
            Failure::new(
                Code::KeyMissing,
                format!("no encryption key is set, and there is none in {}", places.join(" or ")),
            )
        })
    }
}

fn is_there(path: &Path) -> bool {
    // A file that cannot be looked at is reported when it is read; it is not treated as absent.
    !matches!(path.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// `path` with something added to its name. Where `path` is a link, it is the file behind it that has the neighbour.
pub(crate) fn beside(path: &Path, addition: &str) -> PathBuf {
    let mut name = path.canonicalize().unwrap_or_else(|_| path.to_owned()).into_os_string();
    name.push(addition);
    name.into()
}

/// Reads a key file.
pub(crate) fn read(path: &Path, origin: &str) -> Result<Key, Failure> {
    let unreadable = |error: &io::Error| {
        Failure::new(
            Code::KeyUnreadable,
            format!("cannot read the key file {} ({origin}): {error}", path.display()),
        )
    };
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    if !metadata.is_file() {
        return Err(Failure::new(
            Code::KeyUnreadable,
            format!("{} ({origin}) is not a file", path.display()),
        ));
    }
    let mode = metadata.mode() & 0o7777;
    if is_open_to_others(mode, metadata.uid(), rustix::process::geteuid().as_raw()) {
        let message = format!("other users can read the key file {} (mode {mode:04o})", path.display());
        let hint =
            format!("Run `chmod 600 {}`; if others may have read the key, use a new one.", path.display());
        return Err(Failure::new(Code::KeyPermissions, message).with_hint(hint));
    }
    // The buffer never grows, so no copy of the key is left behind by a reallocation.
    let mut text = Zeroizing::new(Vec::with_capacity(8192));
    file.take(FILE_LIMIT).read_to_end(&mut text).map_err(|error| unreadable(&error))?;
    parse(&text, &format!("the key file {}", path.display()))
}

/// Whether others than the process `uid` and root can read a file. A file of root that is for its group alone is not open: that is how
/// systemd hands out credentials (`LoadCredential`, an ACL that shows as 0440) and Kubernetes secrets, and PostgreSQL trusts such files
/// with private keys.
fn is_open_to_others(mode: u32, owner: u32, uid: u32) -> bool {
    let is_handed_out = owner == 0 && uid != 0;
    mode & if is_handed_out { 0o037 } else { 0o077 } != 0
}

/// A key from its text: 64 hexadecimal digits, with white space around them ignored. `origin` names the place in errors;
/// nothing of the text does.
fn parse(text: &[u8], origin: &str) -> Result<Key, Failure> {
    let text = text.trim_ascii();
    if let Some(position) = text.iter().position(|byte| !byte.is_ascii_hexdigit()) {
        let message = format!("{origin} is not a key: character {} is not a hexadecimal digit", position + 1);
        return Err(Failure::new(Code::KeyDigits, message));
    }
    let mut key = Key::default();
    hex::decode_to_slice(text, key.as_mut_slice()).map_err(|_| {
        let message = format!("{origin} has {} hexadecimal digits instead of {}", text.len(), 2 * KEY_BYTES);
        Failure::new(Code::KeyLength, message)
    })?;
    Ok(key)
}

/// Makes a key and writes it to `path`, which must not exist, for its owner only. It is durable when this returns.
pub(crate) fn generate(path: &Path, random: &dyn Fn(&mut [u8])) -> Result<Key, Failure> {
    let mut key = Key::default();
    random(key.as_mut_slice());
    write_new(path, &key).map_err(|error| {
        let message = format!("cannot write the new key to {}: {error}", path.display());
        Failure::new(Code::KeyNotWritten, message)
    })?;
    Ok(key)
}

fn write_new(path: &Path, key: &Key) -> io::Result<()> {
    let mut text = Zeroizing::new([0; 2 * KEY_BYTES + 1]);
    text[2 * KEY_BYTES] = b'\n';
    hex::encode_to_slice(key.as_slice(), &mut text[..2 * KEY_BYTES]).map_err(io::Error::other)?;
    write_secret(path, text.as_slice())
}

/// Writes `secret` to `path`, which must not exist, for its owner only. The file is there as a whole or not at all, and durable when
/// this returns.
pub(crate) fn write_secret(path: &Path, secret: &[u8]) -> io::Result<()> {
    let directory = directory_of(path);
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    // Temporary files are for their owner only.
    let mut file = tempfile::Builder::new().prefix(".chronavault-").tempfile_in(directory)?;
    file.write_all(secret)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

/// Gives the key file `next` to the owner of `current`, so that whoever reads the one can read the other.
pub(crate) fn same_owner(current: &Path, next: &Path) -> io::Result<()> {
    let (wanted, found) = (current.metadata()?, next.metadata()?);
    if (wanted.uid(), wanted.gid()) == (found.uid(), found.gid()) {
        return Ok(());
    }
    std::os::unix::fs::chown(next, Some(wanted.uid()), Some(wanted.gid()))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Puts the key file `next` in the place of `current`, which is kept under the name `aside`. At every moment `current` holds one of
/// the two keys; what is done is durable when this returns.
pub(crate) fn take_over(current: &Path, next: &Path, aside: &Path) -> io::Result<()> {
    let current = current.canonicalize()?;
    match fs::hard_link(&current, aside) {
        Ok(()) => {}
        // Of an attempt before this one.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        // Not every file system has links.
        Err(_) => write_secret(aside, &text_of(&current)?)?,
    }
    fs::rename(next, &current)?;
    File::open(directory_of(&current))?.sync_all()
}

/// Whoever gets the repository must not get its key with it.
pub(crate) fn refuse_inside(path: &Path, root: &Path) -> Result<(), Failure> {
    let path = absolute(path);
    if path.starts_with(absolute(root)) {
        let message = format!("the key file {} is inside the repository {}", path.display(), root.display());
        return Err(Failure::new(Code::KeyInsideRepository, message));
    }
    Ok(())
}

/// `path` from the root of the file system; links are followed as far as the path exists.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| parent_canonical(path)).unwrap_or_else(|_| path.to_owned())
}

fn parent_canonical(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(parent)), Some(name)) => Ok(parent.join(name)),
        _ => Ok(path),
    }
}

/// A key from standard input: 64 hexadecimal digits.
pub(crate) fn from_standard_input() -> Result<Key, Failure> {
    parse(&standard_input()?, "standard input")
}

/// All of standard input, as far as it can be a key or a sheet.
pub(crate) fn standard_input() -> Result<Zeroizing<Vec<u8>>, Failure> {
    text_from(io::stdin().lock()).map_err(|error| {
        Failure::new(Code::KeyUnreadable, format!("cannot read standard input: {error}"))
            .with_hint("Name a file, or pipe the key in.")
    })
}

/// All of a file, as far as it can be a key or a sheet.
pub(crate) fn text_of(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    text_from(File::open(path)?)
}

fn text_from(reader: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    // The buffer never grows, so no copy of the key is left behind by a reallocation.
    let mut text = Zeroizing::new(Vec::with_capacity(2 * SHEET_CAPACITY));
    reader.take(SHEET_CAPACITY as u64).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
