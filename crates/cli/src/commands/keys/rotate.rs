//! `keys rotate`: a new key and a new epoch.
//!
//! Invariant: the new key is durable in a file before the repository is touched, and the file of the key in use is replaced only once
//! the repository opens with the new one. While the file of the next key is there, a rotation is not complete, and the same
//! command goes on with it.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use repository::{HolderKey, KeySummary, Repository, Rotated, Rotation, RotationPlan};
use serde::Serialize;

use super::{damaged, generate, given, name, not_replaced};
use crate::args::KeysRotateArgs;
use crate::catalogue::Code;
use crate::failure::Failure;
use crate::key::{self, Key};
use crate::opening;
use crate::screen::{Answer, Notice};
use crate::session::Session;
use crate::settings::Settings;
use crate::surroundings::random;
use crate::wording;

#[derive(Serialize)]
struct Body {
    dry_run: bool,
    epoch: u32,
    old_key_id: String,
    /// Null in a dry run.
    key_id: Option<String>,
    /// Where the new key is.
    path: PathBuf,
    /// Where the old key is, when its file was replaced.
    old_path: Option<PathBuf>,
    /// Whether an earlier call had begun the epoch.
    resumed: bool,
    slots_removed: u64,
    backups_tried: u64,
    left_behind: Vec<String>,
    warnings: Vec<Notice>,
}

/// Where the new key is, and what becomes of the file of the old one.
enum Place {
    /// In a file that somebody named; the settings must be changed to it.
    Named(PathBuf),
    /// Beside the file of the key in use, whose place it takes at the end.
    InPlace { current: PathBuf, next: PathBuf },
}

impl Place {
    fn of(args: &KeysRotateArgs, settings: &Settings) -> Result<Self, Failure> {
        if let Some(path) = args.generate.as_ref().or(args.from.as_ref()) {
            return Ok(Self::Named(path.clone()));
        }
        match (settings.key.file(), settings.key.next_file()) {
            (Some(current), Some(next)) => Ok(Self::InPlace { current: current.to_owned(), next }),
            _ => Err(Failure::new(Code::KeyNotWritten, "the key in use comes from BACKUP_ENCRYPTION_KEY, which cannot be replaced")
                .with_hint("Name a file for the new key with --generate FILE, and set BACKUP_ENCRYPTION_KEY_FILE to it afterwards.")),
        }
    }

    /// The file with the new key once the rotation is complete.
    fn file(&self) -> &Path {
        match self {
            Self::Named(path) => path,
            Self::InPlace { current, .. } => current,
        }
    }
}

pub(super) fn run(args: &KeysRotateArgs, session: Session) -> Result<Answer, Failure> {
    let screen = session.screen;
    let settings = session.settings()?;
    let place = Place::of(args, &settings)?;
    let old = opening::holder(&settings.key.require(&settings.environment)?);
    let also = also(args, &settings)?;
    if args.dry_run {
        let plan = opening::repository(&settings)?.plan_rotation()?;
        return planned(&plan, &place, &also, &settings);
    }
    let new = opening::holder(&new_key(args, &place, &settings)?);
    let rotation = Rotation { old: &old, new: &new, label: args.label.as_ref(), also: &also };
    let rotated = Repository::rotate_keys(opening::store(&settings)?, rotation, Timestamp::now(), &random)?;
    let old_path = match &place {
        Place::Named(_) => None,
        Place::InPlace { current, next } => Some(take_over(current, next, &rotated)?),
    };
    let warnings: Vec<_> =
        rotated.left_behind.iter().map(left_behind).chain(damaged(&rotated.damaged)).collect();
    for warning in &warnings {
        screen.warning(warning);
    }
    let text = words(&rotated, &place, old_path.as_deref(), &settings);
    let body = Body {
        dry_run: false,
        epoch: rotated.epoch,
        old_key_id: rotated.old.to_string(),
        key_id: Some(rotated.new.to_string()),
        path: key::absolute(place.file()),
        old_path,
        resumed: rotated.resumed,
        slots_removed: rotated.removed,
        backups_tried: rotated.backups,
        left_behind: rotated.left_behind.iter().map(|key| key.id.to_string()).collect(),
        warnings,
    };
    let needs_person = !body.warnings.is_empty();
    Ok(Answer::new(text, &body)?.needing_person(needs_person))
}

