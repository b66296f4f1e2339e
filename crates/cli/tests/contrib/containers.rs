//! Container images and what runs them. No container is started here; what they say to the program is what is looked at.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{assert_settings, assert_understood, text_of, workspace, yaml};

/// The port of the daemon.
const PORT: u64 = 9187;

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// The instructions of the Dockerfile, each on one line.
fn instructions() -> Vec<(String, String)> {
    let text = text_of("Dockerfile");
    let lines: Vec<_> =
        text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    joined
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()))
        .collect()
}

#[test]
fn the_image_runs_a_command_that_is_there_and_not_as_root() {
    let instructions = instructions();
    let last = |name: &str| {
        instructions.iter().rev().find(|(found, _)| found == name).map(|(_, rest)| rest.clone()).unwrap()
    };
    let entry: Value = serde_json::from_str(&last("ENTRYPOINT")).unwrap();
    assert_eq!(strings(&entry).last().unwrap(), "/usr/bin/chronavault");
    assert_understood(&strings(&serde_json::from_str(&last("CMD")).unwrap()), "Dockerfile");
    assert_eq!(last("USER"), "10001:10001");
    assert_eq!(last("EXPOSE"), PORT.to_string());
    assert!(last("HEALTHCHECK").contains(&format!("http://127.0.0.1:{PORT}/health")));
    assert_settings(&text_of("contrib/docker/chronavault.toml"), "contrib/docker/chronavault.toml");
}

#[test]
fn everything_that_the_image_copies_is_there_and_not_left_out() {
    let ignored = text_of(".dockerignore");
    let kept: BTreeSet<_> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for name in &kept {
        assert!(workspace().join(name).exists(), "{name}");
    }
    for (name, rest) in instructions() {
        if name == "COPY" && !rest.starts_with("--from") && !rest.starts_with(". ") {
            let source = rest.split(' ').next().unwrap();
            assert!(kept.iter().any(|kept| source.starts_with(kept)), "{source}");
            assert!(workspace().join(source).exists(), "{source}");
        }
    }
    // What the build takes from beside the crates.
    for needed in ["Cargo.toml", "Cargo.lock", "crates"] {
        assert!(kept.contains(needed), "{needed}");
    }
}

#[test]
fn the_composition_speaks_to_the_program_as_it_is() {
    let [composition] = &yaml("compose.yaml")[..] else { panic!("one document") };
    let service = &composition["services"]["chronavault"];
    assert_understood(&strings(&service["command"]), "compose.yaml");
    let known = text_of("docs/command-line.md");
    for name in service["environment"].as_object().unwrap().keys() {
        let is_known = name.starts_with("PG") || known.contains(&format!("| `{name}` |"));
        assert!(is_known, "docs/command-line.md does not know {name}");
    }
    let port = service["ports"][0].as_str().unwrap();
    assert_eq!(port, format!("127.0.0.1:{PORT}:{PORT}"));
    // Every volume that is used is declared, and the other way round.
    let declared: BTreeSet<_> = composition["volumes"].as_object().unwrap().keys().cloned().collect();
    let services = composition["services"].as_object().unwrap().values();
    let mounts = services.flat_map(|service| strings(&service["volumes"]));
    assert_eq!(
        mounts.map(|mount| mount.split(':').next().unwrap().to_owned()).collect::<BTreeSet<_>>(),
        declared
    );
    let text = text_of("compose.yaml");
    let commands = text
        .lines()
        .filter_map(|line| line.split_once("docker compose run --rm chronavault ").map(|(_, rest)| rest));
    let commands = commands.chain(
        text.lines()
            .filter_map(|line| line.split_once("exec chronavault chronavault ").map(|(_, rest)| rest)),
    );
    let commands: Vec<_> = commands.map(|line| line.split('#').next().unwrap()).collect();
    assert_eq!(commands.len(), 2);
    for command in commands {
        assert_understood(&command.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), "compose.yaml");
    }
}

#[test]
fn the_objects_of_kubernetes_fit_together() {
    let place = "contrib/kubernetes/chronavault.yaml";
    let objects = yaml(place);
    let of = |kind: &str| {
        objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
    };
    assert_settings(of("ConfigMap")["data"]["chronavault.toml"].as_str().unwrap(), place);
    let pod = &of("StatefulSet")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    for part in [container, &pod["initContainers"][0]] {
        assert_understood(&strings(&part["args"]), place);
        assert_eq!(part["securityContext"]["readOnlyRootFilesystem"], true);
        let volumes = pod["volumes"].as_array().unwrap().iter();
        let claims = of("StatefulSet")["spec"]["volumeClaimTemplates"].as_array().unwrap().iter();
        let names: BTreeSet<_> = volumes
            .map(|volume| &volume["name"])
            .chain(claims.map(|claim| &claim["metadata"]["name"]))
            .map(Value::to_string)
            .collect();
        let mounts = part["volumeMounts"].as_array().unwrap().iter();
        assert_eq!(mounts.map(|mount| mount["name"].to_string()).collect::<BTreeSet<_>>(), names);
    }
    assert_eq!(container["ports"][0]["containerPort"], PORT);
    for (probe, path) in
        [("startupProbe", "/health"), ("livenessProbe", "/health"), ("readinessProbe", "/ready")]
    {
        assert_eq!(container[probe]["httpGet"]["path"], path, "{probe}");
        assert_eq!(container[probe]["httpGet"]["port"], container["ports"][0]["name"], "{probe}");
    }
    let labels = &of("StatefulSet")["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&of("StatefulSet")["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&of("Service")["spec"]["selector"], labels);
    assert_eq!(of("Service")["spec"]["publishNotReadyAddresses"], true);
    assert_eq!(of("Service")["metadata"]["name"], of("StatefulSet")["spec"]["serviceName"]);
    // What the settings and the environment name is mounted.
    let mounted: Vec<_> = container["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["mountPath"].as_str().unwrap())
        .collect();
    let secrets: BTreeSet<_> = of("Secret")["stringData"].as_object().unwrap().keys().cloned().collect();
    let passfile = container["env"][0]["value"].as_str().unwrap();
    for path in [passfile, "/run/secrets/chronavault/key"] {
        let (directory, name) = path.rsplit_once('/').unwrap();
        assert!(mounted.contains(&directory) && secrets.contains(name), "{path}");
    }
    assert!(
        of("ConfigMap")["data"]["chronavault.toml"]
            .as_str()
            .unwrap()
            .contains("\"/run/secrets/chronavault/key\"")
    );
    // 0440, of root: what the program accepts of a secret.
    assert_eq!(
        pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "secret").unwrap()["secret"]
            ["defaultMode"],
        0o440
    );
}
