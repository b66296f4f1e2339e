//! Readers of metrics that others wrote.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use chronavault_service::metrics::Form;
use serde_json::Value;

/// Reads a page with the parser of the Prometheus client for Python, and says what is on it: name, type, unit and samples of each family.
const READ: &str = r"
import json, sys
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client import parser as prometheus
parser = openmetrics if sys.argv[1] == 'OpenMetrics' else prometheus
families = parser.text_string_to_metric_families(sys.stdin.read())
print(json.dumps([
    {'name': f.name, 'type': f.type, 'unit': f.unit, 'help': f.documentation,
     'samples': [{'name': s.name, 'labels': s.labels, 'value': repr(s.value)} for s in f.samples]}
    for f in families]))
";

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Runs a program with an input.
pub(crate) fn run(command: &mut Command, input: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Python with the modules.
pub(crate) fn python(modules: &[&str]) -> Command {
    let output = Command::new(workspace().join("scripts/python.sh")).args(modules).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Command::new(String::from_utf8(output.stdout).unwrap().trim())
}

/// The families of a page, or why it is none.
pub(crate) fn read(text: &str, form: Form) -> Result<Vec<Value>, String> {
    let output = run(python(&["prometheus_client"]).args(["-c", READ, &format!("{form:?}")]), text);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap())
}

/// `promtool`, where it is installed; that it is not is said, and what it would check is then checked by Python alone.
pub(crate) fn promtool() -> Option<Command> {
    let named = std::env::var_os("CHRONAVAULT_TEST_PROMTOOL").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = named.or_else(|| {
        std::env::split_paths(&path).map(|place| place.join("promtool")).find(|path| path.is_file())
    });
    if found.is_none() {
        #[expect(clippy::print_stdout, reason = "whoever runs the tests has to know what was not checked")]
        {
            println!("promtool is not here: read by the Python client of Prometheus only");
        }
    }
    found.map(Command::new)
}
