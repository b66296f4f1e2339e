//! Certificates for tests, made when they are needed, with the `openssl` command.
//!
//! Everything here panics when it fails, as a test would.

#![expect(clippy::missing_panics_doc, reason = "failing is panicking here")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key, readable for us only.
    pub key: PathBuf,
}

/// A certificate authority in a temporary directory, which goes with it.
#[derive(Debug)]
pub struct Authority {
    directory: tempfile::TempDir,
    own: Certificate,
}

impl Authority {
    /// An authority with a self-signed certificate for `name`.
    pub fn new(name: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let own = self_signed(directory.path(), "authority", name, &[]);
        Self { directory, own }
    }

    /// The directory of its files, for more of them.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The certificate of the authority itself.
    pub fn certificate(&self) -> &Path {
        &self.own.certificate
    }

    /// Issues a certificate for `common_name` and the alternative `names` (`DNS:localhost`, `IP:127.0.0.1`). Without any, it has no
    /// extensions at all and is of version 1, like those that the commands in PostgreSQL's manual make.
    pub fn issue(&self, file: &str, common_name: &str, names: &[&str]) -> Certificate {
        self.issue_with(file, common_name, names, &["-days", "2", "-sha256"])
    }

    /// The same with options of `openssl x509`: `-days`, `-sha384` …
    pub fn issue_with(&self, file: &str, common_name: &str, names: &[&str], options: &[&str]) -> Certificate {
        let path = |suffix: &str| self.directory().join(format!("{file}.{suffix}"));
        let (request, key, certificate) = (path("csr"), path("key"), path("crt"));
        let subject = format!("/CN={common_name}");
        let new_key = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        openssl(Command::new("openssl").args(new_key).args(["-subj", &subject]).args([
            "-keyout".as_ref(),
            key.as_os_str(),
            "-out".as_ref(),
            request.as_os_str(),
        ]));
        let mut sign = Command::new("openssl");
        sign.args(["x509", "-req", "-CAcreateserial"]).args(options);
        for (option, path) in [
            ("-in", &request),
            ("-CA", &self.own.certificate),
            ("-CAkey", &self.own.key),
            ("-out", &certificate),
        ] {
            sign.arg(option).arg(path);
        }
        if !names.is_empty() {
            let extensions = path("ext");
            std::fs::write(&extensions, format!("subjectAltName={}\n", names.join(",")))
                .expect("it is written");
            sign.arg("-extfile").arg(extensions);
        }
        openssl(&mut sign);
        Certificate { certificate, key }
    }

    /// A list that revokes `certificate`, as a PEM file.
    pub fn revoke(&self, certificate: &Certificate) -> PathBuf {
        let path = |name: &str| self.directory().join(name);
        let text = |path: &Path| path.to_str().expect("the path is UTF-8").to_owned();
        std::fs::write(path("index.txt"), "").expect("it is written");
        std::fs::write(path("crlnumber"), "01\n").expect("it is written");
        let settings = format!(
            "[ca]\ndefault_ca=own\n[own]\ndatabase={}\ncrlnumber={}\ndefault_md=sha256\ndefault_crl_days=2\n",
            text(&path("index.txt")),
            text(&path("crlnumber")),
        );
        std::fs::write(path("ca.cnf"), settings).expect("it is written");
        let common = |command: &mut Command| {
            command.arg("ca").arg("-config").arg(path("ca.cnf"));
            command.arg("-cert").arg(&self.own.certificate).arg("-keyfile").arg(&self.own.key);
        };
        let mut revoke = Command::new("openssl");
        common(&mut revoke);
        openssl(revoke.arg("-revoke").arg(&certificate.certificate));
        let mut generate = Command::new("openssl");
        common(&mut generate);
        openssl(generate.arg("-gencrl").arg("-out").arg(path("revoked.crl")));
        path("revoked.crl")
    }
}

/// A certificate that signed itself, in `directory`, as `openssl req -x509` makes it: it may sign others.
pub fn self_signed(directory: &Path, file: &str, common_name: &str, names: &[&str]) -> Certificate {
    let key = directory.join(format!("{file}.key"));
    let certificate = directory.join(format!("{file}.crt"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-days", "2", "-subj", &format!("/CN={common_name}")]);
    if !names.is_empty() {
        command.args(["-addext", &format!("subjectAltName={}", names.join(","))]);
    }
    openssl(command.arg("-keyout").arg(&key).arg("-out").arg(&certificate));
    Certificate { certificate, key }
}

fn openssl(command: &mut Command) {
    let output = command.output().expect("openssl is installed");
    assert!(output.status.success(), "openssl failed: {}", String::from_utf8_lossy(&output.stderr));
}
