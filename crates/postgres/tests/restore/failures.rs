use std::io::Write;

use chronavault_postgres::Client;
use chronavault_postgres::archive::{ArchiveError, Toc};
use chronavault_postgres::load::{
    Apply, LoadError, LoadOptions, Loader, NewDatabase, Phase, database_exists,
};

use super::books::{cluster, dump, new_database, properties, tools};

/// Nothing that fails is passed over, and what failed is named.
#[test]
fn every_error_fails_the_restore_and_names_its_object() {
    let cluster = cluster();
    let tools = tools(&cluster);
    let (toc, archive) = dump(&cluster, "books", &[]);
    let properties = properties(&cluster, "books");
    let database = new_database(&cluster, &properties, [1; 4]);
    let target = database.options();
    let mut client = Client::connect(target).unwrap();
    let loader = Loader::new(
        &tools,
        target,
        client.server_major(),
        &toc,
        LoadOptions { jobs: 2, ..LoadOptions::default() },
    );
    let failed = |result: Result<Vec<String>, LoadError>| match result.unwrap_err() {
        LoadError::Restore { phase, object, message } => (phase, object.unwrap_or_default(), message),
        error => panic!("{error:?}"),
    };

    client.execute("CREATE SCHEMA ledger").unwrap();
    let (phase, object, message) = failed(loader.pre_data());
    assert_eq!((phase, object.as_str()), (Phase::PreData, "SCHEMA ledger"));
    assert!(message.contains("schema \"ledger\" already exists"), "{message}");
    assert!(!message.contains("CREATE SCHEMA"), "{message}");
    client.execute("DROP SCHEMA ledger; DROP SCHEMA \"Odd \"\"schema\"\"\"").unwrap();
    loader.pre_data().unwrap();

    client.execute("ALTER TABLE ledger.entry ADD CONSTRAINT small CHECK (id < 100)").unwrap();
    let (phase, object, message) = failed(loader.data(&mut &archive[..]));
    assert_eq!((phase, object.as_str()), (Phase::Data, "TABLE DATA ledger.entry"));
    assert!(message.contains("violates check constraint \"small\""), "{message}");
    client.execute("ALTER TABLE ledger.entry DROP CONSTRAINT small; TRUNCATE ledger.account, \"Odd \"\"schema\"\"\".\"Table with spaces; and more\"").unwrap();
    // All but the row that an entry refers to: the foreign key fails, in one of two processes.
    loader.data(&mut &archive[..]).unwrap();
    client.execute("DELETE FROM ledger.account WHERE id = 7").unwrap();
    let (phase, object, message) = failed(loader.post_data());
    assert_eq!((phase, object.as_str()), (Phase::PostData, "FK CONSTRAINT ledger.entry entry_account_fkey"));
    assert!(message.contains("violates foreign key constraint"), "{message}");

    drop(client);
    drop(database);
    assert!(!database_exists(&mut cluster.client("postgres"), "chronavault_restore_01010101").unwrap());
}

/// P5: an archive that is cut never looks restored, wherever it is cut. `pg_restore --list` has no objection to half of one.
#[test]
fn a_cut_archive_is_not_restored() {
    let cluster = cluster();
    let tools = tools(&cluster);
    let (toc, archive) = dump(&cluster, "books", &[]);
    let half = file_of(&archive[..=toc.to_bytes().len()]);
    let listed = tools.command("pg_restore", None).arg("--list").arg(half.path()).output().unwrap();
    assert!(listed.status.success() && String::from_utf8_lossy(&listed.stdout).contains("TABLE DATA"));
    let database = new_database(&cluster, &properties(&cluster, "books"), [2; 4]);
    let loader = Loader::new(&tools, database.options(), 15, &toc, LoadOptions::default());
    loader.pre_data().unwrap();
    let start = toc.to_bytes().len();
    for length in [0, 100, start - 1, start, start + 1, start + 1000, archive.len() - 5, archive.len() - 1] {
        let error = loader.data(&mut &archive[..length]).unwrap_err();
        let is_cut = matches!(
            error,
            LoadError::Archive(
                ArchiveError::CutOff { .. } | ArchiveError::MissingData { .. } | ArchiveError::NotAnArchive
            )
        );
        assert!(is_cut, "cut at {length}: {error:?}");
    }
    // Damage in what is not wanted is damage too.
    let nothing = Toc { entries: vec![], ..toc.clone() };
    let loader = Loader::new(&tools, database.options(), 15, &nothing, LoadOptions::default());
    assert!(loader.data(&mut &archive[..archive.len() - 1]).is_err());
    assert!(loader.data(&mut &archive[..]).is_ok());
}

fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Whatever keeps the old database from being renamed, it is as it was.
#[test]
fn a_swap_that_fails_changes_nothing() {
    let cluster = cluster();
    let properties = properties(&cluster, "books");
    // Sessions end, but a prepared transaction stays.
    cluster.psql("books", "BEGIN; INSERT INTO public.empty VALUES (1); PREPARE TRANSACTION 'open';");
    let database = new_database(&cluster, &properties, [3; 4]);
    let error = database.finish("books", true).unwrap_err();
    assert_eq!(error.to_string(), "database books could not be replaced");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("is being accessed by other users"), "{source}");
    let mut client = cluster.client("books");
    client.execute("COMMIT PREPARED 'open'").unwrap();
    assert_eq!(cluster.psql("books", "SELECT count(*) FROM public.empty"), "1\n");
    let mut client = cluster.client("postgres");
    assert!(!database_exists(&mut client, "chronavault_restore_03030303").unwrap());
    assert!(!database_exists(&mut client, "chronavault_replaced_03030303").unwrap());
    assert_eq!(super::books::properties(&cluster, "books"), properties);
}

/// Without being told to, nothing is replaced.
#[test]
fn a_name_that_is_taken_is_refused() {
    let cluster = cluster();
    let properties = properties(&cluster, "books");
    let database = new_database(&cluster, &properties, [4; 4]);
    let error = database.finish("books", false).unwrap_err();
    assert_eq!(error.to_string(), "database books could not be renamed");
    assert_eq!(cluster.psql("books", "SELECT count(*) FROM ledger.account"), "200\n");
    assert!(!database_exists(&mut cluster.client("postgres"), "chronavault_restore_04040404").unwrap());
}

#[test]
fn a_collation_that_the_target_lacks_is_an_error_unless_any_will_do() {
    let cluster = testkit::Cluster::start();
    cluster.create_database("books");
    let mut properties = properties(&cluster, "books");
    properties.collate = "xx_XX.utf8".into();
    properties.tablespace = "gone".into();
    let options = cluster.options("books");
    let error = NewDatabase::create(&options, properties.clone(), Apply::default(), [5; 4]).unwrap_err();
    assert_eq!(error.to_string(), "database chronavault_restore_05050505 could not be created");
    let any = Apply { any_locale: true, ..Apply::default() };
    let database = NewDatabase::create(&options, properties, any, [5; 4]).unwrap();
    let left_out = database.finish("other", false).unwrap();
    let objects: Vec<_> = left_out.iter().map(|left| left.object.as_str()).collect();
    assert_eq!(objects, ["tablespace gone of the database", "collation of the database"]);
}
