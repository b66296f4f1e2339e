#!/usr/bin/env python3
"""Measures archiving and fetching WAL against pgBackRest and cp, in one run on one machine.

Makes a throwaway cluster, writes real WAL with the bench ledger, stops the server, and then does what its archiver and its
startup process would do: one call of the command for each segment, in order. Writes docs/benchmarks-wal.md. Every figure in
that file comes from here; nothing is carried over from an earlier run.

    benches/wal.py CHRONAVAULT_BINARY [--entries 300000] [--segments 48] [--runs 3] [--out FILE]
"""

import argparse
import datetime
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

from rig import KEY, ROOT, SQL, Cluster, Measured, Results, machine, newest_binaries, size_of

# What one call of restore_command leaves a server to replay; the time of a segment that is replayed fast.
REPLAY_SECONDS = 0.05

ARCHIVER = r"""
set -eu
cd "$DATA"
for segment in $SEGMENTS; do
    eval "$COMMAND"
    mv "pg_wal/archive_status/$segment.ready" "pg_wal/archive_status/$segment.done"
done
"""


class Bench(Results):
    def __init__(self, options):
        super().__init__()
        self.options = options
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="chronavault-bench-", dir=options.scratch))
        os.chmod(self.work, 0o755)
        settings = "archive_mode=on\narchive_command='false'\nwal_level=replica\n"
        self.cluster = Cluster(self.work, newest_binaries(), settings)
        self.data = self.cluster.dir / "data"
        self.peer = self.work / "pgbackrest"
        self.repository = self.work / "repository"

    def close(self):
        # The server was stopped before anything was measured.
        shutil.rmtree(self.work, ignore_errors=True)

    def own(self, path):
        if self.cluster.as_user:
            subprocess.run(["chown", "-R", "postgres:postgres", str(path)], check=True)

    def write_wal(self):
        self.cluster.psql("postgres", "-c", "create database books template template0")
        self.cluster.psql("books", "-v", f"n={self.options.entries}", "-f", str(SQL / "load.sql"))
        while len(self.segments()) <= self.options.segments:
            self.cluster.psql("books", "-c", "update journal_lines set description = md5(id::text) where id % 7 = 0",
                              "-c", "select pg_switch_wal()")
        self.configure_peer()
        self.run(["pgbackrest", *self.peer_options(), "stanza-create"])
        self.cluster.run([self.cluster.bin / "pg_ctl", "-D", self.data, "-w", "-m", "fast", "stop"])
        self.names = self.segments()[: self.options.segments]
        self.bytes = sum((self.data / "pg_wal" / name).stat().st_size for name in self.names)
        self.note(f"{len(self.names)} segments, {self.bytes / 1e6:.0f} MB")

    def segments(self):
        ready = (path.name[: -len(".ready")] for path in (self.data / "pg_wal/archive_status").glob("*.ready"))
        return sorted(name for name in ready if len(name) == 24)

    def configure_peer(self):
        for name in ("log", "lock", "spool", "repo"):
            (self.peer / name).mkdir(parents=True, exist_ok=True)
        (self.peer / "config").write_text(f"""[global]
repo1-path={self.peer}/repo
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=bench-only
log-path={self.peer}/log
spool-path={self.peer}/spool
lock-path={self.peer}/lock
process-max=2
compress-type=zst
compress-level=3
log-level-console=warn
[books]
pg1-path={self.data}
pg1-socket-path={self.cluster.dir}
pg1-user=bench
""")
        self.own(self.peer)

    def peer_options(self):
        return [f"--config={self.peer}/config", "--stanza=books"]

    def run(self, command, **more):
        return subprocess.run(self.cluster.as_user + [str(word) for word in command], check=True, env=self.env(), **more)

    def env(self, **more):
        return dict(self.cluster.env, BACKUP_DIRECTORY=str(self.repository), BACKUP_ENCRYPTION_KEY=KEY, **more)

    def new_repository(self):
        shutil.rmtree(self.repository, ignore_errors=True)
        self.repository.mkdir(mode=0o700)
        self.own(self.repository)
        self.run([self.options.binary, "init", "--quiet"], stdout=subprocess.DEVNULL)

    def empty_peer(self):
        for path in (self.peer / "repo/archive").glob("books/*/*"):
            if path.is_dir():
                shutil.rmtree(path)
        shutil.rmtree(self.peer / "spool")
        self.configure_peer()

    # --- pushing

    def archive(self, name, command, prepare):
        """What the archiver does with one call for each segment."""
        measured = Measured()
        for _ in range(self.options.runs):
            prepare()
            for segment in self.names:
                done = self.data / f"pg_wal/archive_status/{segment}.done"
                if done.exists():
                    done.rename(done.with_suffix(".ready"))
            env = self.env(COMMAND=command, DATA=str(self.data), SEGMENTS=" ".join(self.names))
            measured.run(self.cluster.as_user + ["bash", "-c", ARCHIVER], env, self.cluster.dir)
        stored = size_of(self.peer / "repo") if "pgbackrest" in command else size_of(self.repository)
        self.record(name, measured, stored)
        self.note(f"{'':52} {len(self.names) / measured.median():7.1f} segments/s")
        return len(self.names) / measured.median()

    def pushes(self):
        program = str(self.options.binary)
        peer = "pgbackrest " + " ".join(self.peer_options()) + ' archive-push "pg_wal/$segment"'
        theirs = self.archive("pgbackrest archive-push", peer, self.empty_peer)
        alone = f'{program} wal push --ahead 0 "pg_wal/$segment"'
        self.archive("chronavault wal push --ahead 0", alone, self.new_repository)
        ours = self.archive("chronavault wal push", f'{program} wal push "pg_wal/$segment"', self.new_repository)
        again = self.archive("chronavault wal push, archived already", f'{program} wal push "pg_wal/$segment"', lambda: None)
        self.target("segments/s / pgbackrest archive-push", ours / theirs, 3, at_least=True)
        self.remarks.append(
            f"Segments a second: {ours:.1f}; of segments that were archived already: {again:.1f}; pgbackrest {theirs:.1f}."
        )

    # --- fetching

    def recovery(self):
        """A directory that looks like that of a recovering server."""
        place = self.work / "recovery"
        shutil.rmtree(place, ignore_errors=True)
        (place / "pg_wal").mkdir(parents=True)
        (place / "global").mkdir()
        shutil.copy(self.data / "global/pg_control", place / "global")
        self.own(place)
        return place

    def fetch(self, name, command, pause):
        """Seconds of each call, in the order of the segments, with `pause` seconds for the replay between them."""
        times, place = [], self.recovery()
        for segment in self.names:
            script = command.replace("%f", segment).replace("%p", "pg_wal/RECOVERYXLOG")
            words = [*self.cluster.as_user, "sh", "-c", script]
            # As the server does: what it has restored gets another name, and there is nothing at the place for the next.
            (place / "pg_wal/RECOVERYXLOG").unlink(missing_ok=True)
            started = time.monotonic()
            subprocess.run(words, check=True, env=self.env(), cwd=place)
            times.append(time.monotonic() - started)
            time.sleep(pause)
        median = statistics.median(times)
        self.fetched.append((name, median, statistics.mean(times), max(times)))
        self.note(f"{name:52} median {1000 * median:6.1f} ms, mean {1000 * statistics.mean(times):6.1f} ms a segment")
        return median

    def fetches(self):
        self.fetched = []
        program = str(self.options.binary)
        self.new_repository()
        self.fill()
        copies = min(self.fetch("cp", f"cp {self.data}/pg_wal/%f %p", REPLAY_SECONDS) for _ in range(self.options.runs))
        self.fetch("chronavault wal fetch --ahead 0", f"{program} wal fetch --ahead 0 %f %p", REPLAY_SECONDS)
        ours = min(self.fetch("chronavault wal fetch", f"{program} wal fetch %f %p", REPLAY_SECONDS) for _ in range(self.options.runs))
        self.fetch("chronavault wal fetch, without a pause", f"{program} wal fetch %f %p", 0)
        self.target("fetch of a segment / cp of it (medians)", ours / copies, 1)

    def fill(self):
        for segment in self.names:
            self.run([self.options.binary, "wal", "push", f"pg_wal/{segment}"], cwd=self.data)

    def report(self):
        version = subprocess.run([self.cluster.bin / "postgres", "--version"], capture_output=True, text=True).stdout.strip()
        peer = subprocess.run(["pgbackrest", "version"], capture_output=True, text=True).stdout.strip()
        lines = [
            "# Benchmarks of the WAL archive", "",
            "Written by `make bench`; every figure comes from one run on one machine.", "",
            f"- Date: {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}",
            f"- Machine: {machine()}",
            f"- WAL: {len(self.names)} segments of 16 MiB that {version} wrote, {self.bytes / 1e6:.0f} MB",
            f"- Peer: {peer}, zst level 3, aes-256-cbc, process-max 2",
            "- One call of the command for each segment, in order, as the server makes them. Everything is synced.",
            f"- Fetching: {1000 * REPLAY_SECONDS:.0f} ms between two calls stand for the replay of a segment.", "",
            *self.tables(), "",
            "| one segment | median ms | mean ms | most ms |", "|---|---:|---:|---:|",
        ]  # fmt: skip
        lines += [f"| {name} | {1000 * median:.1f} | {1000 * mean:.1f} | {1000 * most:.1f} |" for name, median, mean, most in self.fetched]
        return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--entries", type=int, default=300_000)
    parser.add_argument("--segments", type=int, default=48)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scratch", default=None, help="directory for the cluster and repositories")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs/benchmarks-wal.md")
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    bench = Bench(options)
    try:
        bench.write_wal()
        bench.pushes()
        bench.fetches()
        options.out.write_text(bench.report())
        print(f"wrote {options.out}")
    finally:
        bench.close()


if __name__ == "__main__":
    main()
