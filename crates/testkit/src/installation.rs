//! A PostgreSQL installation with files of our own added, without changing the machine's.
//!
//! The server finds its libraries and shared files relative to its own program. So a directory with the same shape, a
//! copy of the program, and symbolic links to everything else is a whole installation, to which extensions can be added.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The programs that look for others, or for shared files, beside themselves; a link would lead them back.
const COPIED: [&str; 3] = ["postgres", "initdb", "pg_ctl"];

/// An installation that lives as long as this value.
#[derive(Debug)]
pub struct Installation {
    bin: PathBuf,
    /// Removed on drop; none if the installation that was given had the files already.
    _root: Option<TempDir>,
}

/// Where an installation keeps what: paths below its prefix.
struct Shape {
    prefix: PathBuf,
    bin: PathBuf,
    share: PathBuf,
}

impl Installation {
    /// An installation like the one with its programs in `bin`, with these files (name and text) in its directory `extension`.
    pub fn with_extension_files(bin: &Path, files: &[(&str, &str)]) -> io::Result<Installation> {
        // The directory may be one of links to the programs.
        let server = bin.join("postgres").canonicalize()?;
        let shape = Shape::of(server.parent().unwrap_or(bin))?;
        let extension = shape.prefix.join(&shape.share).join("extension");
        if files.iter().all(|(name, _)| extension.join(name).exists()) {
            return Ok(Installation { bin: bin.to_owned(), _root: None });
        }
        let root = tempfile::Builder::new().prefix("chronavault-installation-").tempdir()?;
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755))?;
        shape.mirror(root.path())?;
        for (name, text) in files {
            fs::write(root.path().join(&shape.share).join("extension").join(name), text)?;
        }
        Ok(Installation { bin: root.path().join(&shape.bin), _root: Some(root) })
    }

    /// The directory of its programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }
}

impl Shape {
    /// Debian keeps programs in `lib/postgresql/15/bin` and shared files in `share/postgresql/15`; others in `bin` and
    /// `share` or `share/postgresql`.
    fn of(bin: &Path) -> io::Result<Shape> {
        let below = |levels: usize| bin.ancestors().nth(levels).map(Path::to_owned).unwrap_or_default();
        let version = below(1).file_name().map(PathBuf::from).unwrap_or_default();
        let candidates = [
            (below(4), PathBuf::from("share/postgresql").join(version)),
            (below(1), PathBuf::from("share/postgresql")),
            (below(1), PathBuf::from("share")),
        ];
        candidates
            .into_iter()
            .find(|(prefix, share)| prefix.join(share).join("postgres.bki").exists())
            .map(|(prefix, share)| {
                let bin = bin.strip_prefix(&prefix).unwrap_or(bin).to_owned();
                Shape { prefix, bin, share }
            })
            .ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("{} is no directory of an installation", bin.display()),
                )
            })
    }

    fn mirror(&self, root: &Path) -> io::Result<()> {
        let (bin, share) = (self.prefix.join(&self.bin), self.prefix.join(&self.share));
        // Beside the programs: `lib`, where the server loads its modules from.
        let (bin_parent, mirrored_parent) = (bin.join(".."), root.join(&self.bin).join(".."));
        fs::create_dir_all(root.join(&self.bin))?;
        fs::create_dir_all(root.join(&self.share))?;
        link_entries(&bin_parent, &mirrored_parent, &["bin", "share"])?;
        link_entries(&bin, &root.join(&self.bin), &COPIED)?;
        for program in COPIED {
            fs::copy(bin.join(program), root.join(&self.bin).join(program))?;
        }
        link_entries(&share, &root.join(&self.share), &["extension"])?;
        fs::create_dir(root.join(&self.share).join("extension"))?;
        link_entries(&share.join("extension"), &root.join(&self.share).join("extension"), &[])
    }
}

/// Links every entry of `from`, except those named, into `into`.
fn link_entries(from: &Path, into: &Path, except: &[&str]) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if !except.iter().any(|left_out| name == *left_out) {
            symlink(entry.path().canonicalize()?, into.join(name))?;
        }
    }
    Ok(())
}
