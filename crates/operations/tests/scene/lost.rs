//! What a person has who has lost the program: the repository, the key, `tools/recover.py` and stock PostgreSQL.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use model::BackupId;

use super::Scene;

/// Runs `recover.py` on a backup of the scene.
pub(crate) fn recover(scene: &Scene, id: &BackupId, out: &Path, key: [u8; 32]) -> Output {
    let key = key.map(|byte| format!("{byte:02x}")).concat();
    Command::new(python())
        .arg(workspace().join("tools/recover.py"))
        .arg(scene.directory.path().join("isolated"))
        .arg(id.as_str())
        .arg(out)
        .env("BACKUP_ENCRYPTION_KEY", key)
        .output()
        .unwrap()
}

pub(crate) fn succeeded(output: &Output, what: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what} ended with {}: {errors}", output.status);
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The interpreter that has the modules.
fn python() -> String {
    let output = Command::new(workspace().join("scripts/python.sh")).output().unwrap();
    succeeded(&output, "python.sh");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
