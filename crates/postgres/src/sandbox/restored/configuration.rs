//! The configuration under which a restored cluster runs.
//!
//! Invariant: nothing of the configuration of the cluster counts, and nothing that a server does by itself reaches beyond the
//! sandbox: it does not listen, archive, replicate, subscribe, nor run jobs.

use std::path::Path;

use model::RecoveryTarget;

use super::RecoveryRequest;
use super::directory::{HBA_FILE, IDENT_FILE};
use crate::control::ReplaySettings;

/// Finds no file. Without a command, the server would not begin a recovery.
const NO_ARCHIVE: &str = "/bin/false";
/// Connections besides those that the cluster had; checks run several at a time.
const CONNECTIONS: u32 = 50;
/// Origins of logical replication that the cluster may have had; a server with fewer cannot replay their progress.
const ORIGINS: &str = "1000";
/// The first major version that can keep event triggers from firing.
const EVENT_TRIGGERS_MAJOR: u32 = 17;
/// The first major version in which origins have a limit of their own.
const ORIGINS_MAJOR: u32 = 18;

/// What the files of the configuration need to know of the place.
pub(super) struct Surroundings<'a> {
    pub(super) base: &'a Path,
    pub(super) sockets: &'a Path,
    pub(super) port: u16,
    pub(super) major: u32,
}

/// The settings.
pub(super) fn settings(
    place: &Surroundings<'_>,
    replay: &ReplaySettings,
    libraries: &[String],
    request: &RecoveryRequest,
) -> Vec<(String, String)> {
    let mut settings: Vec<(String, String)> =
        FIXED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut set = |name: &str, value: String| settings.push((name.to_owned(), value));
    set("unix_socket_directories", place.sockets.to_string_lossy().into_owned());
    set("port", place.port.to_string());
    for (name, file) in [("hba_file", HBA_FILE), ("ident_file", IDENT_FILE)] {
        set(name, place.base.join(file).to_string_lossy().into_owned());
    }
    set("max_connections", replay.max_connections.max(CONNECTIONS).to_string());
    set("max_worker_processes", replay.max_worker_processes.to_string());
    set("max_wal_senders", replay.max_wal_senders.to_string());
    set("max_prepared_transactions", replay.max_prepared_transactions.to_string());
    set("max_locks_per_transaction", replay.max_locks_per_transaction.to_string());
    let quoted = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
    set("shared_preload_libraries", libraries.iter().map(quoted).collect::<Vec<_>>().join(","));
    if place.major >= EVENT_TRIGGERS_MAJOR {
        set("event_triggers", "off".to_owned());
    }
    if place.major >= ORIGINS_MAJOR {
        set("max_active_replication_origins", ORIGINS.to_owned());
    }
    recovery(request, &mut set);
    settings.extend(request.settings.iter().cloned());
    settings
}

fn recovery(request: &RecoveryRequest, set: &mut impl FnMut(&str, String)) {
    set("restore_command", request.restore_command.clone().unwrap_or_else(|| NO_ARCHIVE.to_owned()));
    if let Some((name, value)) = request.target.setting() {
        set(name, value);
    }
    let exclusive = request.exclusive && request.target.may_be_exclusive();
    set("recovery_target_inclusive", if exclusive { "off" } else { "on" }.to_owned());
    let timeline = request.timeline.map_or_else(|| "latest".to_owned(), |timeline| timeline.to_string());
    set("recovery_target_timeline", timeline);
    // With a target, somebody looks first how far it is. Without one, the server promotes itself.
    let action = if request.target == RecoveryTarget::Latest { "promote" } else { "pause" };
    set("recovery_target_action", action.to_owned());
}

const FIXED: [(&str, &str); 41] = [
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    ("ssl", "off"),
    // Nobody waits for a throwaway cluster to be durable.
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    // Neither archives nor replicates, in no direction.
    ("wal_level", "replica"),
    ("archive_mode", "off"),
    ("archive_command", ""),
    ("archive_cleanup_command", ""),
    ("recovery_end_command", ""),
    ("primary_conninfo", ""),
    ("primary_slot_name", ""),
    ("synchronous_standby_names", ""),
    ("max_logical_replication_workers", "0"),
    ("max_replication_slots", ORIGINS),
    // Read while it recovers, and let nobody be cancelled for that.
    ("hot_standby", "on"),
    ("hot_standby_feedback", "off"),
    ("max_standby_archive_delay", "-1"),
    ("max_standby_streaming_delay", "-1"),
    // Damage is an error.
    ("zero_damaged_pages", "off"),
    ("ignore_checksum_failure", "off"),
    ("ignore_system_indexes", "off"),
    ("ignore_invalid_pages", "off"),
    ("session_preload_libraries", ""),
    ("local_preload_libraries", ""),
    ("autovacuum", "off"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "1h"),
    ("shared_buffers", "128MB"),
    ("maintenance_work_mem", "128MB"),
    // Memory that vanishes with the processes, and files only below the data directory.
    ("shared_memory_type", "mmap"),
    ("dynamic_shared_memory_type", "mmap"),
    ("huge_pages", "off"),
    ("jit", "off"),
    ("restart_after_crash", "off"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("lc_messages", "C"),
    ("log_destination", "stderr"),
    ("logging_collector", "off"),
    ("log_min_messages", "warning"),
];
