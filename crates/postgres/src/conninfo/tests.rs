use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn environment(variables: &[(&str, &str)]) -> ClientEnvironment {
    // A home without files, unless a test names one.
    let home = (OsString::from("HOME"), OsString::from("/nonexistent"));
    let named = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    ClientEnvironment::from_vars(std::iter::once(home).chain(named))
}

fn parse(text: &str) -> ConnectOptions {
    ConnectOptions::parse(text, &environment(&[])).unwrap()
}

fn error(text: &str) -> ConninfoError {
    ConnectOptions::parse(text, &environment(&[])).unwrap_err()
}

fn password(options: &ConnectOptions) -> Option<String> {
    let password = options.password(&options.hosts[0])?;
    Some(String::from_utf8(password.bytes().to_vec()).unwrap())
}

fn hosts_of(text: &str) -> Vec<String> {
    parse(text).hosts.iter().map(ToString::to_string).collect()
}

#[test]
fn uris() {
    let options = parse("postgresql://alice:secret@db.example:5433/books?application_name=test%20it");
    assert_eq!(options.describe(), "books on db.example:5433 as alice");
    assert_eq!(password(&options).as_deref(), Some("secret"));
    assert_eq!(options.application_name(), "test it");
    assert_eq!(parse("postgres://bob@h").describe(), "bob on h:5432 as bob");
    assert_eq!(parse("postgres://bob@h/?dbname=other").database(), "other");
    assert_eq!(parse("postgres://h/?user=u&password=p").describe(), "u on h:5432 as u");
    assert_eq!(parse("postgres://u@h?connect_timeout=10").user(), "u");
    assert_eq!(parse("postgres://u%40x:p%3A%2F@h/a%20b%2Fc").describe(), "a b/c on h:5432 as u@x");
    // libpq's credentials end at the first '@', and its password may hold ':'.
    assert_eq!(password(&parse("postgres://u:a:b@h/d")).as_deref(), Some("a:b"));
    assert_eq!(parse("postgres://u@h/d?ssl=true").parameters.ssl_mode, SslMode::Require);
}

#[test]
fn hosts_in_uris() {
    assert_eq!(hosts_of("postgres://u@a,b:2,c:3/d"), ["a:5432", "b:2", "c:3"]);
    assert_eq!(hosts_of("postgres://u@[::1]:5433,[fe80::1]/d"), ["[::1]:5433", "[fe80::1]:5432"]);
    assert_eq!(hosts_of("postgres://u@%2Ftmp%2Fx:5/d"), ["/tmp/x/.s.PGSQL.5"]);
    assert_eq!(hosts_of("postgres://u@/d?host=/tmp/x&port=5"), ["/tmp/x/.s.PGSQL.5"]);
    assert_eq!(hosts_of("postgres:///d?host=a,b&port=1,2&user=u"), ["a:1", "b:2"]);
    assert_eq!(hosts_of("postgres://u@a,b/d?port=7"), ["a:7", "b:7"]);
    assert_eq!(hosts_of("postgres://u@h/d?hostaddr=127.0.0.1"), ["h:5432"]);
    assert_eq!(
        parse("postgres://u@h/d?hostaddr=127.0.0.1").hosts[0].address,
        Some("127.0.0.1".parse().unwrap())
    );
    assert_eq!(hosts_of("hostaddr=10.0.0.1 user=u"), ["10.0.0.1:5432"]);
    assert!(matches!(error("host=a,b hostaddr=10.0.0.1 user=u"), ConninfoError::Counts { .. }));
    assert!(matches!(error("host=a,b,c port=1,2 user=u"), ConninfoError::Counts { .. }));
    assert!(matches!(error("host=@abstract user=u"), ConninfoError::Unsupported { .. }));
}

#[test]
fn keyword_strings() {
    let options = parse(r" host = 'db.example' port=5433 user='al\'ice'  password = a\ b\\c dbname=books ");
    assert_eq!(options.describe(), "books on db.example:5433 as al'ice");
    assert_eq!(password(&options).as_deref(), Some(r"a b\c"));
    assert_eq!(parse("user=a dbname=''").database(), "a");
    assert_eq!(parse("user=a user=b").user(), "b");
    assert_eq!(parse("user=a dbname='x y'").database(), "x y");
    assert_eq!(
        parse("user=a options='-c work_mem=1MB'").parameters.options.as_deref(),
        Some("-c work_mem=1MB")
    );
}

#[test]
fn a_bare_word_is_a_database() {
    let environment = environment(&[("PGUSER", "u"), ("PGHOST", "h")]);
    assert_eq!(ConnectOptions::parse("books", &environment).unwrap().describe(), "books on h:5432 as u");
    assert_eq!(ConnectOptions::parse("", &environment).unwrap().describe(), "u on h:5432 as u");
}

