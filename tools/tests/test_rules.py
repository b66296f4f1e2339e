"""The rules of docs/format.md that only a holder of the key could break: a fault of a writer must not pass either."""

import struct

import zstandard

from tools import recover
from tools.tests.running import RecoverTest
from tools.tests.sealing import (
    BACKUP, DELTA, FULL, HOLDER_KEY, LIST, MANIFEST, NEW_ROWS, OLD_ROWS, Container, Sample, chunk_list, compress, entry,
)  # fmt: skip


class Containers(RecoverTest):
    """Section 6."""

    def setUp(self):
        super().setUp()
        self.owner = self.repository()
        self.keys = recover.open_keys(recover.Store(str(self.owner.directory)), HOLDER_KEY)

    def read(self, content, magic=b"CHRVPACK", base=None, base_id=bytes(32)):
        path = self.directory / "container"
        path.write_bytes(content)
        with open(path, "rb") as file:
            opened = recover.Container(file, "container", magic, self.keys)
            return [opened.plaintext(record, base, base_id) for record in opened.walk()]

    def assert_refused(self, content, *words, **options):
        with self.assertRaises(recover.Failure) as caught:
            self.read(content, **options)
        self.assertEqual(caught.exception.status, recover.EXIT_DAMAGED)
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_headers_must_be_known(self):
        for header in ({"version": 2}, {"suite": 2}, {"flags": 1}):
            self.assert_refused(Container(self.owner, **header).finish(), "not known here")
        self.assert_refused(Container(self.owner, epoch=2).finish(), "epoch 2")
        self.assert_refused(Container(self.owner, magic=b"CHRVPROF").finish(), "CHRVPACK")
        self.assert_refused(Container(self.owner, owner=bytes(16)).finish(), "another repository")

    def test_a_pack_may_be_empty(self):
        self.assertEqual(self.read(Container(self.owner).finish()), [])

    def test_records_must_belong(self):
        cases = [
            (dict(kind=4, plain=b"x"), "type 4"),
            (dict(kind=0, plain=b"x"), "type 0"),
            (dict(kind=FULL, plain=b"x", codec=3), "codec 3"),
            (dict(kind=FULL, plain=b"x", body=bytes(32) + compress(b"x"), codec=2), "codec 2"),
            (dict(kind=LIST, plain=b"x", body=bytes(32) + compress(b"x"), codec=2), "codec 2"),
            (dict(kind=LIST, plain=b"x", body=bytes(32) + compress(b"x"), codec=3), "codec 3"),
            (dict(kind=DELTA, plain=b"x", body=bytes(32) + compress(b"x"), codec=4), "codec 4"),
            (dict(kind=DELTA, plain=b"x"), "codec 0"),
            (dict(kind=FULL, plain=b"x", zero=1), "no record"),
            (dict(kind=FULL, plain=b"x", index=1), "out of order"),
            (dict(kind=FULL, plain=b"x", plain_bytes=2), "contradict"),
            (dict(kind=FULL, plain=b"x", body=b"", codec=1), "contradict"),
            (dict(kind=DELTA, plain=b"x", body=bytes(32), codec=2), "contradict"),
            (dict(kind=DELTA, plain=b"x", body=bytes(32), codec=3), "contradict"),
            (dict(kind=FULL, plain=b"x", body=b"x" * 100, codec=1, plain_bytes=(64 << 20) + 1), "larger than a chunk"),
        ]
        for record, words in cases:
            container = Container(self.owner)
            container.record(**record)
            self.assert_refused(container.finish(), words)

    def test_a_chunk_must_decompress_to_its_length(self):
        cases = [
            (b"x" * 10, compress(b"x" * 9), "another length"),
            (b"x" * 10, compress(b"x" * 11), "another length"),
            (b"x" * 10, compress(b"x" * 10) + b"\0", "does not decompress"),
            (b"x" * 10, compress(b"x" * 5) + compress(b"x" * 5), "another length"),
            (b"x" * 10, compress(b"x" * 10)[:-1], "does not decompress"),
            (b"x" * 10, b"not a frame at all", "does not decompress"),
        ]
        for plain, body, words in cases:
            container = Container(self.owner)
            container.record(FULL, plain, body, 1)
            self.assert_refused(container.finish(), words)

    def test_a_frame_may_leave_its_length_to_the_record(self):
        quiet = zstandard.ZstdCompressor(write_content_size=False)
        for length, fits in ((5000, True), (4999, False), (5001, False)):
            container = Container(self.owner)
            container.record(FULL, b"x" * length, quiet.compress(b"x" * 5000), 1)
            if fits:
                self.assertEqual(self.read(container.finish()), [b"x" * 5000])
            else:
                self.assert_refused(container.finish())

    def test_a_delta_needs_the_base_that_it_names(self):
        container = Container(self.owner)
        container.delta(NEW_ROWS, OLD_ROWS, "ab" * 32)
        content = container.finish()
        named = bytes.fromhex("ab" * 32)
        self.assertEqual(self.read(content, base=OLD_ROWS, base_id=named), [NEW_ROWS])
        self.assert_refused(content, "another base", base=OLD_ROWS, base_id=bytes(32))

    def test_a_difference_goes_as_far_as_its_base(self):
        page = bytes(range(256)) * 32
        changed = page[:100] + b"changed" + page[107:]
        for base in (page, page[:5000], page + b"a longer base", page[:1], b""):
            container = Container(self.owner)
            container.difference(changed, base, "ab" * 32)
            content, named = container.finish(), bytes.fromhex("ab" * 32)
            self.assertEqual(self.read(content, base=base, base_id=named), [changed], len(base))
            self.assert_refused(content, "another base", base=base, base_id=bytes(32))
            self.assert_refused(content, "another base")
        container = Container(self.owner)
        container.difference(b"", page, "ab" * 32)
        self.assertEqual(self.read(container.finish(), base=page, base_id=bytes.fromhex("ab" * 32)), [b""])

    def test_a_difference_is_as_long_as_its_chunk(self):
        """Not as long as its base: a frame of another length is damage, whatever the base could add."""
        for length in (99, 101):
            container = Container(self.owner)
            container.record(DELTA, b"x" * 100, bytes(32) + compress(b"x" * length), 3)
            self.assert_refused(container.finish(), "another length", base=b"y" * 100)

    def test_a_delta_needs_no_large_window(self):
        for log, fits in ((23, True), (24, False)):
            parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=log, write_content_size=0)
            prefix = zstandard.ZstdCompressionDict(OLD_ROWS, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
            writer = zstandard.ZstdCompressor(compression_params=parameters, dict_data=prefix).compressobj()
            frame = writer.compress(NEW_ROWS) + writer.flush()
            container = Container(self.owner)
            container.record(DELTA, NEW_ROWS, bytes(32) + frame, 2)
            if fits:
                self.assertEqual(self.read(container.finish(), base=OLD_ROWS), [NEW_ROWS])
            else:
                self.assert_refused(container.finish(), "too large a window", base=OLD_ROWS)

    def test_the_trailer_must_fit(self):
        container = Container(self.owner)
        container.full(b"x")
        self.assert_refused(container.finish(count=2), "trailer does not fit")
        container = Container(self.owner)
        container.full(b"x")
        container.heads[0] = container.heads[0][:-1] + b"?"
        self.assert_refused(container.finish(), "trailer does not fit")

    def test_a_manifest_has_one_record(self):
        container = Container(self.owner, b"CHRVMANI")
        self.owner.put(f"{BACKUP}.manifest", container.finish())
        self.assert_fails(4, "0 records")
        container = Container(self.owner, b"CHRVMANI")
        for _ in range(2):
            container.full(b"{}", MANIFEST)
        self.owner.put(f"{BACKUP}.manifest", container.finish())
        self.assert_fails(4, "2 records")
        container = Container(self.owner, b"CHRVMANI")
        container.full(b"{}", FULL)
        self.owner.put(f"{BACKUP}.manifest", container.finish())
        self.assert_fails(4, "type 1")


class Lists(RecoverTest):
    """Section 8."""

    PACKS = ["aa" * 32, "bb" * 32]
    PLACE = {"pack": "aa" * 32, "offset": 64, "sealed_bytes": 17, "plain_bytes": 1, "id": "cc" * 32}

    def test_an_entry_is_read_as_it_is_written(self):
        base = {**self.PLACE, "pack": "bb" * 32, "offset": 99}
        content = chunk_list([entry(self.PLACE, self.PACKS, rows=5, flags=3, base=base, key_hash=1 << 63)], self.PACKS)
        self.assertEqual(len(content), 12 + 64 + 112)
        place = recover.Place("aa" * 32, 64, 17, 1, bytes.fromhex("cc" * 32))
        expected = recover.Entry(place, 5, True, place._replace(pack="bb" * 32, offset=99))
        self.assertEqual(recover.parse_list(content, "a list"), [expected])

    def test_a_list_with_any_fault_is_refused(self):
        whole = chunk_list([entry(self.PLACE, self.PACKS)], self.PACKS)
        beyond = bytearray(whole)
        beyond[76:80] = struct.pack("<I", 2)
        faults = {
            "too short": whole[:11],
            "begin with LIST": chunk_list([], [], magic=b"LISP"),
            "4097 entries": chunk_list([entry(self.PLACE, self.PACKS)] * 4097, self.PACKS),
            "length": whole + b"\0",
            "pack 2 of 2": bytes(beyond),
            "unknown flags": chunk_list([entry(self.PLACE, self.PACKS, flags=4)], self.PACKS),
            "has a base": chunk_list([entry(self.PLACE, self.PACKS, base=self.PLACE)], self.PACKS),
        }
        faults_again = {
            "length": whole[:-1],
            "unknown flags": chunk_list([entry(self.PLACE, self.PACKS, zero=b"\0\1\0")], self.PACKS),
        }
        for words, content in [*faults.items(), *faults_again.items()]:
            with self.assertRaises(recover.Failure) as caught:
                recover.parse_list(content, "the list")
            self.assertIn(words, str(caught.exception))
            self.assertEqual(caught.exception.status, recover.EXIT_DAMAGED)


class ManifestsAndLists(RecoverTest):
    """Sections 8 and 9: what the manifest, the lists and the chunks say must agree."""

    def assert_refused(self, change, *words, status=4):
        self.sample(change=change)
        self.assert_fails(status, *words)

    def test_the_manifest_names_the_packs_that_are_needed_and_no_other(self):
        def without(at):
            return lambda manifest: manifest["packs"].pop(at)

        for at in range(3):
            self.assert_refused(without(at), "does not name packs/")
        spare = self.repository()

        def with_spare(manifest):
            container = Container(self.spare_owner)
            name = self.spare_owner.put_pack(container)
            manifest["packs"].append({"sha256": name, "bytes": len(container.content)})

        self.spare_owner = spare
        Sample(spare).put(with_spare)
        self.assert_fails(4, "which nothing needs")
        self.assert_refused(lambda manifest: manifest["packs"].append(manifest["packs"][0]), "twice")

    def test_sizes_and_counts_must_agree(self):
        def stream(member, value):
            return lambda manifest: manifest["streams"][3].update({member: value})

        self.assert_refused(stream("entries", 6), "5 entries instead of 6")
        self.assert_refused(stream("plain_bytes", 1), "bytes instead of 1")
        self.assert_refused(lambda manifest: manifest["packs"][0].update(bytes=5), "instead of 5")
        self.assert_refused(lambda manifest: manifest["packs"][0].update(bytes=1 << 20), "cut short")
        self.assert_refused(lambda manifest: manifest["packs"][0].update(bytes=1 << 30), "larger than a pack")
        rows = lambda manifest: manifest["logical"]["tables"][0]["proof"].update(rows=44)  # noqa: E731
        self.assert_refused(rows, "43 rows instead of 44")

    def test_streams_must_be_known(self):
        def stream(at, **members):
            return lambda manifest: manifest["streams"][at].update(members)

        self.assert_refused(stream(0, name="globals"), "a stream twice")
        self.assert_refused(stream(0, name="more"), "not known here")
        for name in ("rows/0", "rows/01", "rows/../x", "rows/x", "rows/1/2", "/etc/passwd", "rows/1\n"):
            self.assert_refused(stream(3, name=name), "not known here")
        self.assert_refused(stream(3, kind="archive"), "not known here")
        self.assert_refused(stream(3, table={"schema": "no", "name": "such"}), "not among those of the backup")
        self.assert_refused(lambda manifest: manifest["streams"].pop(0), "no stream 'archive'")
        # Where the rows were left out on request there can be no stream of them.
        self.assert_refused(lambda manifest: manifest["logical"]["tables"][0].update(proof=None), "not among those")

    def test_places_must_hold_what_is_named(self):
        def place(**members):
            return lambda manifest: manifest["streams"][3]["lists"][0].update(members)

        self.assert_refused(place(id="00" * 32), "is not the one that is named")
        self.assert_refused(place(plain_bytes=1), "is not the one that is named")
        self.assert_refused(place(sealed_bytes=1), "is not the one that is named")
        self.assert_refused(place(offset=65), "no record at byte 65")
        self.assert_refused(place(offset=1 << 40), "cut short")

    def test_members_must_have_their_types(self):
        for changes in ({"version": 2}, {"kind": "physical"}, {"id": "backup-2026-11-23-120000-abc124"}):
            self.assert_refused(lambda manifest: manifest.update(changes), f"{BACKUP}.manifest")
        for member in ("version", "packs", "streams", "logical", "id"):
            for value in (None, 1.5, True, [1], {}):
                self.assert_refused(lambda manifest: manifest.update({member: value}), f"{BACKUP}.manifest")

    def test_a_text_that_cannot_be_written_is_refused(self):
        for name in ("a\0b", "half \ud83d"):
            self.assert_refused(lambda manifest: manifest["logical"]["tables"][0].update(name=name), "no text can")
            self.assert_refused(lambda manifest: manifest["logical"]["tables"][0].update(columns=[name]), "texts")

    def test_an_archive_must_have_its_hash(self):
        self.sample(change=lambda manifest: manifest["streams"][1].update(sha256="00" * 32))
        done = self.run_recover()
        self.assertEqual(done.returncode, 4)
        self.assertIn("globals does not have the SHA-256", done.stderr)
        # What came before is there, but nothing that claims to be complete.
        self.assertFalse((self.output / "globals.sql").exists())
        self.assertFalse((self.output / "load.sh").exists())

    def changed_entries(self, stream, change):
        """A sample whose list of `stream` was changed before it was sealed."""
        sample = Sample(self.repository())
        change(sample, sample.entries[stream])
        sample.put()

    def assert_fails_while_writing(self, *words):
        done = self.run_recover()
        self.assertEqual(done.returncode, 4, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr.splitlines()[-1])
        self.assertFalse((self.output / "load.sh").exists())

    def test_rows_must_end_where_the_list_says(self):
        def set_rows(count, other):
            def change(sample, entries):
                entries[0] = entry(sample.places["rows"], sample.packs, rows=count)
                entries[4] = entry(sample.places["long-2"], sample.packs, rows=other)

            return change

        self.changed_entries("rows/1", set_rows(1, 2))
        self.assert_fails_while_writing("rows/1", "its rows are not those")

    def test_a_chunk_that_continues_must_not_end_a_row(self):
        def change(sample, entries):
            entries[0] = entry(sample.places["rows"], sample.packs, rows=2, flags=2)

        self.changed_entries("rows/1", change)
        self.assert_fails_while_writing("rows/1", "its rows are not those")

    def test_a_stream_must_not_end_within_a_row(self):
        def change(sample, entries):
            entries[4] = entry(sample.places["long-2"], sample.packs, rows=1, flags=2)

        self.changed_entries("rows/1", change)
        self.assert_fails(4, "end within a row")

    def test_an_archive_has_no_rows(self):
        def change(sample, entries):
            entries[0] = entry(sample.places["archive-0"], sample.packs, rows=1)

        self.changed_entries("archive", change)
        self.assert_fails(4, "count rows in an archive")

    def test_the_base_of_a_delta_is_a_full_chunk(self):
        def chained(sample, entries):
            places = sample.places
            entries[1] = entry(places["delta"], sample.packs, rows=40, flags=1, base=places["delta"])

        self.changed_entries("rows/1", chained)
        self.assert_fails(4, "is not the one that is named")

        def another(sample, entries):
            places = sample.places
            entries[1] = entry(places["delta"], sample.packs, rows=40, flags=1, base=places["rows"])

        self.changed_entries("rows/1", another)
        self.assert_fails_while_writing("another base")

    def test_a_delta_is_not_a_full_chunk(self):
        def change(sample, entries):
            entries[1] = entry(sample.places["delta"], sample.packs, rows=40)

        self.changed_entries("rows/1", change)
        self.assert_fails(4, "is not the one that is named")

    def test_an_id_that_is_not_of_its_chunk_is_found_on_request(self):
        def misname(sample, entries):
            container = Container(sample.repository)
            place = container.record(FULL, b"CREATE ROLE auditor;\n", chunk_id=b"\7" * 32)
            place["pack"] = sample.repository.put_pack(container)
            sample.packs.append(place["pack"])
            entries[0] = entry(place, sample.packs)

        self.changed_entries("globals", misname)
        done = self.run_recover("--verify-ids")
        self.assertEqual(done.returncode, 4)
        self.assertIn("does not have its id", done.stderr)
