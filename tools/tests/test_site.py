"""recover_site.py: what it writes of the documents of a site, and what it refuses (docs/format.md, section 21)."""

import hashlib
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

from tools import recover, recover_site
from tools.tests.running import RECOVER, RecoverTest
from tools.tests.sealing import BACKUP, HOLDER_KEY, Container, Sample
from tools.tests.test_vectors import KEYS, VECTORS

NAMES = [f"2026-11-2{day}-120000-abc123" for day in range(5)]
PATH = "/etc/chronavault/chronavault.toml"


def site_of(host, path=PATH):
    return hashlib.sha256(f"{host}\n{path or ''}".encode()).hexdigest()[:16]


class SiteTest(RecoverTest):
    def setUp(self):
        super().setUp()
        self.owner = self.repository()

    def put(self, name, text, kind="configuration", host="db1", path=PATH, key=None, header=None, **changed):
        document = {"name": name, "version": 1, "kind": kind, "written_at": "2026-11-23T12:00:00Z", "host": host}
        document.update({"path": path, "tool_version": "0.1.0", "facts": {"user": "postgres"}, "text": text, **changed})
        container = Container(self.owner, b"CHRVSITE", **(header or {}))
        container.full(json.dumps(document).encode(), 9)
        key = key or f"site/{site_of(host, path)}/{name}.{kind}"
        self.owner.put(key, container.finish())
        return key

    def run_site(self, *options, key=HOLDER_KEY.hex()):
        arguments = [str(self.directory / "repository"), str(self.output), *options]
        stdout, stderr = io.StringIO(), io.StringIO()
        variables = {"BACKUP_ENCRYPTION_KEY": key}
        with mock.patch.dict(os.environ, variables), redirect_stdout(stdout), redirect_stderr(stderr):
            status = recover_site.main(arguments)
        return status, stdout.getvalue(), stderr.getvalue()

    def written(self):
        return {str(path.relative_to(self.output)): path.read_text() for path in self.output.rglob("*") if path.is_file()}


class Writing(SiteTest):
    def test_the_newest_of_each_kind_and_site_comes_out(self):
        for name, text in zip(NAMES, ("one", "two", "three …\n")):
            self.put(name, text)
        self.put(NAMES[0], "# Runbook\n", kind="runbook")
        self.put(NAMES[3], "other", host="../evil host", path=None)
        self.owner.put(f"site/{site_of('db1')}/notes", b"not ours")
        self.owner.put("site/notes/x", b"not ours")
        status, out, err = self.run_site()
        self.assertEqual((status, err), (0, ""))
        first, second = f"db1-{site_of('db1')}", f"_evil_host-{site_of('../evil host', None)}"
        written = self.written()
        facts = json.loads(written.pop(f"{first}/facts.json"))
        self.assertEqual((facts["host"], facts["path"], facts["facts"]), ("db1", PATH, {"user": "postgres"}))
        self.assertEqual(facts["sha256"], hashlib.sha256("three …\n".encode()).hexdigest())
        self.assertNotIn("text", facts)
        written.pop(f"{second}/facts.json")
        expected = {f"{first}/chronavault.toml": "three …\n", f"{first}/runbook.md": "# Runbook\n"}
        self.assertEqual(written, {**expected, f"{second}/chronavault.toml": "other"})
        self.assertEqual((self.output / first / "runbook.md").stat().st_mode & 0o777, 0o600)
        self.assertIn("written at 2026-11-23T12:00:00Z", out)

    def test_one_host_alone(self):
        self.put(NAMES[0], "one")
        self.put(NAMES[1], "two", host="db2")
        self.assertEqual(self.run_site("--host", "db1")[0], 0)
        self.assertEqual({path.split("/")[0] for path in self.written()}, {f"db1-{site_of('db1')}"})

    def test_it_runs_alone(self):
        self.put(NAMES[0], "one")
        arguments = [str(self.directory / "repository"), str(self.output)]
        command = [sys.executable, str(RECOVER.with_name("recover_site.py")), *arguments]
        environment = {"PATH": os.environ["PATH"], "BACKUP_ENCRYPTION_KEY": HOLDER_KEY.hex()}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd="/")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.written()[f"db1-{site_of('db1')}/chronavault.toml"], "one")

    def test_a_backup_beside_documents_is_recovered_as_ever(self):
        Sample(self.owner).put()
        self.put(NAMES[0], "one")
        self.assertEqual(self.run_recover(backup=BACKUP).returncode, 0)


class Refusing(SiteTest):
    def refused(self, *words, status=recover.EXIT_DAMAGED, **options):
        found, out, said = self.run_site(**options)
        self.assertEqual((found, out), (status, ""), said)
        for word in words:
            self.assertIn(word, said)
        self.assertFalse(self.output.exists())

    def test_there_must_be_a_document_of_the_host(self):
        self.refused("has no document", status=recover.EXIT_MISSING)

    def test_the_key_must_be_one_of_the_repository(self):
        self.put(NAMES[0], "one")
        self.refused(status=recover.EXIT_WRONG_KEY, key="ab" * 32)

    def test_a_document_is_bound_to_its_key(self):
        site = site_of("db1")
        for key in (f"site/{site}/{NAMES[1]}.configuration", f"site/{site}/{NAMES[0]}.runbook",
                    f"site/{site_of('db2')}/{NAMES[0]}.configuration"):  # fmt: skip
            self.put(NAMES[0], "one", key=key)
            self.refused("of another place")
            (self.owner.directory / key).unlink()

    def test_what_is_not_known_is_refused(self):
        cases = [{"version": 2}, {"path": 7}, {"text": None}, {"header": {"version": 2}}, {"header": {"suite": 2}}]
        for case in cases:
            key = self.put(NAMES[0], **{"text": "one", **case})
            self.refused("site/")
            (self.owner.directory / key).unlink()

    def test_a_damaged_document_is_named_and_the_one_before_it_is_written(self):
        self.put(NAMES[0], "one")
        key = self.put(NAMES[1], "two")
        whole = (self.owner.directory / key).read_bytes()
        for at in (0, 8, 12, 20, 40, 64, 80, 130, len(whole) - 1):
            changed = bytearray(whole)
            changed[at] ^= 1
            (self.owner.directory / key).write_bytes(changed)
            self.output = self.directory / f"out-{at}"
            status, _, said = self.run_site()
            self.assertEqual(status, recover.EXIT_DAMAGED, at)
            self.assertIn(f"passed over: {key}", said)
            self.assertEqual(self.written()[f"db1-{site_of('db1')}/chronavault.toml"], "one")


class Golden(SiteTest):
    def test_the_document_of_the_vectors(self):
        golden = VECTORS["site_document"]
        _, site, file = golden["key"].split("/")
        store = recover.Store(str(self.owner.directory))
        self.owner.put(golden["key"], bytes.fromhex(golden["bytes"]))
        self.assertEqual(recover_site.read(store, KEYS, site, file).text, golden["text"])
        self.owner.put(golden["key"], bytes.fromhex(golden["newer"]))
        with self.assertRaisesRegex(recover.Failure, "version"):
            recover_site.read(store, KEYS, site, file)
