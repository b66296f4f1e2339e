//! Names of tables as people type them, and the entries that they mean.

use std::collections::BTreeSet;

use model::QualifiedName;

use super::LoadError;
use super::tokens::{Token, tokens};
use crate::archive::{DumpId, Toc, TocEntry};

/// Most names that an error proposes.
const PROPOSALS: usize = 3;

/// Kinds of entries that can be asked for by name.
pub(super) fn is_relation(entry: &TocEntry) -> bool {
    matches!(entry.desc.as_str(), "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE" | "SEQUENCE")
}

/// The qualified name of an entry.
pub(super) fn name_of(entry: &TocEntry) -> QualifiedName {
    let schema = entry.namespace.as_ref().map_or_else(String::new, |text| text.to_text().into_owned());
    QualifiedName { schema, name: entry.tag.to_text().into_owned() }
}

/// A part of a name: exactly as typed, and as SQL would read it.
struct Part {
    typed: String,
    folded: String,
}

/// Finds the one relation that `typed` names: `table` or `schema.table`, in double quotes or not.
///
/// A name is taken as typed if there is one, else in lower case, as SQL reads a name without quotes. A name without a schema may be in any.
pub(super) fn find(toc: &Toc, typed: &str) -> Result<DumpId, LoadError> {
    let relations = toc.entries.iter().filter(|entry| is_relation(entry));
    let relations: Vec<_> = relations.map(|entry| (name_of(entry), entry.dump_id)).collect();
    choose(&relations, typed).map(|(_, id)| *id)
}

/// Finds the one of `tables` that `typed` names, in the same way.
pub fn find_table(tables: &BTreeSet<QualifiedName>, typed: &str) -> Result<QualifiedName, LoadError> {
    let tables: Vec<_> = tables.iter().map(|name| (name.clone(), ())).collect();
    choose(&tables, typed).map(|(name, ())| name.clone())
}

fn choose<'a, T>(
    relations: &'a [(QualifiedName, T)],
    typed: &str,
) -> Result<&'a (QualifiedName, T), LoadError> {
    let unknown = || LoadError::UnknownTable {
        table: typed.to_owned(),
        similar: proposals(relations.iter().map(|(name, _)| name.clone()), typed),
    };
    let (schema, table) = split(typed).ok_or_else(unknown)?;
    for part in [|part: &Part| part.typed.clone(), |part: &Part| part.folded.clone()] {
        let matches = |(name, _): &&(QualifiedName, T)| {
            let in_schema = schema.as_ref().is_none_or(|wanted| name.schema == part(wanted));
            in_schema && name.name == part(&table)
        };
        let found: Vec<_> = relations.iter().filter(matches).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(one),
            several => {
                return Err(LoadError::AmbiguousTable {
                    table: typed.to_owned(),
                    candidates: several.iter().map(|(name, _)| name.quoted()).collect(),
                });
            }
        }
    }
    Err(unknown())
}

/// Schema and table of a typed name; `None` if it is not a name.
fn split(typed: &str) -> Option<(Option<Part>, Part)> {
    let part = |token: &Token, text: &str| match token {
        Token::Word(folded) => Some(Part { typed: text.to_owned(), folded: folded.clone() }),
        Token::Quoted(name) => Some(Part { typed: name.clone(), folded: name.clone() }),
        Token::Literal(_) | Token::Symbol(_) => None,
    };
    if !typed.contains('"') {
        // Unquoted, anything but a dot is part of the name: shells eat quotes.
        let as_typed = |text: &str| Part { typed: text.to_owned(), folded: text.to_ascii_lowercase() };
        return match typed.split('.').collect::<Vec<_>>().as_slice() {
            [table] if !table.is_empty() => Some((None, as_typed(table))),
            [schema, table] if !schema.is_empty() && !table.is_empty() => {
                Some((Some(as_typed(schema)), as_typed(table)))
            }
            _ => None,
        };
    }
    match tokens(typed).as_slice() {
        [table] => Some((None, part(table, typed)?)),
        [schema, Token::Symbol('.'), table] => {
            let first = typed.split('.').next().unwrap_or_default();
            let last = typed.rsplit('.').next().unwrap_or_default();
            Some((Some(part(schema, first)?), part(table, last)?))
        }
        _ => None,
    }
}

/// The names that look most like `typed`.
fn proposals(names: impl Iterator<Item = QualifiedName>, typed: &str) -> Vec<String> {
    let typed = typed.to_lowercase();
    let bare = typed.rsplit('.').next().unwrap_or(&typed);
    let mut scored: Vec<_> = names
        .filter_map(|name| {
            let found = name.name.to_lowercase();
            let typed_part = found.contains(bare) && !bare.is_empty();
            let distance = distance(&found, bare).min(distance(&name.to_string().to_lowercase(), &typed));
            let near = distance <= 1 + bare.chars().count() / 4;
            (near || typed_part).then(|| (distance, name.quoted()))
        })
        .collect();
    scored.sort();
    scored.into_iter().take(PROPOSALS).map(|(_, name)| name).collect()
}

/// The Levenshtein distance of two texts.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let cost = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(typed: &str) -> Result<String, String> {
        let dump = include_bytes!("../../tests/archives/pg18.dump");
        let toc = Toc::read(&mut &dump[..]).unwrap();
        find(&toc, typed).map(|id| toc.entry(id).unwrap().to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_found_as_people_type_them() {
        for typed in
            ["account", "ledger.account", "LEDGER.Account", "\"ledger\".\"account\"", "ledger.\"account\""]
        {
            assert_eq!(found(typed).unwrap(), "TABLE ledger.account", "{typed}");
        }
        for typed in ["Table with spaces; and more", "\"Odd \"\"schema\"\"\".\"Table with spaces; and more\""]
        {
            assert_eq!(found(typed).unwrap(), "TABLE Odd \"schema\".Table with spaces; and more");
        }
        assert_eq!(found("totals").unwrap(), "MATERIALIZED VIEW public.totals");
    }

    #[test]
    fn what_is_not_found_is_answered_with_what_is_similar() {
        assert_eq!(
            found("ledger.acount").unwrap_err(),
            "the backup has no table ledger.acount; similar are \"ledger\".\"account\""
        );
        assert_eq!(
            found("public.entry").unwrap_err(),
            "the backup has no table public.entry; similar are \"ledger\".\"entry\", \"ledger\".\"entry_id_seq\""
        );
        assert_eq!(found("zzzzzz").unwrap_err(), "the backup has no table zzzzzz");
        for typed in ["", ".", "a.b.c", "\"ACCOUNT\"", "ledger.", "'account'", "\""] {
            assert!(found(typed).unwrap_err().starts_with("the backup has no table"), "{typed}");
        }
    }

    #[test]
    fn a_name_in_two_schemas_must_be_qualified() {
        let dump = include_bytes!("../../tests/archives/pg18.dump");
        let mut toc = Toc::read(&mut &dump[..]).unwrap();
        let mut copy =
            toc.entries.iter().find(|entry| entry.is("TABLE", "ledger", "account")).unwrap().clone();
        copy.namespace = Some("public".into());
        copy.dump_id = 9999;
        toc.entries.push(copy);
        assert_eq!(
            find(&toc, "account").unwrap_err().to_string(),
            "the backup has several tables account: \"ledger\".\"account\", \"public\".\"account\""
        );
        assert_eq!(find(&toc, "public.account").unwrap(), 9999);
    }

    #[test]
    fn distances() {
        for (a, b, expected) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("flaw", "lawn", 2)] {
            assert_eq!(distance(a, b), expected);
            assert_eq!(distance(b, a), expected);
        }
    }
}
