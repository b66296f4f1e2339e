use chronavault_postgres::load::{
    Apply, LeftOut, LoadOptions, NewDatabase, database_exists, databases, first_object,
};
use chronavault_postgres::{ClientEnvironment, ConnectOptions};
use model::QualifiedName;

use super::books::{cluster, dump, new_database, properties, restore, rows, text};

/// What `pg_restore` alone would do differently: an event trigger that sees materialized views being filled, and a table whose owner may not
/// insert into it.
const TRICKY: &str = "
    CREATE TABLE public.seen (tag text);
    CREATE FUNCTION public.see() RETURNS event_trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.seen VALUES (tg_tag); END $$;
    CREATE EVENT TRIGGER a_see ON ddl_command_end EXECUTE FUNCTION public.see();
    COMMENT ON EVENT TRIGGER a_see IS 'sees';
    TRUNCATE public.seen;
    GRANT CONNECT ON DATABASE books TO fixture_owner WITH GRANT OPTION;
    SET SESSION AUTHORIZATION fixture_owner;
    GRANT CONNECT ON DATABASE books TO \"fixture reader\";
    RESET SESSION AUTHORIZATION;
";

/// P6: with the rows of some tables in the archive and of others beside it, everything is back.
#[test]
fn what_is_restored_dumps_like_what_was_dumped() {
    let cluster = cluster();
    cluster.psql("books", TRICKY);
    let large = [
        (QualifiedName::new("ledger", "account"), vec!["id", "code", "mood", "balance", "note"]),
        (QualifiedName::new("public", "event_2025"), vec!["at", "what"]),
    ];
    let (_, archive) = dump(
        &cluster,
        "books",
        &["--exclude-table-data=ledger.account", "--exclude-table-data=public.event_2025"],
    );
    let properties = properties(&cluster, "books");
    let expected = text(&cluster, "books");
    assert!(expected.contains("COPY public.seen (tag) FROM stdin;\n\\.\n"), "the event trigger left no rows");

    let database = new_database(&cluster, &properties, [0, 0xab, 2, 0xff]);
    assert_eq!(database.options().database(), "chronavault_restore_00ab02ff");
    let options = LoadOptions {
        jobs: 3,
        settings: vec![
            ("maintenance_work_mem".into(), "32 MB".into()),
            ("synchronous_commit".into(), "off".into()),
        ],
        ..LoadOptions::default()
    };
    let mut source = cluster.client("books");
    restore(&cluster, database.options(), &archive, options, |target| {
        for (table, columns) in &large {
            let columns: Vec<_> = columns.iter().map(|column| (*column).to_owned()).collect();
            let mut copy = target
                .copy_in(&format!("COPY {} ({}) FROM STDIN", table.quoted(), columns.join(", ")))
                .unwrap();
            copy.send(&rows(&mut source, table, &columns)).unwrap();
            copy.finish().unwrap();
        }
    });
    assert_eq!(database.finish("copy", false).unwrap(), []);
    assert_eq!(text(&cluster, "copy"), expected);
    let restored = super::books::properties(&cluster, "copy");
    assert_eq!(
        chronavault_postgres::load::DatabaseProperties { name: "books".into(), ..restored },
        properties
    );
    let totals = cluster.psql("copy", "SELECT count(*), sum(total) FROM public.totals");
    assert_eq!(totals, cluster.psql("books", "SELECT count(*), sum(total) FROM public.totals"));
}

#[test]
fn an_empty_database_is_restored_as_an_empty_one() {
    let cluster = testkit::Cluster::start();
    cluster.create_database("books");
    let (_, archive) = dump(&cluster, "books", &[]);
    let properties = properties(&cluster, "books");
    assert_eq!((&properties.privileges, &properties.comment), (&None, &None));
    let database = new_database(&cluster, &properties, [1; 4]);
    restore(&cluster, database.options(), &archive, LoadOptions::default(), |_| ());
    database.finish("Another \"name\"", false).unwrap();
    let mut client = cluster.client("Another \"name\"");
    assert_eq!(first_object(&mut client).unwrap(), None);
    assert_eq!(databases(&mut client).unwrap(), ["Another \"name\"", "books", "postgres"]);
    for (sql, found) in [
        ("CREATE SCHEMA s", "schema s"),
        ("DROP SCHEMA s; SELECT lo_create(7)", "large object 7"),
        ("SELECT lo_unlink(7); CREATE TYPE public.mood AS ENUM ('a')", "type public.mood"),
        (
            "CREATE FUNCTION public.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "function public.f(integer)",
        ),
        ("CREATE TABLE public.t (a int)", "table public.t"),
        ("DROP TABLE public.t; DROP FUNCTION public.f; DROP TYPE public.mood", ""),
        ("CREATE EXTENSION pg_trgm SCHEMA public", "extension pg_trgm"),
    ] {
        client.execute(sql).unwrap();
        assert_eq!(first_object(&mut client).unwrap().unwrap_or_default(), found, "{sql}");
    }
}

