//! The main job: what is backed up comes back, row for row, and is proven.

mod scene;

use chronavault_operations as operations;
use model::{Level, Outcome};
use scene::{Scene, chain};

const BOOKS: &str = "
    CREATE TABLE account (id int PRIMARY KEY, name text NOT NULL);
    INSERT INTO account SELECT g, 'account ' || g FROM generate_series(1, 100) g;
    CREATE TABLE entry (id bigint PRIMARY KEY, account int NOT NULL REFERENCES account, amount numeric, memo text);
    INSERT INTO entry SELECT g, 1 + g % 100, g / 7.0, md5(g::text) FROM generate_series(1, 60000) g;
    CREATE TABLE nothing ();
    INSERT INTO nothing SELECT FROM generate_series(1, 3);
    CREATE TABLE empty (id int);
    CREATE SEQUENCE counter START 41; SELECT nextval('counter');
    CREATE VIEW totals AS SELECT account, sum(amount) FROM entry GROUP BY 1;
    CREATE MATERIALIZED VIEW sums AS SELECT * FROM totals;
    SELECT lo_from_bytea(0, 'a document');";

#[test]
fn every_row_comes_back() {
    let scene = Scene::new();
    scene.database("books", BOOKS);
    let backup = scene.backup("books");
    assert_eq!(backup.manifest.streams.iter().filter(|stream| stream.table.is_some()).count(), 1);

    let verified = scene.verify(&backup.manifest.id, Level::Restore);
    assert_eq!((verified.outcome, verified.problems), (Outcome::Proven, vec![]));
    assert_eq!((verified.tables, verified.rows), (4, 60_103));

    let restored = scene.restore(&backup.manifest.id, "books2");
    assert_eq!(restored.rows, 60_103);
    for query in [
        "SELECT count(*), sum(hashtext(e::text)) FROM entry e",
        "SELECT count(*) FROM nothing",
        "SELECT last_value, is_called FROM counter",
        "SELECT count(*), sum(sum) FROM sums",
        "SELECT convert_from(lo_get(oid), 'UTF8') FROM pg_largeobject_metadata",
        "SELECT conname FROM pg_constraint WHERE conrelid = 'entry'::regclass ORDER BY 1",
    ] {
        scene.assert_same("books", "books2", query);
    }
}

/// P2: a backup stands alone.
#[test]
fn a_second_backup_stores_little_and_stands_alone() {
    let scene = Scene::new();
    scene.database("books", BOOKS);
    let first = scene.backup("books").manifest;
    scene.cluster.psql(
        "books",
        "UPDATE entry SET memo = 'changed' WHERE id % 400 = 7;
         INSERT INTO entry SELECT g, 1, 1, 'new' FROM generate_series(60001, 60100) g;",
    );
    let second = scene.backup("books").manifest;
    assert_eq!(second.parent.as_ref(), Some(&first.id));
    assert!(
        second.stored_bytes * 4 < first.stored_bytes,
        "{} of {}",
        second.stored_bytes,
        first.stored_bytes
    );
    for (id, rows) in [(&first.id, 60_103), (&second.id, 60_203)] {
        let verified = scene.verify(id, Level::Restore);
        assert_eq!((verified.outcome, verified.problems, verified.rows), (Outcome::Proven, vec![], rows));
    }

    // All that the manifest does not name goes away, its predecessor included.
    let named: Vec<String> = second.packs.iter().map(|pack| format!("{}.pack", pack.sha256)).collect();
    let mut gone = 0;
    for object in scene.store.list("").unwrap() {
        let key = object.key.as_str();
        let is_unnamed = key.starts_with("packs/") && !named.iter().any(|name| key.ends_with(name.as_str()));
        if is_unnamed || key.contains(first.id.as_str()) {
            scene.store.delete(&object.key).unwrap();
            gone += 1;
        }
    }
    assert!(gone >= 3, "manifest, checksums and proof of the first at least");
    assert_eq!(scene.repository.ids().unwrap(), std::slice::from_ref(&second.id));
    assert_eq!(scene.verify(&second.id, Level::Restore).outcome, Outcome::Proven);
}

