//! `show`: everything that the manifest of a backup and its proofs say. No role's password is among it.

use std::fmt::Write;

use model::ByteSize;
use repository::{LogicalRecord, Manifest, PhysicalRecord, Proof, ProofEntry};
use serde::Serialize;
use serde_json::Value;

use super::describe::{Totals, filters, kind_words, standing};
use crate::args::ShowArgs;
use crate::catalogue::{self, Code};
use crate::failure::Failure;
use crate::opening;
use crate::screen::{Answer, Notice};
use crate::session::Session;
use crate::wording::{self, Column};

#[derive(Serialize)]
struct Body {
    /// The manifest as the repository format describes it.
    #[serde(flatten)]
    manifest: Value,
    tables: u64,
    rows: u64,
    filtered: bool,
    proofs: Vec<Proof>,
    warnings: Vec<Notice>,
}

pub(super) fn run(args: &ShowArgs, session: Session) -> Result<Answer, Failure> {
    let screen = session.screen;
    let settings = session.settings()?;
    let repository = opening::repository(&settings)?;
    let id = opening::backup(&repository, &args.backup, args.source.as_deref())?;
    let manifest = repository.manifest(&id)?;
    let mut proofs = Vec::new();
    let mut warnings = Vec::new();
    for entry in repository.proofs(&id)? {
        match entry {
            ProofEntry::Valid(proof) => proofs.push(*proof),
            ProofEntry::OfAnotherManifest(proof) => warnings.push(catalogue::foreign_proof(&proof)),
            ProofEntry::Damaged(problem) => warnings.push(Notice::from(&Failure::from(problem))),
        }
    }
    for warning in &warnings {
        screen.warning(warning);
    }
    let totals = Totals::of(&manifest);
    let text = words(&manifest, totals, &proofs);
    let needs_person = !warnings.is_empty();
    let body = Body {
        manifest: serde_json::to_value(&manifest)
            .map_err(|error| Failure::because(Code::Internal, &error))?,
        tables: totals.tables,
        rows: totals.rows,
        filtered: !filters(&manifest).is_empty(),
        proofs,
        warnings,
    };
    Ok(Answer::new(text, &body)?.needing_person(needs_person))
}

fn words(manifest: &Manifest, totals: Totals, proofs: &[Proof]) -> String {
    let mut text = facts(manifest, totals, proofs);
    if let Some(logical) = &manifest.logical {
        text.push_str(&logical_facts(logical));
        text.push_str(&tables(logical));
    }
    if let Some(physical) = &manifest.physical {
        text.push_str(&physical_facts(physical));
    }
    text.push_str(&streams(manifest));
    text
}

/// One fact a line; a fact without a value is left out.
fn lines(facts: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "{name:<11} {value}");
    }
    text
}

fn facts(manifest: &Manifest, totals: Totals, proofs: &[Proof]) -> String {
    let packs: u64 = manifest.packs.iter().map(|pack| pack.bytes).sum();
    let filters = filters(manifest);
    let mut facts = vec![
        ("backup", manifest.id.to_string()),
        ("kind", kind_words(manifest.kind, &filters)),
        ("left out", filters.to_string()),
        ("source", manifest.source.clone()),
        ("started", wording::time(manifest.started_at)),
        ("snapshot", wording::time(manifest.snapshot_at)),
        ("finished", wording::time(manifest.finished_at)),
        ("content", content(manifest, totals)),
        ("size", ByteSize(manifest.plain_bytes).to_string()),
        (
            "stored",
            format!("{}, reused {}", ByteSize(manifest.stored_bytes), ByteSize(manifest.reused_bytes)),
        ),
        ("packs", format!("{} with {}", wording::grouped(manifest.packs.len() as u64), ByteSize(packs))),
        ("reused from", manifest.parent.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("made by", format!("chronavault {}", manifest.tool_version)),
    ];
    facts.extend(proofs.iter().map(|proof| ("proof", standing(Some(proof)))));
    if proofs.is_empty() {
        facts.push(("proof", standing(None)));
    }
    lines(&facts)
}

fn content(manifest: &Manifest, totals: Totals) -> String {
    match &manifest.physical {
        Some(physical) => wording::count(physical.files, "file"),
        None => {
            format!("{}, {}", wording::count(totals.tables, "table"), wording::count(totals.rows, "row"))
        }
    }
}

/// Bad pages that are written out for people; JSON has all of them.
const SHOWN_PAGES: usize = 10;

fn physical_facts(physical: &PhysicalRecord) -> String {
    let spaces = physical.tablespaces.iter().map(|space| format!("{} at {}", space.oid, space.location));
    let bad = physical.bad_pages.iter().take(SHOWN_PAGES);
    let mut pages = joined(bad.map(|page| format!("block {} of {}", page.block, page.path)));
    if physical.bad_page_count > SHOWN_PAGES as u64 {
        let _ = write!(pages, " and others, {} in all", wording::grouped(physical.bad_page_count));
    }
    let checksums =
        if physical.data_checksums { "on, looked at" } else { "off: pages could not be looked at" };
    lines(&[
        ("cluster", physical.system_identifier.to_string()),
        ("server", format!("PostgreSQL {}", wording::server_version(physical.server_version))),
        ("timeline", physical.timeline.to_string()),
        ("WAL", format!("{} to {}", physical.start_lsn, physical.stop_lsn)),
        (
            "read",
            physical.method.replace('_', " ") + if physical.from_standby { ", from a standby" } else { "" },
        ),
        ("checksums", checksums.to_owned()),
        ("bad pages", pages),
        ("tablespaces", joined(spaces)),
    ])
}

fn logical_facts(logical: &LogicalRecord) -> String {
    let extensions =
        logical.extensions.iter().map(|extension| format!("{} {}", extension.name, extension.version));
    let roles = logical.roles.iter().filter_map(|role| role.get("name")?.as_str().map(str::to_owned));
    let counts =
        logical.counts.iter().map(|(class, number)| format!("{class} {}", wording::grouped(*number)));
    let passwords = if logical.globals_without_passwords { "not saved" } else { "saved, sealed" };
    lines(&[
        ("database", format!("{} ({})", logical.database, logical.encoding)),
        ("server", format!("PostgreSQL {}", wording::server_version(logical.server_version))),
        ("pg_dump", logical.pg_dump_version.clone()),
        ("extensions", joined(extensions)),
        ("roles", joined(roles)),
        ("passwords", passwords.to_owned()),
        ("objects", joined(counts)),
    ])
}

fn joined(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

fn tables(logical: &LogicalRecord) -> String {
    let columns = [Column::Text("TABLE"), Column::Number("ROWS"), Column::Number("SIZE")];
    let rows = logical.tables.iter().map(|table| {
        let rows = table.proof.map_or_else(|| "left out".to_owned(), |proof| wording::grouped(proof.rows));
        vec![table.name.to_string(), rows, ByteSize(table.plain_bytes).to_string()]
    });
    format!("\n{}\n", wording::table(&columns, rows))
}

fn streams(manifest: &Manifest) -> String {
    let columns = [Column::Text("STREAM"), Column::Number("SIZE"), Column::Number("CHUNKS")];
    let rows = manifest.streams.iter().map(|stream| {
        let name = match &stream.table {
            Some(table) => format!("{} ({table})", stream.name),
            None => stream.name.clone(),
        };
        vec![name, ByteSize(stream.plain_bytes).to_string(), wording::grouped(stream.entries)]
    });
    format!("\n{}\n", wording::table(&columns, rows))
}
