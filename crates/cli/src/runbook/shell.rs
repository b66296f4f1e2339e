//! Command lines that somebody copies into a shell.

use std::fmt::Write;

/// A word as a shell takes it. What needs no quotes gets none.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// How this program is called here.
#[derive(Debug, Clone)]
pub(super) struct Shell {
    /// The settings file, as every command names it.
    pub(super) config: Option<String>,
}

impl Shell {
    /// A call of this program.
    pub(super) fn call(&self, words: &[&str]) -> String {
        let mut line = "chronavault".to_owned();
        let config = self.config.iter().flat_map(|path| ["--config", path]);
        for word in config.chain(words.iter().copied()) {
            // Writing to a string cannot fail.
            let _ = write!(line, " {}", quoted(word));
        }
        line
    }
}

/// A block of commands. Lines that begin with # say what the next one is for.
pub(super) fn block(lines: &[String]) -> String {
    format!("```sh\n{}\n```\n", lines.join("\n"))
}

/// What an environment has to have.
pub(super) fn exports(variables: &[(&str, String)]) -> Vec<String> {
    variables.iter().map(|(name, value)| format!("export {name}={}", quoted(value))).collect()
}

/// A path as the URL of a repository.
pub(super) fn file_url(path: &str) -> String {
    let escaped = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("file://{escaped}")
}
