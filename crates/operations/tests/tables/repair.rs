//! Damage that people do, and its repair.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use chronavault_operations as operations;
use operations::ApplyMode;

use crate::asking::{contents, counts, recover, refused, written};
use crate::scene::Scene;

const SHOP: &str = "
    CREATE TABLE customer (id serial PRIMARY KEY, name text NOT NULL, email text UNIQUE);
    CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int NOT NULL REFERENCES customer, total numeric);
    CREATE TABLE line (orders int REFERENCES orders ON DELETE CASCADE, n int, what text, PRIMARY KEY (orders, n));
    CREATE TABLE note (id int PRIMARY KEY, about int REFERENCES customer ON DELETE CASCADE);
    INSERT INTO customer (name, email) SELECT 'customer ' || g, g || '@example.org' FROM generate_series(1, 200) g;
    INSERT INTO orders (customer, total) SELECT 1 + g % 200, g FROM generate_series(1, 600) g;
    INSERT INTO line SELECT 1 + g % 600, g / 600, 'thing ' || g FROM generate_series(0, 1199) g;
    INSERT INTO note VALUES (1, 7);
    CREATE TABLE audit (what text);
    CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO public.audit VALUES (TG_OP); RETURN coalesce(NEW, OLD); END $$;
    CREATE TRIGGER told AFTER INSERT OR UPDATE OR DELETE ON customer FOR EACH ROW EXECUTE FUNCTION told();
    CREATE TRIGGER off AFTER INSERT ON customer FOR EACH ROW EXECUTE FUNCTION told();
    CREATE TRIGGER always AFTER INSERT ON customer FOR EACH ROW EXECUTE FUNCTION told();
    ALTER TABLE customer DISABLE TRIGGER off; ALTER TABLE customer ENABLE ALWAYS TRIGGER always;
    TRUNCATE audit;";
const ALL: [&str; 3] = ["customer", "orders", "line"];
const TRIGGERS: &str = "SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1";
const KEYS: &str = "SELECT conname, condeferrable, condeferred, convalidated FROM pg_constraint WHERE contype = 'f' ORDER BY 1";

/// Ends the load, whatever happens.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn shop() -> (Scene, ::model::BackupId) {
    let scene = Scene::new();
    scene.database("shop", SHOP);
    let id = scene.backup("shop").manifest.id;
    (scene, id)
}

#[test]
fn an_update_without_where_is_repaired_under_load() {
    let (scene, id) = shop();
    let before = ALL.map(|table| contents(&scene, "shop", table));
    let (triggers, keys) = (scene.cluster.psql("shop", TRIGGERS), scene.cluster.psql("shop", KEYS));
    // Emails change hands as well; what has to be inserted collides with what has to go.
    scene.cluster.psql(
        "shop",
        "UPDATE orders SET total = 0; UPDATE customer SET name = 'x';
         DELETE FROM line WHERE orders = 5; DELETE FROM orders WHERE id = 5;
         DELETE FROM line WHERE orders IN (SELECT id FROM orders WHERE customer = 9); DELETE FROM orders WHERE customer = 9;
         DELETE FROM customer WHERE id = 9; INSERT INTO customer VALUES (500, 'again', '9@example.org');
         UPDATE orders SET customer = 500 WHERE id = 11; INSERT INTO orders (customer, total) VALUES (500, 5); TRUNCATE audit;",
    );
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let report = thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut client = scene.cluster.client("shop");
            client.execute("CREATE TABLE elsewhere (n int)").unwrap();
            while !stop.load(Ordering::Relaxed) {
                // It writes to the damaged tables and reads them, all the time.
                client.execute("BEGIN; INSERT INTO elsewhere VALUES (1); UPDATE orders SET total = total + 1 WHERE id = 7; COMMIT").unwrap();
                client.query("SELECT count(*) FROM orders", &[]).unwrap();
                done.fetch_add(1, Ordering::Relaxed);
            }
            client.execute("UPDATE orders SET total = 7 WHERE id = 7").unwrap();
        });
        let stopping = StopOnDrop(&stop);
        let report = recover(&scene, &id, "shop", &ALL, Some(ApplyMode::Replace));
        drop(stopping);
        load.join().unwrap();
        report
    });
    assert!(done.load(Ordering::Relaxed) > 0);
    for (table, before) in ALL.iter().zip(&before) {
        assert_eq!(contents(&scene, "shop", table), *before, "{table}");
    }
    let [customer, lines, orders] = &report.tables[..] else { panic!("{report:?}") };
    assert_eq!(counts(customer), (1, 1, 199, 0));
    assert_eq!(customer.before.changed_columns.get("name"), Some(&199));
    assert_eq!(customer.before.changed_columns.get("email"), None);
    assert_eq!((written(lines).0, written(orders).2), (lines.before.missing, 1));
    assert!(report.tables.iter().all(|table| table.after.as_ref().unwrap().is_empty()));
    // Two triggers of three were on; they kept silent, and all are as they were.
    assert_eq!(report.triggers_off, 2);
    assert_eq!(scene.cluster.psql("shop", "SELECT count(*) FROM audit").trim(), "0");
    assert_eq!(scene.cluster.psql("shop", TRIGGERS), triggers);
    assert_eq!(scene.cluster.psql("shop", KEYS), keys);
    assert_eq!(report.problems, []);
}