#[test]
fn malformed_texts_are_errors_that_repeat_no_value() {
    for text in [
        "user=a password",
        "user=a pass word=x",
        "=x",
        "user=a password='s3cret",
        "postgres://u:s3cret@h:port/d",
        "postgres://u:s3/cret@h/d",
        "postgres://u:s3cret%@h/d",
        "postgres://u:s3cret%0@h/d",
        "postgres://u:s3cret%00@h/d",
        "postgres://[::1/d",
        "postgres://[]/d",
        "postgres://[::1]s3cret/d",
        "postgres://u@h/d?s3cret",
        "postgres://u@h/d?application_name=s3cret=x",
        "postgres://u@h/d?user=%FF",
        "user=u port=s3cret",
        "user=u port=0",
        "user=u port=65536",
        "user=u sslmode=s3cret",
        "user=u hostaddr=s3cret",
        "user=u connect_timeout=s3cret",
        "user=u target_session_attrs=s3cret",
        "user=u channel_binding=s3cret",
        "user=u require_auth=s3cret",
        "user=u require_auth=md5,!password",
        "user=u password=my s3cret=x",
        "postgres://u:p?s3cret=x/d@h",
        "postgres://u:pw@h/d?s3cret=1",
        "user=u sslpassword=s3cret",
        "user=u scram_client_key=s3cret",
        "user=u gssencmode=require",
        "user=u replication=true",
        "user=u sslcertmode=require",
        "user=u sslnegotiation=direct",
        "user=u sslrootcert=system sslmode=require",
        "user=u ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2",
        "user=u ssl_max_protocol_version=TLSv1.1",
    ] {
        let error = error(text);
        assert!(!format!("{error} {error:?}").contains("3cret"), "{text}: {error}");
    }
    assert_eq!(error("user=u hots=x").to_string(), "there is no connection setting \"hots\"");
    assert_eq!(
        error("user=u dbname").to_string(),
        "the connection string is malformed: a keyword without '=' (at character 14)"
    );
}

#[test]
fn what_libpq_without_gss_accepts_is_accepted() {
    parse("user=u gssencmode=prefer krbsrvname=postgres gsslib=gssapi gssdelegation=0 sslcompression=0");
    parse("user=u client_encoding=auto min_protocol_version=3.0 max_protocol_version=latest");
}

#[test]
fn typed_settings() {
    let parameters = |text: &str| parse(&format!("user=u {text}")).parameters;
    assert_eq!(parameters("").ssl_mode, SslMode::Prefer);
    assert_eq!(parameters("sslrootcert=system").ssl_mode, SslMode::VerifyFull);
    assert_eq!(parameters("sslrootcert=system").ssl_files.roots, Some(RootCertificates::System));
    assert_eq!(parameters("").ssl_files.roots, None);
    assert_eq!(parameters("connect_timeout=0").connect_timeout, None);
    assert_eq!(parameters("connect_timeout=1").connect_timeout, Some(Duration::from_secs(2)));
    assert_eq!(parameters("connect_timeout=' 7 '").connect_timeout, Some(Duration::from_secs(7)));
    assert!(parameters("").connect_timeout.is_some());
    assert_eq!(parameters("keepalives=0").keepalive, None);
    assert_eq!(parameters("keepalives_idle=5").keepalive.unwrap().idle, Duration::from_secs(5));
    assert_eq!(parameters("target_session_attrs=standby").session_attributes, SessionAttributes::Standby);
    assert_eq!(
        parameters("require_auth=md5,none").require_auth,
        Some(vec![AuthMethod::Md5, AuthMethod::None])
    );
    assert!(!parameters("require_auth=!md5").require_auth.as_ref().unwrap().contains(&AuthMethod::Md5));
    assert!(parameters("sslmode=require sslnegotiation=direct").ssl_direct);
    let versions = parameters("ssl_min_protocol_version=TLSv1.3");
    assert_eq!((versions.tls12, versions.tls13), (false, true));
    assert!(parameters("load_balance_hosts=random").shuffle_hosts);
}

#[test]
fn the_environment_is_the_weakest_origin() {
    let environment = environment(&[
        ("PGHOST", "env.example"),
        ("PGPORT", "7"),
        ("PGUSER", "env"),
        ("PGPASSWORD", "from env"),
        ("PGDATABASE", "a=b"),
        ("PGSSLMODE", "require"),
        ("PGCONNECT_TIMEOUT", "9"),
        ("OTHER", "x"),
    ]);
    let options = ConnectOptions::parse("", &environment).unwrap();
    assert_eq!(options.describe(), "a=b on env.example:7 as env");
    assert_eq!(password(&options).as_deref(), Some("from env"));
    assert_eq!(options.parameters.ssl_mode, SslMode::Require);
    let options = ConnectOptions::parse("host=h user=u password=p sslmode=disable", &environment).unwrap();
    assert_eq!(options.describe(), "a=b on h:7 as u");
    assert_eq!(password(&options).as_deref(), Some("p"));
    assert_eq!(options.parameters.ssl_mode, SslMode::Disable);
    // A value that makes no sense is an error even from there.
    let wrong = ClientEnvironment::from_vars([(OsString::from("PGSSLMODE"), OsString::from("yes"))]);
    assert!(matches!(
        ConnectOptions::parse("user=u", &wrong),
        Err(ConninfoError::Value { keyword: "sslmode", .. })
    ));
    let not_text = ClientEnvironment::from_vars([(OsString::from("PGUSER"), OsString::from_vec(vec![255]))]);
    assert!(matches!(ConnectOptions::parse("", &not_text), Err(ConninfoError::NotUtf8 { keyword: "user" })));
}

