//! Every family, with its name for ever.

use super::family::{Description, Family};

macro_rules! families {
    ($($constant:ident: $count:literal = $constructor:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(pub(super) const $constant: Family<$count> = Family::$constructor($name, [$($label),*], $help);)+

        /// What each family is, in the order in which they are written.
        pub fn families() -> Vec<Description> {
            vec![$($constant.describe()),+]
        }
    };
}

families! {
    BUILD: 1 = info "chronavault_build" ["version"]
        "The program.";
    START_TIME: 0 = gauge "chronavault_start_time_seconds" []
        "When the daemon started.";
    TURN_TIME: 0 = gauge "chronavault_loop_turn_timestamp_seconds" []
        "When the loop of the daemon turned last.";
    OBSERVATION_TIME: 0 = gauge "chronavault_observation_timestamp_seconds" []
        "When repository, journal and WAL were looked at last.";
    OBSERVATION_DURATION: 0 = gauge "chronavault_observation_duration_seconds" []
        "How long that took.";
    TROUBLES: 1 = gauge "chronavault_troubles" ["code"]
        "Things that could not be found out or are not as they must be.";
    ALERTS_DELIVERED: 1 = counter "chronavault_alert_deliveries" ["channel"]
        "Messages that a channel of alerts took since the daemon started.";
    ALERTS_FAILED: 1 = counter "chronavault_alert_channel_failures" ["channel"]
        "Messages that a channel of alerts did not take since the daemon started.";

    RUNS: 4 = counter "chronavault_runs" ["operation", "source", "kind", "outcome"]
        "Runs in the journal of this machine that ended, by operation and outcome (done, warnings, failed, cancelled).";
    RUNS_UNFINISHED: 3 = gauge "chronavault_runs_unfinished" ["operation", "source", "kind"]
        "Runs of which no end is known: they go on, or were killed.";
    RUN_TIME: 3 = gauge "chronavault_run_last_timestamp_seconds" ["operation", "source", "kind"]
        "When the last run ended.";
    RUN_SUCCESS_TIME: 3 = gauge "chronavault_run_last_success_timestamp_seconds" ["operation", "source", "kind"]
        "When the last run ended that was done, with or without warnings.";
    RUN_DURATION: 3 = gauge "chronavault_run_last_duration_seconds" ["operation", "source", "kind"]
        "How long the last run took.";
    BACKUP_DURATION: 2 = histogram "chronavault_backup_duration_seconds" ["source", "kind"]
        "How long backups took that were done, with their verification.";
    VERIFICATION_FAILURES: 2 = counter "chronavault_verification_failures" ["source", "kind"]
        "Runs after which a backup was not proven: backups that were made and did not verify, and verifications that failed.";

    DRILL_TIME: 2 = gauge "chronavault_drill_last_timestamp_seconds" ["source", "scenario"]
        "When a recovery was rehearsed last.";
    DRILL_TOOK: 2 = gauge "chronavault_drill_last_duration_seconds" ["source", "scenario"]
        "How long that took: the measured time to recover.";
    DRILL_RTO: 2 = gauge "chronavault_drill_rto_seconds" ["source", "scenario"]
        "How long it may take.";
    DRILL_LOST: 2 = gauge "chronavault_drill_last_lost_seconds" ["source", "scenario"]
        "The changes of how long were lost: the measured recovery point.";
    DRILL_RPO: 2 = gauge "chronavault_drill_rpo_seconds" ["source", "scenario"]
        "The changes of how long may be lost.";

    BACKUPS: 3 = gauge "chronavault_backups" ["source", "kind", "proof"]
        "Backups that are there, by what their verification found (proven, sound, failed, or none).";
    BACKUP_TIME: 2 = gauge "chronavault_backup_last_timestamp_seconds" ["source", "kind"]
        "When the newest backup was complete.";
    BACKUP_AGE: 2 = gauge "chronavault_backup_last_age_seconds" ["source", "kind"]
        "How long ago the newest backup was complete.";
    PLAIN: 2 = gauge "chronavault_backup_last_plain_bytes" ["source", "kind"]
        "Bytes of the newest backup, uncompressed.";
    STORED: 2 = gauge "chronavault_backup_last_stored_bytes" ["source", "kind"]
        "Bytes that the newest backup added to the repository.";
    REUSED: 2 = gauge "chronavault_backup_last_reused_bytes" ["source", "kind"]
        "Bytes of the newest backup, uncompressed, that were in the repository already.";
    COMPRESSION: 2 = gauge "chronavault_backup_last_compression_ratio" ["source", "kind"]
        "Bytes that the newest backup stored for each byte that was new; smaller is better.";
    REUSE: 2 = gauge "chronavault_backup_last_reuse_ratio" ["source", "kind"]
        "Share of the newest backup that was in the repository already, from 0 to 1.";
    PROOF_TIME: 2 = gauge "chronavault_proof_last_timestamp_seconds" ["source", "kind"]
        "When a backup was proven last, by a restore.";
    PROOF_AGE: 2 = gauge "chronavault_proof_last_age_seconds" ["source", "kind"]
        "How long ago a backup was proven last.";
    RESTORE_DURATION: 2 = gauge "chronavault_proof_last_restore_duration_seconds" ["source", "kind"]
        "How long the restore took that proved a backup last.";
    RPO: 2 = gauge "chronavault_rpo_seconds" ["source", "kind"]
        "How old the data of the newest proven backup may be.";
    RECOVERY_POINT_AGE: 2 = gauge "chronavault_recovery_point_age_seconds" ["source", "kind"]
        "How old the data of the newest proven backup is: the time since it began.";
    NEXT_RUN: 2 = gauge "chronavault_next_run_timestamp_seconds" ["source", "kind"]
        "When the next backup is planned.";

    WAL_ARCHIVED_TIME: 2 = gauge "chronavault_wal_archived_timestamp_seconds" ["source", "system"]
        "The newest moment to which a cluster can be recovered.";
    WAL_POSITION: 2 = gauge "chronavault_wal_archived_position_bytes" ["source", "system"]
        "The position (LSN) up to which WAL is archived, as a number.";
    WAL_WINDOW: 2 = gauge "chronavault_wal_window_start_timestamp_seconds" ["source", "system"]
        "From which moment on a cluster can be recovered to every moment up to the newest.";
    WAL_STORED: 2 = gauge "chronavault_wal_stored_bytes" ["source", "system"]
        "Bytes that archived WAL takes in the repository.";
    WAL_GAPS: 2 = gauge "chronavault_wal_gaps" ["source", "system"]
        "Gaps in the archived WAL.";
    WAL_LAG: 2 = gauge "chronavault_wal_lag_bytes" ["source", "system"]
        "Bytes that the server has written and the archive does not have yet.";
    RECEIVER_UP: 2 = gauge "chronavault_wal_receiver_up" ["source", "system"]
        "Whether the receiver of WAL runs (1) or not (0).";
    RECEIVER_RESTARTS: 2 = counter "chronavault_wal_receiver_restarts" ["source", "system"]
        "How often the receiver was started again since the daemon started.";
    SLOT_IN_DANGER: 2 = gauge "chronavault_wal_slot_in_danger" ["source", "system"]
        "Whether the replication slot of the receiver is lost or about to be (1) or not (0).";

    STORAGE_USED: 1 = gauge "chronavault_storage_used_bytes" ["use"]
        "Bytes that the repository uses, by what they are for (packs, wal, trash, others).";
    STORAGE_FREE: 0 = gauge "chronavault_storage_free_bytes" []
        "Bytes that are free where the repository is.";
    STORAGE_PRUNABLE: 0 = gauge "chronavault_storage_prunable_bytes" []
        "Bytes that a prune would free now.";
    STORAGE_GROWTH: 0 = gauge "chronavault_storage_growth_bytes_per_second" []
        "How fast the repository grows, by a line through its sizes of the last weeks.";
    STORAGE_UNTIL_FULL: 0 = gauge "chronavault_storage_until_full_seconds" []
        "How long until nothing is free, if that goes on; absent when it is never or more than ten years.";

    KEY_SLOTS: 0 = gauge "chronavault_key_slots" []
        "Keys that open the repository.";
    KEY_AGE: 3 = gauge "chronavault_key_age_seconds" ["slot", "label", "used"]
        "How old a key is; used says whether it is the one of the daemon.";
    KEY_CHECKED: 3 = gauge "chronavault_key_checked_timestamp_seconds" ["slot", "label", "used"]
        "When somebody showed last that a copy of a key exists.";
    JOURNAL_SEQUENCE: 0 = gauge "chronavault_journal_head_sequence" []
        "The number of the newest entry of the journal of this machine.";
    JOURNAL_PROBLEMS: 0 = gauge "chronavault_journal_problems" []
        "What the last verification of the journal found to be wrong.";
}
