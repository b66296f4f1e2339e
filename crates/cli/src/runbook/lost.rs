//! When the host is lost, or this program is.

use std::fmt::Write;

use model::Kind;

use super::Runbook;
use super::shell::{Shell, block, exports, file_url, quoted};
use crate::wording;

/// Where the package puts what reads a repository without this program.
const TOOLS: &str = "/usr/share/chronavault";
/// Where the second implementation writes to; what is there is not encrypted.
const OUT: &str = "/srv/recovered";

/// The server of a new host, as whoever administers it connects to it.
const NEW_SERVER: &str = "postgres://postgres@localhost/postgres";

impl Runbook {
    pub(super) fn lost_host(&self) -> String {
        let shell = self.shell();
        let versions: Vec<_> = self.sources.iter().filter_map(|source| source.server).collect();
        let newest =
            versions.iter().max().map_or_else(String::new, |version| format!(" {}", version / 10_000));
        let mut text = format!(
            "## The host is lost\n\nIt takes a copy of the repository and a key; nothing else of {} is needed. On a new host:\n\n\
             1. Install PostgreSQL{newest} (of each cluster the version that stands at its source) and chronavault {}.\n\
             2. Bring the repository to `{}`",
            self.host,
            env!("CARGO_PKG_VERSION"),
            self.repository,
        );
        let key = self.key_file.as_deref().unwrap_or("/etc/chronavault/key");
        let _ = write!(
            text,
            ", owned by `{}` and closed to others, and the key to `{key}`: 64 hexadecimal digits from the sheet, \
             the second and third column of its 8 lines one after another.\n\
             3. Check every byte without the key. Then bring everything back: the settings, and each source. The same command again goes on \
             where it stopped.\n\n",
            self.user
        );
        let mut lines =
            vec![format!("chmod 600 {}", quoted(key)), format!("cd {}", quoted(&self.repository))];
        lines.push("cat backup-*.sha256 | sort -u | sha256sum --quiet -c -".to_owned());
        text.push_str(&block(&lines));
        text.push('\n');
        text.push_str(&block(&self.recoveries_on_new_host(key)));
        text.push_str(
            "\n4. Put the passwords into a PGPASSFILE, and where `…` stands in the settings. Check everything, and let the service run \
             again:\n\n",
        );
        let mut lines = vec![shell.call(&["doctor"]), shell.call(&["journal", "verify"])];
        lines.extend(self.sources.iter().map(|source| shell.call(&["check", "--source", &source.name])));
        lines.extend(self.sources.iter().map(|source| shell.call(&["backup", "--source", &source.name])));
        lines.push("systemctl enable --now chronavault".to_owned());
        text + &block(&lines)
    }

    /// The recovery of everything on an empty host, where there are no settings yet.
    fn recoveries_on_new_host(&self, key: &str) -> Vec<String> {
        let shell = Shell { config: None };
        let repository = file_url(&self.repository);
        let mut words = vec!["recover", "lost-host", "--repository", &repository, "--key-file", key];
        words.extend(self.config.iter().flat_map(|path| ["--configuration", path]));
        let call = |rest: &[&str]| shell.call(&[&words, rest].concat());
        let mut lines = Vec::new();
        for source in &self.sources {
            let name = source.name.as_str();
            let directory = source.data_directory();
            let has = |kind: Kind| source.backups.iter().any(|backup| backup.kind == kind);
            let target = if has(Kind::Physical) {
                lines.push(format!("# {name}: its cluster, up to the end of what is archived"));
                ["--source", name, "--data-dir", &directory]
            } else {
                lines.push(format!("# {name}: its database with its roles, on the server of the new host"));
                ["--source", name, "--to", NEW_SERVER]
            };
            lines.push(call(&[&target[..], &["--dry-run"]].concat()));
            lines.push(call(&[&target[..], &["--yes"]].concat()));
        }
        lines
    }

    pub(super) fn without_program(&self) -> String {
        let repository = quoted(&self.repository);
        let mut text = format!(
            "## Without this program\n\nA repository can be checked with sha256sum, and read with Python 3.9 and its modules `cryptography` and `zstandard`: \
             `{TOOLS}/recover.py` was written from the description of the format alone (`docs/format.md`, installed as \
             `/usr/share/doc/chronavault/format.md`). Keep a copy of both beside the repository. What it writes to `{OUT}` is not encrypted.\n\n"
        );
        let mut lines = vec!["apt-get install python3-cryptography python3-zstandard".to_owned()];
        let mut variables = self.variables();
        variables.retain(|(name, _)| *name == "BACKUP_ENCRYPTION_KEY_FILE");
        lines.extend(exports(&variables));
        lines.push("# the newest settings and this document".to_owned());
        lines.push(format!("/usr/bin/python3 {TOOLS}/recover_site.py {repository} {OUT}/site"));
        text.push_str(&block(&lines));
        for source in &self.sources {
            for kind in [Kind::Logical, Kind::Physical] {
                let Some(backup) = source.backups.iter().find(|backup| backup.kind == kind) else { continue };
                let (id, out) = (&backup.id, format!("{OUT}/{}", backup.id));
                let _ =
                    write!(text, "\n{}, {kind}, data of {}:\n\n", source.name, wording::time(backup.data_at));
                let mut lines = vec![
                    format!("cd {repository} && sha256sum --quiet -c {id}.sha256"),
                    format!("/usr/bin/python3 {TOOLS}/recover.py {repository} {id} {out}"),
                ];
                if kind == Kind::Logical {
                    lines.push(
                        "# with PGHOST, PGPORT and PGUSER set: the roles, then the database".to_owned(),
                    );
                    lines.push(format!("psql -X -d postgres -f {out}/globals.sql"));
                    lines.push(format!("{out}/load.sh {}", quoted(&source.database)));
                } else {
                    let last = source.cluster.as_ref().and_then(|cluster| cluster.windows.last());
                    let at = wording::time(last.map_or(backup.data_at, |(_, to)| *to));
                    lines.push("# as root, then as the user of the server".to_owned());
                    lines.push(format!("chown -R postgres: {out}"));
                    lines.push(format!("{out}/start.sh --target-time '{at}'"));
                }
                text.push_str(&block(&lines));
            }
        }
        text
    }
}
