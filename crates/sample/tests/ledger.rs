//! The ledger on a real server: the same rows everywhere, and rules that hold.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use chronavault_sample::{self as sample, LedgerOptions, SampleError, bench};
use postgres::{Client, Tools};
use testkit::cluster::server_tools;
use testkit::{Cluster, Installation};

/// Tables that older servers cannot have; all others have the same rows on every version.
const SINCE_14: [&str; 2] = ["edge.infinite_numerics", "edge.multiranges"];

fn quiet() -> impl FnMut(&str) {
    |_: &str| {}
}

fn day(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn loaded(cluster: &Cluster, database: &str, options: &LedgerOptions) -> Client {
    cluster.psql("postgres", &format!("create database {database}"));
    let mut client = cluster.client(database);
    sample::load(&mut client, options, &mut quiet()).unwrap();
    client
}

/// A hash of the rows of every table, and of all large objects.
fn fingerprints(client: &mut Client) -> BTreeMap<String, String> {
    client
        .execute(
            "set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres'; set extra_float_digits = 1;
             set bytea_output = 'hex'; set search_path = ''; set row_security = off",
        )
        .unwrap();
    let tables = client
        .query(
            "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = relnamespace
             where relkind in ('r', 'm') and relispopulated and nspname not in ('pg_catalog', 'information_schema', 'pg_toast')",
            &[],
        )
        .unwrap();
    let mut found = BTreeMap::new();
    for table in tables.iter().map(|row| row.get(0).unwrap().to_owned()) {
        let sql = format!(
            "select count(*) || ' ' || coalesce(md5(string_agg(h, '' order by h)), '')
             from (select md5(t::text) as h from only {table} t) as hashes"
        );
        let fingerprint = client.query_one(&sql, &[]).unwrap().get(0).unwrap().to_owned();
        found.insert(table, fingerprint);
    }
    let objects = "select count(*) || ' ' || coalesce(md5(string_agg(oid || md5(lo_get(oid)), '' order by oid)), '') from pg_largeobject_metadata";
    found.insert(
        "large objects".to_owned(),
        client.query_one(objects, &[]).unwrap().get(0).unwrap().to_owned(),
    );
    found
}

/// One hash of what every version has.
fn common_hash(client: &mut Client, fingerprints: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (table, hash) in fingerprints.iter().filter(|(table, _)| !SINCE_14.contains(&table.as_str())) {
        text.extend([table, "=", hash, ";"]);
    }
    client.query_one("select md5($1::text)", &[Some(&text)]).unwrap().get(0).unwrap().to_owned()
}

fn number(client: &mut Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).unwrap().number(0).unwrap()
}

fn refused_with(result: Result<(), postgres::Error>) -> String {
    match result.unwrap_err() {
        postgres::Error::Server(error) => format!("{}: {}", error.code, error.message),
        other => panic!("not refused by the server: {other}"),
    }
}

#[test]
fn the_same_seed_gives_the_same_rows_on_every_run_and_version() {
    let cluster = Cluster::start();
    let mut first = loaded(&cluster, "first", &LedgerOptions::small(7));
    let mut second = loaded(&cluster, "second", &LedgerOptions::small(7));
    let mut other = loaded(&cluster, "other", &LedgerOptions::small(8));
    let rows = fingerprints(&mut first);
    assert_eq!(rows, fingerprints(&mut second));
    let others = fingerprints(&mut other);
    for table in [
        "public.journal_entries",
        "public.journal_lines",
        "audit.log_2022_03",
        "public.documents",
        "large objects",
    ] {
        assert_ne!(rows[table], others[table], "{table} does not depend on the seed");
    }
    assert_eq!(
        common_hash(&mut first, &rows),
        "34c935408c6f0ec47f35d981b83fc454",
        "the rows of seed 7 are not what they were"
    );

    sample::grow(&mut first, day(1), &mut quiet()).unwrap();
    sample::grow(&mut second, day(1), &mut quiet()).unwrap();
    let grown = fingerprints(&mut first);
    assert_eq!(grown, fingerprints(&mut second));
    assert_ne!(rows, grown);
    assert_eq!(
        common_hash(&mut first, &grown),
        "99dcc7b647434ea95f4f93324eefd77a",
        "a day after seed 7 is not what it was"
    );
}

