//! The examples and longer texts of `--help` and of the manual pages.

pub(super) const ABOUT: &str = "\
Backs up PostgreSQL and proves that every backup restores.

A backup is encrypted, stands alone, and is either complete or absent. It is called proven only after it was restored \
into a real PostgreSQL server and compared row for row with what was read.";

pub(super) const TOP: &str = "\
Examples:
  export DATABASE_URL=postgres://alice@db.example/books
  chronavault init && chronavault backup
  chronavault list
  chronavault restore latest --to postgres://alice@db.example/books_again --create

Settings, strongest first: flags, environment, chronavault.toml, defaults.
  DATABASE_URL                  the database; any connection string that libpq accepts
  BACKUP_DIRECTORY              the repository is in isolated/ below it [./backups]
  BACKUP_REPOSITORY             or the repository itself, as file:///PATH
  BACKUP_ENCRYPTION_KEY         the key, 64 hexadecimal digits
  BACKUP_ENCRYPTION_KEY_FILE    or a file that holds it and that only its owner can read
  BACKUP_JOURNAL_DIRECTORY      where the journal is [journal/ beside isolated/]
  BACKUP_MAX_SIZE_GB            the size of a database that is thought too large [10]
  BACKUP_COMPRESSION_ENABLED, BACKUP_VERIFICATION_ENABLED, BACKUP_ISOLATION_ENABLED   [true]
  BACKUP_RETENTION_DAYS         the days for which `chronavault prune` keeps backups [30]
  BACKUP_INTERVAL_HOURS         [24]
Passwords: PGPASSFILE, ~/.pgpass, a service file, PGPASSWORD, or inside DATABASE_URL.

Exit status: 0 done; 1 failed; 2 usage or configuration; 3 the backup did not verify; 4 done, with warnings that need \
a person.";

pub(super) const INIT: &str = "\
Examples:
  chronavault init
  chronavault init --directory /srv/backups --key-file /etc/chronavault/key

Without a key, one is made and written to ~/.config/chronavault/key (or to the file that --key-file names). Keep a copy of \
it elsewhere: without the key, no backup can be read by anyone.";

pub(super) const BACKUP: &str = "\
Examples:
  DATABASE_URL=postgres://alice@db.example/books chronavault backup
  chronavault backup --source books --no-verify
  chronavault backup --exclude-table-data 'audit.*' --jobs 4
  chronavault backup --kind physical --source books

The backup is restored into a throwaway cluster and compared row for row unless --no-verify is given. A backup that \
leaves something out (--schema, --exclude-table, --exclude-table-data) is marked `filtered` wherever it is shown.

A physical backup is of the whole cluster: its files, and the WAL that makes them consistent. The role needs the attribute \
REPLICATION and an entry `replication` in pg_hba.conf; reading from the data directory needs pg_read_all_settings and the \
right to execute pg_backup_start and pg_backup_stop.";

pub(super) const LIST: &str = "\
Examples:
  chronavault list
  chronavault list --source books --json";

pub(super) const SHOW: &str = "\
Examples:
  chronavault show latest
  chronavault show backup-2026-11-23-120000-abc123 --json";

pub(super) const VERIFY: &str = "\
Examples:
  chronavault verify latest
  chronavault verify --all --level contents
  chronavault verify backup-2026-11-23-120000-abc123 --level objects

A restore needs PostgreSQL's server programs on this machine and room for the database in TMPDIR. Without the programs \
it goes as far as `contents`, and says so.";

pub(super) const RESTORE: &str = "\
Examples:
  chronavault restore latest --to postgres://alice@db.example/books_again --create --dry-run
  chronavault restore latest --to postgres://alice@db.example/books_again --create
  chronavault restore latest --to 'host=/run/postgresql dbname=scratch' --table accounting.entries
  PGPASSFILE=~/.pgpass chronavault restore latest --to postgres://alice@db.example/books --clean
  chronavault restore latest --data-dir /var/lib/postgresql/15/again --at '2026-11-23 12:00:00+01'
  chronavault restore latest --data-dir /var/lib/postgresql/15/main --delta --immediate

Before anything is written, everything that could stop the restore is looked at, and said at once. After a restore with --data-dir, start the server: it replays WAL up to the target, which it fetches with \
`chronavault wal fetch`, and then removes the settings that say so.";

