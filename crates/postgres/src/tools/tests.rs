use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::conninfo::ClientEnvironment;

/// A directory with scripts that pretend to be programs of `version`.
fn fake(parent: &Path, name: &str, programs: Programs, version: &str) -> PathBuf {
    let directory = parent.join(name);
    fs::create_dir(&directory).unwrap();
    for program in programs.names() {
        let path = directory.join(program);
        fs::write(&path, format!("#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    directory
}

fn search(programs: Programs, wanted: u32, directories: &[&Path]) -> Result<Tools, ToolsError> {
    find(programs, wanted..=u32::MAX, Some(&std::env::join_paths(directories).unwrap()))
}

#[test]
fn versions_as_programs_tell_them() {
    assert_eq!(
        parse_version("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n").as_deref(),
        Some("15.18")
    );
    assert_eq!(parse_version("postgres (PostgreSQL) 18beta1\n").as_deref(), Some("18beta1"));
    assert_eq!(major_of("18beta1"), Some(18));
    assert_eq!(parse_version("something else"), None);
}

#[test]
fn the_same_major_is_preferred_and_then_the_smallest_newer_one() {
    let parent = tempfile::tempdir().unwrap();
    // Numbers that no package has, so that what is installed here does not matter.
    let newest = fake(parent.path(), "c", Programs::Client, "1003.1");
    let same = fake(parent.path(), "a", Programs::Client, "1001.1");
    let newer = fake(parent.path(), "b", Programs::Client, "1002devel");
    let all = [newest.as_path(), &same, &newer];
    assert_eq!(search(Programs::Client, 1001, &all).unwrap().directory(), same);
    let chosen = search(Programs::Client, 1002, &all).unwrap();
    assert_eq!((chosen.directory(), chosen.major(), chosen.version()), (newer.as_path(), 1002, "1002devel"));
    assert_eq!(search(Programs::Client, 1002, &[&newest, &same]).unwrap().directory(), newest);
}

#[test]
fn data_files_need_their_own_version() {
    let parent = tempfile::tempdir().unwrap();
    let newer = fake(parent.path(), "b", Programs::Server, "1002.1");
    let same = fake(parent.path(), "a", Programs::Server, "1001.1");
    let search = |directories: &[&Path]| {
        Tools::find_same_server(1001, Some(&std::env::join_paths(directories).unwrap()))
    };
    assert_eq!(search(&[&newer, &same]).unwrap().directory(), same);
    let text = search(&[&newer]).unwrap_err().to_string();
    assert!(text.contains("there is only ") && text.contains("1002"), "{text}");
    assert!(text.ends_with("install the package postgresql-1001"), "{text}");
}

#[test]
fn the_first_of_equal_directories_wins() {
    let parent = tempfile::tempdir().unwrap();
    let first = fake(parent.path(), "z", Programs::Server, "1001.2");
    let second = fake(parent.path(), "a", Programs::Server, "1001.1");
    assert_eq!(search(Programs::Server, 1001, &[&first, &second]).unwrap().directory(), first);
}

#[test]
fn what_is_missing_is_named_with_its_package() {
    let parent = tempfile::tempdir().unwrap();
    fake(parent.path(), "half", Programs::Client, "1004.1");
    fs::remove_file(parent.path().join("half/psql")).unwrap();
    let error = search(Programs::Client, 1004, &[&parent.path().join("half")]).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("no PostgreSQL client programs for a server of version 1004 found; "), "{text}");
    assert!(text.ends_with("install the package postgresql-client-1004"), "{text}");
    let error = search(Programs::Server, 1004, &[]).unwrap_err();
    assert!(error.to_string().ends_with("install the package postgresql-1004"));
}

#[test]
fn a_wrapper_that_chooses_a_version_is_not_a_program() {
    let parent = tempfile::tempdir().unwrap();
    let real = fake(parent.path(), "real", Programs::Client, "1001.1");
    let wrapper = real.join("pg_wrapper");
    fs::rename(real.join("pg_dump"), &wrapper).unwrap();
    std::os::unix::fs::symlink(&wrapper, real.join("pg_dump")).unwrap();
    assert!(search(Programs::Client, 1001, &[&real]).is_err());
}

#[test]
fn a_child_gets_nothing_of_our_environment() {
    let parent = tempfile::tempdir().unwrap();
    let directory = fake(parent.path(), "env", Programs::Client, "1001.1");
    std::os::unix::fs::symlink("/usr/bin/env", directory.join("show")).unwrap();
    let tools = Tools::at(&directory).unwrap();
    let options =
        ConnectOptions::parse("postgresql://alice:s3cret@db.example/a%3Db", &ClientEnvironment::empty())
            .unwrap();
    // Cargo's variables and PATH are set in every test, so an environment that leaks shows.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let output = tools.command("show", Some(&options)).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut names: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.sort_unstable();
    let mut expected = [
        "HOME",
        "LC_ALL",
        "PATH",
        "PGAPPNAME",
        "PGDATABASE",
        "PGHOST",
        "PGPASSFILE",
        "PGPASSWORD",
        "PGPORT",
        "PGSSLMODE",
        "PGTZ",
        "PGUSER",
    ];
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert!(text.contains("PGDATABASE=a=b\n"));
    assert!(text.contains("PGPASSWORD=s3cret\n"));
}
