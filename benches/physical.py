#!/usr/bin/env python3
"""Measures physical backup and restore against pgBackRest and pg_basebackup, in one run on one machine.

Makes a throwaway cluster, loads the bench ledger, runs every tool several times and writes docs/benchmarks-physical.md.
Every figure in that file comes from here; nothing is carried over from an earlier run.

    benches/physical.py CHRONAVAULT_BINARY [--entries 1500000] [--runs 3] [--out FILE]
"""

import argparse
import datetime
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from rig import KEY, ROOT, SQL, Cluster, Measured, Results, machine, newest_binaries, size_of

# pgBackRest of Debian 12 stands in for its current version, which took this much of its time where both were measured
# side by side: full 0.69, unchanged 0.17, restore 0.87.
LIMIT_FULL, LIMIT_UNCHANGED, LIMIT_CHANGED, LIMIT_RESTORE = 0.48, 0.17, 0.4, 0.7
LIMIT_CHANGED_MB = 5


class Bench(Results):
    def __init__(self, options):
        super().__init__()
        self.options = options
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="chronavault-bench-", dir=options.scratch))
        os.chmod(self.work, 0o755)
        self.cluster = Cluster(self.work, newest_binaries(), "archive_mode=on\narchive_command='true'\n")
        self.peer = self.work / "pgbackrest"
        self.configure_peer()

    def close(self):
        self.cluster.stop()
        shutil.rmtree(self.work, ignore_errors=True)

    def load(self):
        self.cluster.psql("postgres", "-c", "create database books template template0")
        started = time.monotonic()
        self.cluster.psql("books", "-v", f"n={self.options.entries}", "-f", str(SQL / "load.sql"))
        self.cluster.psql("books", "-c", "vacuum analyze", "-c", "checkpoint")
        size = int(self.cluster.psql("books", "-c", "select sum(pg_database_size(oid)) from pg_database"))
        self.note(f"loaded {size / 1e6:.0f} MB in {time.monotonic() - started:.1f} s")
        self.cluster_bytes = size

    # --- pgBackRest

    def configure_peer(self):
        for name in ("log", "lock", "spool", "repo"):
            (self.peer / name).mkdir(parents=True)
        config = self.peer / "config"
        config.write_text(f"""[global]
repo1-path={self.peer}/repo
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=bench-only
repo1-retention-full=10
log-path={self.peer}/log
spool-path={self.peer}/spool
lock-path={self.peer}/lock
process-max=2
compress-type=zst
compress-level=3
start-fast=y
repo1-bundle=y
log-level-console=warn
[books]
pg1-path={self.cluster.dir}/data
pg1-socket-path={self.cluster.dir}
pg1-user=bench
""")
        self.own(self.peer)
        self.pgbackrest = ["pgbackrest", f"--config={config}", "--stanza=books"]
        command = " ".join(self.pgbackrest)
        self.cluster.psql("postgres", "-c", f"alter system set archive_command = '{command} archive-push %p'",
                          "-c", "select pg_reload_conf()")
        self.peer_run("stanza-create")

    def own(self, path):
        if self.cluster.as_user:
            subprocess.run(["chown", "-R", "postgres:postgres", str(path)], check=True)

    def peer_run(self, *args, measured=None):
        measured = measured or Measured()
        measured.run(self.cluster.as_user + self.pgbackrest + list(args), self.cluster.env, self.cluster.dir)
        return measured

    def peer_stored(self):
        return size_of(self.peer / "repo/backup/books")

    # --- our own runs

    def ours(self, measured, repository, *args, statuses=(0,)):
        env = dict(self.cluster.env, BACKUP_DIRECTORY=str(repository), BACKUP_ENCRYPTION_KEY=KEY,
                   DATABASE_URL=self.cluster.url("books"), BACKUP_MAX_SIZE_GB="1000")
        return json.loads(measured.run([str(self.options.binary), *args, "--json"], env, self.work, statuses))

    def backup(self, measured, repository, *args):
        return self.ours(measured, repository, "backup", "--kind", "physical", "--no-verify", *args)

    def new_repository(self, name):
        repository = self.work / name
        shutil.rmtree(repository, ignore_errors=True)
        self.ours(Measured(), repository, "init")
        return repository

    def change(self, turn):
        self.cluster.psql("books", "-c", f"update journal_lines set description = 'turn {turn}' where id % 400 = {turn}",
                          "-c", "checkpoint")

    def restored(self):
        path = self.work / "restored"
        shutil.rmtree(path, ignore_errors=True)
        return path