#[test]
fn a_target_that_exists_or_holds_something_is_refused() {
    let scene = Scene::new();
    scene.database("books", BOOKS);
    scene.database("other", "CREATE TABLE precious (id int); INSERT INTO precious VALUES (1)");
    let id = scene.backup("books").manifest.id;

    let exists = scene.try_restore(&id, "other", |_| ()).unwrap_err();
    assert_eq!(chain(&exists), "database other exists already");
    let not_empty = scene.try_restore(&id, "other", |request| request.create = false).unwrap_err();
    assert!(chain(&not_empty).starts_with("database other is not empty"), "{}", chain(&not_empty));
    let missing = scene.try_restore(&id, "none", |request| request.create = false).unwrap_err();
    assert_eq!(chain(&missing), "database none does not exist");
    assert_eq!(scene.cluster.psql("other", "SELECT id FROM precious").trim(), "1");

    scene.try_restore(&id, "other", |request| (request.create, request.clean) = (false, true)).unwrap();
    scene.assert_same("books", "other", "SELECT count(*) FROM entry");
    assert_eq!(scene.cluster.psql("other", "SELECT to_regclass('precious') IS NULL").trim(), "t");
    assert_eq!(
        scene
            .cluster
            .psql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'chronavault%'")
            .trim(),
        "0"
    );
}

#[test]
fn missing_roles_are_named_before_anything_is_written() {
    let scene = Scene::new();
    scene.database("books", BOOKS);
    scene.cluster.psql(
        "books",
        "CREATE ROLE keeper; ALTER TABLE entry OWNER TO keeper; GRANT SELECT ON account TO keeper",
    );
    let id = scene.backup("books").manifest.id;
    scene
        .cluster
        .psql("books", "REASSIGN OWNED BY keeper TO postgres; DROP OWNED BY keeper; DROP ROLE keeper");

    let error = scene.try_restore(&id, "books2", |_| ()).unwrap_err();
    assert_eq!(chain(&error), "the target server has no role \"keeper\"");
    let databases = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database";
    assert_eq!(scene.cluster.psql("postgres", databases).trim(), "books postgres template0 template1");

    scene.try_restore(&id, "books2", |request| request.create_roles = true).unwrap();
    let owner = "SELECT relowner::regrole FROM pg_class WHERE relname = 'entry'";
    assert_eq!(scene.cluster.psql("books2", owner).trim(), "keeper");
}

/// P6: what is called proven was compared row for row.
#[test]
fn a_wrong_row_is_found_by_the_proof() {
    let scene = Scene::new();
    scene.database("books", BOOKS);
    let backup = scene.backup("books");
    let id = &backup.manifest.id;
    scene.restore(id, "books2");
    // The rows agree until one of them changes in one letter.
    let compare = || {
        let target = scene.cluster.options("books2");
        Scene::context(|context| operations::compare(&scene.repository, id, &target, 2, context)).unwrap()
    };
    assert_eq!(compare(), vec![]);
    scene.cluster.psql("books2", "UPDATE entry SET memo = 'x' || substr(memo, 2) WHERE id = 30000");
    let problems = compare();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].message, "table public.entry has 60000 rows, as expected, but not the same ones");
    scene.cluster.psql("books2", "DELETE FROM entry WHERE id = 30000; ALTER SEQUENCE counter RESTART");
    let codes: Vec<_> = compare().into_iter().map(|problem| (problem.code, problem.object)).collect();
    assert!(codes.contains(&("rows.differ", "public.entry".to_owned())), "{codes:?}");
    assert!(codes.iter().any(|(code, _)| *code == "inventory.differs"), "{codes:?}");
}
