"""start.sh with programs that only write down how they were called: what it runs, what it sets, and what it refuses.

That a real server starts and recovers with it is shown by a test with a real cluster
(crates/operations/tests/recover_cluster.rs).
"""

import os
import re
import shlex
import shutil
import subprocess

from tools.tests.running import RecoverTest
from tools.tests.sealing import BACKUP, CLUSTER_FILES

FAKES = {
    "postgres": 'echo "postgres (PostgreSQL) ${VERSION:-15.18 (Debian 15.18-0+deb12u1)}"\n',
    "pg_controldata": r"""
printf '%s\n' 'max_connections setting:   150' 'max_prepared_xacts setting:   5' 'max_locks_per_xact setting:   64' \
    'wal_level setting:   replica'
""",
    # Each call becomes one record of NUL-separated arguments, ended by two NULs.
    "pg_ctl": r"""
printf '%s\0' "$@" >> "$CALLS"
printf '\0' >> "$CALLS"
case $1 in
    status) [ -n "${RUNNING:-}" ] && exit; exit 3 ;;
    start) [ -z "${FAILING:-}" ] || { echo 'FATAL:  no' >> server.log; exit 1; } ;;
esac
printf '%s\n' 'LOG:  recovery stopping after WAL location (LSN) "0/3000148"' >> server.log
printf '1\n2\n3\n4\n5\n6\n7\nready   \n' > data/postmaster.pid
""",
}
NOBODY = 65534


