//! The encryption key: where it comes from, how a new one is made, and where that one is kept.
//!
//! Invariant: the key exists only in memory that is wiped; no text that is printed contains any part of it. A key file
//! is read only when nobody but its owner can read it, and a new one is never written inside the repository.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::catalogue::Code;
use crate::environment::{ENCRYPTION_KEY, Environment};
use crate::failure::Failure;

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;
/// Bytes of a key file that are read; a larger file holds something else.
const FILE_LIMIT: u64 = 4096;
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

/// Reads a key file.
fn read(path: &Path, origin: &str) -> Result<Key, Failure> {
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
    if mode & 0o077 != 0 {
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
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut text = Zeroizing::new([0; 2 * KEY_BYTES + 1]);
    text[2 * KEY_BYTES] = b'\n';
    hex::encode_to_slice(key.as_slice(), &mut text[..2 * KEY_BYTES]).map_err(io::Error::other)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(text.as_slice()).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a key would look like a damaged one.
        let _ = fs::remove_file(path);
        return Err(error);
    }
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests;