#[test]
fn rules_of_the_books_hold() {
    let cluster = Cluster::start();
    let mut client = loaded(&cluster, "books", &LedgerOptions::small(1));

    let unbalanced = "select count(*) from (select from journal_lines group by entry_id having sum(debit) <> sum(credit)) as e";
    client.execute("set search_path = public").unwrap();
    assert_eq!(number(&mut client, unbalanced), 0);
    let insert = "insert into journal_lines (id, entry_id, account_id, debit, credit) values";
    let refusal = refused_with(client.execute(&format!("{insert} (-1, 5, 7, 10, 0)")));
    assert!(refusal.starts_with("23514: journal entry 5 does not balance"), "{refusal}");
    client
        .execute(&format!("begin; {insert} (-1, 5, 7, 10, 0); {insert} (-2, 5, 8, 0, 10); commit"))
        .unwrap();

    assert!(number(&mut client, "select count(*) from payments") > 0);
    client.execute("set role ledger_app").unwrap();
    assert!(refused_with(client.execute("select from payments")).starts_with("42501"));
    client.execute("reset role; grant select on payments to ledger_app; set role ledger_app").unwrap();
    assert_eq!(number(&mut client, "select count(*) from payments"), 0);
    client.execute("set ledger.company = '3'").unwrap();
    assert!(number(&mut client, "select count(*) from payments where company_id = 3") > 0);
    assert_eq!(number(&mut client, "select count(*) from payments where company_id <> 3"), 0);
    client.execute("set row_security = off").unwrap();
    assert!(refused_with(client.execute("select from payments")).contains("row-level security"));
    // Forced: even the owner.
    client.execute("reset row_security; reset ledger.company; set role ledger_owner").unwrap();
    assert_eq!(number(&mut client, "select count(*) from payments"), 0);
    client.execute("reset role").unwrap();

    let refusal = refused_with(client.execute("create table keyless (id integer)"));
    assert!(refusal.contains("needs a primary key"), "{refusal}");
    client
        .execute(
            "insert into invoices (company_id, number, customer, issued_on, due_on, net, positions)
                    values (1, 'mine', 'me', '2025-01-01', '2025-01-02', 1, '[]')",
        )
        .unwrap();
    assert_eq!(
        number(&mut client, "select count(*) from invoices where number = 'INV-100' and customer = 'ME'"),
        1
    );

    let again = sample::load(&mut client, &LedgerOptions::small(1), &mut quiet());
    assert!(matches!(again, Err(SampleError::NotEmpty { .. })), "{again:?}");
}

#[test]
fn a_database_that_cannot_hold_it_is_refused() {
    let cluster = Cluster::start();
    cluster.psql(
        "postgres",
        "create database ascii template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'",
    );
    let result = sample::load(&mut cluster.client("ascii"), &LedgerOptions::small(1), &mut quiet());
    assert!(
        matches!(result, Err(SampleError::Encoding { ref encoding }) if encoding == "SQL_ASCII"),
        "{result:?}"
    );

    cluster.psql("postgres", "create role plain; create database mine owner plain");
    let mut client = cluster.client("mine");
    client.execute("set session authorization plain").unwrap();
    let result = sample::load(&mut client, &LedgerOptions::small(1), &mut quiet());
    assert!(matches!(result, Err(SampleError::NotSuperuser)), "{result:?}");
    let result = sample::grow(&mut client, day(1), &mut quiet());
    assert!(matches!(result, Err(SampleError::NotLedger)), "{result:?}");
}

