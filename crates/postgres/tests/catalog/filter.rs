//! Filters select what `pg_dump` selects.

use std::collections::BTreeSet;

use chronavault_postgres::{FilterError, apply_session_settings, list_tables};
use model::{Filters, QualifiedName};

use crate::server::Server;

const NAMES: &[&str] = &[
    "plain",
    "Plain",
    "PLAIN",
    "with space",
    "dot.ted",
    "a$b",
    "a_b",
    "quo\"te",
    "star*",
    "question?",
    "brackets[]",
    "tmp_1",
    "tmp_2",
    "Größe",
    "back\\slash",
    "par(en)",
    "under_score",
    "x",
];

fn setup(server: &Server) {
    server.create("d");
    let mut sql = String::from(
        "CREATE SCHEMA \"Other Schema\"; CREATE SCHEMA other; CREATE SCHEMA \"dot.schema\"; CREATE SCHEMA hidden; \
         ALTER DATABASE d SET search_path = other, public;",
    );
    for schema in ["public", "other", "Other Schema", "dot.schema", "hidden"] {
        for name in NAMES {
            sql.push_str("CREATE TABLE ");
            sql.push_str(&QualifiedName::new(schema, *name).quoted());
            sql.push_str(" (i int);");
        }
    }
    sql += "CREATE TABLE public.part (i int) PARTITION BY RANGE (i); \
        CREATE TABLE public.part_1 PARTITION OF public.part FOR VALUES FROM (0) TO (10); \
        CREATE TABLE public.part_2 PARTITION OF public.part FOR VALUES FROM (10) TO (20);";
    server.client("d").execute(&sql).unwrap();
}

fn filters(schemas: &[&str], exclude_tables: &[&str], exclude_table_data: &[&str]) -> Filters {
    let own = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    Filters {
        schemas: own(schemas),
        exclude_tables: own(exclude_tables),
        exclude_table_data: own(exclude_table_data),
    }
}

/// Tables whose rows are in a dump, as `schema.name` in SQL.
fn dumped(server: &Server, filters: &Filters) -> BTreeSet<String> {
    let mut command = server.program("pg_dump", "d");
    let flags = [
        ("--schema", &filters.schemas),
        ("--exclude-table", &filters.exclude_tables),
        ("--exclude-table-data", &filters.exclude_table_data),
    ];
    for (flag, patterns) in flags {
        for pattern in patterns {
            command.arg(flag).arg(pattern);
        }
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let name = |line: &str| line.strip_prefix("COPY ")?.strip_suffix(" (i) FROM stdin;").map(str::to_owned);
    text.lines().filter_map(name).collect()
}

fn listed(server: &Server, filters: &Filters) -> Result<BTreeSet<String>, FilterError> {
    let mut client = server.client("d");
    apply_session_settings(&mut client).unwrap();
    let tables = list_tables(&mut client, filters)?;
    let wanted = tables.iter().filter(|table| table.rows_wanted);
    let mut name = |schema: &str, name: &str| {
        let row = client
            .query_one("SELECT format('%I.%I', $1::text, $2::text)", &[Some(schema), Some(name)])
            .unwrap();
        row.get(0).unwrap().to_owned()
    };
    Ok(wanted.map(|table| name(&table.name.schema, &table.name.name)).collect())
}

#[test]
fn the_same_tables_are_selected_as_by_pg_dump() {
    let server = Server::start();
    setup(&server);
    let everything = dumped(&server, &Filters::default()).len();
    assert_eq!(everything, 5 * NAMES.len() + 2);
    let cases = [
        filters(&[], &[], &[]),
        filters(&["other"], &[], &[]),
        filters(&["OTHER"], &[], &[]),
        filters(&["\"Other Schema\"", "pub*"], &[], &[]),
        filters(&["o*"], &[], &[]),
        filters(&["hid(den|x)"], &[], &[]),
        filters(&["\"dot.schema\""], &[], &[]),
        filters(&[], &["plain"], &[]),
        filters(&[], &["\"Plain\"", "hidden.\"PL\"*"], &[]),
        filters(&[], &["*.tmp_?"], &["other.*"]),
        filters(&[], &["*.*"], &[]),
        filters(&[], &["*"], &[]),
        filters(&[], &["a$b", "\"a$b\"", "with?space"], &[]),
        filters(&[], &["public.\"dot.ted\"", "*.\"star*\"", "\"question?\""], &[]),
        filters(&[], &["brackets[]", "[xp]*", "par(en)", "*.\"par(en)\""], &[]),
        filters(&[], &["*.quo\"\"\"\"te"], &["\"Größe\"", "GRÖßE"]),
        filters(&[], &["back\\\\slash", "*.\"back\\slash\"", "x|plain"], &[]),
        filters(&[], &["d.public.plain", "D.*.x"], &[]),
        filters(&[], &["no.such", "nothing"], &["nothing*"]),
        filters(&[], &[], &["public.part"]),
        filters(&[], &["public.part"], &[]),
        filters(&[], &["part_1"], &["part_2"]),
        filters(&["public", "hidden"], &["*.plain"], &["hidden.tmp*", "part_1"]),
        filters(&[], &["\"open", "tmp_1\""], &[]),
        filters(&[], &[".plain", "public."], &[""]),
    ];
    let mut that_filter = 0;
    for case in cases {
        let expected = dumped(&server, &case);
        assert_eq!(listed(&server, &case).unwrap(), expected, "{case}");
        that_filter += u32::from(expected.len() < everything);
    }
    assert_eq!(that_filter, 20, "the cases make a difference");
}

#[test]
fn filters_that_pg_dump_refuses_are_refused() {
    let server = Server::start();
    setup(&server);
    for (case, message) in [
        (filters(&["a.b"], &[], &[]), "cannot use the filter --schema \"a.b\""),
        (filters(&[], &["a.b.c.d"], &[]), "cannot use the filter --exclude-table \"a.b.c.d\""),
        (filters(&[], &["x.public.plain"], &[]), "cannot use the filter --exclude-table \"x.public.plain\""),
        (filters(&[], &[], &["a("]), "the server cannot match the filter --exclude-table-data \"a(\""),
        (filters(&["nowhere"], &[], &[]), "no schema matches the filter --schema \"nowhere\""),
    ] {
        assert_eq!(listed(&server, &case).unwrap_err().to_string(), message);
        let flags = case.to_string();
        let output = server.program("pg_dump", "d").args(flags.split(' ')).output().unwrap();
        assert!(!output.status.success(), "pg_dump takes {flags}");
    }
    // This one it takes, and makes a dump that cannot be restored.
    let error = listed(&server, &filters(&["*"], &[], &[])).unwrap_err();
    assert!(matches!(error, FilterError::SystemSchema { .. }), "{error}");
}
