//! Writes `tests/golden/vectors.json` again.

#[path = "../tests/golden/containers.rs"]
mod containers;
#[path = "../tests/golden/cuts.rs"]
mod cuts;
#[path = "../tests/golden/document.rs"]
mod document;
#[path = "../tests/golden/journal.rs"]
mod journal;
#[path = "../tests/golden/site.rs"]
mod site;
#[path = "../tests/golden/values.rs"]
mod values;

fn main() -> Result<(), values::Failed> {
    let vectors = document::build(&mut chronavault_format::Compressor::new(3)?)?;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/vectors.json");
    std::fs::write(path, serde_json::to_string_pretty(&vectors)? + "\n")?;
    Ok(())
}
