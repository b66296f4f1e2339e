#!/usr/bin/env python3
"""Measures logical backup and restore against the usual tools, in one run on one machine.

Makes a throwaway cluster, loads the bench ledger, runs every tool several times and writes docs/benchmarks.md.
Every figure in that file comes from here; nothing is carried over from an earlier run.

    benches/logical.py CHRONAVAULT_BINARY [--entries 1500000] [--days 30] [--tables 20000] [--runs 3] [--out FILE]
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


class Bench(Results):
    def __init__(self, options):
        super().__init__()
        self.options = options
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="chronavault-bench-", dir=options.scratch))
        os.chmod(self.work, 0o755)
        self.cluster = Cluster(self.work, newest_binaries())

    def close(self):
        self.cluster.stop()
        shutil.rmtree(self.work, ignore_errors=True)

    def load(self):
        self.cluster.psql("postgres", "-c", "create database books template template0")
        started = time.monotonic()
        self.cluster.psql("books", "-v", f"n={self.options.entries}", "-f", str(SQL / "load.sql"))
        self.cluster.psql("books", "-c", "checkpoint")
        size = int(self.cluster.psql("books", "-c", "select pg_database_size('books')"))
        self.note(f"loaded {size / 1e6:.0f} MB in {time.monotonic() - started:.1f} s")
        self.database_bytes = size

    def peer(self, name, command, produced=None):
        measured, stored = Measured(), 0
        for _ in range(self.options.runs):
            out = self.work / "peer"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            measured.run(command, dict(self.cluster.env, OUT=str(out), KEY=KEY), out)
            stored = size_of(out)
        self.record(name, measured, stored if produced is None else produced)
        return measured, stored

    # --- our own runs

    def env(self, repository, database="books"):
        return dict(self.cluster.env, BACKUP_DIRECTORY=str(repository), BACKUP_ENCRYPTION_KEY=KEY,
                    DATABASE_URL=self.cluster.url(database), BACKUP_MAX_SIZE_GB="1000")

    def ours(self, measured, repository, *args, database="books"):
        command = [str(self.options.binary), *args, "--json"]
        return json.loads(measured.run(command, self.env(repository, database), self.work))

    def backup(self, measured, repository, database="books"):
        return self.ours(measured, repository, "backup", "--no-verify", database=database)

    def new_repository(self, name):
        repository = self.work / name
        shutil.rmtree(repository, ignore_errors=True)
        self.ours(Measured(), repository, "init")
        return repository

    def first_backups(self):
        measured = Measured()
        for _ in range(self.options.runs):
            repository = self.new_repository("repository")
            self.backup(measured, repository)
        self.first_stored = size_of(repository)
        self.record("chronavault backup, first", measured, self.first_stored)
        return repository, measured

    def change(self, day):
        added = self.options.entries // 100
        last = self.options.entries + day * added
        self.cluster.psql("books", "-v", f"first={last - added + 1}", "-v", f"last={last}", "-v", f"day={day}",
                          "-f", str(SQL / "grow.sql"))
        self.cluster.psql("books", "-c", "checkpoint")

    def restore(self, repository, backup, name, runs):
        measured = Measured()
        for _ in range(runs):
            self.cluster.psql("postgres", "-c", "drop database if exists restored", "-c", "checkpoint")
            self.ours(measured, repository, "restore", backup, "--create", "--no-checks", "--jobs", "2", "--to", self.cluster.url("restored"))
        self.record(name, measured)
        return measured

    def peer_restores(self):
        env = self.cluster.env
        dump = self.work / "dump"
        subprocess.run(["pg_dump", "-Fd", "-j2", "-f", str(dump / "d"), "books"], check=True, env=env, cwd=self.make(dump))
        with open(dump / "sql", "w") as sql:
            subprocess.run(["pg_dump", "books"], check=True, env=env, stdout=sql)
        best = None
        for name, command in [("pg_restore -j2 (of pg_dump -Fd -j2)", f"pg_restore -j2 -d restored {dump}/d"),
                              ("psql (of pg_dump)", f"psql -X -q -v ON_ERROR_STOP=1 -d restored -f {dump}/sql")]:
            measured = Measured()
            for _ in range(self.options.runs):
                self.cluster.psql("postgres", "-c", "drop database if exists restored",
                                  "-c", "create database restored template template0", "-c", "checkpoint")
                measured.run(command, env, self.work)
            self.record(name, measured)
            best = best or measured
        shutil.rmtree(dump)
        return best

    @staticmethod
    def make(path):
        path.mkdir(parents=True, exist_ok=True)
        return path


def many_tables(bench):
    """Peak memory and time with very many tables, under the server's default settings."""
    count = bench.options.tables
    bench.cluster.psql("postgres", "-c", "create database many template template0")
    for start in range(0, count, 500):
        # one transaction per 500 tables: the server's lock table is the limit here, too
        last = min(start + 500, count) - 1
        bench.cluster.psql("many", "-c", f"do $$ begin for i in {start}..{last} loop execute format('create table t_%s "
                           "(id int primary key, v text); insert into t_%s select g, g::text from generate_series(1, 3) g', i, i); "
                           "end loop; end $$")
    repository = bench.new_repository("many")
    command = [str(bench.options.binary), "backup", "--no-verify", "--json"]
    first = subprocess.run(command, env=bench.env(repository, "many"), cwd=bench.work, capture_output=True, text=True)
    if first.returncode == 1:
        error = json.loads(first.stdout)["error"]
        bench.note(f"{count} tables with default settings: {error['message']}")
        bench.remarks.append(f"{count:,} tables with the server's default settings are refused before anything is read: "
                             f"\"{error['message']}\" The figures for them are with `max_locks_per_transaction = 1024`.")
        bench.cluster.psql("postgres", "-c", "alter system set max_locks_per_transaction = 1024")
        bench.cluster.restart()
    measured = Measured()
    measured.run(command, bench.env(repository, "many"), bench.work, statuses=(0, 4))
    bench.record(f"chronavault backup, {count:,} tables", measured, size_of(repository))
    bench.target(f"peak memory, backup of {count:,} tables", max(measured.peak) / 2**20, 256, "MiB")
    bench.cluster.psql("postgres", "-c", "drop database many")


