use std::io::{self, Write};

use chronavault_postgres::archive::{ExtraTable, extend};
use chronavault_postgres::{Input, Process};
use model::QualifiedName;
use testkit::Cluster;

use super::books::{cluster, dump, output, rows, text, tools};

fn table(schema: &str, name: &str, columns: &[&str]) -> ExtraTable {
    let columns = columns.iter().map(|column| (*column).to_owned()).collect();
    ExtraTable { name: QualifiedName::new(schema, name), columns, of_extension: false }
}

/// Runs `pg_restore` with `arguments` and `input`, and returns what it writes.
fn pg_restore(cluster: &Cluster, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = tools(cluster).command("pg_restore", Some(&cluster.options("postgres")));
    command.arg("--exit-on-error").args(arguments);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input).unwrap();
    let mut process = Process::spawn_with(command, Input::Piped, |_| true).unwrap();
    let mut stdin = process.take_stdin().unwrap();
    let mut stdout = process.take_stdout().unwrap();
    let mut bytes = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        io::copy(&mut stdout, &mut bytes).unwrap();
    });
    assert_eq!(process.finish().unwrap(), "");
    bytes
}

/// An archive to which rows were added is one that stock `pg_restore` takes: from a pipe, from a file in parallel, and as SQL.
#[test]
fn an_archive_with_added_rows_restores_like_any_other() {
    let cluster = cluster();
    let odd = "\"Odd \"\"schema\"\"\".\"Table with spaces; and more\"";
    let large = ["ledger.account", "ledger.entry", "public.nothing", "public.event_rest", odd];
    let excluded: Vec<_> = large.iter().map(|name| format!("--exclude-table-data={name}")).collect();
    let excluded: Vec<_> = excluded.iter().map(String::as_str).collect();
    let (_, archive) = dump(&cluster, "books", &excluded);
    let tables = [
        table("public", "event_rest", &["at", "what"]),
        table("Odd \"schema\"", "Table with spaces; and more", &["select", "Ümlaut"]),
        table("ledger", "account", &["id", "code", "mood", "balance", "note"]),
        table("ledger", "entry", &["id", "account", "amount"]),
        table("public", "nothing", &[]),
    ];
    let mut source = cluster.client("books");
    let mut extended = Vec::new();
    let open = |name: &QualifiedName| {
        let table = tables.iter().find(|table| table.name == *name).unwrap();
        Ok(io::Cursor::new(rows(&mut source, name, &table.columns)))
    };
    extend(&mut &archive[..], |_| true, &tables, open, &mut extended).unwrap();
    let expected = text(&cluster, "books");

    cluster.create_database("piped");
    pg_restore(&cluster, &["--dbname=piped"], &extended);
    assert_eq!(text(&cluster, "piped"), expected);

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("books.dump");
    std::fs::write(&path, &extended).unwrap();
    cluster.create_database("parallel");
    pg_restore(&cluster, &["--dbname=parallel", "--jobs=3", path.to_str().unwrap()], b"");
    assert_eq!(text(&cluster, "parallel"), expected);

    cluster.create_database("script");
    let script = pg_restore(&cluster, &["--file=-"], &extended);
    cluster.psql("script", std::str::from_utf8(&script).unwrap());
    assert_eq!(text(&cluster, "script"), expected);

    // Stock tools read single tables from it as well.
    let one = pg_restore(&cluster, &["--file=-", "--table=account", path.to_str().unwrap()], b"");
    assert!(String::from_utf8(one).unwrap().contains("\n200\tA200\t"));
    let mut command = tools(&cluster).command("pg_restore", None);
    command.arg("--list").arg(&path);
    let list = String::from_utf8(output(command)).unwrap();
    assert!(list.contains("TABLE DATA ledger account fixture_owner"), "{list}");
}
