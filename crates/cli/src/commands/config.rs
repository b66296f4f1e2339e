//! `config`: the settings, checked or shown.

use serde::Serialize;

use crate::args::ConfigCommand;
use crate::failure::Failure;
use crate::screen::Answer;
use crate::session::Session;
use crate::settings::Shown;
use crate::wording::{self, Column};

const COLUMNS: [Column; 3] = [Column::Text("SETTING"), Column::Text("VALUE"), Column::Text("FROM")];

#[derive(Serialize)]
struct Body {
    /// The settings file; nothing when there is none.
    file: Option<String>,
    settings: Vec<Shown>,
}

pub(super) fn run(command: ConfigCommand, session: Session) -> Result<Answer, Failure> {
    let settings = session.settings()?;
    let shown = settings.shown()?;
    let file = settings.file.path.as_ref().map(|path| path.display().to_string());
    let text = match command {
        ConfigCommand::Check => {
            let place = file.clone().unwrap_or_else(|| "no settings file".to_owned());
            format!("The settings are in order ({place}; {}).", wording::count(shown.len() as u64, "setting"))
        }
        ConfigCommand::Show => {
            let row = |it: &Shown| vec![it.name.clone(), it.value.clone(), it.origin.clone()];
            wording::table(&COLUMNS, shown.iter().map(row))
        }
    };
    Answer::new(text, &Body { file, settings: shown })
}
