//! The catalogue of what can go wrong: a stable code, an exit status and the next action for each.
//!
//! Scripts depend on the codes and exit statuses; a test pins both. Where each typed error gets its code is in
//! [`classify`], and nowhere else.

mod classify;
mod notices;

pub(crate) use classify::journal_failure;
pub(crate) use notices::{
    foreign_proof, hook_failed, is_note, journal_damaged, journal_finding, journal_not_copied,
    missed_objectives, needs_person, no_configuration, password_on_command_line, problem_hint, site_not_kept,
};

use crate::failure::Exit;

macro_rules! codes {
    ($($variant:ident = $code:literal, $exit:ident, $hint:literal;)+) => {
        /// What can go wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Code { $($variant),+ }

        impl Code {
            /// All of them, in the order of the catalogue.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word that scripts see.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// The exit status of a command that fails with it.
            pub(crate) const fn exit(self) -> Exit {
                match self { $(Self::$variant => Exit::$exit),+ }
            }

            /// What to do next.
            pub(crate) const fn hint(self) -> &'static str {
                match self { $(Self::$variant => $hint),+ }
            }
        }
    };
}

codes! {
    // The command line and the settings.
    Usage = "usage", Usage, "Run `chronavault --help`.";
    SettingsFile = "settings.file", Usage, "Correct the line that is named.";
    SettingsFileUnreadable = "settings.file_unreadable", Usage,
        "Name another file with --config, or let this user read it.";
    SettingsValue = "settings.value", Usage, "Correct the setting, or remove it to get its default.";
    SettingsConflict = "settings.conflict", Usage, "Set only one of the two.";
    SettingsScheme = "settings.scheme", Usage,
        "Set BACKUP_DIRECTORY to a directory, or BACKUP_REPOSITORY to file:///PATH.";
    SettingsNoSource = "settings.no_source", Usage,
        "Set DATABASE_URL, for example postgres://alice@db.example/books, or give the source a url in chronavault.toml.";
    SettingsSource = "settings.source", Usage, "Name one of the sources in chronavault.toml with --source.";
    SettingsSecret = "settings.secret", Usage,
        "Correct …_file, …_command or …_credential of the setting that is named, or let this user read it.";
    SettingsSecretLoose = "settings.secret_permissions", Usage, "Run `chmod 600` on the file that is named.";
    SettingsUrl = "settings.url", Usage,
        "Use postgres://USER@HOST/DATABASE or `host=… dbname=…`; write special characters in a URL as %XX.";

    // The key.
    KeyMissing = "key.missing", Usage,
        "Set BACKUP_ENCRYPTION_KEY_FILE to the file with the key, or BACKUP_ENCRYPTION_KEY to its 64 hexadecimal digits.";
    KeyLength = "key.length", Usage,
        "The key has 64 hexadecimal digits (256 bits); `openssl rand -hex 32` makes one.";
    KeyDigits = "key.digits", Usage,
        "The key has 64 hexadecimal digits, 0-9 and a-f, and nothing else; check for quotes and line breaks.";
    KeyUnreadable = "key.unreadable", Usage, "Correct BACKUP_ENCRYPTION_KEY_FILE, or let this user read the file.";
    KeyPermissions = "key.permissions", Usage, "Run `chmod 600` on the key file.";
    KeyInsideRepository = "key.inside_repository", Usage,
        "Keep the key outside the repository: whoever gets the repository must not get the key with it.";
    KeyNotWritten = "key.not_written", Failed,
        "Name a file that can be created with --key-file, or set BACKUP_ENCRYPTION_KEY.";
    KeyWrong = "key.wrong", Usage,
        "Use the key with which the repository was made; check BACKUP_ENCRYPTION_KEY and BACKUP_ENCRYPTION_KEY_FILE.";

    KeySlotMissing = "key.slot_missing", Failed,
        "Restore the directory keys/ of the repository from a copy; without its slot no key opens it.";
    KeySlotChanged = "key.slot_changed", Failed,
        "Restore the file that is named from a copy of the repository, or use another key that opens it.";
    KeyOutdated = "key.outdated", Usage,
        "Use the key that `chronavault keys rotate` made; its holder gives this one access again with `chronavault keys add`. tools/recover.py reads with it what was sealed before.";
    KeyUnknown = "key.unknown", Usage, "Run `chronavault keys list` to see the keys that there are.";
    KeySame = "key.same", Usage, "Leave out --from to have a new key made, or name the file of another key.";
    KeyInUse = "key.in_use", Failed,
        "Run it with a key that stays, or add --force and --through with the file of a key that stays.";
    KeyLast = "key.last", Failed, "Add another key first, with `chronavault keys add`.";
    KeyCanary = "key.canary", Failed,
        "Nothing was taken away; run `chronavault verify --all --level contents` with the key in use, then try again.";
    KeyRotating = "key.rotating", Failed,
        "Run `chronavault keys rotate --from FILE` with the new key of that rotation, or give it up: `chronavault keys remove` with the key that is named.";
    KeyEscrow = "key.escrow", Usage,
        "Type the lines that are named again: their number, two groups of four digits, and the group that checks them.";
    KeyNotShown = "key.not_shown", Usage,
        "Write the sheet to a file with --output FILE.svg, or add --yes where standard output goes to a printer.";

    // The repository.
    RepositoryMissing = "repository.missing", Failed,
        "Run `chronavault init`, or correct BACKUP_DIRECTORY; a disk may not be mounted.";
    RepositoryExists = "repository.exists", Failed, "Use the repository that is there, or name another place.";
    RepositoryHeadMissing = "repository.head_missing", Failed,
        "Restore chronavault.json from a copy of the repository; do not make a new repository in its place.";
    RepositoryHeadChanged = "repository.head_changed", Failed,
        "Restore chronavault.json from a copy of the repository; somebody or something changed it.";
    RepositoryNewer = "repository.newer", Failed, "Install a version of chronavault at least as new as the repository.";
    BackupNone = "backup.none", Failed, "Run `chronavault list` to see what there is, or `chronavault backup`.";
    BackupMissing = "backup.missing", Failed, "Run `chronavault list` to see what there is.";
    BackupNotLogical = "backup.not_logical", Failed, "Choose a logical backup from `chronavault list`.";

    BackupNotPhysical = "backup.not_physical", Failed,
        "Choose a physical backup from `chronavault list`, or restore this one with --to.";

    // Objects that are not what was written. Also the codes of problems that a verification finds.
    ObjectMissing = "object.missing", Failed,
        "Restore the object from a copy of the repository, make a new backup now, and find out who deleted it.";
    ObjectTruncated = "object.truncated", Failed,
        "Restore the object from a copy of the repository, make a new backup now, and check the disk.";
    ObjectChanged = "object.changed", Failed,
        "Restore the object from a copy of the repository, make a new backup now, and check the disk.";
    ObjectSwapped = "object.swapped", Failed,
        "Restore the object from a copy of the repository; somebody put another one in its place.";
    ObjectForeign = "object.foreign", Failed,
        "Restore the object from a copy of this repository; this one belongs to another.";
    ObjectWrongKey = "object.wrong_key", Failed,
        "Restore the object from a copy of this repository; it was sealed under another key.";
    ObjectNewer = "object.newer_version", Failed, "Install a version of chronavault at least as new as the object.";
    ObjectInconsistent = "object.inconsistent", Failed,
        "Make a new backup now; keep this one and report what was found.";
    ObjectUnreadable = "object.unreadable", Failed, "Check permissions and the disk, then verify again.";
    ObjectVanished = "object.vanished", Failed,
        "Find out what deletes packs of the repository while a backup runs, then run the backup again.";

    BackupAbandoned = "backup.abandoned", Failed,
        "Run the backup again, and `chronavault prune` not beside it: it takes a backup of more than a day for one that was killed.";

    ServiceListen = "service.listen", Failed, "Give the service another address with service.listen, or end what listens there.";
    HookFailed = "hook.failed", Failed, "Correct what the hook says, or take it out of [hooks] in chronavault.toml.";
    LeaseHeld = "lease.held", Failed,
        "Wait until it has ended. If that process was killed, the right is free at the time that is named.";
    LeaseLost = "lease.lost", Failed,
        "Find out why this process stood still for minutes, and let the other one finish; nothing half done counts.";
    PruneRunning = "prune.running", Failed, "Wait until the prune has ended, then run the command again.";
    DeleteRefused = "delete.refused", Failed,
        "Release a hold with `chronavault hold ID --release`; of the last proven backup, make and prove a newer one first.";
    DeleteUnconfirmed = "delete.unconfirmed", Usage, "Add --yes, or run it on a terminal and answer yes.";

    // The store.
    StorageFull = "storage.full", Failed,
        "Make room or raise the quota and run the command again; what was there before is untouched.";
    StorageLoose = "storage.loose", Failed,
        "Run `chmod -R go= DIRECTORY` on the repository, or set BACKUP_ISOLATION_ENABLED=false to accept it.";
    StorageOwner = "storage.owner", Failed,
        "Run as the user that owns the repository, or change its owner with `chown -R`.";
    StorageType = "storage.type", Failed,
        "Put a directory or file of the right kind there, or name another place for the repository.";
    StorageDenied = "storage.denied", Failed, "Run as the user that owns the repository, or correct its permissions.";
    StorageConflict = "storage.conflict", Failed,
        "Find out what else writes into the repository; nothing was replaced.";
    StorageReadBack = "storage.read_back", Failed, "Check the disk: what was written could not be read again.";
    StorageIo = "storage.io", Failed, "Check the disk and its mount; what was there before is untouched.";

    // The server.
    ServerUnreachable = "server.unreachable", Failed,
        "Check host and port, that the server runs and listens there, and that no firewall is between.";
    ServerTimeout = "server.timeout", Failed,
        "Check host and port and the network, or raise connect_timeout in the connection string.";
    ServerTls = "server.tls", Failed,
        "Check sslmode and sslrootcert, and that the certificate names the host.";
    ServerPassword = "server.password", Failed,
        "Check the user and the password (PGPASSFILE, PGPASSWORD or the connection string), and pg_hba.conf.";
    ServerDatabase = "server.database", Failed, "Correct the name of the database in the connection string.";
    ServerConnections = "server.connections", Failed, "Use fewer --jobs, or raise max_connections of the server.";
    ServerNotReady = "server.not_ready", Failed, "Wait until the server accepts connections, then try again.";
    ServerLost = "server.lost", Failed,
        "Look into the server's log for the reason and run the command again; nothing half done counts.";
    ServerCancelled = "server.cancelled", Failed,
        "Find out who cancelled the statement (a timeout, an administrator), then run the command again.";
    ServerPrivileges = "server.privileges", Failed,
        "Grant the role what is missing (for backups: pg_read_all_data), or connect as a role that has it.";
    ServerRowSecurity = "server.row_security", Failed,
        "Connect as the owner of the tables or as a role with BYPASSRLS, so that no row is left out.";
    ServerLocked = "server.locked", Failed,
        "Wait until the sessions that are named have ended, or raise --lock-timeout.";
    ServerChanging = "server.changing", Failed, "Run the backup when no tables are being rewritten.";
    ServerLocks = "server.locks", Failed,
        "Raise max_locks_per_transaction to the value that is named and restart the server.";
    ServerDiskFull = "server.disk_full", Failed, "Make room on the disk of the server, then run the command again.";
    ServerPreflight = "server.preflight", Failed, "Do what the sentence says, then run `chronavault doctor`.";
    ServerFailed = "server.failed", Failed, "Read what the server says; `chronavault doctor` checks the rest.";
    ServerProtocol = "server.protocol", Failed,
        "Check that host and port belong to a PostgreSQL server; if they do, report this.";

    // PostgreSQL's programs and throwaway clusters.
    ToolsMissing = "tools.missing", Failed, "Install the package that is named, or add its directory to PATH.";
    ToolsFailed = "tools.failed", Failed, "Read what the program says; `chronavault doctor` checks the rest.";
    ArchiveIncomplete = "archive.incomplete", Failed, "Run the command again; if it stays so, report this.";
    SandboxFailed = "sandbox.failed", Failed,
        "Check free space and permissions of TMPDIR, or set backup.sandbox_directory in chronavault.toml.";

    // What the commands do.
    BackupTooLarge = "backup.too_large", Failed,
        "Raise BACKUP_MAX_SIZE_GB, or set --max-size-policy warn.";
    BackupFilters = "backup.filters", Usage,
        "Correct --schema, --exclude-table or --exclude-table-data; patterns are those of pg_dump.";
    TargetExists = "target.exists", Failed, "Leave out --create, name another database, or add --clean to replace it.";
    TargetMissing = "target.missing", Failed, "Add --create to create the database.";
    TargetNotEmpty = "target.not_empty", Failed, "Name an empty database, or add --clean to replace what is in it.";
    CheckFailed = "check.failed", Failed,
        "Run `chronavault check` on the database to see the rows that are concerned, and find out what put them there.";
    ChecksFailed = "checks.failed", Failed,
        "Nothing was replaced. Choose an earlier backup, or restore into a new database with --create and look at it; --no-checks replaces without asking.";
    CheckUnknown = "check.unknown", Usage, "Run `chronavault config show` to see the checks of the settings.";
    RestorePreflight = "restore.preflight", Failed,
        "Do what is said of each, then run it again; --dry-run says what else it would meet.";
    TargetFailed = "target.failed", Failed, "Read what the server says, correct it, and restore again.";
    RolesMissing = "roles.missing", Failed,
        "Create the roles that are named, or add --create-roles to create them without passwords.";
    TableExists = "table.exists", Failed,
        "Drop or rename the table in the target, or restore into another database.";
    TargetLocale = "target.locale", Failed, "Restore into a server of at least the version that is named.";
    TableMissing = "table.missing", Failed, "Run `chronavault show ID` to see the tables of the backup.";
    RecoveryUnreachable = "recovery.unreachable", Failed,
        "Choose a target within what can be reached, or find the missing WAL; `chronavault wal status` shows every gap.";
    RestoredFailed = "restored.failed", Failed,
        "Read what the server says; check that everything that the cluster needs is installed here.";
    RecoverNone = "recover.none", Failed,
        "Run `chronavault recover list` to see what was done on this machine; without --resume a new recovery begins.";
    RecoverUnconfirmed = "recover.unconfirmed", Usage, "Add --yes, or run it on a terminal and answer yes.";
    RecoverNoBackup = "recover.no_backup", Failed,
        "Read what is wrong with each, and run `chronavault verify --all`; --backup ID takes one that you choose.";
    RecoverPreflight = "recover.preflight", Failed, "Do what is said in brackets; nothing was changed.";
    RecoverSite = "recover.site", Failed, "Correct what failed, or the table `recovery` of chronavault.toml.";
    RecoverChecks = "recover.checks", Failed,
        "Look at the restored database, which is kept; --despite-checks goes on all the same, --backup ID in a new recovery takes another backup.";
    RecoverChanged = "recover.changed", Failed,
        "Find out what happened to it. A new recovery begins without --resume.";
    RecoverNothingBehind = "recover.nothing_behind", Failed, "Drop or rename the restored database by hand if it has to go.";
    RecoverForeignKey = "recover.foreign_key", Failed,
        "Nothing was changed. Recover the table that the key names together with this one, or put the rows beside the live ones with --mode side-schema.";
    RecoverConstraint = "recover.constraint", Failed,
        "Nothing was changed. Put the rows beside the live ones with --mode side-schema, and decide which of them are right.";
    RecoverTable = "recover.table", Failed,
        "Nothing was changed. Use --mode side-schema, which does not depend on what the live table is like.";
    RecoverLocked = "recover.locked", Failed,
        "Nothing was changed. Wait until those who use the table have ended their transactions, or raise --lock-timeout.";
    RecoverDatabase = "recover.database", Failed, "Name one of the databases of the cluster with --database.";
    RecoverSchema = "recover.schema", Failed, "Name another schema with --schema, or drop the one that is there.";
    RecoverBeside = "recover.beside", Failed,
        "Restore it in place or elsewhere with `chronavault restore --data-dir DIR`, with --delta or --tablespace.";
    RecoverRecord = "recover.record", Failed,
        "Run as the user of the service, or correct service.state_directory in chronavault.toml.";
    DrillNotHere = "drill.not_here", Failed, "Install what the sentence names, or rehearse on another machine.";
    DirectoryNotEmpty = "directory.not_empty", Failed,
        "Name an empty directory, or add --delta to use what is in it.";
    DirectoryInUse = "directory.in_use", Failed, "Stop the server that runs on it, or name another directory.";
    DirectoryFailed = "directory.failed", Failed,
        "Check free space, permissions and owner of the directory; the same restore again goes on where it ended.";
    DirectoryTablespace = "directory.tablespace", Failed,
        "Give each tablespace a place of its own with --tablespace OLD=NEW.";
    ReplicationDenied = "replication.denied", Failed,
        "Run `ALTER ROLE … REPLICATION`, and give the role a line for the database `replication` in pg_hba.conf.";
    ReplicationSettings = "replication.settings", Failed,
        "Set wal_level = replica and raise max_wal_senders and max_replication_slots, then restart the server.";
    ReplicationSlot = "replication.slot", Failed,
        "Look at pg_replication_slots: end what uses the slot, or name another.";
    ClusterUnsuitable = "cluster.unsuitable", Failed, "Do what the sentence says, then run `chronavault doctor`.";
    ClusterUnreadable = "cluster.unreadable", Failed,
        "Run as the user that owns the data directory, or use --method base-backup; check the disk.";
    ClusterWalGone = "cluster.wal_gone", Failed,
        "Raise wal_keep_size or max_slot_wal_keep_size of the server, then run the backup again.";
    VerifyFailed = "verify.failed", NotVerified,
        "Do not rely on this backup: make a new one now, which stores again what is damaged, and run `chronavault verify --all --level contents` to see what else is.";
    WalDiffers = "wal.differs", Failed,
        "Find out which cluster archived the other file: two that come from one backup must not share an archive. Nothing was replaced.";
    WalMisnamed = "wal.misnamed", Failed,
        "Find out who gave the file this name; a server never does. Nothing was stored.";
    WalName = "wal.name", Usage, "Use `chronavault wal push %p` as archive_command: the server puts the path there.";
    WalUnreadable = "wal.unreadable", Failed, "Run it as the user of the server, in its data directory, as the server does.";
    WalNoSystem = "wal.no_system", Usage,
        "Run it in the data directory, as the server does, or name the cluster with --system-id.";
    WalDiverged = "wal.diverged", Failed,
        "Find out whether the server was set back to an earlier state. If it was, archive it from now on in another repository, or recover it to a new timeline.";
    WalOtherCluster = "wal.other_cluster", Failed,
        "Correct the hosts of the source: all of them must be of one cluster. A new cluster needs a new start of the command.";
    WalUnfinished = "wal.unfinished", Failed, "Archive the whole segment first.";
    JournalUnwritable = "journal.unwritable", Failed,
        "Make room, or let this user write there, or name another directory with BACKUP_JOURNAL_DIRECTORY.";
    JournalUnreadable = "journal.unreadable", Failed,
        "Run as the user that makes the backups, or correct BACKUP_JOURNAL_DIRECTORY.";
    JournalBroken = "journal.broken", Failed,
        "Keep the files as they are and find out who changed them; the repository has copies of what was there.";
    AlertsNone = "alerts.none", Usage, "Add a channel to chronavault.toml; docs/alerts.md shows how.";
    AlertsNotSent = "alerts.not_sent", Failed,
        "Correct the channels that are named in chronavault.toml, then run `chronavault alert test` again.";
    AlertsState = "alerts.state", Failed, "Run as the user of the service, or correct service.state_directory.";
    DoctorFound = "doctor.found", Failed, "Do what the findings say, then run `chronavault doctor` again.";
    OutputExists = "output.exists", Failed, "Name another file with --output, or remove this one.";
    OutputFailed = "output.failed", Failed, "Check free space and permissions of the place that is written to.";
    Cancelled = "cancelled", Failed, "Nothing half done was left behind; run the command again.";
    Internal = "internal", Failed, "Report this with the command that was run; no backup was harmed.";
}

#[cfg(test)]
mod tests;
