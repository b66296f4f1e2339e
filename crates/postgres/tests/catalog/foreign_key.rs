//! Orphans are found with no help from the constraints.

use chronavault_postgres::{UncheckedReason, apply_session_settings, check_foreign_keys};

use crate::server::Server;

const KEYS: &str = r#"
CREATE SCHEMA s;
CREATE COLLATION s.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE s.parent (a bigint, b text, c varchar(5) COLLATE "C" UNIQUE, PRIMARY KEY (a, b), UNIQUE (a), UNIQUE (b));
CREATE TABLE s.simple (id int REFERENCES s.parent (a));
CREATE TABLE s.pair (a int, b text, FOREIGN KEY (a, b) REFERENCES s.parent);
CREATE TABLE s.full_pair (a int, b text, FOREIGN KEY (a, b) REFERENCES s.parent MATCH FULL);
CREATE TABLE s.heir () INHERITS (s.simple);
CREATE TABLE s.char_key (c char(5) REFERENCES s.bpchar_parent);
CREATE TABLE s.not_valid (id int);
ALTER TABLE s.not_valid ADD CONSTRAINT later FOREIGN KEY (id) REFERENCES s.parent (a) NOT VALID;
CREATE TABLE s.parts (id int REFERENCES s.parent (a)) PARTITION BY RANGE (id);
CREATE TABLE s.part_1 PARTITION OF s.parts FOR VALUES FROM (0) TO (100);
CREATE TABLE s.target (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE s.target_1 PARTITION OF s.target FOR VALUES FROM (0) TO (100);
CREATE TABLE s."Quoted ""T""" ("I d" int CONSTRAINT "the key" REFERENCES s.target);
CREATE TABLE s.self (id int PRIMARY KEY, up int REFERENCES s.self);
CREATE TABLE s.enforced (c text COLLATE "POSIX" REFERENCES s.parent (c));

INSERT INTO s.parent VALUES (1, 'x', 'c'), (2, 'y', 'd');
INSERT INTO s.bpchar_parent VALUES ('ab');
INSERT INTO s.simple VALUES (1), (NULL), (2);
INSERT INTO s.pair VALUES (1, 'x'), (NULL, 'zzz'), (1, NULL), (NULL, NULL);
INSERT INTO s.full_pair VALUES (2, 'y'), (NULL, NULL);
INSERT INTO s.heir VALUES (999);
INSERT INTO s.char_key VALUES ('ab');
INSERT INTO s.parts VALUES (1);
INSERT INTO s.target VALUES (5);
INSERT INTO s."Quoted ""T""" VALUES (5);
INSERT INTO s.self VALUES (1, NULL), (2, 1);
INSERT INTO s.enforced VALUES ('c');
"#;

/// What no constraint lets in, unless triggers are off: how a load of bad rows looks afterwards.
const ORPHANS: &str = r#"
SET session_replication_role = replica;
INSERT INTO s.simple VALUES (3), (4);
INSERT INTO s.pair VALUES (1, 'y');
INSERT INTO s.full_pair VALUES (NULL, 'x'), (1, NULL), (9, 'x');
INSERT INTO s.char_key VALUES ('abc');
INSERT INTO s.not_valid VALUES (77);
INSERT INTO s.part_1 VALUES (50);
INSERT INTO s."Quoted ""T""" VALUES (6);
DELETE FROM s.self WHERE id = 1;
INSERT INTO s.enforced VALUES ('C');
"#;

#[test]
fn orphans_are_counted_for_each_key() {
    let server = Server::start();
    server.create("d");
    let keys = KEYS.replace(
        "CREATE COLLATION s.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);\n",
        "CREATE TABLE s.bpchar_parent (c char(5) PRIMARY KEY);\n",
    );
    server.psql("d", &keys);
    let mut client = server.client("d");
    apply_session_settings(&mut client).unwrap();
    let report = check_foreign_keys(&mut client).unwrap();
    assert_eq!(report.violations, []);
    assert_eq!(report.checked, 8);
    assert_eq!(report.unchecked.len(), 1);
    assert_eq!(report.unchecked[0].reason, UncheckedReason::NotValid);

    server.psql("d", ORPHANS);
    let report = check_foreign_keys(&mut client).unwrap();
    let found: Vec<_> = report
        .violations
        .iter()
        .map(|v| format!("{} {} {} {}", v.table, v.constraint, v.referenced, v.rows))
        .collect();
    assert_eq!(
        found,
        [
            "s.Quoted \"T\" the key s.target 1",
            "s.char_key char_key_c_fkey s.bpchar_parent 1",
            "s.enforced enforced_c_fkey s.parent 1",
            "s.full_pair full_pair_a_b_fkey s.parent 3",
            "s.pair pair_a_b_fkey s.parent 1",
            "s.parts parts_id_fkey s.parent 1",
            "s.self self_up_fkey s.self 1",
            "s.simple simple_id_fkey s.parent 2",
        ]
    );
}