class StartScript(RecoverTest):
    def setUp(self):
        super().setUp()
        self.programs = self.directory / "bin"
        self.programs.mkdir()
        for name, text in FAKES.items():
            (self.programs / name).write_text("#!/bin/sh\n" + text)
            (self.programs / name).chmod(0o755)
        self.calls = self.directory / "calls"
        self.calls.touch()

    def recovered(self, files=None, lines=()):
        sample = self.cluster(files={**CLUSTER_FILES, "postgresql.conf": b"", **(files or {})})
        sample.lines += lines
        sample.put()
        done = self.run_recover()
        self.assertEqual(done.returncode, 0, done.stderr)

    def start(self, *arguments, programs=None, as_root=False, script="start.sh", **variables):
        """Runs start.sh as somebody who may run a server."""
        options = {}
        if os.getuid() == 0 and not as_root:
            for top, names, files in os.walk(self.directory):
                for name in (".", *names, *files):
                    os.chown(os.path.join(top, name), NOBODY, NOBODY, follow_symlinks=False)
            options = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        bin_directory = self.programs if programs is None else programs
        environment = {"PATH": f"{bin_directory}:/usr/bin:/bin", "CALLS": str(self.calls), **variables}
        command = [str(self.output / script), *arguments]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, cwd="/", check=False, **options
        )

    def settings(self):
        """The settings that the server was started with."""
        calls = [call.split("\0") for call in self.calls.read_text().split("\0\0")]
        (start,) = [call for call in calls if call[0] == "start"]
        words = shlex.split(start[start.index("-o") + 1])
        return dict(word.split("=", 1) for word in words if "=" in word)

    def assert_started(self, *arguments, **options):
        done = self.start(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def assert_refused(self, status, *words, arguments=(), **options):
        done = self.start(*arguments, **options)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertNotIn("start\0", self.calls.read_text())

    def auto_conf(self):
        path = self.output / "data/postgresql.auto.conf"
        return path.read_text() if path.exists() else ""

    def test_the_server_is_for_its_owner_alone(self):
        self.recovered()
        done = self.assert_started()
        here = os.path.realpath(self.output)
        expected = {
            "listen_addresses": "", "unix_socket_directories": here, "unix_socket_permissions": "0700",
            "archive_mode": "off", "max_logical_replication_workers": "0", "data_directory": f"{here}/data",
            "config_file": f"{here}/data/postgresql.conf", "hba_file": f"{here}/own-hba.conf",
        }  # fmt: skip
        self.assertLessEqual(expected.items(), self.settings().items())
        self.assertEqual((self.output / "own-hba.conf").read_text(), "local all all trust\n")
        self.assertEqual((self.output / "own-hba.conf").stat().st_mode & 0o777, 0o600)
        self.assertIn(f"psql -h '{here}' -p 5432", done.stdout)
        self.assertIn("recovery stopping after", done.stdout)
        # Without a target nothing of the cluster is changed.
        self.assertEqual((self.auto_conf(), (self.output / "data/recovery.signal").exists()), ("", False))

    def test_an_awkward_directory_is_quoted(self):
        self.output = self.directory / "it's a $HOME `x`, \"y\" \\z"
        self.recovered()
        self.assert_started("--bin", str(self.programs), "--", "-c", "application_name=it's $HOME")
        settings = self.settings()
        self.assertEqual(settings["data_directory"], f"{os.path.realpath(self.output)}/data")
        self.assertEqual(settings["application_name"], "it's $HOME")
        # A setting that is a list cannot name it.
        self.assertRegex(settings["unix_socket_directories"], r"^/tmp/start-[A-Za-z0-9]+$")
        shutil.rmtree(settings["unix_socket_directories"])

    def test_a_target_becomes_settings(self):
        cases = {
            ("--target-time", "2026-11-23 12:00:00+01"): "recovery_target_time = '2026-11-23 12:00:00+01'",
            ("--target-time", "2026-11-23T12:00:00Z"): "recovery_target_time = '2026-11-23T12:00:00+00'",
            ("--target-lsn", "0/3000148"): "recovery_target_lsn = '0/3000148'",
            ("--immediate",): "recovery_target = 'immediate'",
            ("--latest",): "recovery_target = ''",
        }
        self.recovered()
        (self.output / "wal").mkdir()
        for arguments, expected in cases.items():
            self.calls.write_text("")
            done = self.assert_started(*arguments)
            text = self.auto_conf()
            self.assertEqual(text.splitlines()[-1], expected)
            self.assertIn("""restore_command = 'test -f "../wal/%f" && cp "../wal/%f" "%p"'""", text)
            self.assertTrue((self.output / "data/recovery.signal").exists())
            # Only the last setting of a name counts; each of the others is set to nothing before.
            names = set(re.findall(r"^(recovery_target(?:_name|_xid|_time|_lsn)?) = ", text, re.MULTILINE))
            self.assertEqual(len(names), 5)
            removal = done.stdout[done.stdout.index("for name in") :]
            for name in re.findall(r"^(\w+) = ", text, re.MULTILINE):
                self.assertIn(name, removal)
        self.assert_started("--latest", "--timeline", "3")
        self.assertIn("recovery_target_timeline = '3'", self.auto_conf())

    def test_what_is_no_target_is_refused(self):
        self.recovered()
        (self.output / "wal").mkdir()
        cases = [
            ["--target-time"], ["--target-time", "a'b"], ["--target-time", "a\\b"], ["--target-lsn", "0/1\n"],
            ["--target-lsn", "0/1", "--latest"], ["--latest", "--immediate"], ["--timeline", "x"],
            ["--timeline", ""], ["--timeline", "1'"], ["--bin"], ["something"], ["-h"],
        ]  # fmt: skip
        for arguments in cases:
            self.assert_refused(2, "./start.sh [--bin DIR] [TARGET]", arguments=arguments)
        self.assertEqual(self.auto_conf(), "")

    def test_a_target_needs_wal_and_untouched_files(self):
        self.recovered()
        self.assert_refused(1, "no wal/ to replay", arguments=["--latest"])
        (self.output / "wal").mkdir()
        (self.output / "data/backup_label").rename(self.output / "data/backup_label.old")
        self.assert_refused(1, "a server has run on these files", arguments=["--latest"])
        # A recovery that has not ended may be given a later one.
        (self.output / "data/recovery.signal").touch()
        self.assert_started("--latest")

    def test_the_immediate_target_needs_no_wal(self):
        self.recovered()
        self.assert_started("--immediate")

    def test_root_is_told_what_to_do(self):
        if os.getuid() != 0:
            (self.programs / "id").write_text('#!/bin/sh\n[ "$1" = -u ] && echo 0\n')
            (self.programs / "id").chmod(0o755)
        self.recovered()
        self.assert_refused(1, "refuses to run as root", "chown -R postgres:", "runuser", as_root=True)

    def test_the_files_must_be_those_of_the_user(self):
        self.recovered()
        (self.programs / "id").write_text('#!/bin/sh\ncase $1 in -u) echo 4711 ;; *) echo dba ;; esac\n')
        (self.programs / "id").chmod(0o755)
        self.assert_refused(1, "data belongs to another user than dba", "chown -R dba:")

    def test_the_server_must_be_of_the_version_of_the_files(self):
        self.recovered()
        for version in ("14.9", "16beta1", "9.5.1", ""):
            options = {"arguments": ["--bin", str(self.programs)], "VERSION": version or "unknown"}
            self.assert_refused(1, "has no PostgreSQL 15", **options)
        self.assert_refused(1, "has no PostgreSQL 15", "nothing is there", arguments=["--bin", "/nowhere"])
        (self.programs / "pg_ctl").unlink()
        self.assert_refused(1, "has no PostgreSQL 15", arguments=["--bin", str(self.programs)])

    def test_programs_are_found_where_a_link_in_path_leads(self):
        self.recovered(files={"PG_VERSION": b"99\n"})
        links = self.directory / "links"
        links.mkdir()
        self.assert_refused(1, "need PostgreSQL 99, which is not here", programs=links)
        (links / "postgres").symlink_to(self.programs / "postgres")
        self.assert_started(programs=links, VERSION="99devel")

    def test_a_running_server_is_left_alone(self):
        self.recovered()
        self.assert_refused(1, "runs already", RUNNING="yes")

    def test_a_server_that_fails_shows_its_log(self):
        self.recovered()
        done = self.start(FAILING="yes")
        self.assertEqual(done.returncode, 1)
        self.assertIn("FATAL:  no", done.stderr)
        self.assertIn("server.log", done.stderr)

    def test_without_configuration_the_server_gets_room_for_what_was_open(self):
        sample = self.cluster()
        sample.put()
        self.assertEqual(self.run_recover().returncode, 0)
        done = self.assert_started()
        self.assertEqual(self.settings()["config_file"], f"{os.path.realpath(self.output)}/minimal.conf")
        expected = "max_connections = 150\nmax_prepared_transactions = 5\nmax_locks_per_transaction = 64\n"
        self.assertEqual((self.output / "minimal.conf").read_text(), expected)
        self.assertIn("no postgresql.conf", done.stdout)

    def test_without_pg_controldata_a_guess_must_do(self):
        self.cluster().put()
        self.assertEqual(self.run_recover().returncode, 0)
        (self.programs / "pg_controldata").unlink()
        done = self.assert_started()
        self.assertIn("a guess", done.stderr)
        self.assertEqual((self.output / "minimal.conf").read_text(), "max_prepared_transactions = 100\n")

    def test_a_moved_directory_finds_its_tablespaces(self):
        self.recovered()
        moved = self.directory / "moved \\ here"
        self.output.rename(moved)
        self.output = moved
        done = self.assert_started()
        place = f"{os.path.realpath(moved)}/tablespaces/16385"
        self.assertEqual(os.readlink(moved / "data/pg_tblspc/16385"), place)
        escaped = place.replace("\\", "\\\\")
        self.assertEqual((moved / "data/tablespace_map").read_text(), f"16385 {escaped}\n")
        shutil.rmtree(self.settings()["unix_socket_directories"])
        self.assertEqual(done.stderr, "")

    def test_a_standby_becomes_a_server_of_its_own(self):
        self.recovered(files={"standby.signal": b""})
        done = self.assert_started()
        self.assertIn("standby.signal.off", done.stdout)
        self.assertFalse((self.output / "data/standby.signal").exists())

    def test_the_backup_is_named(self):
        self.recovered()
        self.assertIn(BACKUP, self.assert_started().stdout)
