//! Programs as channels.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use chronavault_service::alerts::{Channel, ChannelError, CommandChannel, CommandSettings};
use jiff::Timestamp;
use serde_json::Value;

use super::{IMPATIENCE, PATIENCE, SECRET, message, words};

fn shell(script: &str, limit: Duration) -> CommandChannel {
    let arguments = vec!["-c".into(), script.into()];
    CommandChannel::new(CommandSettings { program: "/bin/sh".into(), arguments, limit })
}

fn send(channel: &CommandChannel) -> Result<(), ChannelError> {
    channel.send(&message(), Timestamp::now())
}

#[test]
fn a_program_gets_the_message_on_standard_input_and_no_environment() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().display();
    let script = format!("cat > {path}/input; /usr/bin/env > {path}/environment; pwd > {path}/directory");
    let message = message();
    shell(&script, PATIENCE).send(&message, Timestamp::now()).unwrap();
    let read = |name: &str| fs::read_to_string(place.path().join(name)).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&read("input")).unwrap(), message.to_json());
    assert_eq!(read("directory"), "/\n");
    // PWD and _ are the shell's own.
    let names: Vec<_> =
        read("environment").lines().map(|line| line.split('=').next().unwrap().to_owned()).collect();
    assert!(names.iter().all(|name| ["PATH", "PWD", "_"].contains(&name.as_str())), "{names:?}");
    send(&shell("exit 0", PATIENCE)).unwrap();
}

#[test]
fn a_program_that_fails_is_named_without_its_arguments() {
    let said = words(send(&shell(&format!("cat > /dev/null; exit 3 # {SECRET}"), PATIENCE)));
    assert_eq!(said, "/bin/sh ended with exit status: 3");
    let settings =
        CommandSettings { program: "/nowhere/x".into(), arguments: vec![SECRET.into()], limit: PATIENCE };
    let said = words(send(&CommandChannel::new(settings)));
    assert!(said.starts_with("/nowhere/x cannot be started: No such file"), "{said}");
}

#[test]
fn a_program_that_hangs_is_killed_with_what_it_started() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("pid");
    let script = format!("sleep 1000 & echo $! > {}.new; mv {0}.new {0}; wait", file.display());
    // A loaded machine may need longer than the limit until the shell runs at all.
    let mut limit = IMPATIENCE;
    while !file.exists() {
        let began = Instant::now();
        let said = words(send(&shell(&script, limit)));
        assert_eq!(said, format!("/bin/sh did not answer within {limit:?}"));
        assert!(began.elapsed() >= limit && began.elapsed() < PATIENCE);
        limit *= 2;
    }
    let pid = fs::read_to_string(&file).unwrap();
    let stat = Path::new("/proc").join(pid.trim()).join("stat");
    // It goes when the kernel gets to it, and stays as a zombie where nobody collects those.
    let is_gone =
        || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z") || stat.contains(") X"));
    while !is_gone() {
        std::thread::yield_now();
    }
}