def full(bench):
    runs = bench.options.runs
    peer = Measured()
    for _ in range(runs):
        before = bench.peer_stored() if (bench.peer / "repo/backup/books").exists() else 0
        bench.peer_run("backup", "--type=full", measured=peer)
        peer_stored = bench.peer_stored() - before
    bench.record("pgbackrest, full, zstd 3", peer, peer_stored)
    plain = Measured()
    for _ in range(runs):
        target = bench.restored()
        plain.run(bench.cluster.as_user + ["pg_basebackup", "-D", str(bench.cluster.dir / "plain"), "-c", "fast", "-X", "fetch"],
                  bench.cluster.env, bench.cluster.dir)
        shutil.rmtree(bench.cluster.dir / "plain")
        del target
    bench.record("pg_basebackup, plain", plain)
    results = {}
    for method, name in [("data-directory", "chronavault backup, data directory"),
                         ("base-backup", "chronavault backup, replication protocol")]:
        measured = Measured()
        for _ in range(runs):
            repository = bench.new_repository(method)
            bench.backup(measured, repository, "--method", method)
        stored = size_of(repository)
        bench.record(name, measured, stored)
        results[method] = (repository, measured, stored)
    repository, ours, stored = results["data-directory"]
    bench.target("full / pgbackrest", ours.median() / peer.median(), LIMIT_FULL)
    bench.target("full over the network protocol / pgbackrest", results["base-backup"][1].median() / peer.median(), LIMIT_FULL)
    bench.target("stored / pgbackrest", stored / peer_stored, 1.0)
    bench.target("peak memory, backup", max(ours.peak) / 2**20, 256, "MiB")
    return repository, results["base-backup"][0]


def unchanged(bench, repository, other):
    peer, ours, network = Measured(), Measured(), Measured()
    for _ in range(bench.options.runs):
        bench.peer_run("backup", "--type=incr", measured=peer)
        bench.backup(ours, repository, "--method", "data-directory")
        bench.backup(network, other, "--method", "base-backup")
    bench.record("pgbackrest, incremental, unchanged", peer)
    bench.record("chronavault backup, unchanged, data directory", ours)
    bench.record("chronavault backup, unchanged, replication protocol", network)
    bench.target("unchanged / pgbackrest", ours.median() / peer.median(), LIMIT_UNCHANGED)


def changed(bench, repository):
    peer, ours = Measured(), Measured()
    stored = peer_stored = 0
    for turn in range(1, bench.options.runs + 1):
        bench.change(turn)
        before = bench.peer_stored()
        bench.peer_run("backup", "--type=incr", measured=peer)
        peer_stored = max(peer_stored, bench.peer_stored() - before)
        before = size_of(repository)
        bench.backup(ours, repository, "--method", "data-directory")
        stored = max(stored, size_of(repository) - before)
    bench.record("pgbackrest, incremental, 0.25 % of rows changed", peer, peer_stored)
    bench.record("chronavault backup, 0.25 % of rows changed", ours, stored)
    bench.target("0.25 % changed / pgbackrest", ours.median() / peer.median(), LIMIT_CHANGED)
    bench.target("0.25 % changed, stored", stored / 1e6, LIMIT_CHANGED_MB, "MB")


def restore(bench, repository):
    peer, ours, delta = Measured(), Measured(), Measured()
    for _ in range(bench.options.runs):
        target = bench.restored()
        target.mkdir(mode=0o700)
        bench.own(target)
        bench.peer_run("restore", f"--pg1-path={target}", "--type=immediate", measured=peer)
        target = bench.restored()
        bench.ours(ours, repository, "restore", "latest", "--data-dir", str(target), "--immediate", "--jobs", "2")
        bench.ours(delta, repository, "restore", "latest", "--data-dir", str(target), "--immediate", "--jobs", "2", "--delta")
    bench.restored()
    bench.record("pgbackrest restore", peer)
    bench.record("chronavault restore", ours)
    bench.record("chronavault restore --delta, nothing to do", delta)
    bench.target("restore / pgbackrest", ours.median() / peer.median(), LIMIT_RESTORE)
    bench.target("peak memory, restore", max(ours.peak) / 2**20, 256, "MiB")


def report(bench):
    version = subprocess.run([bench.cluster.bin / "postgres", "--version"], capture_output=True, text=True).stdout.strip()
    peer = subprocess.run(["pgbackrest", "version"], capture_output=True, text=True).stdout.strip()
    lines = ["# Benchmarks of physical backups", "",
             "Written by `make bench`; every figure comes from one run on one machine.", "",
             f"- Date: {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}",
             f"- Machine: {machine()}", f"- Server: {version}, on the same machine, over a unix socket",
             f"- Peer: {peer}, 2 processes, zstd level 3, AES-256; ours: 2 threads, zstd level 1, AES-256-GCM",
             f"- Cluster: the bench ledger with {bench.options.entries:,} journal entries, {bench.cluster_bytes / 1e6:.0f} MB",
             f"- Wall time is the median of {bench.options.runs} runs, each after `sync`. CPU is that of the tool without the server.",
             "- Peak memory is that of the tool's first process.", ""]
    return "\n".join(lines + bench.tables()) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--entries", type=int, default=1_500_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scratch", default=None, help="directory for the cluster and repositories")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs/benchmarks-physical.md")
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    bench = Bench(options)
    try:
        bench.load()
        repository, other = full(bench)
        unchanged(bench, repository, other)
        changed(bench, repository)
        restore(bench, repository)
        options.out.write_text(report(bench))
        print(f"wrote {options.out}")
    finally:
        bench.close()


if __name__ == "__main__":
    main()
