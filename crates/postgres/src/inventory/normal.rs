//! Expressions in a form that a dump and restore does not change.
//!
//! PostgreSQL keeps expressions parsed and writes them out on demand. Parsing that text again may give another tree with the
//! same meaning, which reads differently: `status IN ('a', 'b')` over a `varchar` reads
//! `(status)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])` at first, and
//! `… ANY (ARRAY[('a'::character varying)::text, …])` once that was dumped and restored. What changes is casts, parentheses
//! and white space, so these are left out; strings and quoted names stay as they are.
//!
//! Queries (of views, of rules, in bodies of functions) also change with the version of the server: since 16, a column is
//! only written with its table where there is more than one. So in them, what stands before a dot is left out too.
//!
//! Two expressions that differ in nothing else would count as equal. No dump turns one into the other.

/// What stands between an expression and a query that follows it, in a definition.
pub(super) const QUERY: char = '\u{1d}';

/// `text` without white space, parentheses and casts, in lower case outside of quotes; after [`QUERY`], also without
/// what stands before a dot in a name.
pub(super) fn normalise(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_query = false;
    // Where the name began that was written last, if nothing came after it.
    let mut name: Option<usize> = None;
    while let Some(letter) = rest.chars().next() {
        let end = normal.len();
        let mut this_name = None;
        let taken = match letter {
            '\'' | '"' => {
                let quoted = quoted(rest, letter);
                normal.push_str(quoted);
                this_name = (letter == '"').then_some(end);
                quoted.len()
            }
            ':' if rest.starts_with("::") => 2 + type_name(&rest[2..]),
            '(' | ')' => 1,
            '.' if in_query && name.is_some() => {
                normal.truncate(name.unwrap_or(end));
                1
            }
            _ if letter.is_whitespace() => letter.len_utf8(),
            _ => {
                in_query |= letter == QUERY;
                normal.extend(letter.to_lowercase());
                if is_word(letter) {
                    this_name = name.or_else(|| (!letter.is_ascii_digit()).then_some(end));
                }
                letter.len_utf8()
            }
        };
        name = this_name;
        rest = &rest[taken..];
    }
    normal
}

/// The quoted text that `text` begins with, quotes included. Quotes within are doubled; a backslash is a letter except in
/// `E'…'`, where PostgreSQL writes it twice, which ends in the same place.
fn quoted(text: &str, quote: char) -> &str {
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == quote {
            if letters.peek().is_some_and(|(_, next)| *next == quote) {
                letters.next();
            } else {
                return &text[..=at];
            }
        }
    }
    text
}

/// Names of types that are more than one word (PostgreSQL documentation, chapter 8), and what may follow a precision.
const WORDS: &[&str] = &[
    " varying",
    " precision",
    " with time zone",
    " without time zone",
    " year to month",
    " day to hour",
    " day to minute",
    " day to second",
    " hour to minute",
    " hour to second",
    " minute to second",
    " year",
    " month",
    " day",
    " hour",
    " minute",
    " second",
];

/// Length of the name of a type that `text` begins with, with its modifiers and array brackets.
fn type_name(text: &str) -> usize {
    let mut length = 0;
    loop {
        length += match text[length..].chars().next() {
            Some('"') => quoted(&text[length..], '"').len(),
            Some(first) if is_word(first) => {
                text[length..].find(|c| !is_word(c)).unwrap_or(text.len() - length)
            }
            _ => return length,
        };
        if !text[length..].starts_with('.') {
            break;
        }
        length += 1;
    }
    // Words and precisions take turns: `timestamp(3) with time zone`, `interval day to second(3)`.
    loop {
        let rest = &text[length..];
        let step = word_length(rest).or_else(|| precision_length(rest)).or_else(|| bracket_length(rest));
        match step {
            Some(step) => length += step,
            None => return length,
        }
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '$'
}

fn word_length(text: &str) -> Option<usize> {
    let word = WORDS.iter().find(|word| text.starts_with(**word))?;
    let ends = text[word.len()..].chars().next().is_none_or(|next| !is_word(next));
    ends.then_some(word.len())
}

/// `(10,2)`; not `(a + b)`.
fn precision_length(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('(')?;
    let end = inside.find(')')?;
    let numbers =
        !inside[..end].is_empty() && inside[..end].chars().all(|c| c.is_ascii_digit() || ",- ".contains(c));
    numbers.then_some(end + 2)
}

fn bracket_length(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('[')?;
    let end = inside.find(']')?;
    inside[..end].chars().all(|c| c.is_ascii_digit()).then_some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn casts_parentheses_and_spaces_do_not_count() {
        let first =
            "(((status)::text = ANY ((ARRAY['a'::character varying, 'B c'::character varying])::text[])))";
        let again = "((status)::text = ANY (ARRAY[('a'::character varying)::text, ('B c'::character varying)::text]))";
        assert_eq!(normalise(first), "status=anyarray['a','B c']");
        assert_eq!(normalise(first), normalise(again));
    }

    #[test]
    fn names_of_types_end_where_they_end() {
        for (text, normal) in [
            ("a::numeric(10,2) AND b", "aandb"),
            ("a::timestamp(3) with time zone + b", "a+b"),
            ("a::interval day to second(3) OR b", "aorb"),
            ("a::\"My Schema\".\"Type\"[] = b", "a=b"),
            ("a::public.mood[3][] || b", "a||b"),
            ("a::bit varying(5) & b", "a&b"),
            ("a::date + day", "a+day"),
            ("(a)::text)[1]", "a[1]"),
            ("a::text COLLATE \"C\"", "acollate\"C\""),
            ("a::größe", "a"),
        ] {
            assert_eq!(normalise(text), normal, "{text}");
        }
    }

    #[test]
    fn only_queries_lose_what_is_before_a_dot() {
        let before = "SELECT company.id, count(*) FROM ledger.company WHERE company.\"X\" > 1.5";
        let since_16 = "SELECT id, count(*) FROM ledger.company WHERE \"X\" > 1.5";
        assert_eq!(normalise(&format!("\u{1d}{before}")), "\u{1d}selectid,count*fromcompanywhere\"X\">1.5");
        assert_eq!(normalise(&format!("\u{1d}{before}")), normalise(&format!("\u{1d}{since_16}")));
        assert_ne!(normalise(before), normalise(since_16));
        assert_eq!(normalise("\u{1d}(a.b).c + \"A\".\"B.c\".d1 - e2.f"), "\u{1d}b.c+d1-f");
    }

    #[test]
    fn quotes_keep_what_is_in_them() {
        assert_eq!(normalise("'It''s (A)::b' || \"A \"\"b\"\"\""), "'It''s (A)::b'||\"A \"\"b\"\"\"");
        assert_eq!(normalise("'open"), "'open");
        assert_ne!(normalise("a = 'x y'"), normalise("a = 'xy'"));
        assert_ne!(normalise("a + b"), normalise("a - b"));
    }
}
