//! The inventory: every object of a database by class and name, with hashes of what it is defined as, who owns it and
//! who may use it. Two inventories are equal exactly when the databases hold the same objects, as far as the queries
//! that made them can see.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A class of objects, as PostgreSQL names it (`table`, `index`, `event trigger`).
pub type Class = String;

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Item {
    /// What it is.
    pub class: Class,
    /// Its identity within its class: qualified, quoted where SQL would quote it.
    pub name: String,
    /// The role that owns it; empty where the class has no owners.
    pub owner: String,
    /// Hash of its access privileges; empty where they are the default.
    pub acl: String,
    /// Hash of its definition, normalised so that a dump and restore does not change it.
    pub definition: String,
}

/// All objects of a database, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    items: Vec<Item>,
}

/// One way in which a restored database differs from what was backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The object is not there.
    Missing(Item),
    /// The object is there, but was not in the backup.
    Unexpected(Item),
    /// The object is there, with another owner, other privileges or another definition.
    Changed {
        /// As it was backed up.
        expected: Item,
        /// As it was restored.
        found: Item,
    },
}

impl Inventory {
    /// An inventory of `items`, in any order.
    pub fn new(mut items: Vec<Item>) -> Self {
        items.sort();
        Self { items }
    }

    /// The objects, sorted by class and name.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Number of objects per class.
    pub fn counts(&self) -> BTreeMap<Class, u64> {
        let mut counts = BTreeMap::new();
        for item in &self.items {
            *counts.entry(item.class.clone()).or_insert(0) += 1;
        }
        counts
    }

    /// Every difference between this inventory, which is expected, and one that was `found`.
    pub fn differences(&self, found: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut expected = self.items.iter().peekable();
        let mut actual = found.items.iter().peekable();
        loop {
            let order = match (expected.peek(), actual.peek()) {
                (None, None) => return differences,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) => (&a.class, &a.name).cmp(&(&b.class, &b.name)),
            };
            match order {
                std::cmp::Ordering::Less => {
                    differences.extend(expected.next().cloned().map(Difference::Missing));
                }
                std::cmp::Ordering::Greater => {
                    differences.extend(actual.next().cloned().map(Difference::Unexpected));
                }
                std::cmp::Ordering::Equal => {
                    if let (Some(a), Some(b)) = (expected.next(), actual.next())
                        && a != b
                    {
                        differences.push(Difference::Changed { expected: a.clone(), found: b.clone() });
                    }
                }
            }
        }
    }
}

impl Difference {
    /// The object that differs: its class and name.
    pub fn object(&self) -> String {
        let (Self::Missing(item) | Self::Unexpected(item) | Self::Changed { expected: item, .. }) = self;
        format!("{} {}", item.class, item.name)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(item) => write!(f, "{} {} is missing", item.class, item.name),
            Self::Unexpected(item) => write!(f, "{} {} was not in the backup", item.class, item.name),
            Self::Changed { expected, found } if expected.owner != found.owner => {
                write!(
                    f,
                    "{} {} belongs to {:?} instead of {:?}",
                    found.class, found.name, found.owner, expected.owner
                )
            }
            Self::Changed { expected, found } if expected.acl != found.acl => {
                write!(f, "{} {} has other privileges", found.class, found.name)
            }
            Self::Changed { found, .. } => write!(f, "{} {} has another definition", found.class, found.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str, owner: &str) -> Item {
        Item {
            class: "table".into(),
            name: name.into(),
            owner: owner.into(),
            acl: String::new(),
            definition: "d".into(),
        }
    }

    #[test]
    fn equal_inventories_have_no_differences() {
        let a = Inventory::new(vec![item("b", "x"), item("a", "x")]);
        let b = Inventory::new(vec![item("a", "x"), item("b", "x")]);
        assert_eq!(a.differences(&b), vec![]);
        assert_eq!(a.counts()["table"], 2);
    }

    #[test]
    fn each_difference_is_named() {
        let expected = Inventory::new(vec![item("a", "x"), item("b", "x"), item("c", "x")]);
        let found = Inventory::new(vec![item("b", "y"), item("c", "x"), item("d", "x")]);
        let text: Vec<_> = expected.differences(&found).iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "table a is missing",
                "table b belongs to \"y\" instead of \"x\"",
                "table d was not in the backup"
            ]
        );
    }
}
