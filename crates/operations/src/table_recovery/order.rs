//! In which order tables are written: those that are referred to before those that refer.

use std::collections::BTreeSet;

use model::QualifiedName;
use postgres::ForeignKeyLink;

/// The numbers of `tables` so that each comes behind those that it refers to. Tables that refer to each other in a circle come in the
/// order of their names; their foreign keys are checked at the end.
pub(super) fn parents_first(tables: &[&QualifiedName], links: &[ForeignKeyLink]) -> Vec<usize> {
    let number = |name: &QualifiedName| tables.iter().position(|table| *table == name);
    let mut waits: BTreeSet<(usize, usize)> = BTreeSet::new();
    for link in links {
        if let (Some(child), Some(parent)) = (number(&link.table), number(&link.referenced))
            && child != parent
        {
            waits.insert((child, parent));
        }
    }
    let mut order: Vec<usize> = Vec::with_capacity(tables.len());
    while order.len() < tables.len() {
        let rest = || (0..tables.len()).filter(|n| !order.contains(n));
        let is_free = |n: &usize| !waits.iter().any(|(child, parent)| child == n && !order.contains(parent));
        let Some(next) = rest().find(is_free).or_else(|| rest().next()) else { break };
        order.push(next);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(tables: &[&str], links: &[(&str, &str)]) -> Vec<String> {
        let names: Vec<QualifiedName> = tables.iter().map(|name| QualifiedName::new("s", *name)).collect();
        let link = |(table, referenced): &(&str, &str)| ForeignKeyLink {
            constraint: "k".to_owned(),
            table: QualifiedName::new("s", *table),
            referenced: QualifiedName::new("s", *referenced),
            columns: Vec::new(),
            deferrable: false,
            on_delete: None,
            on_update: None,
        };
        let links: Vec<_> = links.iter().map(link).collect();
        let tables: Vec<&QualifiedName> = names.iter().collect();
        parents_first(&tables, &links).into_iter().map(|n| names[n].name.clone()).collect()
    }

    #[test]
    fn tables_come_behind_those_that_they_refer_to() {
        assert_eq!(order(&["a", "b", "c"], &[("a", "b"), ("b", "c")]), ["c", "b", "a"]);
        assert_eq!(order(&["a", "b", "c"], &[("a", "a"), ("b", "elsewhere")]), ["a", "b", "c"]);
        assert_eq!(order(&["a", "b", "c"], &[("a", "c"), ("b", "c")]), ["c", "a", "b"]);
        assert_eq!(order(&["a", "b", "c"], &[("a", "b"), ("b", "a"), ("a", "c")]), ["c", "a", "b"]);
        assert_eq!(order(&[], &[]), [""; 0]);
    }
}