#[test]
fn a_day_appends_one_percent_and_changes_a_quarter_of_one() {
    let cluster = Cluster::start();
    let options = LedgerOptions { target_bytes: 30_000_000, ..LedgerOptions::small(3) };
    cluster.psql("postgres", "create database books; create database bench");
    let mut client = cluster.client("books");
    let mut steps = Vec::new();
    let before = sample::load(&mut client, &options, &mut |step| steps.push(step.to_owned())).unwrap();
    assert_eq!(before.journal_entries, options.journal_entries());
    assert_eq!(before.journal_lines, 4 * before.journal_entries);
    assert!(before.database_bytes.abs_diff(options.target_bytes) < 4_000_000, "{before:?}");
    assert!(steps.iter().any(|step| step == "journal lines"), "{steps:?}");
    let added = before.journal_entries / 100;
    // Another session: it has the settings of the database, which write dates in another way.
    let mut client = cluster.client("books");
    for number_of_day in [1, 2] {
        let after = sample::grow(&mut client, day(number_of_day), &mut quiet()).unwrap();
        assert_eq!(after.journal_entries, before.journal_entries + u64::from(number_of_day) * added);
    }
    let corrected = number(
        &mut client,
        "select count(*) from public.journal_lines where description like 'corrected on day 2:%'",
    );
    assert!(u64::try_from(corrected).unwrap().abs_diff(before.journal_lines / 400) <= 6, "{corrected}");
    // Spread over the table: the first and the last tenth of its pages have their share.
    let spread = "select count(distinct width_bucket(id, 1, (select max(id) from public.journal_lines), 10))
                  from public.journal_lines where description like 'corrected%'";
    assert_eq!(number(&mut client, spread), 10);
    assert!(matches!(sample::grow(&mut client, day(2), &mut quiet()), Err(SampleError::Step { .. })));

    let mut client = cluster.client("bench");
    bench::load(&mut client, 1000, &mut quiet()).unwrap();
    let rows = fingerprints(&mut client);
    // As PostgreSQL 15 made them when the figures were taken.
    assert_eq!(rows["public.companies"], "500 8fc82dd0eb3a827e3f2e4e0a51ea3c91");
    assert_eq!(rows["public.accounts"], "20000 69fdf89560cc75170bcd8eff9e5644e0");
    assert_eq!(rows["public.journal_entries"], "1000 40d2af26d2428bb9bbcd12c68fcbb678");
    assert_eq!(rows["public.journal_lines"], "4000 e925412da27008fecea41bbcc95c5d19");
    bench::grow(&mut client, 1000, day(1), &mut quiet()).unwrap();
    bench::grow(&mut client, 1000, day(2), &mut quiet()).unwrap();
    assert_eq!(number(&mut client, "select count(*) from public.journal_entries"), 1020);
    assert_eq!(
        number(
            &mut client,
            "select count(*) from public.journal_lines where description like 'corrected on day 2%'"
        ),
        11
    );
    // What a day appends is what a larger load would have had there.
    cluster.psql("postgres", "create database larger");
    let mut larger = cluster.client("larger");
    bench::load(&mut larger, 1020, &mut quiet()).unwrap();
    let entries = "public.journal_entries";
    assert_eq!(fingerprints(&mut client)[entries], fingerprints(&mut larger)[entries]);
}

#[test]
fn the_extension_and_the_giant_value_are_there_on_request() {
    let installation =
        Installation::with_extension_files(server_tools().directory(), &sample::extension::FILES).unwrap();
    let cluster = Cluster::with_tools(&Tools::at(installation.bin()).unwrap(), |_| ());
    let mut client =
        loaded(&cluster, "books", &LedgerOptions { giant_value: true, ..LedgerOptions::small(1) });
    assert_eq!(number(&mut client, "select count(*) from tax.tax_rates where not built_in"), 2);
    assert_eq!(
        number(&mut client, "select cardinality(extconfig) from pg_extension where extname = 'ledger_tax'"),
        3
    );
    assert_eq!(number(&mut client, "select octet_length(value) from edge.giant"), 100_000_000);
}
