//! `keyword = value` connection strings (PostgreSQL documentation, 34.1.1.1).

use std::iter::Peekable;
use std::str::Chars;

use zeroize::Zeroizing;

use super::error::ConninfoError;
use super::settings::{Origin, Settings};

/// Reads `text` into `settings`.
pub(super) fn parse(text: &str, settings: &mut Settings) -> Result<(), ConninfoError> {
    let mut input = Input { chars: text.chars().peekable(), position: 1 };
    loop {
        input.skip_space();
        let Some(keyword) = input.keyword()? else { return Ok(()) };
        input.skip_space();
        if input.next() != Some('=') {
            return Err(input.error("a keyword without '='"));
        }
        input.skip_space();
        let value = input.value()?;
        settings.set(&keyword, value.as_bytes().to_vec(), Origin::Text)?;
    }
}

struct Input<'a> {
    chars: Peekable<Chars<'a>>,
    position: usize,
}

impl Input<'_> {
    fn next(&mut self) -> Option<char> {
        self.position += 1;
        self.chars.next()
    }

    fn error(&self, problem: &'static str) -> ConninfoError {
        ConninfoError::Syntax { problem, position: self.position.saturating_sub(1).max(1) }
    }

    fn skip_space(&mut self) {
        while self.chars.peek().is_some_and(|c| is_space(*c)) {
            self.next();
        }
    }

    /// The keyword up to '=' or a space; `None` at the end of the text.
    fn keyword(&mut self) -> Result<Option<String>, ConninfoError> {
        let mut keyword = String::new();
        while let Some(c) = self.chars.peek().copied() {
            if c == '=' || is_space(c) {
                break;
            }
            keyword.push(c);
            self.next();
        }
        match (keyword.is_empty(), self.chars.peek()) {
            (true, None) => Ok(None),
            (true, Some(_)) => {
                self.next();
                Err(self.error("'=' without a keyword"))
            }
            (false, _) => Ok(Some(keyword)),
        }
    }

    fn value(&mut self) -> Result<Zeroizing<String>, ConninfoError> {
        let quoted = self.chars.peek() == Some(&'\'');
        if quoted {
            self.next();
        }
        let mut value = Zeroizing::new(String::with_capacity(64));
        loop {
            match self.chars.peek().copied() {
                None if quoted => return Err(self.error("a quoted value without its closing quote")),
                Some('\'') if quoted => {
                    self.next();
                    return Ok(value);
                }
                None => return Ok(value),
                Some(c) if !quoted && is_space(c) => return Ok(value),
                Some('\\') => {
                    self.next();
                    if let Some(escaped) = self.next() {
                        value.push(escaped);
                    }
                }
                Some(c) => {
                    self.next();
                    value.push(c);
                }
            }
        }
    }
}

/// What C's `isspace` accepts.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// `value` in quotes, so that [`parse`] and libpq read it back.
pub(super) fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}