fn also(args: &KeysRotateArgs, settings: &Settings) -> Result<Vec<HolderKey>, Failure> {
    args.also.iter().map(|path| Ok(opening::holder(&given(path, "--also", settings)?))).collect()
}

/// The new key, which is durable from here on. None is made for a repository that the key in use does not open.
fn new_key(args: &KeysRotateArgs, place: &Place, settings: &Settings) -> Result<Key, Failure> {
    let path = match place {
        Place::Named(path) if args.from.is_some() => return given(path, "--from", settings),
        // That of a rotation that was interrupted.
        Place::InPlace { next, .. } if next.exists() => return given(next, "the next key file", settings),
        Place::Named(path) | Place::InPlace { next: path, .. } => path,
    };
    opening::repository(settings)?;
    let key = generate(path, settings)?;
    if let Place::InPlace { current, next } = place {
        key::same_owner(current, next).map_err(|error| not_replaced(current, &error))?;
    }
    Ok(key)
}

fn take_over(current: &Path, next: &Path, rotated: &Rotated) -> Result<PathBuf, Failure> {
    let aside = key::beside(current, &format!(".old-{:.8}", rotated.old.to_string()));
    key::take_over(current, next, &aside).map_err(|error| not_replaced(current, &error))?;
    Ok(aside)
}

fn left_behind(key: &KeySummary) -> Notice {
    Notice {
        code: "key.left_behind".to_owned(),
        message: format!("key {} does not open the repository any more", name(key)),
        hint: "Give it access again with `chronavault keys add`, or take away what is left with `chronavault keys remove`."
            .to_owned(),
    }
}

fn words(rotated: &Rotated, place: &Place, old_path: Option<&Path>, settings: &Settings) -> String {
    let Rotated { epoch, new, backups, .. } = rotated;
    let tried = wording::count(*backups, "backup");
    let mut text = format!(
        "The repository opens with key {new} from now on, in epoch {epoch}; it was tried on {tried}.\n\
         The new key is in {}.\n",
        place.file().display()
    );
    if let Some(path) = old_path {
        let _ = writeln!(
            text,
            "The old key is in {}: copies of the repository from before still need it. Delete it when there are none.",
            path.display()
        );
    }
    text.push_str("\nNext:\n");
    if let Place::Named(path) = place {
        let instead = if settings.key.file().is_some() { "" } else { " instead of BACKUP_ENCRYPTION_KEY" };
        let _ = writeln!(text, "  set BACKUP_ENCRYPTION_KEY_FILE={}{instead}", path.display());
    }
    text.push_str(
        "  chronavault keys escrow            a new recovery sheet; destroy the old one when no copy needs it\n  \
         restart `serve` and `wal receive`  unless they read the key from a file: then they go on with the new one\n",
    );
    text
}

fn planned(
    plan: &RotationPlan,
    place: &Place,
    also: &[HolderKey],
    settings: &Settings,
) -> Result<Answer, Failure> {
    let repository = opening::repository(settings)?;
    let kept: Vec<_> = also.iter().map(|holder| holder.slot_id(repository.id(), 1)).collect();
    let left: Vec<_> = plan.others.iter().filter(|key| !kept.contains(&key.id)).collect();
    let tried = wording::count(plan.backups, "backup");
    let mut text = format!(
        "Epoch {} would begin, with a new key in {}; {tried} would be tried with it.\n\
         Key {} would go, with {}.\n",
        plan.epoch,
        place.file().display(),
        name(&plan.old),
        wording::count(plan.old.slots.len() as u64, "slot"),
    );
    for key in &left {
        let _ =
            writeln!(text, "Key {} would be left behind, unless its file is given with --also.", name(key));
    }
    let body = Body {
        dry_run: true,
        epoch: plan.epoch,
        old_key_id: plan.old.id.to_string(),
        key_id: None,
        path: key::absolute(place.file()),
        old_path: None,
        resumed: false,
        slots_removed: plan.old.slots.len() as u64,
        backups_tried: plan.backups,
        left_behind: left.iter().map(|key| key.id.to_string()).collect(),
        warnings: damaged(&plan.damaged).collect(),
    };
    Answer::new(text, &body)
}