def run(bench):
    bench.load()
    limit, _ = bench.peer("pg_dump -Fd -j2 -Z0 (the server's own limit)", "pg_dump -Fd -j2 -Z0 -f $OUT/d books")
    bench.peer("pg_dump, zstd -3, openssl", "set -o pipefail; pg_dump books | zstd -3 -T2 -q | openssl enc -aes-256-ctr -K $KEY -iv 00 > $OUT/c")
    bench.peer("pg_dump -Fd -j2", "pg_dump -Fd -j2 -f $OUT/d books")
    custom, custom_bytes = bench.peer("pg_dump -Fc", "pg_dump -Fc books > $OUT/a")
    bench.peer("pg_dump, gzip, openssl, sha256sum", "pg_dump books > $OUT/b && gzip $OUT/b && openssl enc -aes-256-ctr -K $KEY -iv 00 "
               "-in $OUT/b.gz -out $OUT/b.enc && rm $OUT/b.gz && sha256sum $OUT/b.enc > $OUT/b.sha")
    repository, first = bench.first_backups()
    bench.target("first backup / pg_dump -Fd -j2 -Z0", first.median() / limit.median(), 1.3)
    bench.target("pg_dump -Fc / first backup", custom.median() / first.median(), 5, at_least=True)
    bench.target("stored / pg_dump -Fc", bench.first_stored / custom_bytes, 1.0)
    pg_restore = bench.peer_restores()
    listed = bench.ours(Measured(), repository, "list")["backups"]
    oldest = listed[-1]["id"]
    ours = bench.restore(repository, oldest, "chronavault restore", bench.options.runs)
    bench.target("restore / pg_restore -j2", ours.median() / pg_restore.median(), 0.9)
    bench.target("peak memory, backup", max(first.peak) / 2**20, 256, "MiB")
    bench.target("peak memory, restore", max(ours.peak) / 2**20, 256, "MiB")
    days(bench, repository, limit, ours)
    many_tables(bench)


def days(bench, repository, limit, full_restore):
    second, last_id = None, None
    for day in range(1, bench.options.days + 1):
        bench.change(day)
        before = size_of(repository)
        measured = Measured()
        last_id = bench.backup(measured, repository)["id"]
        added = size_of(repository) - before
        if day == 1:
            again = Measured()
            for _ in range(bench.options.runs):
                out = bench.make(bench.work / "peer")
                shutil.rmtree(out / "d", ignore_errors=True)
                again.run("pg_dump -Fd -j2 -Z0 -f $OUT/d books", dict(bench.cluster.env, OUT=str(out)), out)
            shutil.rmtree(bench.work / "peer")
            second = measured
            bench.record("chronavault backup, second", measured, added)
            bench.record("pg_dump -Fd -j2 -Z0 of the changed database", again)
            bench.target("second backup / pg_dump -Fd -j2 -Z0", second.median() / again.median(), 1.2)
            bench.target("second stored / first stored", 100 * added / bench.first_stored, 4, "%")
        else:
            bench.note(f"day {day}: {measured.median():.2f} s, {added / 1e6:.2f} MB")
    total = size_of(repository)
    bench.target(f"{bench.options.days} daily backups after the first / first", total / bench.first_stored, 2.2)
    listed = bench.ours(Measured(), repository, "list")["backups"]
    oldest_daily = listed[-2]["id"]
    measured = bench.restore(repository, oldest_daily, f"chronavault restore, oldest of {bench.options.days} daily backups", bench.options.runs)
    bench.target("speed of the oldest daily restore / full restore", full_restore.median() / measured.median(), 0.8, at_least=True)
    bench.restore(repository, last_id, "chronavault restore, newest daily backup", 1)


def report(bench):
    version = subprocess.run([bench.cluster.bin / "postgres", "--version"], capture_output=True, text=True).stdout.strip()
    lines = ["# Benchmarks", "",
             "Written by `make bench`; every figure comes from one run on one machine.", "",
             f"- Date: {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}",
             f"- Machine: {machine()}", f"- Server: {version}, on the same machine, over a unix socket",
             f"- Database: the bench ledger with {bench.options.entries:,} journal entries, {bench.database_bytes / 1e6:.0f} MB",
             f"- Wall time is the median of {bench.options.runs} runs (daily backups: one each). CPU is that of the tool without the server.",
             "- Peak memory is that of the tool's first process.", ""]
    lines += bench.tables()
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--entries", type=int, default=1_500_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--tables", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scratch", default=None, help="directory for the cluster and repositories")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs/benchmarks.md")
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    bench = Bench(options)
    try:
        run(bench)
        options.out.write_text(report(bench))
        print(f"wrote {options.out}")
    finally:
        bench.close()


if __name__ == "__main__":
    main()