pub(super) const CHECK: &str = "\
Examples:
  chronavault check
  chronavault check --source books --json
  chronavault check --source books --database postgres://alice@db.example/books_again
  chronavault check --only sequences --only 'debits equal credits'

Built in are foreign keys, sequences, invalid indexes and constraints not valid; the rest comes from [[checks]] in \
chronavault.toml (docs/checks.md). Every query runs in a read-only transaction with a time limit. Exit status: 0 everything \
holds; 1 a critical check does not; 4 another one does not.";

pub(super) const RECOVER: &str = "\
Examples:
  chronavault recover corruption --source books --dry-run
  chronavault recover corruption --source books
  chronavault recover corruption --source books --rollback
  chronavault recover point-in-time --source books --at 2026-11-26T03:00:00Z
  chronavault recover tables --table orders --mode insert-missing

Each scenario is planned first, with the time that each step is expected to take. It stops at the first step that fails, with what is \
there in a known state; --resume goes on from there, --rollback undoes it. The report has the time of each step.";

pub(super) const RECOVER_CORRUPTION: &str = "\
Examples:
  chronavault recover corruption --source books --dry-run
  chronavault recover corruption --source books --yes
  chronavault recover corruption --source books --resume
  chronavault recover corruption --source books --rollback

Steps: preflight; stop services (recovery.stop_services in chronavault.toml); choose the newest backup that verifies; restore it into a \
new database beside the damaged one; compare every row and run the checks; exchange the names in one transaction, the damaged \
database is kept; start services; ask recovery.health_url until the application is well. Scheduled backups of the source wait meanwhile.";

pub(super) const RECOVER_POINT_IN_TIME: &str = "\
Examples:
  chronavault recover point-in-time --source books --at 2026-11-26T03:00:00Z --dry-run
  chronavault recover point-in-time --source books --at 2026-11-26T03:00:00Z --yes
  chronavault recover point-in-time --source books --at 2026-11-26T03:00:00Z --switch

The newest logical backup that is not after the moment is restored and checked. What was committed between its snapshot and the moment \
is not in it; how much that is, is said. A cluster with physical backups and archived WAL is recovered exactly: \
`chronavault restore latest --data-dir DIR --at TIME`.";

pub(super) const RECOVER_TABLES: &str = "\
Examples:
  chronavault recover tables --table orders --table order_lines
  chronavault recover tables --source books --table orders --at 2026-11-26T03:00:00Z
  chronavault recover tables --table orders --mode insert-missing
  chronavault recover tables --table orders --from backup-2026-11-23-120000-abc123 --mode side-schema

The rows of the backup are restored into a sandbox and compared with the live ones by primary key; without --mode that is all. What is \
written is one transaction: it is rolled back whole when a foreign key or another constraint does not hold. Triggers of users are off \
meanwhile. Rows of tables that are not named never change.";

pub(super) const RECOVER_LOST_HOST: &str = "\
Examples:
  chronavault recover lost-host --directory /srv/backups --key-file key --to postgres://postgres@localhost/postgres --dry-run
  chronavault recover lost-host --directory /srv/backups --key-file key --to postgres://postgres@localhost/postgres
  chronavault recover lost-host --repository file:///mnt/backups --key-file key --source main --data-dir /var/lib/postgresql/15/main

Needed are this program, PostgreSQL, the repository and a key that opens it. The settings of the lost host are brought back (without \
passwords), then each database with its roles, or the cluster; everything is compared and checked as in every recovery. The same command \
again goes on where it stopped.";

pub(super) const RECOVER_LIST: &str = "\
Examples:
  chronavault recover list
  chronavault recover list --source books --json";

pub(super) const DRILL: &str = "\
Examples:
  chronavault drill --source books
  chronavault drill --source books --scenario corruption --dry-run

The scenario is rehearsed with a throwaway server: nothing that is in use is touched. What it took is compared with recovery.rto_hours and \
recovery.rpo_hours, and kept: `chronavault recover list` shows all of them, the report has each step, hashes and who asked.";

pub(super) const RUNBOOK: &str = "\
Examples:
  chronavault runbook > runbook.md
  chronavault runbook --output /media/usb/runbook.md
  chronavault runbook --source books --json

It names whom to call, where everything is, the commands for each scenario and source, the newest backups and the last drill, and what to \
do without this program. It holds no password and no key. Keep one on paper, away from this host.";

