//! This process, so that others on the machine can tell whether it is still there.

use std::fs;

/// Names this process among all that the kernel ever ran: `<boot id>/<PID namespace>/<PID>/<start time>` (proc(5)).
pub(crate) fn identity() -> String {
    let start = start_time("self").unwrap_or_default();
    format!("{}/{}/{start}", place(), std::process::id())
}

/// Has this process asked to stop when its parent, the process `parent`, ends. One whose parent has ended already ends now.
pub(crate) fn end_with(parent: i32) {
    // Without it, a run goes on when the service was killed; the lease of its source keeps others away until it has ended.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    if rustix::process::getppid().is_none_or(|found| found.as_raw_nonzero().get() != parent) {
        std::process::exit(1);
    }
}

/// Whether a process is known to have ended: it ran where this one runs, and is there no more.
pub(crate) fn is_gone(identity: &str) -> bool {
    is_gone_from(identity, &place())
}

fn is_gone_from(identity: &str, place: &str) -> bool {
    // Where /proc hides the boot or the namespace, every machine looks like this one.
    if place.starts_with('/') || place.ends_with('/') {
        return false;
    }
    let Some(rest) = identity.strip_prefix(&format!("{place}/")) else { return false };
    let Some((pid, start)) = rest.split_once('/') else { return false };
    if pid.parse::<u32>().is_err() || start.is_empty() {
        return false;
    }
    start_time(pid).is_none_or(|found| found != start)
}

/// The boot, and the PID namespace within which PIDs mean something.
fn place() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{}/{}", boot.trim(), namespace.display())
}

/// Field 22 of `/proc/PID/stat`: when the process started, in ticks since boot. A zombie has ended.
fn start_time(pid: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, which may hold anything, ends with the last parenthesis.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    (!matches!(state, "Z" | "X")).then(|| fields.nth(18).map(str::to_owned)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_boot_is_hidden_nobody_is_known_to_be_gone() {
        // No process has the number 0.
        assert!(is_gone_from("boot/pid:[1]/0/1", "boot/pid:[1]"));
        assert!(!is_gone_from("/pid:[1]/0/1", "/pid:[1]"));
        assert!(!is_gone_from("boot//0/1", "boot/"));
    }

    #[test]
    fn a_process_is_gone_when_it_has_ended_here() {
        let mine = identity();
        assert!(!is_gone(&mine), "{mine}");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let ended = format!(
            "{}/{}/{}",
            place(),
            child.id(),
            start_time(&child.id().to_string()).unwrap_or("1".into())
        );
        child.wait().unwrap();
        assert!(is_gone(&ended), "{ended}");
        let (front, start) = mine.rsplit_once('/').unwrap();
        assert!(is_gone(&format!("{front}/{start}0")), "another one with the same number");
        for elsewhere in
            [mine.replacen('-', "+", 1), "boot/ns/1/2".into(), String::new(), format!("{}/x/1", place())]
        {
            assert!(!is_gone(&elsewhere), "{elsewhere}");
        }
    }
}
