//! SQL text as tokens: just enough to find names in statements that `pg_dump` wrote.

/// A token of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A word without quotes, in lower case: a keyword or a name.
    Word(String),
    /// A name in double quotes, without them.
    Quoted(String),
    /// Something in single quotes or dollar quotes, without them.
    Literal(String),
    /// Any other character.
    Symbol(char),
}

impl Token {
    /// Whether this is the keyword `word`, given in lower case.
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(found) if found == word)
    }

    /// The identifier that this is.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            Self::Literal(_) | Self::Symbol(_) => None,
        }
    }
}

/// The tokens of `text`. Comments and white space are none. What is not closed ends with the text.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '"' => {
                let (name, length) = quoted(rest, '"', false);
                (Some(Token::Quoted(name)), length)
            }
            '\'' => {
                let after_e = matches!(tokens.last(), Some(Token::Word(word)) if word == "e");
                let (literal, length) = quoted(rest, '\'', after_e);
                (Some(Token::Literal(literal)), length)
            }
            '$' => dollar_quoted(rest),
            '-' if rest.starts_with("--") => (None, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => (None, rest.find("*/").map_or(rest.len(), |end| end + 2)),
            _ if first.is_whitespace() => (None, first.len_utf8()),
            _ if is_word(first) => {
                let length = rest.find(|c| !is_word(c) && c != '$').unwrap_or(rest.len());
                (Some(Token::Word(rest[..length].to_ascii_lowercase())), length)
            }
            _ => (Some(Token::Symbol(first)), first.len_utf8()),
        };
        tokens.extend(token);
        rest = &rest[length..];
    }
    tokens
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric() || !c.is_ascii()
}

/// The text between quotes at the start of `text`, where a doubled quote stands for one, and its length with the quotes.
fn quoted(text: &str, quote: char, escapes: bool) -> (String, usize) {
    let mut inner = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if escapes && c == '\\' {
            inner.extend(characters.next().map(|(_, escaped)| escaped));
        } else if c != quote {
            inner.push(c);
        } else if characters.next_if(|(_, next)| *next == quote).is_some() {
            inner.push(quote);
        } else {
            return (inner, at + quote.len_utf8());
        }
    }
    (inner, text.len())
}

/// The text between dollar quotes at the start of `text` and its length with the quotes; a lone dollar sign is a symbol.
fn dollar_quoted(text: &str) -> (Option<Token>, usize) {
    let symbol = (Some(Token::Symbol('$')), 1);
    let Some(tag_end) = text[1..].find('$').map(|at| at + 2) else { return symbol };
    let tag = &text[..tag_end];
    if !tag[1..tag_end - 1].chars().all(is_word) || tag[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return symbol;
    }
    let body = &text[tag_end..];
    match body.find(tag) {
        Some(end) => (Some(Token::Literal(body[..end].to_owned())), end + 2 * tag_end),
        None => (Some(Token::Literal(body.to_owned())), text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Token {
        Token::Word(text.to_owned())
    }

    #[test]
    fn words_names_and_literals_are_told_apart() {
        assert_eq!(
            tokens("GRANT all ON \"a \"\"b\"\" TO\" TO Größe; -- no TO here\n/* nor TO here */ 'it''s'"),
            [
                word("grant"),
                word("all"),
                word("on"),
                Token::Quoted("a \"b\" TO".into()),
                word("to"),
                word("größe"),
                Token::Symbol(';'),
                Token::Literal("it's".into()),
            ]
        );
    }

    #[test]
    fn escapes_and_dollar_quotes_hide_what_is_in_them() {
        assert_eq!(
            tokens("E'a\\'b' $$ it's $$ $x$ $$ $x$ $1"),
            [
                word("e"),
                Token::Literal("a'b".into()),
                Token::Literal(" it's ".into()),
                Token::Literal(" $$ ".into()),
                Token::Symbol('$'),
                word("1"),
            ]
        );
    }

    #[test]
    fn what_is_not_closed_ends_with_the_text() {
        for text in ["\"a", "'a", "$$a", "$x$a", "/* a", "-- a", "'", "\"", "$", "E'\\"] {
            tokens(text);
        }
    }
}
