"""Physical backups: what recover.py writes, and the rules of docs/format.md for lists of files and regions."""

import json
import os
import shutil
import stat

from tools import recover
from tools.tests.running import RecoverTest
from tools.tests.sealing import BACKUP, CLUSTER_FILES, REGION, SEGMENT_BYTES, Container, entry

TABLESPACE_FILE = "pg_tblspc/16385/PG_15_202209061/5/16390"


class WholeClusters(RecoverTest):
    def recovered(self, sample, **options):
        sample.put(**options)
        done = self.run_recover()
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def files(self):
        """Every file that was written, by its name below OUT_DIR."""
        found = (os.path.join(top, name) for top, _, names in os.walk(self.output) for name in names)
        return {os.path.relpath(path, self.output): path for path in found if not os.path.islink(path)}

    def test_every_file_comes_out_whole(self):
        done = self.recovered(self.cluster())
        expected = {f"data/{path}": content for path, content in CLUSTER_FILES.items()}
        expected["tablespaces/16385/PG_15_202209061/5/16390"] = expected.pop(f"data/{TABLESPACE_FILE}")
        space = os.path.realpath(self.output / "tablespaces/16385")
        expected["data/tablespace_map"] = f"16385 {space}\n".encode()
        files = self.files()
        self.assertEqual(set(files), {*expected, "start.sh"})
        for name, content in expected.items():
            self.assertEqual((self.output / name).read_bytes(), content, name)
        link = self.output / "data/pg_tblspc/16385"
        self.assertEqual(os.readlink(link), space)
        self.assertEqual((self.output / "data" / TABLESPACE_FILE).read_bytes(), CLUSTER_FILES[TABLESPACE_FILE])
        self.assertTrue((self.output / "data/pg_notify").is_dir())
        self.assertIn("PostgreSQL 15", done.stdout)
        self.assertNotIn("WARNING", done.stdout)
        self.assertIn("start.sh", done.stdout)

    def test_chunk_ids_are_verified_when_asked(self):
        self.cluster(files=self.small()).put(self.without_tablespaces)
        self.assertEqual(self.run_recover("--verify-ids").returncode, 0)

    def small(self, **more):
        """As few files as there can be."""
        names = ("PG_VERSION", "backup_label", "global/pg_control", "pg_wal/000000010000000000000002")
        return {**{name: CLUSTER_FILES[name] for name in names}, **more}

    @staticmethod
    def without_tablespaces(manifest):
        manifest["physical"]["tablespaces"] = []

    def test_without_tablespaces(self):
        self.recovered(self.cluster(files=self.small()), change=self.without_tablespaces)
        self.assertFalse((self.output / "tablespaces").exists())

    def test_modes_are_kept_but_never_looser(self):
        sample = self.cluster()
        modes = {"PG_VERSION": 0o644, "base/5/1259": 0o6777, "base/5/1249": 0o400, "base/5/empty": 0o640}
        for line in sample.lines:
            line["mode"] = modes.get(line["path"], line["mode"])
        self.recovered(sample)

        def mode(name):
            return stat.S_IMODE((self.output / name).stat().st_mode)

        kept = {"PG_VERSION": 0o640, "base/5/1259": 0o640, "base/5/1249": 0o400, "base/5/empty": 0o640}
        for name, expected in {**kept, "global/pg_control": 0o600, "pg_wal": 0o750, "base": 0o750}.items():
            self.assertEqual(mode(f"data/{name}"), expected, name)
        for name in ("", "data", "data/base/5", "data/pg_notify", "tablespaces", "tablespaces/16385", "start.sh"):
            self.assertEqual(mode(name), 0o700, name)

    def test_a_directory_may_come_after_what_is_in_it(self):
        sample = self.cluster()
        sample.lines.sort(key=lambda line: "bytes" not in line)
        sample.lines.append({"path": "pg_tblspc/16385", "mode": 0o750})
        self.recovered(sample)
        self.assertEqual(stat.S_IMODE((self.output / "data/base").stat().st_mode), 0o750)
        self.assertEqual(stat.S_IMODE((self.output / "tablespaces/16385").stat().st_mode), 0o750)

    def test_a_tablespace_in_place_is_a_directory_like_any_other(self):
        more = {"pg_tblspc/16400/PG_15_202209061/5/1": b"x"}
        self.recovered(self.cluster(files=self.small(**more)), change=self.without_tablespaces)
        self.assertEqual((self.output / "data/pg_tblspc/16400/PG_15_202209061/5/1").read_bytes(), b"x")
        self.assertFalse((self.output / "data/pg_tblspc/16400").is_symlink())

    def test_the_control_file_comes_last(self):
        names, kept = [], recover.Output.file

        def record(output, name, pieces, mode=0o600):
            names.append(name)
            kept(output, name, pieces, mode)

        self.addCleanup(setattr, recover.Output, "file", kept)
        recover.Output.file = record
        self.recovered(self.cluster())
        self.assertEqual(names[-2:], ["data/tablespace_map", "data/global/pg_control"])
        self.assertEqual(len(names), len(CLUSTER_FILES))

    def test_an_awkward_directory_is_escaped_in_the_tablespace_map(self):
        self.output = self.directory / "back\\slash new\nline"
        self.recovered(self.cluster())
        written = (self.output / "data/tablespace_map").read_bytes()
        place = os.fsencode(os.path.realpath(self.output / "tablespaces/16385"))
        self.assertEqual(written, b"16385 " + place.replace(b"\\", b"\\\\").replace(b"\n", b"\\\n") + b"\n")

    def test_a_map_with_an_escaped_newline_has_no_line_more(self):
        content = b"16385 /srv/new\\\n16386 line\n"
        self.recovered(self.cluster(files={**CLUSTER_FILES, "tablespace_map": content}))

    def test_many_names_are_looked_at_in_parts(self):
        self.addCleanup(setattr, recover, "NAMES_AT_ONCE_BYTES", recover.NAMES_AT_ONCE_BYTES)
        recover.NAMES_AT_ONCE_BYTES = 100
        self.recovered(self.cluster())
        shutil.rmtree(self.output)
        sample = self.cluster("repository")
        sample.lines.append(sample.lines[0])
        sample.put()
        self.assert_fails(4, "'pg_notify' twice")

    def test_bad_pages_are_said(self):
        def change(manifest):
            pages = [{"path": "base/5/1259", "block": block} for block in range(25)]
            manifest["physical"].update(bad_pages=pages, bad_page_count=1030)

        done = self.recovered(self.cluster(), change=change)
        self.assertIn("WARNING: 1030 pages", done.stdout)
        self.assertIn("block 19 of 'base/5/1259'\n  and 1010 more", done.stdout)

    def test_the_proof_is_said(self):
        sample = self.cluster().put()
        manifest = recover.hashlib.sha256((sample.repository.directory / f"{BACKUP}.manifest").read_bytes())
        proof = {"version": 1, "backup": BACKUP, "manifest_sha256": manifest.hexdigest(), "level": "restore"}
        container = Container(sample.repository, b"CHRVPROF")
        proof.update(outcome="proven", at="2026-11-23T13:00:00Z")
        container.full(json.dumps(proof).encode(), 5)
        sample.repository.put(f"proofs/{BACKUP}/2026-11-23-130000-0000aa.proof", container.finish())
        self.assertIn("proven (level restore)", self.run_recover().stdout)


