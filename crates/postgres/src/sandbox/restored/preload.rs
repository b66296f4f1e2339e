//! Libraries that a restored cluster loads when it starts.
//!
//! Some are needed: what only they can replay, or tables that only they can read. Others act on their own as soon as they are there,
//! and have no business in a sandbox. And those that are not installed here keep a server from starting.

use std::io::Read;
use std::path::Path;

use super::super::error::SandboxError;
use super::super::owner::Owner;
use super::error::RestoredError;
use crate::process::Process;
use crate::tools::Tools;

/// Libraries that run jobs, or connect to other servers, as soon as the server is up.
const SELF_ACTING: [&str; 7] = ["pg_cron", "pg_partman_bgw", "pglogical", "spock", "bdr", "repmgr", "citus"];
/// Bytes of the setting that are read.
const SETTING_LIMIT: u64 = 64 << 10;

/// The libraries of the configuration in the data directory, as a server of `tools` reads it; none where the configuration is
/// elsewhere.
pub(super) fn configured(
    tools: &Tools,
    data: &Path,
    owner: &Owner,
    directory: &Path,
) -> Result<Vec<String>, RestoredError> {
    if !data.join("postgresql.conf").is_file() {
        return Ok(Vec::new());
    }
    let mut command = tools.command("postgres", None);
    command.args(["-C", "shared_preload_libraries", "-D"]).arg(data);
    owner.run_as(&mut command, directory);
    let mut process = Process::spawn(command, false).map_err(RestoredError::Configuration)?;
    let mut text = String::new();
    if let Some(stdout) = process.take_stdout() {
        let read = stdout.take(SETTING_LIMIT).read_to_string(&mut text);
        read.map_err(|source| SandboxError::io("reading the configuration of", data, source))?;
    }
    process.finish().map_err(RestoredError::Configuration)?;
    Ok(list(&text))
}

/// The names in the value of the setting.
fn list(text: &str) -> Vec<String> {
    let names = text.trim().split(',').map(|name| name.trim().trim_matches('"').to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

/// Takes away those that act on their own, and returns them.
pub(super) fn leave_out_self_acting(libraries: &mut Vec<String>) -> Vec<String> {
    let is_self_acting = |name: &mut String| SELF_ACTING.contains(&stem(name).as_str());
    libraries.extract_if(.., is_self_acting).collect()
}

/// The library because of which the server did not start, taken out of the list.
pub(super) fn take_missing(error: &SandboxError, libraries: &mut Vec<String>) -> Option<String> {
    let SandboxError::Exited { log, .. } = error else { return None };
    let is_named = |name: &String| {
        let missing = format!("could not access file \"{name}\"");
        let broken = format!("/{}.so\"", stem(name));
        log.contains(&missing)
            || log.split("could not load library ").skip(1).any(|text| text.contains(&broken))
    };
    let at = libraries.iter().position(is_named)?;
    Some(libraries.remove(at))
}

/// The name without a directory and an ending.
fn stem(name: &str) -> String {
    Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_of_the_setting() {
        assert_eq!(
            list("pg_stat_statements, auto_explain\n"),
            names(&["pg_stat_statements", "auto_explain"])
        );
        assert_eq!(list("\"$libdir/my lib\",x\n"), names(&["$libdir/my lib", "x"]));
        assert_eq!(list("\n"), names(&[]));
    }

    #[test]
    fn libraries_that_act_on_their_own_are_left_out() {
        let mut libraries = names(&["auto_explain", "$libdir/pg_cron", "pg_cron_like", "citus.so"]);
        assert_eq!(leave_out_self_acting(&mut libraries), names(&["$libdir/pg_cron", "citus.so"]));
        assert_eq!(libraries, names(&["auto_explain", "pg_cron_like"]));
    }

    #[test]
    fn a_library_that_is_not_installed_is_found_in_the_log() {
        let log =
            "LOG:  starting PostgreSQL; FATAL:  could not access file \"b\": No such file or directory; \
                   LOG:  database system is shut down"
                .to_owned();
        let error = SandboxError::Exited { status: ExitStatus::from_raw(256), log };
        let mut libraries = names(&["shut", "b", "a"]);
        assert_eq!(take_missing(&error, &mut libraries), Some("b".to_owned()));
        assert_eq!(libraries, names(&["shut", "a"]));
        assert_eq!(take_missing(&error, &mut libraries), None);
        let log = "FATAL:  could not load library \"/usr/lib/a.so\": libx.so: cannot open shared object file"
            .to_owned();
        let error = SandboxError::Exited { status: ExitStatus::from_raw(256), log };
        assert_eq!(take_missing(&error, &mut libraries), Some("a".to_owned()));
    }
}
