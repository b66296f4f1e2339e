"""What all benchmarks share: throwaway clusters, measured commands, the machine they ran on, and how a report is written."""

import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SQL = ROOT / "crates/sample/src/sql/bench"
KEY = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"


def newest_binaries():
    found = [p for p in pathlib.Path("/usr/lib/postgresql").glob("*/bin") if (p / "initdb").exists()]
    if not found:
        sys.exit("no PostgreSQL server under /usr/lib/postgresql: run `make setup`")
    return max(found, key=lambda p: int(p.parent.name))


class Cluster:
    """A throwaway cluster with the settings of an ordinary small server; fsync is on."""

    def __init__(self, parent, binaries, settings=""):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="bench-pg-", dir=parent))
        self.bin = binaries
        self.as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        if self.as_user:
            shutil.chown(self.dir, "postgres", "postgres")
        self.run([self.bin / "initdb", "-D", self.dir / "data", "-U", "bench", "-A", "trust", "-E", "UTF8",
                  "--locale=C.UTF-8"])
        with open(self.dir / "data/postgresql.conf", "a") as conf:
            conf.write(f"listen_addresses=''\nunix_socket_directories='{self.dir}'\nshared_buffers=1GB\n"
                       "max_wal_size=8GB\ncheckpoint_timeout=30min\nmaintenance_work_mem=64MB\nautovacuum=off\n"
                       + settings)
        self.start()
        self.env = dict(os.environ, PGHOST=str(self.dir), PGUSER="bench", PGPORT="5432", PATH=f"{self.bin}:{os.environ['PATH']}")

    def run(self, args, **more):
        subprocess.run(self.as_user + [str(a) for a in args], check=True, stdout=subprocess.DEVNULL, cwd=self.dir, **more)

    def start(self):
        self.run([self.bin / "pg_ctl", "-D", self.dir / "data", "-w", "-l", self.dir / "log", "start"])

    def restart(self):
        self.run([self.bin / "pg_ctl", "-D", self.dir / "data", "-w", "-l", self.dir / "log", "-m", "fast", "restart"])

    def stop(self):
        self.run([self.bin / "pg_ctl", "-D", self.dir / "data", "-w", "-m", "immediate", "stop"])
        shutil.rmtree(self.dir, ignore_errors=True)

    def url(self, database):
        return f"postgresql://bench@/{database}?host={self.dir}"

    def psql(self, database, *args):
        done = subprocess.run(["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-d", database, *args],
                              check=True, env=self.env, capture_output=True, text=True)
        return done.stdout.strip()


class Measured:
    """Wall seconds, CPU seconds and peak resident memory of the largest process (bytes) of each run of a command."""

    def __init__(self):
        self.wall, self.cpu, self.peak = [], [], []

    def run(self, command, env, cwd, statuses=(0,)):
        subprocess.run(["sync"], check=True)
        watcher = PeakMemory()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.monotonic()
        process = subprocess.Popen(command, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   shell=isinstance(command, str), executable="/bin/bash" if isinstance(command, str) else None)
        watcher.watch(process.pid)
        out, err = process.communicate()
        self.wall.append(time.monotonic() - started)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        self.peak.append(watcher.stop())
        if process.returncode not in statuses:
            sys.exit(f"{command}: status {process.returncode}\n{err.decode(errors='replace')[-2000:]}")
        return out

    def median(self):
        return statistics.median(self.wall)


class PeakMemory:
    """Reads VmHWM of one process while it lives: the peak of our own process, without its children."""

    def __init__(self):
        self.peak, self.done = 0, threading.Event()

    def watch(self, pid):
        def loop():
            while not self.done.wait(0.01):
                try:
                    with open(f"/proc/{pid}/status") as status:
                        for line in status:
                            if line.startswith("VmHWM:"):
                                self.peak = max(self.peak, int(line.split()[1]) * 1024)
                except OSError:
                    return
        self.thread = threading.Thread(target=loop, daemon=True)
        self.thread.start()

    def stop(self):
        self.done.set()
        self.thread.join()
        return self.peak


def size_of(path):
    return sum(p.stat().st_size for p in pathlib.Path(path).rglob("*") if p.is_file())


class Results:
    """Figures and targets of one benchmark, as they are printed and as they are written down."""

    def __init__(self):
        self.rows, self.facts, self.remarks = [], [], []

    def note(self, text):
        print(text, flush=True)

    def record(self, name, measured, stored=None):
        self.rows.append((name, measured, stored))
        self.note(f"{name:52} {measured.median():7.2f} s  cpu {statistics.median(measured.cpu):6.2f} s"
                  + (f"  {stored / 1e6:8.1f} MB" if stored is not None else "")
                  + f"  peak {max(measured.peak) / 2**20:5.0f} MiB")

    def target(self, text, value, limit, unit="x", at_least=False):
        met = value >= limit if at_least else value <= limit
        word = "at least" if at_least else "at most"
        self.facts.append((text, f"{value:.2f} {unit}", f"{word} {limit:g} {unit}", "met" if met else "**not met**"))
        self.note(f"  {text}: {value:.2f} {unit} ({word} {limit:g} {unit}): {'met' if met else 'NOT MET'}")

    def tables(self):
        """The figures and the targets as two tables, and the remarks."""
        lines = ["| | wall s | CPU s | stored MB | peak MiB |", "|---|---:|---:|---:|---:|"]
        for name, measured, stored in self.rows:
            size = "" if stored is None else f"{stored / 1e6:.1f}"
            lines.append(f"| {name} | {measured.median():.2f} | {statistics.median(measured.cpu):.2f} | {size} | {max(measured.peak) / 2**20:.0f} |")
        lines += ["", "| target | measured | wanted | |", "|---|---:|---:|---|"]
        lines += [f"| {text} | {value} | {wanted} | {met} |" for text, value, wanted, met in self.facts]
        lines += [f"\n{remark}" for remark in self.remarks]
        return lines


def machine():
    cpu = next(line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    return f"{os.cpu_count()} cores of {cpu}, {memory / 2**20:.0f} GiB of memory, Linux {os.uname().release}"