class Lists(RecoverTest):
    """What is refused before the first byte is written."""

    def assert_refused(self, sample, *words, status=4, **options):
        sample.put(**options)
        self.assert_fails(status, *words)

    def with_line(self, *added, **changes):
        """A sample with more lines, and changes of the line of `path`."""
        sample = self.cluster()
        for line in sample.lines:
            if line["path"] == changes.get("of"):
                line.update({name: value for name, value in changes.items() if name != "of"})
        sample.lines[:0] = added
        return sample

    def test_no_path_leads_out(self):
        escapes = (
            "../x", "/etc/passwd", "a/../../x", "..", ".", "a/./b", "a//b", "a/", "", "/", "pg_tblspc/../../x",
            "pg_tblspc/16385/../../../x", "a\nb", "a\x7fb", "a\x85b", "\x1f", "a\0b", "half \ud83d",
        )  # fmt: skip
        for path in escapes:
            text = json.dumps({"path": path, "mode": 0o700}).encode() + b"\n"
            sample = self.cluster()
            sample.put(text=text + sample.text())
            self.assert_fails(4, "line 1 of the list of files")
        for path in ("..x", "...", "a/..b", "a b", "~", "$HOME", "-rf"):
            self.with_line({"path": path, "mode": 0o700}).put()
            done = self.run_recover()
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue((self.output / "data" / path).is_dir())
            shutil.rmtree(self.output)

    def test_a_link_of_a_tablespace_is_not_written_through(self):
        for path in ("pg_tblspc/16385", "pg_tblspc"):
            self.assert_refused(self.with_line({"path": path, "mode": 0o600, "bytes": 0}), path)
        files = {name: content for name, content in CLUSTER_FILES.items() if name != TABLESPACE_FILE}
        self.assert_refused(self.cluster(files={**files, "pg_tblspc/16385": b"x"}), "is a file, and a tablespace")

    def test_no_path_occurs_twice(self):
        for line in ({"path": "base/5/1259", "mode": 384, "bytes": 0}, {"path": "base/5/1259", "mode": 448}):
            self.assert_refused(self.with_line(line), "'base/5/1259' twice")
        self.assert_refused(self.with_line({"path": "base", "mode": 448}), "'base' twice")

    def test_nothing_is_below_a_file(self):
        for path in ("base/5/1259/x", "base/5/1259/x/y", "PG_VERSION/x"):
            name = "PG_VERSION" if path.startswith("PG") else "base/5/1259"
            line = {"path": path, "mode": 448}
            self.assert_refused(self.with_line(line), f"'{name}' is a file with files below it")

    def test_lines_are_what_they_should_be(self):
        cases = [
            (b"{}", "path is not a text"),
            (b"[]", "not a JSON object"),
            (b"", "not valid JSON"),
            (b'{"path": "x"}', "mode is not a number"),
            (b'{"path": "x", "mode": 4096}', "4096 is not a mode"),
            (b'{"path": "x", "mode": -1}', "mode is out of range"),
            (b'{"path": "x", "mode": 384, "bytes": -1}', "bytes is out of range"),
            (b'{"path": "x", "mode": 384, "bytes": null}', "bytes is not a number"),
            (b'{"path": "x", "path": "y", "mode": 384}', "occurs twice"),
            (b'{"path": "\xff", "mode": 384}', "not valid JSON"),
            (b'{"path": "x", "mode": 384, "more": "' + b"x" * (1 << 16) + b'"}', "too long"),
        ]
        for line, words in cases:
            sample = self.cluster()
            sample.put(text=line + b"\n" + sample.text())
            self.assert_fails(4, "line 1 of the list of files", words)

    def test_a_truncated_list_is_found(self):
        whole = self.cluster().text()
        self.assert_refused(self.cluster(), "its last line does not end", text=whole[:-1])
        lines = whole.splitlines(keepends=True)
        self.assert_refused(self.cluster(), "goes on behind the last file", text=b"".join(lines[:-1]))
        sample = self.cluster()
        del sample.entries[-1]
        self.assert_refused(sample, "it ends within 'pg_wal/000000010000000000000002'")
        sample = self.cluster()
        sample.entries.append(sample.entries[-1])
        self.assert_refused(sample, "goes on behind the last file")

    def test_files_are_counted(self):
        change = lambda manifest: manifest["physical"].update(files=12)  # noqa: E731
        self.assert_refused(self.cluster(), "13 files instead of 12", change=change)

    def test_lengths_and_entries_must_fit(self):
        for length in (9999, 10001, 2 * REGION, 3 * REGION, 0, 1400):
            self.assert_refused(self.with_line(of="base/5/1249", bytes=length), "region")
        # An exact multiple has no entry of length 0 behind it, and a file without bytes has none at all.
        self.assert_refused(self.with_line(of="base/5/empty", bytes=1), "does not have 1 bytes")
        sample = self.cluster()
        container = Container(sample.repository)
        place = container.full(b"")
        place["pack"] = sample.repository.put_pack(container)
        sample.packs.append(place["pack"])
        # Behind PG_VERSION with 1, base/5/1249 with 3 and base/5/1259 with 3 regions.
        sample.entries.insert(7, entry(place, sample.packs))
        self.assert_refused(sample, "a region of 'base/5/one more' does not have 4096 bytes")

    def test_regions_of_files_cannot_be_exchanged(self):
        """Lengths alone would not tell; the order of the list is authenticated with the list."""
        sample = self.cluster()
        sample.entries[0], sample.entries[3] = sample.entries[3], sample.entries[0]
        self.assert_refused(sample, "does not have 3 bytes")

    def test_regions_count_no_rows(self):
        sample = self.cluster()
        sample.entries[0] = sample.entry(sample.regions[0], rows=1)
        self.assert_refused(sample, "count rows")

    def test_what_a_server_needs_must_be_there(self):
        for path in ("PG_VERSION", "backup_label", "global/pg_control", "tablespace_map"):
            files = {name: content for name, content in CLUSTER_FILES.items() if name != path}
            self.assert_refused(self.cluster(files=files), f"does not start without {path}")
            self.assert_refused(self.cluster(files={**files, path: b""}), path)
        self.assert_refused(self.cluster(files={**CLUSTER_FILES, "postmaster.pid": b"1\n"}), "postmaster.pid")
        for path in ("global/pg_control", "tablespace_map"):
            self.assert_refused(self.cluster(files={**CLUSTER_FILES, path: bytes(1 << 19)}), f"{path} is too long")

    def test_the_wal_that_a_start_needs_must_be_there(self):
        def stop(lsn):
            return lambda manifest: manifest["physical"].update(stop_lsn=lsn)

        self.assert_refused(self.cluster(), "lacks pg_wal/000000010000000000000003", change=stop("0/300001"))
        files = {**CLUSTER_FILES, "pg_wal/000000010000000000000003": bytes(SEGMENT_BYTES - 1)}
        self.assert_refused(self.cluster(files=files), "lacks pg_wal/000000010000000000000003", change=stop("0/300001"))
        # A position at the end of a segment is not in the next one.
        self.cluster().put(change=stop("0/300000"))
        self.assertEqual(self.run_recover().returncode, 0)

    def test_maps_must_fit_the_manifest(self):
        for content in (b"16386 /srv/fast\n", b"16385 /a\n16386 /b\n", b"x\n", b"16385\n", b" /srv\n"):
            self.assert_refused(self.cluster(files={**CLUSTER_FILES, "tablespace_map": content}), "tablespace_map")

    def test_members_must_have_their_types(self):
        cases = {
            "system_identifier": (1, "", "x", "01", "-1", str(1 << 64), None),
            "timeline": (0, 1 << 32, "1", None),
            "start_lsn": ("", "0", "0/x", "0/300000", "0/0", "0/2\n", 5, "1/100000000"),
            "wal_segment_bytes": (0, 1 << 19, 3 << 20, 1 << 31, "16MB"),
            "tablespaces": (None, [{}], [{"oid": 0}], [{"oid": 1}, {"oid": 1}], [{"oid": 1 << 32}], [{"oid": "../x"}]),
            "bad_pages": (None, [1], [{"path": 1, "block": 1}]),
            "bad_page_count": ("x",),
            "files": (None, "13"),
            "server_version": ("15",),
        }
        for member, values in cases.items():
            for value in values:
                change = lambda manifest: manifest["physical"].update({member: value})  # noqa: E731
                self.assert_refused(self.cluster(files=CLUSTER_FILES), f"{BACKUP}.manifest", change=change)

    def test_streams_must_be_known(self):
        def stream(at, **members):
            return lambda manifest: manifest["streams"][at].update(members)

        for change in (
            stream(0, kind="regions"), stream(1, kind="archive", sha256="00" * 32), stream(1, name="more"),
            stream(1, kind="rows"), stream(1, name="rows/1"), stream(0, name="archive"),
        ):  # fmt: skip
            self.assert_refused(self.cluster(), f"{BACKUP}.manifest", change=change)
        self.assert_refused(self.cluster(), "a stream twice", change=lambda it: it["streams"].append(it["streams"][0]))
        self.assert_refused(self.cluster(), "no stream 'files'", change=lambda it: it["streams"].pop(0))
        self.assert_refused(self.cluster(), "only archives have a SHA-256", change=stream(1, sha256="00" * 32))
        # Each kind has its own.
        self.assert_refused(self.cluster(), "logical", change=lambda manifest: manifest.update(kind="logical"))

    def test_the_list_of_files_must_have_its_hash(self):
        change = lambda manifest: manifest["streams"][0].update(sha256="00" * 32)  # noqa: E731
        self.assert_refused(self.cluster(), "files does not have the SHA-256", change=change)

    def test_the_head_must_know_regions(self):
        for size in (0, (64 << 20) + 1):
            sample = self.cluster()
            sample.repository.region_bytes = size
            sample.repository.put("chronavault.json", json.dumps(sample.repository.head()).encode())
            self.assert_refused(sample, "chronavault.json", "region_bytes")