#[test]
fn the_user_is_the_account_by_default() {
    let id = std::process::Command::new("id").arg("-un").output().unwrap();
    let account = String::from_utf8(id.stdout).unwrap();
    assert_eq!(parse("host=h").user(), account.trim());
}

#[test]
fn nothing_shows_the_password() {
    let environment = environment(&[("PGPASSWORD", "s3cret"), ("PGUSER", "u")]);
    let options = ConnectOptions::parse("host=h", &environment).unwrap();
    let shown =
        format!("{options} {options:?} {:?} {:?} {environment:?}", options.settings, options.passfile);
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("PGPASSWORD"));
}

#[test]
fn services() {
    let home = tempfile::tempdir().unwrap();
    let system = tempfile::tempdir().unwrap();
    fs::write(
        home.path().join(".pg_service.conf"),
        "# ours\n[other]\nhost=no\n\n[books]\n  host=svc.example\nport=6\nuser=svc\npassword=pa=ss word\n[last]\nhost=l\n",
    )
    .unwrap();
    fs::write(
        system.path().join("pg_service.conf"),
        "[everyone]\nhost=sys\n[books]\nhost=sys\n[bad]\nhots=x\n",
    )
    .unwrap();
    let home_text = home.path().to_str().unwrap();
    let variables = [("HOME", home_text), ("PGSYSCONFDIR", system.path().to_str().unwrap()), ("PGPORT", "9")];
    let environment = environment(&variables);
    let options = ConnectOptions::parse("service=books dbname=d", &environment).unwrap();
    assert_eq!(options.describe(), "d on svc.example:6 as svc");
    assert_eq!(password(&options).as_deref(), Some("pa=ss word"));
    // The string is stronger, the environment weaker than the service.
    let options = ConnectOptions::parse("postgres://me@mine/d?service=books", &environment).unwrap();
    assert_eq!(options.describe(), "d on mine:6 as me");
    let options = ConnectOptions::parse("service=everyone user=u", &environment).unwrap();
    assert_eq!(options.describe(), "u on sys:9 as u");
    assert!(matches!(
        ConnectOptions::parse("service=missing", &environment),
        Err(ConninfoError::NoService { service }) if service == "missing"
    ));
    assert!(matches!(
        ConnectOptions::parse("service=bad", &environment),
        Err(ConninfoError::ServiceFile { line: 6, .. })
    ));
    let named = home.path().join("named");
    fs::write(&named, "[books]\nhost=named\n").unwrap();
    let with_file =
        super::tests::environment(&[("PGSERVICE", "books"), ("PGSERVICEFILE", named.to_str().unwrap())]);
    assert_eq!(ConnectOptions::parse("user=u", &with_file).unwrap().describe(), "u on named:5432 as u");
    let absent = super::tests::environment(&[("PGSERVICE", "books"), ("PGSERVICEFILE", "/nonexistent/file")]);
    assert!(matches!(ConnectOptions::parse("user=u", &absent), Err(ConninfoError::Read { .. })));
}

