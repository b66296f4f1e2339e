//! Tables that were dropped, made again from the definitions in the backup: the bare tables before there are rows, and what belongs to
//! them (indexes, constraints, triggers, privileges, foreign keys of other tables) when the rows are in.

use model::QualifiedName;
use postgres::archive::Toc;
use postgres::load::{
    Existing, LeftOut, LoadOptions, Loader, Selection, foreign_keys_to, missing_roles, roles_needed,
};
use postgres::{Client, ConnectOptions, Spelling, Tools};

use super::connect;
use crate::{Context, Error, Phase, Warning};

/// Tables that were made and are not complete yet.
pub(super) struct CreatedTables {
    toc: Toc,
    names: Vec<QualifiedName>,
    selection: Selection,
    target: ConnectOptions,
    tools: Tools,
    server_major: u32,
}

impl CreatedTables {
    /// Makes the bare tables, with the types and functions that they need.
    pub(super) fn make(
        toc: Toc,
        names: Vec<QualifiedName>,
        target: &ConnectOptions,
        live: &mut Client,
        context: &Context<'_>,
    ) -> Result<Self, Error> {
        context.phase(Phase::Schema);
        let existing = Existing::read(live)?;
        let quoted: Vec<String> = names.iter().map(QualifiedName::quoted).collect();
        let selection = Selection::of_tables(&toc, &quoted, &existing)?;
        let needed = roles_needed(&toc, Some(&selection), None, &LoadOptions::default());
        let missing = missing_roles(live, &needed)?;
        if !missing.is_empty() {
            return Err(Error::RolesMissing { roles: missing });
        }
        let server_major = live.server_major();
        let tools = Tools::find(server_major, context.tool_path.as_deref())?;
        let created = Self { toc, names, selection, target: target.clone(), tools, server_major };
        warn(created.loader(&created.selection).pre_data()?, context);
        Ok(created)
    }

    fn loader<'a>(&'a self, selection: &'a Selection) -> Loader<'a> {
        let options = LoadOptions::default();
        Loader::new(&self.tools, &self.target, self.server_major, &self.toc, options)
            .with_selection(selection)
    }

    /// Makes what belongs to the tables. Returns what was left out.
    pub(super) fn finish(self, live: &mut Client, context: &Context<'_>) -> Result<Vec<LeftOut>, Error> {
        context.phase(Phase::Indexes);
        let (rest, mut keys) = self.selection.apart_from_foreign_keys(&self.toc);
        warn(self.loader(&rest).post_data()?, context);
        let mut left_out = self.selection.left_out.clone();
        let existing = Existing::read(live)?;
        keys.extend(foreign_keys_to(&self.toc, &self.names, &existing));
        for (object, selection) in keys {
            // One by one: where rows refer to what is not there any more, only that key is left out.
            match self.loader(&selection).post_data() {
                Ok(messages) => warn(messages, context),
                Err(error) => left_out.push(LeftOut { object, reason: crate::error::with_sources(&error) }),
            }
        }
        Ok(left_out)
    }

    /// Removes the tables again, as well as one can.
    pub(super) fn remove(self, spelling: Spelling) {
        let names: Vec<String> = self.names.iter().map(|name| spelling.qualified(name)).collect();
        if let Ok(mut client) = connect(&self.target) {
            let _ = client.execute(&format!("DROP TABLE IF EXISTS {}", names.join(", ")));
        }
    }
}

fn warn(messages: Vec<String>, context: &Context<'_>) {
    for message in messages {
        context.warn(Warning::Restore { message });
    }
}
