//! P8: the tool can be lost. A real backup goes through `tools/recover.py`, `load.sh` and stock PostgreSQL commands, and the
//! database that comes out dumps to the same text as the one that went in.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use model::{Level, Outcome};
use repository::{HolderKey, Repository, Rotation};
use sample::LedgerOptions;
use scene::lost::{recover, succeeded};
use scene::{KEY, Scene};
use testkit::Cluster;

/// A table whose names are as awkward as names can be, large enough to get a stream of its own. The names of types and defaults
/// must survive too.
const AWKWARD: &str = r#"
create schema "Büro $HOME `id` ""x""";
create table "Büro $HOME `id` ""x"""."o'dd\ ""name""
-- \. '; touch x; '" ("a ""q"" $c" text, "naïve
column" text default E'\\.', "%s" bytea);
insert into "Büro $HOME `id` ""x"""."o'dd\ ""name""
-- \. '; touch x; '" select repeat(md5(i::text), 8), E'\\.\n\t\\N' || i, decode(md5(i::text), 'hex') from generate_series(1, 8000) i;
"#;

#[test]
fn stock_tools_and_recover_py_bring_the_database_back() {
    let scene = Scene::new();
    scene.cluster.create_database("books");
    sample::load(&mut scene.cluster.client("books"), &LedgerOptions::small(8), &mut |_| ()).unwrap();
    scene.cluster.psql("books", AWKWARD);
    // Two backups, so that the second has chunks that the first stored, and deltas to them.
    scene.backup("books");
    sample::grow(&mut scene.cluster.client("books"), NonZeroU32::MIN, &mut |_| ()).unwrap();
    let manifest = scene.backup("books").manifest;
    assert!(manifest.reused_bytes > 0);
    let verified = scene.verify(&manifest.id, Level::Restore);
    assert_eq!((verified.outcome, verified.problems), (Outcome::Proven, vec![]));

    let out = scene.directory.path().join("out");
    let wrong = recover(&scene, &manifest.id, &out, [8; 32]);
    assert_eq!((wrong.status.code(), out.exists()), (Some(3), false));
    let recovered = recover(&scene, &manifest.id, &out, KEY);
    succeeded(&recovered, "recover.py");
    let said = String::from_utf8_lossy(&recovered.stdout).into_owned();
    assert!(said.contains("proven (level restore)"), "{said}");
    let streams = std::fs::read_dir(out.join("rows")).unwrap().count();
    assert!(streams >= 4, "{streams} tables have a stream of their own");

    let target = new_server(&out);
    let loaded = stock(&target, out.join("load.sh").to_str().unwrap(), &[], Path::new("books"));
    succeeded(&loaded, "load.sh");

    // What stock tools alone make of the source.
    let reference = new_server(&out);
    let sql = scene.directory.path().join("books.sql");
    std::fs::write(&sql, pg_dump(&scene.cluster)).unwrap();
    let copied =
        stock(&reference, "psql", &["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-f"], &sql);
    succeeded(&copied, "psql");
    assert_same(&dump(&reference), &dump(&target));
}

