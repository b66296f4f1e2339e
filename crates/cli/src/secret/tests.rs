use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

const NOWHERE: SecretPlace<'static> =
    SecretPlace { origin: "alerts.channels.ops.url", file: None, command: None, credential: None };

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::from_variables(variables.iter().map(|(name, value)| (name.into(), value.into())))
}

fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("url");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    (place, path)
}

/// The failure; it shows nothing of the secret.
#[track_caller]
fn fails(place: SecretPlace<'_>, environment: &Environment) -> Failure {
    let failure = place.read(environment).map(|_| ()).unwrap_err();
    assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    failure
}

#[test]
fn a_secret_is_in_one_place_or_in_none() {
    let none = environment(&[]);
    assert!(NOWHERE.read(&none).unwrap().is_none());
    let (_kept, path) = file(b"hunter2 \n", 0o600);
    let of_file = SecretPlace { file: Some(&path), ..NOWHERE };
    assert_eq!(of_file.read(&none).unwrap().unwrap().reveal(), "hunter2");
    let both = SecretPlace { credential: Some("url"), ..of_file };
    assert_eq!(fails(both, &none).code, Code::SettingsConflict);
}

#[test]
fn a_file_is_private_and_holds_one_line() {
    let none = environment(&[]);
    for (content, mode, code, words) in [
        (&b"hunter2"[..], 0o640, Code::SettingsSecretLoose, "mode 0640"),
        (b"", 0o600, Code::SettingsSecret, "is empty"),
        (b" \n", 0o600, Code::SettingsSecret, "is empty"),
        (b"hunter2\nhunter2", 0o600, Code::SettingsSecret, "more than one line"),
        (b"hunter2\xff", 0o600, Code::SettingsSecret, "UTF-8"),
        (&b"x".repeat(16_385), 0o600, Code::SettingsSecret, "too long"),
    ] {
        let (_kept, path) = file(content, mode);
        let failure = fails(SecretPlace { file: Some(&path), ..NOWHERE }, &none);
        assert_eq!(failure.code, code, "{words}");
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    let failure = fails(SecretPlace { file: Some(Path::new("/nowhere/url")), ..NOWHERE }, &none);
    assert!(failure.message.contains("/nowhere/url"), "{}", failure.message);
}

#[test]
fn a_credential_is_in_the_directory_of_systemd() {
    let (kept, _path) = file(b"hunter2\n", 0o444);
    let set = environment(&[("CREDENTIALS_DIRECTORY", kept.path().to_str().unwrap())]);
    let named = |name| SecretPlace { credential: Some(name), ..NOWHERE };
    assert_eq!(named("url").read(&set).unwrap().unwrap().reveal(), "hunter2");
    for (name, environment) in [("url", &environment(&[])), ("../url", &set), ("..", &set), ("other", &set)] {
        assert_eq!(fails(named(name), environment).code, Code::SettingsSecret, "{name}");
    }
}

#[test]
fn a_command_prints_a_secret_and_sees_no_environment() {
    let set = environment(&[("PATH", "/usr/bin:/bin"), ("PGPASSWORD", "hunter2"), ("HOME", "/home/x")]);
    let run = |script: &str| ["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()];
    let printed = |script: &str| {
        let command = run(script);
        let place = SecretPlace { command: Some(&command), ..NOWHERE };
        place.read(&set).map(|secret| secret.unwrap().reveal().to_owned())
    };
    assert_eq!(printed("echo \"$HOME-$PGPASSWORD-x\"").unwrap(), "/home/x--x");
    for (script, words) in [
        ("echo hunter2; exit 3", "exit status: 3"),
        ("true", "is empty"),
        ("while :; do echo hunter2; done", "too long"),
    ] {
        let command = run(script);
        let failure = fails(SecretPlace { command: Some(&command), ..NOWHERE }, &set);
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    let missing = ["/nowhere/x".to_owned()];
    let failure = fails(SecretPlace { command: Some(&missing), ..NOWHERE }, &set);
    assert!(failure.message.contains("/nowhere/x"), "{}", failure.message);
    assert_eq!(fails(SecretPlace { command: Some(&[]), ..NOWHERE }, &set).code, Code::SettingsSecret);
}