/// The old database is dropped only once the new one has its name; sessions are no obstacle.
#[test]
fn a_database_takes_the_place_of_another() {
    let cluster = cluster();
    let properties = properties(&cluster, "books");
    // A subscription would keep the old database from being dropped.
    cluster.psql(
        "books",
        "ALTER SUBSCRIPTION feed SET (slot_name = NONE); DROP SUBSCRIPTION feed; CREATE TABLE old ();",
    );
    let (_, archive) = dump(&cluster, "books", &["--exclude-table=old"]);
    let database = new_database(&cluster, &properties, [2; 4]);
    restore(&cluster, database.options(), &archive, LoadOptions::default(), |_| ());
    let mut session = cluster.client("books");
    assert_eq!(database.finish("books", true).unwrap(), []);
    assert!(session.execute("SELECT 1").is_err(), "the session of the old database has ended");
    assert_eq!(
        cluster.psql("books", "SELECT to_regclass('old') IS NULL, count(*) FROM ledger.account"),
        "t|200\n"
    );
    assert_eq!(databases(&mut cluster.client("postgres")).unwrap(), ["books", "postgres"]);
}

#[test]
fn an_old_database_that_cannot_be_dropped_is_kept_and_named() {
    let cluster = cluster();
    let properties = properties(&cluster, "books");
    let (_, archive) = dump(&cluster, "books", &[]);
    let database = new_database(&cluster, &properties, [3; 4]);
    restore(&cluster, database.options(), &archive, LoadOptions::default(), |_| ());
    let left_out = database.finish("books", true).unwrap();
    let [LeftOut { object, reason }] = left_out.as_slice() else { panic!("{left_out:?}") };
    assert_eq!(object, "the database that was books before");
    assert!(reason.starts_with("it is kept as chronavault_replaced_03030303, because"), "{reason}");
    assert!(database_exists(&mut cluster.client("postgres"), "chronavault_replaced_03030303").unwrap());
}

/// A role that may make databases, and is no superuser, restores what it owns.
#[test]
fn an_owner_without_special_rights_restores_and_replaces_a_database() {
    let cluster = testkit::Cluster::start();
    cluster.psql(
        "postgres",
        "CREATE ROLE owner LOGIN CREATEDB; CREATE ROLE reader; CREATE DATABASE books OWNER owner;
         ALTER DATABASE books SET work_mem = '5MB';",
    );
    cluster.psql(
        "books",
        "SET SESSION AUTHORIZATION owner;
         CREATE SCHEMA s; CREATE TABLE s.t (id serial PRIMARY KEY, v text); INSERT INTO s.t (v) SELECT 'x' FROM generate_series(1, 9);
         CREATE MATERIALIZED VIEW s.m AS SELECT count(*) FROM s.t; GRANT SELECT ON s.t TO reader; REVOKE INSERT ON s.t FROM owner;
         GRANT CONNECT ON DATABASE books TO reader; COMMENT ON DATABASE books IS 'mine'; SELECT lo_from_bytea(0, 'x');",
    );
    let (_, archive) = dump(&cluster, "books", &[]);
    let expected = (text(&cluster, "books"), properties(&cluster, "books"));
    let url = cluster.url("books").replace("//postgres@", "//owner@");
    let owner = ConnectOptions::parse(&url, &ClientEnvironment::empty()).unwrap();
    cluster.psql("books", "DROP TABLE s.t CASCADE");
    let database = NewDatabase::create(&owner, expected.1.clone(), Apply::default(), [7; 4]).unwrap();
    restore(&cluster, database.options(), &archive, LoadOptions::default(), |_| ());
    assert_eq!(database.finish("books", true).unwrap(), []);
    assert_eq!((text(&cluster, "books"), properties(&cluster, "books")), expected);
}

/// Databases sorted by ICU or by PostgreSQL itself come back sorted the same way.
#[test]
fn collations_of_every_provider_come_back() {
    let cluster = testkit::Cluster::start();
    let mut client = cluster.client("postgres");
    // Made by initdb where the server was built with ICU.
    let has_icu =
        !client.query("SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu'", &[]).unwrap().is_empty();
    let mut locales = vec![("plain", "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")];
    let major = client.server_major();
    if has_icu && major >= 15 {
        locales.push(("icu", "LOCALE_PROVIDER icu ICU_LOCALE 'de-u-co-phonebk'"));
    }
    if has_icu && major >= 16 {
        locales.push(("rules", "LOCALE_PROVIDER icu ICU_LOCALE 'und' ICU_RULES '& a < g'"));
    }
    if major >= 17 {
        locales.push(("builtin", "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"));
    }
    for (suffix, (name, locale)) in (0..).zip(locales) {
        client.execute(&format!("CREATE DATABASE {name} TEMPLATE template0 {locale}")).unwrap();
        let expected = properties(&cluster, name);
        let restored = format!("{name}_restored");
        new_database(&cluster, &expected, [suffix; 4]).finish(&restored, false).unwrap();
        let found = properties(&cluster, &restored);
        assert_eq!(chronavault_postgres::load::DatabaseProperties { name: name.into(), ..found }, expected);
    }
}
