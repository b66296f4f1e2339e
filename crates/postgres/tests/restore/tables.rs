use chronavault_postgres::Client;
use chronavault_postgres::load::{Existing, LoadOptions, Loader, Selection};

use super::books::{cluster, dump, tools};

fn restore_tables(cluster: &testkit::Cluster, archive: &[u8], database: &str, names: &[&str]) -> Selection {
    let tools = tools(cluster);
    let toc = chronavault_postgres::archive::Toc::read(&mut &archive[..]).unwrap();
    let target = cluster.options(database);
    let mut client = Client::connect(&target).unwrap();
    let existing = Existing::read(&mut client).unwrap();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let selection = Selection::of_tables(&toc, &names, &existing).unwrap();
    let loader = Loader::new(&tools, &target, client.server_major(), &toc, LoadOptions::default())
        .with_selection(&selection);
    loader.pre_data().unwrap();
    loader.data(&mut &archive[..]).unwrap();
    loader.post_data().unwrap();
    selection
}

/// Every relation of the archive can be restored alone into a database that has nothing.
#[test]
fn single_tables_are_restored_into_an_empty_database() {
    let cluster = cluster();
    cluster.create_database("single");
    let (toc, archive) = dump(&cluster, "books", &[]);
    let kinds = ["TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE"];
    let relations: Vec<_> = toc.entries.iter().filter(|entry| kinds.contains(&entry.desc.as_str())).collect();
    assert_eq!(relations.len(), 18);
    for entry in relations {
        let schema = entry.namespace.as_ref().unwrap().to_text().replace('"', "\"\"");
        let name = format!("\"{schema}\".\"{}\"", entry.tag);
        let selection = restore_tables(&cluster, &archive, "single", &[&name]);
        let rows = |database| cluster.psql(database, &format!("SELECT count(*) FROM ONLY {name}"));
        match entry.desc.as_str() {
            "TABLE" => {
                assert_eq!(rows("single"), rows("books"), "{name}");
                assert!(!selection.tables.is_empty());
            }
            "VIEW" => assert_eq!(rows("single"), "0\n", "{name}"),
            _ => {
                cluster.psql("single", &format!("SELECT '{name}'::regclass"));
            }
        }
        cluster.psql(
            "single",
            "DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS ledger, \"Odd \"\"schema\"\"\" CASCADE; CREATE SCHEMA public",
        );
    }
}

#[test]
fn lost_tables_are_restored_into_the_database_that_lost_them() {
    let cluster = cluster();
    let (_, archive) = dump(&cluster, "books", &[]);
    let structure = "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'ledger.entry'::regclass
        UNION ALL SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'ledger.entry'::regclass AND NOT tgisinternal
        UNION ALL SELECT 'acl', item::text FROM pg_class, unnest(relacl) AS item WHERE oid = 'ledger.entry'::regclass
        UNION ALL SELECT 'default', pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'ledger.entry'::regclass
        UNION ALL SELECT 'rows', count(*)::text FROM ledger.entry
        UNION ALL SELECT 'next', last_value::text FROM ledger.entry_id_seq
        UNION ALL SELECT 'serial', pg_get_serial_sequence('ledger.entry', 'id') ORDER BY 1, 2";
    let expected = cluster.psql("books", structure);
    cluster.psql("books", "DROP TABLE ledger.entry CASCADE");
    let selection = restore_tables(&cluster, &archive, "books", &["entry"]);
    assert_eq!(selection.left_out, []);
    assert_eq!(cluster.psql("books", structure), expected);
    let expected = cluster.psql("books", "SELECT count(*) FROM event");
    cluster.psql("books", "DROP TABLE event CASCADE");
    restore_tables(&cluster, &archive, "books", &["public.event"]);
    assert_eq!(cluster.psql("books", "SELECT count(*) FROM event"), expected);
}
