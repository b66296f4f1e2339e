//! Tables that are gone come back with what belonged to them.

use chronavault_operations as operations;
use operations::ApplyMode;

use crate::asking::{contents, counts, recover, refused, written};
use crate::scene::Scene;

const BOOKS: &str = "
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE TABLE account (id serial PRIMARY KEY, name text UNIQUE, mood mood DEFAULT 'good');
    CREATE TABLE entry (id int PRIMARY KEY, account int REFERENCES account, amount numeric CHECK (amount > 0));
    CREATE INDEX entry_amount ON entry (amount);
    CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
    CREATE TRIGGER watch BEFORE INSERT ON account FOR EACH ROW EXECUTE FUNCTION nothing();
    INSERT INTO account (name) SELECT 'account ' || g FROM generate_series(1, 50) g;
    INSERT INTO entry SELECT g, 1 + g % 50, g FROM generate_series(1, 5000) g;
    SELECT setval('account_id_seq', 777);";
const WHAT: &str = "SELECT string_agg(x, ' ' ORDER BY x) FROM (
    SELECT conname::text FROM pg_constraint WHERE conrelid IN ('account'::regclass, 'entry'::regclass) AND contype <> 'n'
    UNION ALL SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid IN ('account'::regclass, 'entry'::regclass)
    UNION ALL SELECT tgname FROM pg_trigger WHERE tgrelid = 'account'::regclass AND NOT tgisinternal) t (x)";

#[test]
fn a_dropped_table_comes_back_with_the_keys_that_refer_to_it() {
    let scene = Scene::new();
    scene.database("books", BOOKS);
    let id = scene.backup("books").manifest.id;
    let (what, rows) = (scene.cluster.psql("books", WHAT), contents(&scene, "books", "account"));
    for mode in [ApplyMode::InsertMissing, ApplyMode::Replace] {
        scene.cluster.psql("books", "DROP TABLE account CASCADE");
        let compared = recover(&scene, &id, "books", &["account"], None);
        assert_eq!(counts(&compared.tables[0]), (50, 0, 0, 0));
        assert!(!compared.tables[0].in_live);
        assert_eq!(compared.tables[0].before.samples.len(), 3);
        let report = recover(&scene, &id, "books", &["account"], Some(mode));
        assert_eq!(written(&report.tables[0]), (50, 0, 0, 0));
        assert!(!report.tables[0].in_live);
        assert_eq!(report.left_out, []);
        assert_eq!(contents(&scene, "books", "account"), rows);
        assert_eq!(scene.cluster.psql("books", WHAT), what);
        let next = scene.cluster.psql("books", "SELECT nextval('account_id_seq')");
        assert_eq!(next.trim(), "778");
    }
}

#[test]
fn a_key_that_does_not_hold_any_more_is_left_out_and_named() {
    let scene = Scene::new();
    scene.database("books", BOOKS);
    let id = scene.backup("books").manifest.id;
    scene.cluster.psql("books", "DROP TABLE account CASCADE; INSERT INTO entry VALUES (6000, 12345, 1)");
    let report = recover(&scene, &id, "books", &["account"], Some(ApplyMode::Replace));
    assert_eq!(report.left_out.len(), 1, "{:?}", report.left_out);
    assert!(report.left_out[0].object.contains("entry_account_fkey"), "{:?}", report.left_out);
    assert!(report.left_out[0].reason.contains("12345"), "{:?}", report.left_out);
}

#[test]
fn a_dropped_table_whose_rows_refer_to_nothing_comes_back_without_that_key() {
    let scene = Scene::new();
    scene.database("books", BOOKS);
    let id = scene.backup("books").manifest.id;
    scene.cluster.psql("books", "DROP TABLE entry; DELETE FROM account WHERE id = 7");
    let report = recover(&scene, &id, "books", &["entry"], Some(ApplyMode::Replace));
    assert_eq!(written(&report.tables[0]).0, 5000);
    assert_eq!(report.left_out.len(), 1, "{:?}", report.left_out);
    assert!(report.left_out[0].reason.contains("(account)=(7)"), "{:?}", report.left_out);
    let index = scene.cluster.psql("books", "SELECT to_regclass('entry_amount'), to_regclass('entry_pkey')");
    assert_eq!(index.trim(), "entry_amount|entry_pkey");
}

#[test]
fn a_table_that_was_made_goes_again_when_its_rows_cannot_come() {
    let scene = Scene::new();
    scene.database("books", BOOKS);
    let id = scene.backup("books").manifest.id;
    scene.cluster.psql(
        "books",
        "DROP TABLE account CASCADE; DELETE FROM entry WHERE id < 10; ALTER TABLE entry ADD CHECK (amount > 100) NOT VALID",
    );
    let before = contents(&scene, "books", "entry");
    let said = refused(&scene, &id, "books", &["account", "entry"], ApplyMode::Replace);
    assert!(said.contains("rows of table public.entry could not be inserted"), "{said}");
    assert_eq!(contents(&scene, "books", "entry"), before);
    assert_eq!(scene.cluster.psql("books", "SELECT to_regclass('account') IS NULL").trim(), "t");
}