#[test]
fn deleted_rows_come_back_with_those_that_refer_to_them() {
    let (scene, id) = shop();
    scene.cluster.psql(
        "shop",
        "DELETE FROM orders WHERE customer < 20; DELETE FROM note; DELETE FROM customer WHERE id < 20;
         UPDATE customer SET name = 'new name' WHERE id = 100;
         INSERT INTO customer (id, name, email) VALUES (1000, 'came back', '3@example.org');
         SELECT setval('customer_id_seq', 1, false); SELECT setval('orders_id_seq', 5000);",
    );
    // Customer 3 has come back under another number; its old row is not let in, and that is said.
    let report = recover(&scene, &id, "shop", &["customer"], Some(ApplyMode::InsertMissing));
    let [customer] = &report.tables[..] else { panic!("{report:?}") };
    assert_eq!(counts(customer), (19, 1, 1, 180));
    assert_eq!(written(customer), (18, 0, 0, 1));
    assert_eq!(report.sequences.len(), 1);
    // Its orders would refer to nothing.
    scene.cluster.psql(
        "shop",
        "DELETE FROM orders WHERE customer > 190; DELETE FROM customer WHERE id > 190 AND id < 300",
    );
    let said = refused(&scene, &id, "shop", &ALL, ApplyMode::InsertMissing);
    assert!(said.contains("a foreign key does not hold") && said.contains("Key (customer)=(3)"), "{said}");
    assert_eq!(
        scene.cluster.psql("shop", "SELECT count(*) FROM customer WHERE id > 190 AND id < 300").trim(),
        "0"
    );
    scene.cluster.psql("shop", "UPDATE customer SET email = 'other' WHERE id = 1000");
    let report = recover(&scene, &id, "shop", &ALL, Some(ApplyMode::InsertMissing));
    let [customer, lines, orders] = &report.tables[..] else { panic!("{report:?}") };
    assert_eq!((written(customer).0, written(orders).0, written(lines).0), (11, 87, 174));
    let name = scene.cluster.psql("shop", "SELECT name FROM customer WHERE id = 100");
    assert_eq!(name.trim(), "new name", "what is there stays");
    let next = "SELECT nextval('customer_id_seq'), nextval('orders_id_seq')";
    assert_eq!(scene.cluster.psql("shop", next).trim(), "1001|5001");
}

#[test]
fn what_others_refer_to_is_not_taken_from_them() {
    let (scene, id) = shop();
    scene.cluster.psql(
        "shop",
        "INSERT INTO customer VALUES (300, 'new', 'new'), (301, 'newer', 'newer');
         INSERT INTO orders (customer, total) VALUES (300, 1); INSERT INTO note VALUES (2, 301); UPDATE customer SET name = 'y';",
    );
    let before = contents(&scene, "shop", "customer");
    let (triggers, keys) = (scene.cluster.psql("shop", TRIGGERS), scene.cluster.psql("shop", KEYS));
    let said = refused(&scene, &id, "shop", &["customer"], ApplyMode::Replace);
    assert!(said.contains("1 rows of table public.note, which was not chosen"), "{said}");
    assert!(said.contains("ON DELETE CASCADE"), "{said}");
    scene.cluster.psql("shop", "DELETE FROM note WHERE id = 2");
    let before_again = contents(&scene, "shop", "customer");
    let said = refused(&scene, &id, "shop", &["customer"], ApplyMode::Replace);
    assert!(said.contains("rows of table public.customer could not be removed"), "{said}");
    assert!(said.contains("(23503)") && said.contains("\"orders\""), "{said}");
    assert_eq!(before, before_again);
    assert_eq!(contents(&scene, "shop", "customer"), before);
    assert_eq!(scene.cluster.psql("shop", TRIGGERS), triggers);
    assert_eq!(scene.cluster.psql("shop", KEYS), keys);
    // With the tables that refer, it works.
    recover(&scene, &id, "shop", &["customer", "orders", "line"], Some(ApplyMode::Replace));
    assert_eq!(scene.cluster.psql("shop", "SELECT count(*) FROM customer WHERE name = 'y'").trim(), "0");
}