pub(super) const EXPORT: &str = "\
Examples:
  chronavault export latest | psql -v ON_ERROR_STOP=1 -d scratch
  chronavault export latest --format custom --output books.dump && pg_restore -d scratch books.dump
  chronavault export latest --table accounting.entries --output entries.sql";

pub(super) const WAL: &str = "\
Examples:
  archive_command = 'chronavault wal push %p'        in postgresql.conf
  restore_command = 'chronavault wal fetch %f %p'    in postgresql.conf, for a recovery
  chronavault wal receive --source books             instead of an archive_command, or beside it
  chronavault wal status";

pub(super) const WAL_PUSH: &str = "\
Example, in postgresql.conf:
  archive_command = 'BACKUP_ENCRYPTION_KEY_FILE=/etc/chronavault/key chronavault wal push --directory /srv/backups %p'

Exit status 0 means that the file is durable in the repository. The same file again is a success; another one under the \
same name is refused with status 1, and nothing is replaced. Segments that are ready to be archived after this one are taken \
along, so that the server's next calls only compare.";

pub(super) const WAL_FETCH: &str = "\
Example, in postgresql.conf:
  restore_command = 'BACKUP_ENCRYPTION_KEY_FILE=/etc/chronavault/key chronavault wal fetch --directory /srv/backups %f %p'

Exit status: 0 fetched; 1 not archived, where a server ends its recovery; 200 anything else (damage, a wrong key, a disk, a \
mistake in the command), on which a server stops at once instead of taking it for the end of the WAL.

The last segment of an archive may exist in pieces only; it is delivered with zeros behind what is known, so that a server \
recovers to the last moment.";

pub(super) const WAL_RECEIVE: &str = "\
Examples:
  chronavault wal receive --source books
  chronavault wal receive --source books --synchronous --application-name vault
                                      with synchronous_standby_names = 'vault' in postgresql.conf

The role needs the attribute REPLICATION. WAL is received from where the archive ends, else from where the slot begins to keep \
it. It survives restarts of the server and of itself, and follows a standby that is promoted. The slot keeps WAL on the server \
while nobody receives it: set max_slot_wal_keep_size, or drop the slot when it is not needed any more. SIGINT and SIGTERM end \
the command after everything that came is archived. With --json, each event is a JSON object in a line on standard error.";

pub(super) const WAL_STATUS: &str = "\
Examples:
  chronavault wal status
  chronavault wal status --verify --json

Exit status 4 when WAL is missing or damaged that a recovery would need.";

pub(super) const JOURNAL: &str = "\
Examples:
  chronavault journal show --source books
  chronavault journal verify";

pub(super) const JOURNAL_SHOW: &str = "\
Examples:
  chronavault journal show --operation restore --since '2026-11-01 00:00:00+01'
  chronavault journal show --limit 0 --json

An operation without an end goes on, or was killed. Without the key of the repository, whatever the files say is shown.";

pub(super) const JOURNAL_VERIFY: &str = "\
Examples:
  chronavault journal verify
  chronavault journal verify --json

Finds edited, removed and reordered entries, and, by the copies in the repository, a journal that was cut off or replaced. Exit \
status 1 when something is wrong.";

pub(super) const ALERT: &str = "\
Examples:
  chronavault alert test
  chronavault alert list --json";

pub(super) const ALERT_TEST: &str = "\
Examples:
  chronavault alert test
  chronavault alert test ops mail

Each channel gets a message that says that it is a test. Exit status 1 when one of them did not take it. The ping is sent only \
when it is named: chronavault alert test ping.";

pub(super) const ALERT_LIST: &str = "\
Examples:
  chronavault alert list
  chronavault alert list --json

Shows what the daemon found last, who was told, and what waits for channels that fail. It needs no key.";

pub(super) const PRUNE: &str = "\
Examples:
  chronavault prune --dry-run
  chronavault prune
  chronavault prune --days 14 --keep-weekly 8 --keep-monthly 12 --wal-days 7
  chronavault prune --failed

What always stays: backups younger than the days to keep, and what --keep-… names; backups that are held; the newest proven backup of each source and kind, and the newest \
that has not failed; everything of a source whose newest backup failed its verification; and what it takes to recover a \
cluster to every moment of the last days of WAL. Nothing goes while the clock looks wrong: when a backup is from the \
future, or when more than half of the backups of a source would go, and more than three; --limit lets them.

