//! Choosing single tables, and what they cannot be without.
//!
//! Invariant: what is chosen can be restored. An index, constraint or trigger whose needs are neither chosen nor in the target is left
//! out and named with the reason, instead of failing the restore. Definitions that chosen ones depend on are added; rows are only ever
//! those of the tables that were asked for and of their partitions.

use std::collections::{BTreeMap, BTreeSet};

use model::QualifiedName;

use super::LoadError;
use super::existing::Existing;
use super::names::{find, is_relation, name_of};
use super::phase::{Phase, is_setting, phases};
use crate::archive::{DumpId, Toc, TocEntry};

/// Something that belongs to a chosen table and is not restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Kind and name.
    pub object: String,
    /// Why, as half a sentence.
    pub reason: String,
}

/// Chosen tables and what is restored with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The entries to restore.
    pub dump_ids: BTreeSet<DumpId>,
    /// The tables whose rows are restored: those that were named and their partitions, sorted.
    pub tables: Vec<QualifiedName>,
    /// What belongs to them and is not restored.
    pub left_out: Vec<LeftOut>,
}

impl Selection {
    /// Chooses the relations that `names` name, and what must be restored with them into a database that has `existing`.
    pub fn of_tables(toc: &Toc, names: &[String], existing: &Existing) -> Result<Self, LoadError> {
        let mut planner = Planner::new(toc, existing);
        for name in names {
            let id = find(toc, name)?;
            planner.choose(id);
        }
        if let Some(entry) =
            planner.chosen.iter().filter_map(|id| planner.entry(*id)).find(|e| existing.has(e))
        {
            return Err(LoadError::TableExists { table: name_of(entry).quoted() });
        }
        for id in planner.chosen.clone() {
            planner.add(id);
        }
        // What belongs to a table may bring something to which something belongs in turn.
        loop {
            let before = planner.included.len();
            planner.add_what_belongs();
            if planner.included.len() == before {
                return Ok(planner.finish());
            }
        }
    }
}

impl Selection {
    /// The same without foreign keys, and each of these, with its name for people, as a selection of its own.
    pub fn apart_from_foreign_keys(&self, toc: &Toc) -> (Self, Vec<(String, Self)>) {
        let (mut rest, mut keys) = (self.clone(), Vec::new());
        for entry in toc.entries.iter().filter(|entry| entry.desc == "FK CONSTRAINT") {
            if rest.dump_ids.remove(&entry.dump_id) {
                keys.push((entry.to_string(), Self::of_one(toc, entry)));
            }
        }
        (rest, keys)
    }

    /// One entry, with the settings that every part has.
    fn of_one(toc: &Toc, entry: &TocEntry) -> Self {
        let settings = toc.entries.iter().filter(|entry| is_setting(entry));
        let dump_ids = settings.chain([entry]).map(|entry| entry.dump_id).collect();
        Self { dump_ids, ..Self::default() }
    }
}

/// The foreign keys of tables in `existing` that refer to one of `tables`, each with its name for people and as a selection of its own.
pub fn foreign_keys_to(toc: &Toc, tables: &[QualifiedName], existing: &Existing) -> Vec<(String, Selection)> {
    let planner = Planner::new(toc, existing);
    let mut found = Vec::new();
    for (_, entry) in planner.order.iter().filter(|(_, entry)| entry.desc == "FK CONSTRAINT") {
        let Some(table) = planner.relation_of(entry) else { continue };
        // A chosen table has brought its own.
        let is_other = existing.has(table) && !tables.contains(&name_of(table));
        let refers = planner
            .dependencies(entry)
            .any(|needed| needed.desc == "TABLE" && tables.contains(&name_of(needed)));
        if is_other && refers {
            found.push((entry.to_string(), Selection::of_one(toc, entry)));
        }
    }
    found
}

