//! `man`: the manual pages, made from the command line itself.

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;
use serde::Serialize;

use crate::args::{Cli, ManArgs};
use crate::catalogue::Code;
use crate::failure::Failure;
use crate::screen::Answer;

#[derive(Serialize)]
struct Written {
    files: Vec<String>,
}

#[derive(Serialize)]
struct Printed {
    page: String,
}

pub(super) fn run(args: &ManArgs) -> Result<Answer, Failure> {
    let pages = pages().map_err(|error| Failure::because(Code::Internal, &error))?;
    let Some(directory) = &args.directory else {
        let page = pages.into_iter().next().map(|(_, page)| page).unwrap_or_default();
        return Answer::new(page.clone(), &Printed { page });
    };
    let files = write(directory, &pages).map_err(|error| {
        Failure::new(
            Code::OutputFailed,
            format!("cannot write manual pages to {}: {error}", directory.display()),
        )
    })?;
    Answer::new(format!("Wrote {} manual pages to {}.", files.len(), directory.display()), &Written { files })
}

/// The pages with their file names: the main one first.
fn pages() -> io::Result<Vec<(String, String)>> {
    let mut command = Cli::command();
    command.build();
    let commands = command.get_subcommands().cloned();
    let mut pages = vec![page(command.clone())?];
    for command in commands {
        let parts: Vec<_> = command.get_subcommands().filter(|part| !part.is_hide_set()).cloned().collect();
        pages.push(page(command)?);
        for part in parts {
            pages.push(page(part)?);
        }
    }
    Ok(pages)
}

fn page(command: clap::Command) -> io::Result<(String, String)> {
    // A built command of a command is called `chronavault backup`, and its page `chronavault-backup`.
    let man = Man::new(command).manual("Chronavault");
    let mut text = Vec::new();
    man.render(&mut text)?;
    Ok((man.get_filename(), String::from_utf8_lossy(&text).into_owned()))
}

fn write(directory: &Path, pages: &[(String, String)]) -> io::Result<Vec<String>> {
    fs::create_dir_all(directory)?;
    let mut files = Vec::new();
    for (name, page) in pages {
        let path = directory.join(name);
        fs::write(&path, page)?;
        files.push(path.display().to_string());
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_is_mentioned_on_the_main_one() {
        let pages = pages().unwrap();
        assert_eq!(pages[0].0, "chronavault.1");
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(pages[0].1.contains(&format!("chronavault\\-{name}(1)")), "the main page lacks {name}");
            let (_, page) = pages.iter().find(|(file, _)| *file == format!("chronavault-{name}.1")).unwrap();
            assert!(page.contains("Examples:"), "{name}");
        }
        assert!(
            pages
                .iter()
                .any(|(file, page)| file == "chronavault-wal-push.1" && page.contains("archive_command"))
        );
        assert!(!pages.iter().any(|(file, _)| file.contains("prefetch")), "hidden parts have no page");
    }
}