/// A repository with several epochs and keys, as it is after a rotation: each backup is read with each key that has its epoch, and the
/// database of after the rotation comes back through stock tools although half of it was sealed before.
#[test]
fn a_rotated_repository_is_recovered_with_each_of_its_keys() {
    let mut scene = Scene::new();
    scene.cluster.create_database("books");
    sample::load(&mut scene.cluster.client("books"), &LedgerOptions::small(8), &mut |_| ()).unwrap();
    let before = scene.backup("books").manifest;
    let [other, new, left] = [[9; 32], [10; 32], [11; 32]];
    let random = |bytes: &mut [u8]| getrandom::fill(bytes).unwrap();
    let now = jiff::Timestamp::now;
    for key in [other, left] {
        scene.repository.add_key(&HolderKey::new(key), None, now(), &random).unwrap();
    }
    let (old_key, new_key) = (HolderKey::new(KEY), HolderKey::new(new));
    let also = [HolderKey::new(other)];
    let rotation = Rotation { old: &old_key, new: &new_key, label: None, also: &also };
    let rotated = Repository::rotate_keys(Arc::clone(&scene.store), rotation, now(), &random).unwrap();
    assert_eq!((rotated.epoch, rotated.left_behind.len()), (2, 1));
    scene.repository = Repository::open(Arc::clone(&scene.store), &new_key).unwrap();
    sample::grow(&mut scene.cluster.client("books"), NonZeroU32::MIN, &mut |_| ()).unwrap();
    let after = scene.backup("books").manifest;
    assert!(after.reused_bytes > 0 && after.parent.as_ref() == Some(&before.id));
    let verified = scene.verify(&after.id, Level::Restore);
    assert_eq!((verified.outcome, verified.problems), (Outcome::Proven, vec![]));

    let out = |name: &str| scene.directory.path().join(name);
    for (name, key, id, status) in [
        ("old", KEY, &before.id, 3),
        ("left-1", left, &before.id, 5),
        ("other-1", other, &before.id, 0),
        ("other-2", other, &after.id, 0),
        ("new-1", new, &before.id, 0),
        ("new-2", new, &after.id, 0),
    ] {
        let recovered = recover(&scene, id, &out(name), key);
        let errors = String::from_utf8_lossy(&recovered.stderr);
        assert_eq!(recovered.status.code(), Some(status), "{name}: {errors}");
    }
    let target = new_server(&out("new-2"));
    let script = out("new-2").join("load.sh");
    succeeded(&stock(&target, script.to_str().unwrap(), &[], Path::new("books")), "load.sh");
    assert_eq!(
        target.psql("books", "select count(*), sum(hashtext(l::text)) from public.journal_lines l"),
        scene.cluster.psql("books", "select count(*), sum(hashtext(l::text)) from public.journal_lines l"),
    );
}

/// A new server that has got the roles. That the superuser is there already is the one error to expect.
fn new_server(out: &Path) -> Cluster {
    let cluster = Cluster::start();
    let globals = stock(&cluster, "psql", &["-X", "-q", "-d", "postgres", "-f"], &out.join("globals.sql"));
    let complaints = String::from_utf8_lossy(&globals.stderr).into_owned();
    let expected = "role \"postgres\" already exists";
    let unexpected: Vec<_> = complaints.lines().filter(|line| !line.ends_with(expected)).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    cluster
}

/// Runs a program, or a script that runs some, against a cluster: only with the variables that libpq knows.
fn stock(cluster: &Cluster, program: &str, arguments: &[&str], last: &Path) -> Output {
    let tools = testkit::cluster::client_tools(cluster.sandbox().tools());
    let mut path = tools.directory().as_os_str().to_owned();
    path.push(":/usr/bin:/bin");
    let program =
        if program.contains('/') { PathBuf::from(program) } else { tools.directory().join(program) };
    Command::new(program)
        .args(arguments)
        .arg(last)
        .env_clear()
        .env("PATH", path)
        .env("PGHOST", cluster.sandbox().socket_directory())
        .env("PGPORT", cluster.sandbox().port().to_string())
        .env("PGUSER", "postgres")
        .output()
        .unwrap()
}

/// The database with its properties as SQL.
fn pg_dump(cluster: &Cluster) -> String {
    let output = stock(cluster, "pg_dump", &["--create"], Path::new("books"));
    succeeded(&output, "pg_dump");
    String::from_utf8(output.stdout).unwrap()
}

/// The same without the random token of newer versions. The rows of each table are sorted, since those of a large one are stored in
/// the order in which its ranges were read.
fn dump(cluster: &Cluster) -> Vec<String> {
    let text = pg_dump(cluster);
    let mut lines: Vec<String> =
        text.lines().filter(|line| !line.contains("restrict ")).map(str::to_owned).collect();
    let mut start = None;
    for at in 0..lines.len() {
        match start {
            None if lines[at].starts_with("COPY ") && lines[at].ends_with("FROM stdin;") => {
                start = Some(at + 1);
            }
            Some(first) if lines[at] == r"\." => {
                lines[first..at].sort_unstable();
                start = None;
            }
            _ => (),
        }
    }
    lines
}

fn assert_same(expected: &[String], found: &[String]) {
    for (number, (expected, found)) in expected.iter().zip(found).enumerate() {
        assert_eq!(expected, found, "line {}", number + 1);
    }
    assert_eq!(expected.len(), found.len());
}