/// The foreign keys of tables that refer to each other in a circle, directly or through others, and what depends on one of them, such as
/// its comment.
pub(super) fn circular_foreign_keys(toc: &Toc) -> BTreeSet<DumpId> {
    let existing = Existing::default();
    let planner = Planner::new(toc, &existing);
    let mut links: Vec<(DumpId, DumpId, DumpId)> = Vec::new();
    for (_, entry) in planner.order.iter().filter(|(_, entry)| entry.desc == "FK CONSTRAINT") {
        let Some(table) = planner.relation_of(entry) else { continue };
        let others = planner
            .dependencies(entry)
            .filter(|needed| needed.desc == "TABLE" && needed.dump_id != table.dump_id);
        links.extend(others.map(|other| (entry.dump_id, table.dump_id, other.dump_id)));
    }
    let mut next: BTreeMap<DumpId, Vec<DumpId>> = BTreeMap::new();
    for (_, table, other) in &links {
        next.entry(*table).or_default().push(*other);
    }
    let reaches = |from: DumpId, to: DumpId| {
        let (mut seen, mut waiting) = (BTreeSet::new(), vec![from]);
        while let Some(table) = waiting.pop() {
            if table == to {
                return true;
            }
            if seen.insert(table) {
                waiting.extend(next.get(&table).into_iter().flatten());
            }
        }
        false
    };
    let in_circle = links.iter().filter(|(_, table, other)| reaches(*other, *table));
    let mut found: BTreeSet<DumpId> = in_circle.map(|(key, ..)| *key).collect();
    // An entry comes behind those that it depends on.
    for (_, entry) in &planner.order {
        if entry.dependencies.iter().any(|needed| found.contains(needed)) {
            found.insert(entry.dump_id);
        }
    }
    found
}

/// Where an entry belongs.
enum Belonging {
    /// To nothing that is restored.
    No,
    /// To something that is restored, and it can be.
    Yes,
    /// To something that is restored, but it cannot be.
    Lacks(String),
}

struct Planner<'a> {
    entries: BTreeMap<DumpId, &'a TocEntry>,
    order: Vec<(Option<Phase>, &'a TocEntry)>,
    pre_data: BTreeSet<DumpId>,
    existing: &'a Existing,
    /// Relations that were asked for, and their partitions.
    chosen: BTreeSet<DumpId>,
    included: BTreeSet<DumpId>,
}

impl<'a> Planner<'a> {
    fn new(toc: &'a Toc, existing: &'a Existing) -> Self {
        let order: Vec<_> = phases(toc).collect();
        let pre_data = order.iter().filter(|(phase, _)| *phase == Some(Phase::PreData));
        Self {
            entries: toc.entries.iter().map(|entry| (entry.dump_id, entry)).collect(),
            pre_data: pre_data.map(|(_, entry)| entry.dump_id).collect(),
            order,
            existing,
            chosen: BTreeSet::new(),
            included: BTreeSet::new(),
        }
    }