What goes lies in trash/ of the repository for 72 hours. To bring a prune back: cd REPOSITORY && cp -a trash/LOT/. .";

pub(super) const KEYS: &str = "\
Examples:
  chronavault keys list
  chronavault keys add --generate /media/usb/chronavault-key --label 'second key, safe'
  chronavault keys rotate
  chronavault keys escrow --output sheet.svg";

pub(super) const KEYS_LIST: &str = "\
Examples:
  chronavault keys list
  chronavault keys list --json";

pub(super) const KEYS_ADD: &str = "\
Examples:
  chronavault keys add --generate /media/usb/chronavault-key --label 'second key, safe'
  chronavault keys add --from bobs.key --label bob
  gpg --decrypt bobs.key.gpg | chronavault keys add --from - --label bob

The new key opens everything that the key in use opens. A key that was left behind by a rotation gets access again.";

pub(super) const KEYS_ROTATE: &str = "\
Examples:
  chronavault keys rotate --dry-run
  chronavault keys rotate
  chronavault keys rotate --also bobs.key
  BACKUP_ENCRYPTION_KEY_FILE=old.key chronavault keys rotate --generate new.key

No data is written anew: earlier backups stay as they are and are read with the new key. The old key's slots go last, after a \
part of every backup was opened with the new key. The old key still opens copies of the repository that were made before, and \
whoever had it may have kept the root keys of that time. Keys of other holders do not open the repository any more until they \
are given with --also, or added again. If it is interrupted, run the same command again. Afterwards print a new recovery \
sheet, and restart what runs all the time: `serve`, `wal receive`.";

pub(super) const KEYS_REMOVE: &str = "\
Examples:
  chronavault keys remove --dry-run 5ec2e7c0
  chronavault keys remove 5ec2e7c0
  chronavault keys remove 5ec2e7c0 --force --through bobs.key

The last key is never removed. Whoever had the key may have kept what it opened: after a leak, rotate.";

pub(super) const KEYS_ESCROW: &str = "\
Examples:
  chronavault keys escrow
  chronavault keys escrow --output sheet.svg
  chronavault keys escrow --yes | lp
  chronavault keys escrow --check                   type the lines of the sheet, then Ctrl-D
  zbarcam --raw --oneshot | chronavault keys escrow --check

The sheet holds the key: whoever has it and the repository reads every backup.";

pub(super) const DELETE: &str = "\
Examples:
  chronavault delete backup-2026-11-23-120000-abc123 --dry-run
  chronavault delete backup-2026-11-23-120000-abc123 --reason 'made of the wrong database'

The newest proven backup of a source and kind is not deleted, and no backup that is held. What goes lies in trash/ of the \
repository for 72 hours; `chronavault prune --empty-trash` frees it at once.";

pub(super) const HOLD: &str = "\
Examples:
  chronavault hold backup-2026-11-23-120000-abc123 --reason 'audit of 2026' --until 2027-04-01
  chronavault hold
  chronavault hold backup-2026-11-23-120000-abc123 --release";

pub(super) const SERVE: &str = "\
Examples:
  chronavault config check && chronavault serve
  systemctl reload chronavault

Without [[schedules]] in chronavault.toml, each source is backed up every BACKUP_INTERVAL_HOURS, the backup whose proof is the \
oldest is verified again on Sundays, and what expired is removed once a day and after each backup. SIGTERM ends it, SIGHUP has it \
read its settings again. It says what happens on standard error: lines on a terminal, JSON elsewhere or with --json.";

pub(super) const CONFIG: &str = "\
Examples:
  chronavault config check
  chronavault config show --json";

pub(super) const DOCTOR: &str = "\
Examples:
  chronavault doctor
  chronavault doctor --source books --json
  chronavault doctor --kind physical";

pub(super) const DEMO: &str = "\
Examples:
  chronavault demo
  chronavault demo --size 50 --keep
  chronavault demo --scenario corruption --size 50

The demo uses a throwaway cluster, repository and key of its own, and none of your settings.";

pub(super) const COMPLETIONS: &str = "\
Examples:
  chronavault completions bash > /etc/bash_completion.d/chronavault
  chronavault completions fish > ~/.config/fish/completions/chronavault.fish";

pub(super) const MAN: &str = "\
Examples:
  chronavault man /usr/local/share/man/man1
  chronavault man | man -l -";