#[test]
fn password_files() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".pgpass");
    let lines = [
        "# a comment: not a line",
        "h:5432:books:alice:first",
        r"h:5432:a\:b:*:with\:colon and \\ backslash",
        "*:6:*:bob:by port",
        "localhost:*:*:carol:local",
        r"[\:\:1]:*:*:*:never",
        "::1:*:*:*:never either",
        r"\:\:1:*:*:dave:six",
        "short",
        "h:*:*:alice:fallback\r",
    ];
    fs::write(&path, lines.join("\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let environment = environment(&[("HOME", home.path().to_str().unwrap())]);
    let found = |text: &str| password(&ConnectOptions::parse(text, &environment).unwrap());
    assert_eq!(found("host=h user=alice dbname=books").as_deref(), Some("first"));
    assert_eq!(found("host=h user=alice dbname=other").as_deref(), Some("fallback"));
    assert_eq!(found("host=h user=x dbname=a:b").as_deref(), Some(r"with:colon and \ backslash"));
    assert_eq!(found("host=any port=6 user=bob dbname=d").as_deref(), Some("by port"));
    assert_eq!(found("host=/tmp user=carol dbname=d").as_deref(), Some("local"));
    assert_eq!(found("host=/tmp/x user=carol dbname=d"), None);
    assert_eq!(found("host=::1 user=dave dbname=d").as_deref(), Some("six"));
    assert_eq!(found("host=other user=alice dbname=d"), None);
    assert_eq!(found("host=h user=alice dbname=books password=given").as_deref(), Some("given"));
    // The database decides, also when it changes later.
    let options = ConnectOptions::parse("host=h user=alice dbname=other", &environment).unwrap();
    assert_eq!(password(&options.with_database("books")).as_deref(), Some("first"));
    assert!(options.warnings().is_empty());

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let options = ConnectOptions::parse("host=h user=alice dbname=books", &environment).unwrap();
    assert_eq!(password(&options), None);
    assert_eq!(options.warnings(), [ConninfoWarning::PassfileTooOpen { path }]);
    let options = ConnectOptions::parse("host=h user=u passfile=/dev/null", &environment).unwrap();
    assert!(matches!(options.warnings(), [ConninfoWarning::PassfileNotPlain { .. }]));
}

#[test]
fn children_get_what_was_resolved() {
    let text = "host=a,b hostaddr=10.0.0.1,10.0.0.2 port=1,2 user=u dbname='x=y' password=p sslmode=verify-ca \
                sslrootcert=/r options='-c a=b' channel_binding=require target_session_attrs=primary connect_timeout=5";
    let options = parse(text);
    let variables: std::collections::BTreeMap<_, _> = options.child_variables().into_iter().collect();
    let get = |name: &str| variables.get(&OsString::from(name)).map(|value| value.to_str().unwrap());
    for (name, value) in [
        ("PGHOST", "a,b"),
        ("PGHOSTADDR", "10.0.0.1,10.0.0.2"),
        ("PGPORT", "1,2"),
        ("PGUSER", "u"),
        ("PGDATABASE", "x=y"),
        ("PGPASSWORD", "p"),
        ("PGSSLMODE", "verify-ca"),
        ("PGSSLROOTCERT", "/r"),
        ("PGOPTIONS", "-c a=b"),
        ("PGCHANNELBINDING", "require"),
        ("PGTARGETSESSIONATTRS", "primary"),
        ("PGCONNECT_TIMEOUT", "5"),
        ("PGAPPNAME", "chronavault"),
    ] {
        assert_eq!(get(name), Some(value), "{name}");
    }
    assert_eq!((get("PGSERVICE"), get("PGSERVICEFILE"), get("PGSSLCERT")), (None, None, None));
    let pinned = options.pinned(&options.hosts[1], Some("10.0.0.9".parse().unwrap()));
    assert_eq!(pinned.describe(), "x=y on b:2 as u");
    assert_eq!(options.database_argument(), "dbname='x=y'");
    assert_eq!(
        parse(&format!("user=u {}", options.with_database(r"a'b\c").database_argument())).database(),
        r"a'b\c"
    );
}

fn percent_encode(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat()
}

proptest! {
    #[test]
    fn any_password_survives_a_uri(bytes in proptest::collection::vec(1_u8.., 1..40)) {
        let options = parse(&format!("postgres://u:{}@h/d", percent_encode(&bytes)));
        let found = options.password(&options.hosts[0]).unwrap();
        prop_assert_eq!(found.bytes(), &bytes);
        let options = parse(&format!("postgres://u@h/d?password={}", percent_encode(&bytes)));
        let found = options.password(&options.hosts[0]).unwrap();
        prop_assert_eq!(found.bytes(), &bytes);
    }

    #[test]
    fn any_password_survives_a_keyword_string(text in "[^\\x00]{1,40}") {
        let options = parse(&format!("user=u password={} host=h", keyword_string::quote(&text)));
        prop_assert_eq!(password(&options), Some(text.clone()));
        let escaped: String = text.chars().flat_map(|c| ['\\', c]).collect();
        prop_assert_eq!(password(&parse(&format!("user=u password={escaped} host=h"))), Some(text));
    }

    #[test]
    fn any_password_survives_a_password_file(text in "[^\\x00\n\r]{1,40}") {
        let escaped = text.replace('\\', "\\\\").replace(':', "\\:");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pgpass");
        fs::write(&path, format!("h:5432:d:u:{escaped}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let options = parse(&format!("host=h user=u dbname=d passfile={}", path.display()));
        prop_assert_eq!(password(&options), Some(text));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,60}") {
        let _ = ConnectOptions::parse(&text, &environment(&[]));
        let _ = ConnectOptions::parse(&format!("postgres://{text}"), &environment(&[]));
        let _ = ConnectOptions::parse(&format!("user={text}"), &environment(&[]));
    }
}
