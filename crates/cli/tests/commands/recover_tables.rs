//! `recover tables` through the binary: what it shows, what it writes, and how it refuses.

use testkit::Cluster;

use crate::harness::{KEY, Place};

const SHOP: &str = "
    CREATE TABLE customer (id int PRIMARY KEY, name text NOT NULL);
    CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL REFERENCES customer, total numeric);
    INSERT INTO customer SELECT g, 'customer ' || g FROM generate_series(1, 20) g;
    INSERT INTO orders SELECT g, 1 + g % 20, g FROM generate_series(1, 100) g;";

/// A server with a shop, and a repository.
fn shop() -> (Cluster, Place) {
    let cluster = Cluster::start();
    cluster.create_database("shop");
    cluster.psql("shop", SHOP);
    let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY).with("DATABASE_URL", &cluster.url("shop"));
    place.run(&["init"]).succeeds();
    (cluster, place)
}

#[test]
fn tables_are_compared_and_brought_back() {
    let (cluster, place) = shop();
    let made = place.run(&["backup", "--no-verify", "--json"]);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    cluster.psql(
        "shop",
        "UPDATE orders SET total = 0 WHERE id <= 90; DELETE FROM orders WHERE customer = 7; DELETE FROM customer WHERE id = 7;
         INSERT INTO customer VALUES (99, 'new'); INSERT INTO orders VALUES (999, 99, 1);",
    );
    let sum = || cluster.psql("shop", "SELECT count(*), sum(total) FROM orders").trim().to_owned();
    let damaged = sum();

    // The newest backup in the repository is that of another database, which has a table of this name as well.
    cluster.create_database("other");
    cluster.psql("other", "CREATE TABLE orders (id int)");
    let other = place.command(&["backup", "--no-verify"]).env("DATABASE_URL", cluster.url("other")).status();
    assert!(other.unwrap().success());

    let tables = ["recover", "tables", "--table", "orders", "--table", "Customer"];
    let said = place.run(&[&tables[..], &["--sample", "1"]].concat());
    said.succeeds();
    for line in [
        "TABLE            BACKUP  LIVE  MISSING  EXTRA  CHANGED  SAME  KEY",
        "public.customer      20    20        1      1        0    19  id",
        "public.orders       100    96        5      1       85    10  id",
        "public.orders: changed are total in 85 rows",
        "  missing public.customer id=7 name=customer 7",
        "  extra public.orders id=999 customer=99, total=1",
        "  changed public.orders id=1 total: 1 -> 0",
        "Nothing was written. --mode insert-missing, replace or side-schema brings rows of",
    ] {
        assert!(said.out.contains(line), "{line}: {}", said.out);
    }
    assert_eq!(sum(), damaged);

    // Its orders are not to be had without it, and the other way round; nothing changes.
    let one =
        |table, mode| place.run(&["recover", "tables", "--table", table, "--mode", mode, "--from", &id]);
    one("orders", "insert-missing").fails(1, "recover.foreign_key", "(customer)=(7) is not present");
    one("customer", "replace").fails(1, "recover.foreign_key", "could not be removed");
    one("nothing", "replace").fails(1, "table.missing", "the backup has no table nothing");
    place
        .run(&["recover", "tables", "--table", "orders", "--from", &id, "--at", "2026-01-01T00:00:00Z"])
        .fails(1, "backup.not_physical", "shows the moment of its snapshot only");
    place.run(&["recover", "tables", "--table", "orders", "--at", "2026-01-01T00:00:00Z"]).fails(
        1,
        "backup.none",
        "no physical backup",
    );
    assert_eq!(sum(), damaged);

    let dry = place.run(&[&tables[..], &["--mode", "replace", "--dry-run"]].concat());
    assert!(dry.succeeds().out.contains("without --dry-run, replace would be done"), "{dry:?}");
    let said = place.run(&[&tables[..], &["--mode", "replace", "--json"]].concat());
    let json = said.succeeds().json();
    let orders = &json["tables"][1];
    assert_eq!(
        (&orders["table"], &orders["missing"], &orders["live_rows"]),
        (&"public.orders".into(), &5.into(), &96.into())
    );
    assert_eq!(orders["written"]["updated"], 85);
    assert_eq!(orders["after"]["same"], 100);
    assert_eq!(orders["samples"][0]["values"]["customer"]["backup"], "7");
    assert_eq!(sum(), "100|5050");
    let report = std::fs::read_to_string(json["report"].as_str().unwrap()).unwrap();
    assert!(report.contains("# Recovery: tables of shop") && report.contains("rows written"), "{report}");

    let side = [&tables[..], &["--mode", "side-schema", "--schema", "then"]].concat();
    place.run(&side).succeeds();
    assert_eq!(cluster.psql("shop", "SELECT count(*) FROM \"then\".orders").trim(), "100");
    place.run(&side).fails(1, "recover.schema", "schema then exists already");

    let journal = place.run(&["journal", "show", "--json"]);
    let text = journal.succeeds().out.clone();
    for word in ["\"recover\"", "\"replace\"", "\"compare\"", "orders, Customer", "recover.foreign_key"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn what_was_not_let_in_needs_a_person() {
    let cluster = Cluster::start();
    cluster.create_database("shop");
    cluster.psql(
        "shop",
        "CREATE TABLE t (id int PRIMARY KEY, code text UNIQUE); INSERT INTO t VALUES (1, 'a'), (2, 'b')",
    );
    let place = Place::new().with("BACKUP_ENCRYPTION_KEY", KEY).with("DATABASE_URL", &cluster.url("shop"));
    place.run(&["init"]).succeeds();
    place.run(&["backup", "--no-verify"]).succeeds();
    cluster.psql("shop", "DELETE FROM t; INSERT INTO t VALUES (3, 'a')");
    let said = place.run(&["recover", "tables", "--table", "t", "--mode", "insert-missing"]);
    assert_eq!(said.exit, 4, "{said:?}");
    assert!(said.err.contains("warning[recover.conflicts]: 1 row of public.t were not inserted"), "{said:?}");
    assert_eq!(cluster.psql("shop", "SELECT string_agg(id || code, ' ' ORDER BY id) FROM t").trim(), "2b 3a");
}
