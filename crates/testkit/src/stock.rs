//! The same work with the tools that come with PostgreSQL: what ours is compared with.

#![expect(clippy::missing_panics_doc, reason = "failing is panicking here")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use postgres::give_child_settings;

use crate::Cluster;

impl Cluster {
    /// Restores `from` into the empty database `into` by `pg_dump | psql`; the first error of either panics.
    pub fn copy_with_stock_tools(&self, from: &str, into: &str) {
        let mut dump = start(self.client_command("pg_dump", from).stdout(Stdio::piped()));
        let text = dump.stdout.take().expect("it was piped");
        let mut load = self.client_command("psql", into);
        load.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null"]).stdin(text);
        let load = start(&mut load);
        finish("psql", load);
        finish("pg_dump", dump);
    }

    /// What `pg_dump` says of `database`, so that two databases with the same contents have the same text: without the random
    /// token of `\restrict`, under fixed settings, and with the rows of each table sorted, since a table has no order.
    pub fn dump_text(&self, database: &str) -> String {
        let mut command = self.client_command("pg_dump", database);
        give_child_settings(&mut command, []);
        let mut dump = start(command.stdout(Stdio::piped()));
        let mut text = String::new();
        let mut output = BufReader::new(dump.stdout.take().expect("it was piped"));
        normalise(&mut output, &mut text);
        finish("pg_dump", dump);
        text
    }

    fn client_command(&self, program: &str, database: &str) -> Command {
        let tools = crate::cluster::client_tools(self.sandbox().tools());
        let mut command = tools.command(program, Some(&self.options(database)));
        command.stderr(Stdio::piped());
        command
    }
}

fn start(command: &mut Command) -> Child {
    command.spawn().expect("the program starts")
}

fn finish(program: &str, mut child: Child) {
    let mut errors = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut errors).expect("messages are text");
    }
    let status = child.wait().expect("the program ends");
    assert!(status.success(), "{program} failed: {errors}");
}

fn normalise(dump: &mut impl BufRead, text: &mut String) {
    let mut rows: Option<BTreeSet<(String, usize)>> = None;
    let mut line = String::new();
    for number in 0.. {
        line.clear();
        if dump.read_line(&mut line).expect("the dump is UTF-8") == 0 {
            break;
        }
        if line.starts_with("\\restrict ") || line.starts_with("\\unrestrict ") {
            continue;
        }
        if let Some(collected) = &mut rows {
            if line == "\\.\n" {
                text.extend(collected.iter().map(|(row, _)| row.as_str()));
                rows = None;
            } else {
                // The number keeps equal rows apart.
                collected.insert((line.clone(), number));
                continue;
            }
        }
        if line.starts_with("COPY ") && line.ends_with(" FROM stdin;\n") {
            rows = Some(BTreeSet::new());
        }
        text.push_str(&line);
    }
}

/// Panics with the first lines in which two texts differ, and with the paths of both.
pub fn assert_same_text(what: &str, ours: &str, theirs: &str) {
    if ours == theirs {
        return;
    }
    let keep = |name: &str, text: &str| {
        let mut file =
            tempfile::Builder::new().prefix(name).suffix(".sql").tempfile().expect("a file is made");
        file.write_all(text.as_bytes()).expect("the file is written");
        file.into_temp_path().keep().expect("the file is kept")
    };
    let (our_file, their_file) = (keep("ours-", ours), keep("theirs-", theirs));
    let output = Command::new("diff").arg("-u").arg(&their_file).arg(&our_file).output().expect("diff runs");
    let difference: String =
        String::from_utf8_lossy(&output.stdout).lines().take(60).flat_map(|line| [line, "\n"]).collect();
    panic!("{what} differs from what stock tools restore:\n{difference}");
}