    fn entry(&self, id: DumpId) -> Option<&'a TocEntry> {
        self.entries.get(&id).copied()
    }

    fn dependencies(&self, entry: &'a TocEntry) -> impl Iterator<Item = &'a TocEntry> + use<'a> {
        let found: Vec<_> = entry.dependencies.iter().filter_map(|id| self.entry(*id)).collect();
        found.into_iter()
    }

    /// Marks a relation and its partitions as asked for.
    fn choose(&mut self, id: DumpId) {
        if !self.chosen.insert(id) {
            return;
        }
        let attached = self.order.iter().filter(|(_, entry)| entry.desc == "TABLE ATTACH");
        let partitions: Vec<_> = attached
            .filter(|(_, attach)| attach.dependencies.contains(&id))
            .flat_map(|(_, attach)| {
                // An attachment is named like the partition, and depends on it and on the parent.
                self.dependencies(attach).filter(|child| {
                    child.dump_id != id && child.tag == attach.tag && child.namespace == attach.namespace
                })
            })
            .map(|child| child.dump_id)
            .collect();
        for partition in partitions {
            self.choose(partition);
        }
    }

    /// Adds a definition and all that it depends on.
    fn add(&mut self, id: DumpId) {
        let Some(entry) = self.entry(id) else { return };
        if self.existing.has(entry) || !self.included.insert(id) {
            return;
        }
        for needed in self.needs(entry) {
            self.add(needed);
        }
    }

    /// Definitions that `entry` depends on.
    fn needs(&self, entry: &'a TocEntry) -> Vec<DumpId> {
        let needs = self.dependencies(entry).filter(|needed| self.pre_data.contains(&needed.dump_id));
        // A sequence depends on the table that owns it; without that table it is a sequence of its own, unless it is that of an
        // identity column, which is made by altering the table.
        let stands_alone = entry.desc == "SEQUENCE"
            && entry.defn.as_ref().is_some_and(|defn| !defn.starts_with(b"ALTER TABLE "));
        let needs = needs
            .filter(|needed| !stands_alone || !is_relation(needed) || self.chosen.contains(&needed.dump_id));
        needs.map(|needed| needed.dump_id).collect()
    }

    fn add_what_belongs(&mut self) {
        for (_, entry) in self.order.clone() {
            if !self.included.contains(&entry.dump_id) && matches!(self.belonging(entry), Belonging::Yes) {
                self.included.insert(entry.dump_id);
                for needed in self.needs(entry) {
                    self.add(needed);
                }
            }
        }
    }

    fn belonging(&self, entry: &'a TocEntry) -> Belonging {
        let is_included = |needed: &TocEntry| self.included.contains(&needed.dump_id);
        let is_chosen = |needed: &TocEntry| self.chosen.contains(&needed.dump_id);
        let mut dependencies = self.dependencies(entry).peekable();
        let yes_if = |condition| if condition { Belonging::Yes } else { Belonging::No };
        match entry.desc.as_str() {
            "COMMENT" | "ACL" | "SECURITY LABEL" | "TABLE ATTACH" | "INDEX ATTACH" | "SEQUENCE SET" => {
                yes_if(dependencies.peek().is_some() && dependencies.all(is_included))
            }
            "TABLE DATA" | "STATISTICS DATA" | "SEQUENCE" => yes_if(dependencies.any(is_chosen)),
            "SEQUENCE OWNED BY" => yes_if(
                dependencies
                    .any(|sequence| is_included(sequence) && self.dependencies(sequence).any(is_chosen)),
            ),
            "DEFAULT" => yes_if(self.relation_of(entry).is_some_and(is_included)),
            "MATERIALIZED VIEW DATA" => {
                let Some(view) = dependencies.find(|needed| is_chosen(needed)) else { return Belonging::No };
                match self.empty_source(view, &mut BTreeSet::new()) {
                    Some(source) => Belonging::Lacks(format!("the rows of {source} are not restored")),
                    None => Belonging::Yes,
                }
            }
            "INDEX" | "STATISTICS" | "CONSTRAINT" | "CHECK CONSTRAINT" | "FK CONSTRAINT" | "TRIGGER"
            | "RULE" | "POLICY" | "ROW SECURITY" | "PUBLICATION TABLE" => {
                if self.relation_of(entry).is_some_and(is_chosen) {
                    self.lacking(entry).map_or(Belonging::Yes, Belonging::Lacks)
                } else {
                    Belonging::No
                }
            }
            _ => Belonging::No,
        }
    }

    /// The relation on which an index, constraint or the like is.
    fn relation_of(&self, entry: &'a TocEntry) -> Option<&'a TocEntry> {
        let relations = self.dependencies(entry).filter(|needed| is_relation(needed));
        match entry.desc.as_str() {
            // Named by themselves, and on the one relation that they depend on first.
            "INDEX" | "STATISTICS" => relations.into_iter().find(|needed| needed.desc != "SEQUENCE"),
            "PUBLICATION TABLE" => relations.filter(|needed| entry.tag.ends_with(&needed.tag)).last(),
            // Named after their relation: "table name", or just "table".
            _ => relations
                .filter(|needed| {
                    let rest = entry.tag.strip_prefix(&*needed.tag);
                    needed.namespace == entry.namespace
                        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b" "))
                })
                .max_by_key(|needed| needed.tag.len()),
        }
    }

    /// What `entry` needs and will not find, as a reason.
    fn lacking(&self, entry: &'a TocEntry) -> Option<String> {
        let relation = self.relation_of(entry).map(|relation| relation.dump_id);
        self.dependencies(entry).filter(|needed| Some(needed.dump_id) != relation).find_map(|needed| {
            let found = if is_relation(needed) {
                // A key that refers to a table without its rows would not hold.
                self.chosen.contains(&needed.dump_id) || self.existing.has(needed)
            } else if self.included.contains(&needed.dump_id) || self.existing.has(needed) {
                true
            } else if matches!(needed.desc.as_str(), "CONSTRAINT" | "INDEX") {
                // That of a partition depends on that of its parent, but can be without.
                matches!(entry.desc.as_str(), "CONSTRAINT" | "INDEX")
                    || self.relation_of(needed).is_some_and(|table| self.existing.has(table))
            } else {
                // A trigger's function may use anything; what an index or a policy calls is brought along.
                entry.desc != "TRIGGER" && self.can_be_added(needed, &mut BTreeSet::new())
            };
            (!found).then(|| format!("it needs {needed}, which is not restored"))
        })
    }

    /// Whether a definition can be added without bringing a relation along.
    fn can_be_added(&self, entry: &'a TocEntry, seen: &mut BTreeSet<DumpId>) -> bool {
        if !seen.insert(entry.dump_id) || self.existing.has(entry) || self.included.contains(&entry.dump_id) {
            return true;
        }
        self.pre_data.contains(&entry.dump_id)
            && !is_relation(entry)
            && self.dependencies(entry).all(|needed| self.can_be_added(needed, seen))
    }

    /// A relation from which a materialized view is filled and whose rows are not there.
    fn empty_source(&self, view: &'a TocEntry, seen: &mut BTreeSet<DumpId>) -> Option<QualifiedName> {
        self.dependencies(view).filter(|needed| is_relation(needed) && needed.desc != "SEQUENCE").find_map(
            |source| {
                if !seen.insert(source.dump_id) || self.existing.has(source) {
                    return None;
                }
                let has_rows_of_its_own = source.desc != "VIEW";
                if has_rows_of_its_own && !self.chosen.contains(&source.dump_id) {
                    return Some(name_of(source));
                }
                self.empty_source(source, seen)
            },
        )
    }

    fn finish(mut self) -> Selection {
        let mut left_out = Vec::new();
        for (_, entry) in &self.order {
            if self.included.contains(&entry.dump_id) {
                if is_relation(entry)
                    && entry.desc != "SEQUENCE"
                    && entry.desc != "VIEW"
                    && !self.chosen.contains(&entry.dump_id)
                {
                    left_out.push(LeftOut {
                        object: format!("rows of {}", name_of(entry)),
                        reason: "only its definition is needed".to_owned(),
                    });
                }
            } else if let Belonging::Lacks(reason) = self.belonging(entry) {
                left_out.push(LeftOut { object: entry.to_string(), reason });
            }
        }
        let settings = self.order.iter().filter(|(_, entry)| is_setting(entry));
        self.included.extend(settings.map(|(_, entry)| entry.dump_id));
        let is_table = |entry: &&TocEntry| entry.desc == "TABLE";
        let mut tables: Vec<_> =
            self.chosen.iter().filter_map(|id| self.entry(*id)).filter(is_table).map(name_of).collect();
        tables.sort();
        Selection { dump_ids: self.included, tables, left_out }
    }
}

#[cfg(test)]
mod tests;