#[test]
fn what_fails_in_the_middle_leaves_everything_as_it_was() {
    let (scene, id) = shop();
    scene.cluster.psql(
        "shop",
        "UPDATE orders SET total = -1; DELETE FROM line WHERE n = 1;
         ALTER TABLE line ADD CONSTRAINT only_zero CHECK (n = 0);",
    );
    let before = ALL.map(|table| contents(&scene, "shop", table));
    let said = refused(&scene, &id, "shop", &ALL, ApplyMode::Replace);
    assert!(said.contains("rows of table public.line could not be inserted"), "{said}");
    for (table, before) in ALL.iter().zip(&before) {
        assert_eq!(contents(&scene, "shop", table), *before, "{table}");
    }
    let holder = scene.cluster.hold_lock("shop", "orders");
    let request = operations::TableRecoveryRequest {
        lock_timeout: std::time::Duration::from_millis(50),
        ..crate::asking::request(
            &scene,
            operations::TableOrigin::Logical(id.clone()),
            "shop",
            &["orders"],
            Some(ApplyMode::Replace),
        )
    };
    let error = crate::asking::try_recover(&scene, &request).unwrap_err();
    assert!(error.to_string().contains("table public.orders could not be locked in time"), "{error}");
    drop(holder);
}

#[test]
fn tables_that_refer_to_each_other_in_a_circle_come_back() {
    let scene = Scene::new();
    scene.database(
        "ring",
        "CREATE TABLE a (id int PRIMARY KEY, up int REFERENCES a, b int);
         CREATE TABLE b (id int PRIMARY KEY, a int NOT NULL REFERENCES a ON DELETE SET NULL);
         INSERT INTO a SELECT g, g - 1, NULL FROM generate_series(2, 50) g WHERE false;
         INSERT INTO a VALUES (1, 1, NULL); INSERT INTO a SELECT g, g - 1, NULL FROM generate_series(2, 50) g;
         INSERT INTO b SELECT id, id FROM a; UPDATE a SET b = id; ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b;",
    );
    let id = scene.backup("ring").manifest.id;
    let before = ["a", "b"].map(|table| contents(&scene, "ring", table));
    for damage in
        ["UPDATE a SET b = NULL; DELETE FROM b; DELETE FROM a", "UPDATE a SET up = 1; UPDATE b SET a = 2"]
    {
        scene.cluster.psql("ring", damage);
        recover(&scene, &id, "ring", &["a", "b"], Some(ApplyMode::Replace));
        assert_eq!(["a", "b"].map(|table| contents(&scene, "ring", table)), before, "{damage}");
    }
}

#[test]
fn rows_go_beside_the_live_tables() {
    let (scene, id) = shop();
    scene.cluster.psql(
        "shop",
        "CREATE SCHEMA taken; UPDATE orders SET total = 0; ALTER TABLE customer DROP COLUMN name, ADD COLUMN city text NOT NULL DEFAULT '';
         DROP TABLE line;",
    );
    let before = contents(&scene, "shop", "orders");
    let side = || ApplyMode::SideSchema("side".to_owned());
    let said = refused(&scene, &id, "shop", &ALL, ApplyMode::SideSchema("taken".to_owned()));
    assert_eq!(said, "schema taken exists already");
    let report = recover(&scene, &id, "shop", &ALL, Some(side()));
    assert_eq!(contents(&scene, "shop", "orders"), before);
    let rows = "SELECT (SELECT count(*) FROM side.customer WHERE name = 'customer ' || id), \
         (SELECT sum(total) FROM side.orders), (SELECT count(*) FROM side.line), \
         (SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'side'::regnamespace)";
    assert_eq!(scene.cluster.psql("shop", rows).trim(), "200|180300|1200|0");
    let columns = "SELECT string_agg(attname, ' ' ORDER BY attname) FROM pg_attribute \
         WHERE attrelid = 'side.customer'::regclass AND attnum > 0 AND NOT attisdropped";
    assert_eq!(scene.cluster.psql("shop", columns).trim(), "email id name");
    let customer = &report.tables[0];
    assert_eq!(
        (&customer.before.only_in_backup[..], &customer.before.only_in_live[..]),
        (&["name".to_owned()][..], &["city".to_owned()][..])
    );
    assert_eq!(customer.written.as_ref().unwrap().table.to_string(), "side.customer");
    let said = refused(&scene, &id, "shop", &ALL, side());
    assert_eq!(said, "schema side exists already");
}
