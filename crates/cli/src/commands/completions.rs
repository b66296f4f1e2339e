//! `completions`: what a shell needs to complete our command line, made from the command line itself.

use clap::CommandFactory;
use clap_complete::Shell;
use serde::Serialize;

use crate::args::{Cli, CompletionsArgs};
use crate::failure::Failure;
use crate::screen::Answer;

#[derive(Serialize)]
struct Body {
    shell: String,
    script: String,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<Answer, Failure> {
    let script = script(args.shell);
    Answer::new(script.clone(), &Body { shell: args.shell.to_string(), script })
}

fn script(shell: Shell) -> String {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "chronavault", &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_completes_every_command() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell} lacks {}", command.get_name());
            }
        }
    }
}
