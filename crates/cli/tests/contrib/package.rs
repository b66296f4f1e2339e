//! The Debian package: what it is made of is there.

use cargo_metadata::MetadataCommand;
use serde_json::Value;

use crate::{assert_settings, text_of, workspace};

/// What cargo-deb is told.
fn told() -> Value {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace().join("crates/cli/Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".into(), "--locked".into()])
        .exec()
        .unwrap();
    let package = metadata.packages.iter().find(|package| package.name == "chronavault-cli").unwrap();
    package.metadata["deb"].clone()
}

#[test]
fn everything_in_the_package_is_there_or_made_by_its_script() {
    let told = told();
    let script = text_of("scripts/package.sh");
    let room = workspace().join("crates/cli");
    for asset in told["assets"].as_array().unwrap() {
        let source = asset[0].as_str().unwrap();
        if let Some(built) = source.strip_prefix("target/release/") {
            let first = built.split(['*', '/']).next().unwrap();
            assert!(script.contains(&format!("target/release/{first}")), "{source}");
        } else {
            let there = room.join(source.split('*').next().unwrap());
            assert!(there.exists(), "{source}");
        }
    }
    for directory in [&told["maintainer-scripts"], &told["systemd-units"]["unit-scripts"]] {
        assert!(room.join(directory.as_str().unwrap()).is_dir(), "{directory}");
    }
    assert!(room.join(told["license-file"][0].as_str().unwrap()).exists());
}

#[test]
fn its_settings_are_understood() {
    let place = "contrib/debian/chronavault.toml";
    assert_settings(&text_of(place), place);
    // With everything that is commented out there, too.
    let uncommented: Vec<_> =
        text_of(place).lines().skip(1).map(|line| line.trim_start_matches("# ").to_owned()).collect();
    let settings = uncommented.iter().filter(|line| line.starts_with('[') || line.contains(" = "));
    assert_settings(&settings.cloned().collect::<Vec<_>>().join("\n"), place);
}
