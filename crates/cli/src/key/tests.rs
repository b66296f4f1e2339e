use std::os::unix::fs::PermissionsExt;

use super::*;

const TEXT: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::from_variables(variables.iter().map(|(name, value)| (name.into(), value.into())))
}

fn file(directory: &Path, text: &str, mode: u32) -> KeySource {
    let path = directory.join("key");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    KeySource::File { path, origin: "BACKUP_ENCRYPTION_KEY_FILE".into() }
}

#[test]
fn a_key_comes_from_the_environment_or_a_file() {
    let environment = environment(&[("BACKUP_ENCRYPTION_KEY", TEXT)]);
    let directory = tempfile::tempdir().unwrap();
    let key = KeySource::Environment.require(&environment).unwrap();
    let same = file(directory.path(), &format!("  {TEXT}\r\n"), 0o600).require(&environment).unwrap();
    assert_eq!(key, same);
    assert_eq!(key[..4], [0x00, 0x11, 0x22, 0x33]);
    assert!(!format!("{environment:?}").contains("0011"));
}

#[test]
fn a_key_that_is_none_is_refused_without_showing_it() {
    for (text, code, says) in [
        (&TEXT[..62], Code::KeyLength, "62 hexadecimal digits"),
        (&format!("{TEXT}00"), Code::KeyLength, "66 hexadecimal digits"),
        (&TEXT.replace('2', "x"), Code::KeyDigits, "character 5"),
        (&format!("\"{TEXT}\""), Code::KeyDigits, "character 1 "),
    ] {
        let error =
            KeySource::Environment.require(&environment(&[("BACKUP_ENCRYPTION_KEY", text)])).unwrap_err();
        assert_eq!(error.code, code);
        assert!(error.message.contains(says), "{}", error.message);
        assert!(!error.message.contains("3344"), "{}", error.message);
    }
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for mode in [0o644, 0o640, 0o604, 0o660] {
        let error = file(directory.path(), TEXT, mode).require(&Environment::default()).unwrap_err();
        assert_eq!(error.code, Code::KeyPermissions, "{mode:o}");
    }
    assert!(file(directory.path(), TEXT, 0o400).require(&Environment::default()).is_ok());
}

#[test]
fn a_file_that_root_hands_out_to_a_group_is_not_open() {
    for mode in [0o400, 0o440, 0o600, 0o640] {
        assert!(!is_open_to_others(mode, 0, 101), "{mode:o}");
    }
    for mode in [0o444, 0o644, 0o460, 0o660, 0o450, 0o441] {
        assert!(is_open_to_others(mode, 0, 101), "{mode:o}");
    }
    // Of anybody else, and of root to root itself, a group has nothing to look for.
    assert!(is_open_to_others(0o440, 101, 101) && is_open_to_others(0o440, 0, 0));
    assert!(!is_open_to_others(0o600, 101, 101) && !is_open_to_others(0o400, 0, 0));
}

#[test]
fn a_missing_file_is_an_error_only_when_it_was_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("absent");
    let named = KeySource::File { path: path.clone(), origin: "--key-file".into() };
    assert_eq!(named.find(&Environment::default()).unwrap_err().code, Code::KeyUnreadable);
    let default = KeySource::Default(vec![path]);
    assert_eq!(default.find(&Environment::default()), Ok(None));
    assert_eq!(default.require(&Environment::default()).unwrap_err().code, Code::KeyMissing);
}

#[test]
fn a_new_key_is_for_its_owner_and_replaces_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/key");
    let key = generate(&path, &|bytes| bytes.fill(0xa5)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(KeySource::Default(vec![path.clone()]).require(&Environment::default()).unwrap(), key);
    let error = generate(&path, &|bytes| bytes.fill(0x5a)).unwrap_err();
    assert_eq!(error.code, Code::KeyNotWritten);
    assert_eq!(KeySource::Default(vec![path]).require(&Environment::default()).unwrap(), key);
}

#[test]
fn the_default_place_follows_the_users_configuration() {
    let places = |variables: &[(&str, &str)]| KeySource::by_default(&environment(variables));
    let system = PathBuf::from("/etc/chronavault/key");
    assert_eq!(places(&[]), KeySource::Default(vec![system.clone()]));
    assert_eq!(
        places(&[("HOME", "/home/a")]),
        KeySource::Default(vec!["/home/a/.config/chronavault/key".into(), system.clone()])
    );
    assert_eq!(
        places(&[("HOME", "/home/a"), ("XDG_CONFIG_HOME", "/c")]),
        KeySource::Default(vec!["/c/chronavault/key".into(), system])
    );
}

#[test]
fn a_new_key_takes_the_place_of_the_old_one_which_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for (name, byte) in [("key", 1), ("key.next", 2)] {
        generate(&path(name), &|bytes| bytes.fill(byte)).unwrap();
    }
    // The name that people use may be a link.
    std::os::unix::fs::symlink("key", path("link")).unwrap();
    assert_eq!(beside(&path("link"), ".next").file_name(), path("key.next").file_name());
    same_owner(&path("link"), &path("key.next")).unwrap();
    take_over(&path("link"), &path("key.next"), &path("key.old")).unwrap();
    assert_eq!(*read(&path("link"), "").unwrap(), [2; KEY_BYTES]);
    assert_eq!(*read(&path("key.old"), "").unwrap(), [1; KEY_BYTES]);
    assert!(!path("key.next").exists() && path("link").is_symlink());
    // Killed between the two steps, the same again ends the same way.
    generate(&path("key.next"), &|bytes| bytes.fill(3)).unwrap();
    fs::hard_link(path("key"), path("key.kept")).unwrap();
    take_over(&path("link"), &path("key.next"), &path("key.kept")).unwrap();
    assert_eq!(*read(&path("key.kept"), "").unwrap(), [2; KEY_BYTES]);
    assert_eq!(*read(&path("key"), "").unwrap(), [3; KEY_BYTES]);
}

#[test]
fn a_key_file_appears_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    write_secret(&directory.path().join("a"), b"secret").unwrap();
    let error = write_secret(&directory.path().join("a"), b"other").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    let left: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["a"], "nothing temporary is left");
    assert_eq!(fs::read(directory.path().join("a")).unwrap(), b"secret");
}
