mod alerts;

use std::fs;

use super::*;
use crate::args::Cli;
use crate::args::Command;
use clap::Parser;
use model::{Expectation, Filters};

/// Settings from a file, an environment and a command line.
struct Given {
    directory: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
    flags: Vec<&'static str>,
}

fn given() -> Given {
    Given { directory: tempfile::tempdir().unwrap(), variables: vec![], flags: vec![] }
}

impl Given {
    fn file(self, text: &str) -> Self {
        fs::write(self.path(), text).unwrap();
        self
    }

    fn set(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    fn flags(mut self, flags: &[&'static str]) -> Self {
        self.flags.extend(flags);
        self
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("chronavault.toml")
    }

    fn parse(&self) -> Cli {
        Cli::parse_from(["chronavault", "backup"].iter().chain(&self.flags))
    }

    fn settings(&self) -> Result<Settings, Failure> {
        let mut global = self.parse().global;
        // An empty file stands for none, so that no test finds one of the machine's.
        if !self.path().exists() {
            fs::write(self.path(), "").unwrap();
        }
        global.config = Some(self.path());
        let variables = self.variables.iter().map(|(name, value)| (name.into(), value.into()));
        Settings::load(&global, Environment::from_variables(variables))
    }

    fn backup(&self) -> Result<BackupSettings, Failure> {
        let Command::Backup(flags) = self.parse().command else { panic!("not a backup") };
        self.settings()?.backup(&flags)
    }
}

#[test]
fn the_strongest_layer_wins() {
    let file = "[backup]\nmax_size_gb = 1\njobs = 3\ncompression = false\n[retention]\ndays = 7\n";
    let backup = given().file(file).backup().unwrap();
    assert_eq!((backup.max_size_bytes, backup.jobs, backup.compression), (Some(1_000_000_000), 3, None));
    let with_environment =
        || given().file(file).set("BACKUP_MAX_SIZE_GB", "2.5").set("BACKUP_COMPRESSION_ENABLED", "Yes");
    let backup = with_environment().backup().unwrap();
    assert_eq!((backup.max_size_bytes, backup.compression), (Some(2_500_000_000), Some(1)));
    let flags = ["--max-size-gb", "0", "--jobs", "9", "--compression-level", "7"];
    let backup = with_environment().flags(&flags).backup().unwrap();
    assert_eq!((backup.max_size_bytes, backup.jobs, backup.compression), (None, 9, Some(7)));
    let days = |given: Given| given.settings().unwrap().retention_days;
    assert_eq!(days(given()), 30);
    assert_eq!(days(given().file(file)), 7);
    assert_eq!(days(given().file(file).set("BACKUP_RETENTION_DAYS", "90")), 90);
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let backup = given().backup().unwrap();
    assert_eq!(backup, BackupSettings::default());
    assert!(backup.verification && backup.compression.is_some());
    assert_eq!(backup.max_size_bytes, Some(10_000_000_000));
    assert_eq!(backup.max_size_policy, MaxSizePolicy::Warn);
    let settings = given().settings().unwrap();
    assert_eq!((settings.retention_days, settings.interval_hours), (30, 24));
    assert_eq!(settings.root, PathBuf::from("./backups/isolated"));
    assert!(settings.isolation);
}

#[test]
fn verification_is_turned_off_by_any_layer() {
    assert!(!given().set("BACKUP_VERIFICATION_ENABLED", "false").backup().unwrap().verification);
    assert!(!given().flags(&["--no-verify"]).backup().unwrap().verification);
    assert!(!given().file("[backup]\nverification = false\n").backup().unwrap().verification);
}

#[test]
fn an_empty_variable_is_not_set() {
    let backup =
        given().set("BACKUP_MAX_SIZE_GB", "").set("BACKUP_VERIFICATION_ENABLED", "").backup().unwrap();
    assert!(backup.verification);
}

#[test]
fn a_wrong_value_is_named_with_its_origin() {
    for (given, says) in [
        (given().set("BACKUP_MAX_SIZE_GB", "ten"), "BACKUP_MAX_SIZE_GB is \"ten\""),
        (given().set("BACKUP_MAX_SIZE_GB", "-1"), "BACKUP_MAX_SIZE_GB is \"-1\""),
        (given().set("BACKUP_MAX_SIZE_GB", "NaN"), "BACKUP_MAX_SIZE_GB is \"NaN\""),
        (given().set("BACKUP_COMPRESSION_ENABLED", "maybe"), "BACKUP_COMPRESSION_ENABLED is \"maybe\""),
        (given().set("BACKUP_RETENTION_DAYS", "0"), "BACKUP_RETENTION_DAYS is \"0\""),
        (given().set("BACKUP_INTERVAL_HOURS", "1.5"), "BACKUP_INTERVAL_HOURS is \"1.5\""),
        (given().file("[backup]\njobs = 0\n"), "backup.jobs in "),
        (given().flags(&["--jobs", "65"]), "--jobs is \"65\""),
        (given().flags(&["--compression-level", "20"]), "--compression-level is \"20\""),
    ] {
        let error = given.backup().unwrap_err();
        assert_eq!(error.code, Code::SettingsValue);
        assert!(error.message.contains(says), "{}", error.message);
    }
}

#[test]
fn an_error_in_the_file_names_its_line_and_keeps_its_text_to_itself() {
    for (text, line) in [
        ("[backup]\n\njobz = 3\n", "line 3"),
        ("[sources.a]\nurl = \"postgres://u:hunter2@h/d\" x\n", "line 2"),
        ("[backup]\njobs = \"many\"\n", "line 2"),
        ("[repository]\nencryption_key = \"hunter2\"\n", "line 2"),
    ] {
        let error = given().file(text).settings().unwrap_err();
        assert_eq!(error.code, Code::SettingsFile);
        assert!(error.message.contains(line), "{}", error.message);
        assert!(!error.message.contains("hunter2"), "{}", error.message);
    }
}

#[test]
fn a_named_settings_file_must_be_there() {
    let mut flags = given().parse().global;
    flags.config = Some("/nowhere/chronavault.toml".into());
    let error = Settings::load(&flags, Environment::default()).unwrap_err();
    assert_eq!(error.code, Code::SettingsFileUnreadable);
}

#[test]
fn the_repository_is_where_the_strongest_layer_says() {
    let root = |given: Given| given.settings().map(|settings| settings.root.display().to_string());
    let file = "[repository]\ndirectory = \"/file\"\n";
    assert_eq!(root(given().file(file)).unwrap(), "/file/isolated");
    assert_eq!(root(given().file(file).set("BACKUP_DIRECTORY", "/env")).unwrap(), "/env/isolated");
    assert_eq!(root(given().file(file).set("BACKUP_REPOSITORY", "file:///env%20x/r")).unwrap(), "/env x/r");
    let flags = given().file(file).set("BACKUP_REPOSITORY", "file:///env").flags(&["--directory", "/flag"]);
    assert_eq!(root(flags).unwrap(), "/flag/isolated");
    let open = given().set("BACKUP_DIRECTORY", "/env").set("BACKUP_ISOLATION_ENABLED", "off");
    assert_eq!(root(open).unwrap(), "/env/isolated");
    let both = given().set("BACKUP_DIRECTORY", "/env").set("BACKUP_REPOSITORY", "file:///env");
    assert_eq!(root(both).unwrap_err().code, Code::SettingsConflict);
}

#[test]
fn a_repository_that_is_not_a_local_path_is_refused() {
    for url in
        ["s3://bucket/x", "gs://b", "az://b", "/plain", "file://relative", "file:///a?b", "file:///%zz"]
    {
        let error = given().set("BACKUP_REPOSITORY", url).settings().unwrap_err();
        assert_eq!(error.code, Code::SettingsScheme, "{url}");
    }
    let error = given().set("BACKUP_REPOSITORY", "postgres://u:hunter2@h/d").settings().unwrap_err();
    assert!(!error.message.contains("hunter2"));
}

#[test]
fn the_key_has_one_place() {
    let key = "00".repeat(32);
    let source = |given: Given| given.settings().map(|settings| settings.key);
    assert_eq!(source(given().set("BACKUP_ENCRYPTION_KEY", &key)).unwrap(), KeySource::Environment);
    let both = given().set("BACKUP_ENCRYPTION_KEY", &key).set("BACKUP_ENCRYPTION_KEY_FILE", "/k");
    assert_eq!(source(both).unwrap_err().code, Code::SettingsConflict);
    let flag = given().set("BACKUP_ENCRYPTION_KEY", &key).flags(&["--key-file", "/flag"]);
    assert_eq!(source(flag).unwrap().file(), Some(Path::new("/flag")));
    let file = given().file("[repository]\nkey_file = \"/toml\"\n");
    assert_eq!(source(file).unwrap().file(), Some(Path::new("/toml")));
}

#[test]
fn a_source_is_found_by_name_or_alone() {
    let file = "[sources.books]\nurl = \"postgres://h/books\"\nexclude_tables = [\"tmp_*\"]\n";
    let source = |given: Given, name| given.settings().unwrap().source(name).map(|s| (s.name, s.url));
    let books = || (Some("books".to_owned()), "postgres://h/books".to_owned());
    assert_eq!(source(given().file(file), None).unwrap(), books());
    assert_eq!(source(given().file(file), Some("books")).unwrap(), books());
    assert_eq!(
        source(given().file(file).set("DATABASE_URL", "postgres://h/x"), Some("books")).unwrap(),
        books()
    );
    assert_eq!(
        source(given().file(file).set("DATABASE_URL", "postgres://h/x"), None).unwrap(),
        (None, "postgres://h/x".to_owned())
    );
    assert_eq!(
        source(given().set("DATABASE_URL", "postgres://h/x"), Some("mine")).unwrap(),
        (Some("mine".to_owned()), "postgres://h/x".to_owned())
    );
    assert_eq!(source(given().set("PGHOST", "/tmp"), None).unwrap(), (None, String::new()));
    let code = |given: Given, name| source(given, name).unwrap_err().code;
    assert_eq!(code(given(), None), Code::SettingsNoSource);
    assert_eq!(code(given().file(file), Some("book")), Code::SettingsSource);
    assert_eq!(
        code(given().file(file).set("DATABASE_URL", "postgres://h/x"), Some("book")),
        Code::SettingsSource
    );
    assert_eq!(code(given().file(&format!("{file}[sources.b]\nurl = \"x\"\n")), None), Code::SettingsSource);
}

#[test]
fn flags_replace_the_filters_of_the_file() {
    let file = "[sources.books]\nurl = \"postgres://h/books\"\nexclude_tables = [\"tmp_*\"]\n";
    let filters = |given: Given| {
        let Command::Backup(flags) = given.parse().command else { panic!("not a backup") };
        given.settings().unwrap().source(None).unwrap().filters(&flags)
    };
    let of_file = Filters { exclude_tables: vec!["tmp_*".into()], ..Filters::default() };
    assert_eq!(filters(given().file(file)), of_file);
    let of_flags = Filters { schemas: vec!["a".into()], ..Filters::default() };
    assert_eq!(filters(given().file(file).flags(&["--schema", "a"])), of_flags);
}

#[test]
fn the_journal_is_beside_the_repository_unless_somebody_says_where() {
    let of = |given: Given| given.settings().unwrap().journal_directory.display().to_string();
    assert_eq!(of(given()), "./backups/journal");
    assert_eq!(of(given().set("BACKUP_DIRECTORY", "/srv/b")), "/srv/b/journal");
    assert_eq!(of(given().set("BACKUP_REPOSITORY", "file:///srv/b/isolated")), "/srv/b/journal");
    assert_eq!(of(given().set("BACKUP_REPOSITORY", "file:///srv/books")), "/srv/books-journal");
    let file = || given().file("[repository]\njournal_directory = \"/var/log/chronavault\"\n");
    assert_eq!(of(file()), "/var/log/chronavault");
    assert_eq!(of(file().set("BACKUP_JOURNAL_DIRECTORY", "/var/j")), "/var/j");
    let inside =
        given().set("BACKUP_DIRECTORY", "/srv/b").set("BACKUP_JOURNAL_DIRECTORY", "/srv/b/isolated/journal");
    let failure = inside.settings().unwrap_err();
    assert_eq!(failure.code, Code::SettingsValue);
    assert!(failure.message.contains("inside the repository"), "{}", failure.message);
}

#[test]
fn the_example_in_the_documentation_holds_the_defaults() {
    let example = include_str!("../../../../docs/chronavault.toml");
    let of_example = given().file(example);
    assert_eq!(of_example.backup().unwrap(), given().backup().unwrap());
    let (settings, defaults) = (of_example.settings().unwrap(), given().settings().unwrap());
    assert_eq!((&settings.root, settings.isolation), (&defaults.root, defaults.isolation));
    assert_eq!(settings.retention_days, defaults.retention_days);
    assert_eq!(settings.interval_hours, defaults.interval_hours);
    assert_eq!(settings.source(None).unwrap().name.as_deref(), Some("books"));
    assert_eq!(settings.journal_directory, defaults.journal_directory);
    assert_eq!(settings.alert_policy().unwrap(), defaults.alert_policy().unwrap());
    // Every line that is commented out must be right, too; those of alerts have a test of their own.
    let (example, _) = example.split_once("\n[alerts]").unwrap();
    let (example, checks) = example.split_once("# [[checks]]").unwrap();
    let (checks, _) = checks.split_once("\n\n").unwrap();
    let checks = given().file(&format!("[sources.books]\n[[checks]]{}", checks.replace("\n# ", "\n")));
    let checks = checks.settings().unwrap().checks().unwrap();
    assert_eq!(
        (checks.len(), &checks[0].expectation, checks[0].limit),
        (1, &Expectation::NoRows, Check::LIMIT)
    );
    let (before, rest) = example.split_once("# [[schedules]]").unwrap();
    let (schedule, after) = rest.split_once("\n\n").unwrap();
    let example = format!("{before}[[schedules]]{}\n\n{after}", schedule.replace("\n# ", "\n"));
    let all = example.replace("# url = ", "url = ").replace("directory = \"./backups\" ", "# ");
    let all = all
        .replace("# journal", "journal")
        .replace("# source", "source")
        .replace("# jobs", "jobs")
        .replace("# key_file", "key_file")
        .replace("# state_directory", "state_directory")
        .replace("# slot", "slot")
        .replace("# wal_days", "wal_days")
        .replace("# sandbox", "sandbox")
        .replace("# stop_services", "stop_services")
        .replace("# start_services", "start_services")
        .replace("# health_url", "health_url")
        .replace("# contacts", "contacts");
    let settings = given().file(&all).settings().unwrap();
    let recovery = settings.recovery(None).unwrap();
    assert_eq!(recovery.objectives, defaults.recovery(None).unwrap().objectives);
    assert!(recovery.stop.is_some() && recovery.start.is_some() && recovery.health.is_some());
    assert_eq!(settings.service().unwrap().tasks.len(), 3);
}

#[test]
fn the_rules_in_the_documentation_are_those_of_the_ledger() {
    let page = include_str!("../../../../docs/checks.md");
    let (before, rules) = page.split_once("## Rules of a ledger").unwrap();
    let settings = |text: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
        given().file(&lines.collect::<Vec<_>>().join("\n")).settings().unwrap().checks().unwrap()
    };
    assert_eq!(settings(before).len(), 2);
    let documented: Vec<_> = settings(rules)
        .into_iter()
        .map(|it| (it.name, it.query, it.expectation.to_string(), it.severity.to_string()))
        .collect();
    let ledger = sample::RULES.iter();
    let ledger: Vec<_> = ledger
        .map(|it| (it.name.to_owned(), it.query.to_owned(), it.expect.to_owned(), it.severity.to_owned()))
        .collect();
    assert_eq!(documented, ledger);
}

#[test]
fn a_repository_is_opened_once_with_the_same_settings() {
    let given = given().set("BACKUP_ISOLATION_ENABLED", "true");
    let directory = given.directory.path().to_owned();
    let (key, backups) = (directory.join("key"), directory.join("backups"));
    crate::key::generate(&key, &|bytes| bytes.fill(7)).unwrap();
    let given = given
        .set("BACKUP_ENCRYPTION_KEY_FILE", key.to_str().unwrap())
        .set("BACKUP_DIRECTORY", backups.to_str().unwrap());
    let settings = given.settings().unwrap();
    let holder = crate::opening::holder(&settings.key.require(&settings.environment).unwrap());
    let store = crate::opening::store(&settings).unwrap();
    Repository::init(store, &holder, jiff::Timestamp::UNIX_EPOCH, &|bytes| bytes.fill(3)).unwrap();
    let opened = crate::opening::repository(&settings).unwrap();
    fs::remove_file(&key).unwrap();
    assert!(crate::opening::repository(&settings).unwrap().is_as(&opened));
    assert!(crate::opening::anew(&settings).is_err(), "who asks how it is now is told");
}