class Damage(RecoverTest):
    def setUp(self):
        super().setUp()
        self.owner = self.cluster().put().repository
        self.objects = sorted(path for path in self.owner.directory.rglob("*") if path.is_file())
        self.assertEqual(len(self.objects), 7)  # head, slot, manifest, four packs

    def test_a_flipped_byte_in_each_object_is_found(self):
        for path in self.objects:
            whole = path.read_bytes()
            for at in (0, 30, len(whole) // 2, len(whole) - 1):
                if path.name == "chronavault.json" and at in (0, len(whole) - 1):
                    continue
                changed = bytearray(whole)
                changed[at] ^= 1
                path.write_bytes(changed)
                self.assert_fails(4, path.name)
            path.write_bytes(whole)

    def test_a_truncated_object_is_found(self):
        for path in self.objects:
            whole = path.read_bytes()
            for length in (0, len(whole) // 2, len(whole) - 1):
                path.write_bytes(whole[:length])
                if path.name != "chronavault.json" or length != len(whole) - 1:
                    self.assert_fails(4, path.name)
            path.write_bytes(whole)

    def test_a_missing_pack_is_named(self):
        for path in self.owner.directory.glob("packs/*/*.pack"):
            whole = path.read_bytes()
            path.unlink()
            self.assert_fails(5, path.name)
            path.write_bytes(whole)

    def test_a_wrong_key_is_told_from_damage(self):
        self.assert_fails(3, "not one of this repository", key="11" * 32)

    def test_a_disk_that_fails_leaves_no_cluster(self):
        kept = recover.Output.file

        def fail(output, name, pieces, mode=0o600):
            if name == "data/pg_xact/0000":
                raise OSError(28, "No space left on device", name)
            kept(output, name, pieces, mode)

        self.addCleanup(setattr, recover.Output, "file", kept)
        recover.Output.file = fail
        done = self.run_recover()
        self.assertEqual((done.returncode, "No space left" in done.stderr), (1, True))
        self.assertFalse((self.output / "data/global/pg_control").exists())
        self.assertFalse((self.output / "start.sh").exists())
