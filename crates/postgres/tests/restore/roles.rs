use std::collections::BTreeSet;

use chronavault_postgres::load::{LoadOptions, create_roles, missing_roles, read_roles, roles_needed};

use super::books::{cluster, dump, new_database, properties, restore, text};

/// On a server without any of the roles, they are made first, and then everything can be restored.
#[test]
fn roles_that_are_missing_are_made_as_they_were() {
    let cluster = cluster();
    cluster.psql(
        "books",
        "CREATE ROLE staff NOINHERIT; COMMENT ON ROLE staff IS 'it''s staff'; CREATE ROLE \"all\" CREATEDB;
         GRANT staff TO fixture_owner WITH ADMIN OPTION; GRANT \"all\" TO staff; GRANT pg_read_all_stats TO staff;
         ALTER ROLE fixture_owner WITH LOGIN CONNECTION LIMIT 5 PASSWORD 'secret' VALID UNTIL '2031-02-03 04:05:06+00';
         ALTER ROLE fixture_owner SET search_path = \"$user\", ledger; ALTER ROLE fixture_owner SET app.tag = 'a b';",
    );
    let (toc, archive) = dump(&cluster, "books", &[]);
    let properties = properties(&cluster, "books");
    let needed = roles_needed(&toc, None, Some(&properties), &LoadOptions::default());
    assert_eq!(needed, ["fixture reader", "fixture_owner", "postgres"].map(str::to_owned).into());
    let records = read_roles(&mut cluster.client("books"), &needed).unwrap();
    let names: Vec<_> = records.iter().map(|record| record.name.as_str()).collect();
    assert_eq!(names, ["all", "fixture reader", "fixture_owner", "postgres", "staff"]);
    let json = serde_json::to_string(&records).unwrap();
    assert!(!json.contains("secret") && !json.contains("SCRAM"), "{json}");
    assert_eq!(serde_json::from_str::<Vec<_>>(&json).ok().as_ref(), Some(&records));

    let other =
        testkit::Cluster::with(|options| options.settings.push(("wal_level".into(), "logical".into())));
    other.create_database("books");
    let mut client = other.client("postgres");
    let missing: BTreeSet<_> = ["fixture reader", "fixture_owner"].map(str::to_owned).into();
    assert_eq!(missing_roles(&mut client, &needed).unwrap(), missing);
    let created = create_roles(&mut client, &records).unwrap();
    assert_eq!(created, ["all", "fixture reader", "fixture_owner", "staff"]);
    assert_eq!(read_roles(&mut client, &needed).unwrap(), records);
    assert_eq!(create_roles(&mut client, &records).unwrap(), Vec::<String>::new());

    let database = new_database(&other, &properties, [1; 4]);
    restore(&other, database.options(), &archive, LoadOptions::default(), |_| ());
    database.finish("restored", false).unwrap();
    assert_eq!(text(&other, "restored"), text(&cluster, "books"));
}

/// All or none.
#[test]
fn a_role_that_cannot_be_made_leaves_none_behind() {
    let cluster = testkit::Cluster::start();
    cluster.psql("postgres", "CREATE ROLE a; CREATE ROLE b SUPERUSER; CREATE ROLE maker LOGIN CREATEROLE");
    let mut client = cluster.client("postgres");
    let names = ["a", "b"].map(str::to_owned).into();
    let records = read_roles(&mut client, &names).unwrap();
    client.execute("DROP ROLE a; DROP ROLE b; SET ROLE maker").unwrap();
    let error = create_roles(&mut client, &records).unwrap_err();
    assert_eq!(error.to_string(), "role b could not be created");
    assert_eq!(missing_roles(&mut client, &names).unwrap(), names);
}
