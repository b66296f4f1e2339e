"""The archived WAL that recover.py lays beside a physical backup (docs/format.md, section 15)."""

import json
import os
import re
import shutil
from unittest import mock

from tools import recover
from tools.tests.running import RecoverTest
from tools.tests.sealing import (
    CLUSTER_FILES, SEGMENT_BYTES, SYSTEM_ID, Container, compress, seal_wal, wal_segment,
)  # fmt: skip


def name(number, timeline=1):
    return f"{timeline:08X}00000000{number:08X}"


class ReplayTest(RecoverTest):
    """The backup starts and ends in segment 2 of timeline 1."""

    def setUp(self):
        super().setUp()
        self.a_sample = self.cluster()
        self.a_sample.put()
        self.owner = self.a_sample.repository

    def put(self, file, content, key=None, system=SYSTEM_ID, size=SEGMENT_BYTES, **options):
        own = f"{file}.{options['offset']:08X}.piece" if "offset" in options else f"{file}.wal"
        key = key or f"wal/{system}/{file[:8]}/{own}"
        self.owner.put(key, seal_wal(self.owner, file, content, system, size, **options))
        return self.owner.directory / key

    def segment(self, number, timeline=1, own=None, **options):
        """Archives a whole segment; returns its content. Its first page can be of an earlier timeline."""
        content = wal_segment(number, own or timeline, SYSTEM_ID, SEGMENT_BYTES)
        self.put(name(number, timeline), content, **options)
        return content

    def recovered(self, *options):
        done = self.run_recover(*options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def written(self):
        wal = self.output / "wal"
        return {path.name: path.read_bytes() for path in wal.iterdir()} if wal.exists() else None

    def timeline(self):
        """The timeline that start.sh takes by itself."""
        return re.search(r"^timeline=(\w+)$", (self.output / "start.sh").read_text(), re.MULTILINE).group(1)


class Writing(ReplayTest):
    def test_segments_from_the_start_on_come_out_under_their_names(self):
        expected = {name(number): self.segment(number) for number in (2, 3, 4)}
        self.segment(1)
        self.put(f"{name(2)}.00000028.backup", b"START WAL LOCATION: 0/200028\n")
        done = self.recovered()
        self.assertEqual(self.written(), expected)
        self.assertEqual((self.output / "wal" / name(2)).stat().st_mode & 0o777, 0o600)
        self.assertIn("wal/ has 3 segments", done.stdout)
        self.assertIn(f"that of {name(4)}, archived at 2026-11-23T12:00:00Z", done.stdout)
        self.assertNotIn("WARNING", done.stdout)
        self.assertEqual(self.timeline(), "current")

    def test_a_disk_that_will_be_too_small_is_said_at_once(self):
        self.segment(3)
        with mock.patch.object(shutil, "disk_usage", lambda _path: mock.Mock(free=SEGMENT_BYTES * 2)):
            done = self.recovered()
        size = sum(map(len, CLUSTER_FILES.values())) + SEGMENT_BYTES
        self.assertIn(f"WARNING: {size} bytes are to be written, and {SEGMENT_BYTES * 2} are free", done.stderr)

    def test_without_wal_there_is_no_directory_of_it(self):
        self.put(name(3), wal_segment(3, 1, 5, SEGMENT_BYTES), system=5)
        done = self.recovered()
        self.assertIsNone(self.written())
        self.assertIn("no archived WAL", done.stdout)

    def test_nothing_but_names_of_wal_is_read(self):
        self.segment(2)
        for key in (f"{name(3)}.wal.0000.tmp", "README", f"{name(3)}", f"{name(3).lower()}x.wal"):
            self.owner.put(f"wal/{SYSTEM_ID}/00000001/{key}", b"not ours")
        self.owner.put(f"wal/{SYSTEM_ID}/note", b"not ours")
        self.recovered()
        self.assertEqual(list(self.written()), [name(2)])

    def test_the_last_segment_is_made_of_its_pieces(self):
        self.segment(2)
        content = wal_segment(3, 1, SYSTEM_ID, SEGMENT_BYTES)
        for start, end in ((0, 9000), (9000, 9001), (5000, 20000), (6000, 7000), (30000, 40000)):
            self.put(name(3), content[start:end], offset=start)
        done = self.recovered()
        self.assertEqual(self.written()[name(3)], content[:20000] + bytes(SEGMENT_BYTES - 20000))
        self.assertIn("00007530.piece and what is behind it is of no use", done.stderr)
        self.assertIn("there is nothing from byte 20000 on", done.stderr)
        self.assertIn(f"that of {name(3)}", done.stdout)

    def test_pieces_without_a_beginning_are_no_segment(self):
        self.segment(2)
        self.put(name(3), wal_segment(3, 1, SYSTEM_ID, SEGMENT_BYTES)[100:200], offset=100)
        self.recovered()
        self.assertEqual(list(self.written()), [name(2)])

    def test_a_whole_segment_needs_no_pieces(self):
        content = self.segment(3)
        for offset in (0, 100):
            self.put(name(3), content[:200] if offset == 0 else b"?" * 100, offset=offset)
        self.recovered()
        self.assertEqual(self.written(), {name(3): content})

    def test_a_segment_that_was_cut_off_stands_in_for_itself(self):
        content = wal_segment(3, 1, SYSTEM_ID, SEGMENT_BYTES)
        self.put(f"{name(3)}.partial", content)
        self.recovered()
        self.assertEqual(self.written(), {name(3): content, f"{name(3)}.partial": content})
        # Not where pieces come from the server itself, and not before something later.
        shutil.rmtree(self.output)
        self.put(name(3), content[:9000], offset=0)
        self.recovered()
        self.assertEqual(self.written()[name(3)], content[:9000] + bytes(SEGMENT_BYTES - 9000))
        shutil.rmtree(self.output)
        self.segment(4)
        done = self.recovered()
        self.assertEqual(sorted(self.written()), [f"{name(3)}.partial", name(4)])
        self.assertIn("WARNING: WAL is missing.", done.stdout)
        self.assertIn(f"although there is WAL behind it:\n  {name(3)}\n", done.stdout)

    def test_the_wal_ends_where_it_is_told_to(self):
        for number in (2, 3, 5):
            self.segment(number)
        self.put(name(6), wal_segment(6, 1, SYSTEM_ID, SEGMENT_BYTES)[:100], offset=0)
        self.segment(4, timeline=7)
        done = self.recovered("--until", name(3))
        self.assertEqual(sorted(self.written()), [name(2), name(3)])
        self.assertNotIn("WARNING", done.stdout)
        shutil.rmtree(self.output)
        self.recovered("--until", name(5, timeline=9))
        self.assertEqual(sorted(self.written()), [name(2), name(3), name(5), name(4, 7)])
        shutil.rmtree(self.output)
        self.recovered("--no-wal")
        self.assertIsNone(self.written())

    def test_limits_must_make_sense(self):
        self.segment(2)
        for options in (["--until", "x"], ["--until", name(3) + "0"], ["--no-wal", "--until", name(3)]):
            self.assertEqual(self.run_recover(*options).returncode, 2, options)
        done = self.run_recover("--until", name(1))
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"{name(1)} is before {name(2)}, in which the backup ends", done.stderr)

    def test_a_logical_backup_has_no_wal(self):
        shutil.rmtree(self.owner.directory)
        self.sample()
        self.assertEqual(self.run_recover("--no-wal").returncode, 2)
        self.assertEqual(self.run_recover().returncode, 0)


class Reaching(ReplayTest):
    """Which timeline a server goes along, and how far."""

    WARNING = "WARNING: WAL is missing."

    def history(self, timeline, *switches):
        text = "".join(f"{parent}\t{lsn}\tno recovery target specified\n\n" for parent, lsn in switches)
        self.put(f"{timeline:08X}.history", text.encode())
        return text.encode()

    def test_missing_segments_are_named(self):
        for number in (3, 4, 7, 9, 10):
            self.segment(number)
        done = self.recovered()
        self.assertIn(f"that of {name(4)}, archived at", done.stdout)
        behind = done.stdout[done.stdout.index(self.WARNING) :]
        self.assertIn(f"\n  {name(5)} to {name(6)}\n  {name(8)}\n", behind)
        self.assertEqual(len(self.written()), 5)

    def test_the_first_may_be_missing_but_for_what_the_backup_has(self):
        self.segment(4)
        done = self.recovered()
        self.assertIn(f"that of the backup, {name(2)}", done.stdout)
        self.assertIn(f"{self.WARNING} No later", done.stdout)
        self.assertIn(f"\n  {name(3)}\n", done.stdout)

    def test_many_gaps_are_not_all_said(self):
        for number in range(4, 40, 2):
            self.segment(number)
        done = self.recovered()
        self.assertIn("and 8 more gaps", done.stdout)

    def test_a_later_timeline_is_followed(self):
        for number in (2, 3):
            self.segment(number)
        history = self.history(2, (1, "0/400100"))
        self.segment(4, timeline=2, own=1)
        self.segment(5, timeline=2)
        done = self.recovered()
        self.assertEqual(self.written()["00000002.history"], history)
        self.assertEqual(self.timeline(), "2")
        self.assertNotIn(self.WARNING, done.stdout)
        self.assertIn(f"that of {name(5, 2)}", done.stdout)

    def test_gaps_are_looked_for_along_all_timelines(self):
        self.history(2, (1, "0/500000"))
        self.history(3, (1, "0/500000"), (2, "0/800028"))
        for number in (2, 3, 9):  # 4 is missing; what timeline 1 has behind its end is of no concern
            self.segment(number)
        for number in (5, 6):  # 7 is missing, and 8 is that of timeline 3
            self.segment(number, timeline=2)
        for number in (8, 10):
            self.segment(number, timeline=3, own=2 if number == 8 else 3)
        done = self.recovered()
        self.assertEqual(self.timeline(), "3")
        behind = done.stdout[done.stdout.index(self.WARNING) :]
        gaps = re.findall(r"^  (\w{24}.*)$", behind, re.MULTILINE)
        self.assertEqual(gaps, [name(4), name(7, 2), name(9, 3)])

    def test_a_timeline_that_left_before_the_backup_is_not_taken(self):
        self.history(2, (1, "0/200080"))
        self.history(3, (1, "0/100000"), (2, "0/300000"))
        for number, timeline in ((2, 1), (3, 1), (2, 2)):
            self.segment(number, timeline)
        done = self.recovered()
        self.assertEqual(self.timeline(), "current")
        self.assertIn(f"that of {name(3)}", done.stdout)
        # It is there, for whoever wants it.
        self.assertIn(name(2, 2), self.written())

    def test_the_end_of_the_old_timeline_is_reached_while_the_new_one_has_nothing(self):
        self.history(2, (1, "0/400100"))
        for number in (2, 3, 4):
            self.segment(number)
        done = self.recovered()
        self.assertNotIn(self.WARNING, done.stdout)
        self.assertEqual(self.timeline(), "2")

    def test_comments_in_a_history_are_passed_over(self):
        self.segment(2)
        self.put("00000002.history", b"# a comment\n\n  1 0/400000 before 2026-11-23 12:00:00\n")
        self.recovered()
        self.assertEqual(self.timeline(), "2")


class Damage(ReplayTest):
    def setUp(self):
        super().setUp()
        beginning = wal_segment(3, 1, SYSTEM_ID, SEGMENT_BYTES)[:140]
        self.objects = [
            self.put(name(2), wal_segment(2, 1, SYSTEM_ID, SEGMENT_BYTES)),
            self.put(name(3), beginning, offset=0),
            self.put("00000002.history", b"1\t0/400000\treason\n"),
            self.put(f"{name(3, 4)}.partial", wal_segment(3, 4, SYSTEM_ID, SEGMENT_BYTES)),
        ]

    def assert_refused(self, *words, status=4):
        """Before the first byte is written, and with a way out."""
        self.assert_fails(status, *words, "--no-wal recovers the backup without WAL")

    def test_a_flipped_byte_anywhere_is_found(self):
        # Header: magic, version, epoch, repository, salt. Record: magic, index, type, codec, lengths, id, body, tag.
        regions = (0, 8, 12, 16, 32, 64, 68, 72, 73, 76, 80, 84, 116, 300, -1, -17, -53, -70, -105)
        for path in self.objects:
            whole = path.read_bytes()
            for at in regions:
                changed = bytearray(whole)
                changed[at] ^= 1
                path.write_bytes(changed)
                self.assert_refused(path.name)
            path.write_bytes(whole)

    def test_a_truncated_or_lengthened_object_is_found(self):
        for path in self.objects:
            whole = path.read_bytes()
            for changed in (b"", whole[:64], whole[: len(whole) // 2], whole[:-1], whole + b"\0"):
                path.write_bytes(changed)
                self.assert_refused(path.name)
            path.write_bytes(whole)

    def test_objects_of_others_are_foreign(self):
        other = self.repository("other")
        for path in self.objects:
            whole = path.read_bytes()
            path.write_bytes(seal_wal(other, name(2), b"x" * SEGMENT_BYTES, SYSTEM_ID, SEGMENT_BYTES))
            self.assert_refused(path.name, "another repository")
            path.write_bytes(whole)
        # Sealed by this repository, and of another cluster; the head says so, or the first page.
        first = self.objects[0]
        first.write_bytes(seal_wal(self.owner, name(2), wal_segment(2, 1, 5, SEGMENT_BYTES), 5, SEGMENT_BYTES))
        self.assert_refused(first.name, f"it is {name(2)} of the cluster 5")
        foreign = wal_segment(2, 1, 5, SEGMENT_BYTES)
        first.write_bytes(seal_wal(self.owner, name(2), foreign, SYSTEM_ID, SEGMENT_BYTES))
        self.assert_refused(first.name, "first page of another segment")

    def test_objects_cannot_be_exchanged(self):
        for one, other in ((0, 1), (0, 2), (0, 3), (1, 2), (2, 3)):
            first, second = self.objects[one].read_bytes(), self.objects[other].read_bytes()
            self.objects[one].write_bytes(second)
            self.objects[other].write_bytes(first)
            self.assert_refused(f"wal/{SYSTEM_ID}/")
            self.objects[one].write_bytes(first)
            self.objects[other].write_bytes(second)

    def test_a_piece_is_at_its_offset_in_its_segment(self):
        content = wal_segment(3, 1, SYSTEM_ID, SEGMENT_BYTES)[:100]
        for key in (f"{name(3)}.00000001.piece", f"{name(4)}.00000000.piece"):
            path = self.put(name(3), content, key=f"wal/{SYSTEM_ID}/00000001/{key}", offset=0)
            self.assert_refused(f"it is {name(3)} of the cluster {SYSTEM_ID}, from byte 0 on")
            path.unlink()
        # What is no segment has no pieces, and a piece of one is no segment.
        key = f"wal/{SYSTEM_ID}/00000001/{name(4)}.00000000.piece"
        self.owner.put(key, seal_wal(self.owner, "00000001.history", b"", SYSTEM_ID, SEGMENT_BYTES))
        self.assert_refused("it is 00000001.history")
        self.owner.put(key, self.objects[0].read_bytes())
        self.assert_refused(f"it is {name(2)}")
        (self.owner.directory / key).unlink()
        self.put(name(4), content, key=f"wal/{SYSTEM_ID}/00000001/{name(4)}.wal", offset=0)
        self.assert_refused(f"it is {name(4)} of the cluster {SYSTEM_ID}, from byte 0 on")

    def test_objects_have_their_limits(self):
        first = self.objects[0]
        whole = first.read_bytes()
        self.addCleanup(setattr, recover, "WAL_MAX_BYTES", recover.WAL_MAX_BYTES)
        recover.WAL_MAX_BYTES = len(whole) - 1
        self.assert_refused(first.name, f"longer than {len(whole) - 1} bytes")
        recover.WAL_MAX_BYTES = len(whole)
        # A chunk that zstd made longer than it was, and a chunk that is too long.
        head = {"version": 1, "name": name(2), "system_id": str(SYSTEM_ID), "timeline": 1, "offset": 0}
        head.update(segment_bytes=SEGMENT_BYTES, bytes=SEGMENT_BYTES, archived_at="2026-11-23T12:00:00Z")
        text, random = json.dumps(head).encode(), os.urandom(SEGMENT_BYTES)
        recover.WAL_MAX_BYTES = 2 * SEGMENT_BYTES
        for plain, body in ((random, compress(random)), (random + b"x", compress(bytes(SEGMENT_BYTES + 1)))):
            container = Container(self.owner, b"CHRVWALS")
            container.record(6, text, chunk_id=bytes(32))
            container.record(7, plain, body, 1, chunk_id=bytes(32))
            first.write_bytes(container.finish())
            self.assert_refused(first.name, "larger than a")
        for kinds in ((7,), (6, 6), (7, 6), ()):
            container = Container(self.owner, b"CHRVWALS")
            for kind in kinds:
                container.record(kind, text, chunk_id=bytes(32))
            first.write_bytes(container.finish())
            self.assert_refused(first.name, "it does not have one head")
        container = Container(self.owner, b"CHRVWALS")
        container.record(6, text, compress(text), 1, chunk_id=bytes(32))
        first.write_bytes(container.finish())
        self.assert_refused(first.name, "its head is compressed")

    def test_segments_of_another_length_are_refused(self):
        content = wal_segment(2, 1, SYSTEM_ID, 2 * SEGMENT_BYTES)
        self.put(name(2), content, size=2 * SEGMENT_BYTES)
        self.assert_refused("is of a segment of 2097152 bytes, the backup has 1048576")

    def test_a_history_must_be_one(self):
        for content in (b"x\n", b"1\n", b"1\t0/x\treason\n", b"\xff\n"):
            self.put("00000002.history", content)
            self.assert_refused("00000002.history", "is no history")

    def test_pieces_must_not_contradict_each_other(self):
        self.put(name(3), b"?" * 100, offset=100)
        self.assert_refused("contradicts another piece")

    def test_the_way_out_is_one(self):
        self.objects[2].write_bytes(b"")
        self.assertEqual(self.run_recover("--no-wal").returncode, 0)
        self.assertEqual((self.output / "data/PG_VERSION").read_bytes(), CLUSTER_FILES["PG_VERSION"])

    def test_a_wrong_key_is_told_from_damage(self):
        self.assert_fails(3, "not one of this repository", key="11" * 32)


class Pieces(ReplayTest):
    """Joining, where pieces have several chunks."""

    SIZE = 4 << 20

    def setUp(self):
        super().setUp()
        pattern = bytes(at * at % 251 for at in range(5000))
        self.content = (wal_segment(3, 1, SYSTEM_ID, self.SIZE)[:40] + pattern * 1000)[: self.SIZE]
        store = recover.Store(str(self.owner.directory))
        self.keys = recover.open_keys(store, self.owner.holder_key)
        self.store = store

    def joined(self, *ranges, change=None):
        for at, (start, end) in enumerate(ranges):
            content = bytearray(self.content[start:end])
            if change and change[0] == at:
                content[change[1] - start] ^= 1
            self.put(name(3), bytes(content), size=self.SIZE, offset=start)
        archive = recover.Archive(self.store, self.keys, SYSTEM_ID)
        self.assertEqual(archive.ends(), [name(3)])
        pieces = list(archive.joined(archive.known(name(3))))
        self.assertLessEqual(max(map(len, pieces)), 1 << 20)
        return b"".join(pieces)

    def test_overlaps_are_passed_over(self):
        ranges = [(0, 1500000), (1 << 20, 2500000), (1200000, 1300000), (2400000, 3 << 20), (3 << 20, (3 << 20) + 1)]
        end = (3 << 20) + 1
        self.assertEqual(self.joined(*ranges), self.content[:end] + bytes(self.SIZE - end))

    def test_a_piece_may_be_as_long_as_its_segment(self):
        self.assertEqual(self.joined((0, self.SIZE)), self.content)

    def test_every_byte_of_an_overlap_is_compared(self):
        ranges = [(0, 1500000), (1400000, 2600000), (900000, 2700000)]
        for change in ((1, 1400000), (1, 1499999), (2, 900000), (2, 1450000), (2, 1600000), (2, 2599999)):
            with self.assertRaises(recover.Failure, msg=change) as caught:
                self.joined(*ranges, change=change)
            self.assertIn("contradicts another piece", str(caught.exception))
        self.joined(*ranges, change=(2, 2600000))

    def test_pieces_are_of_one_segment(self):
        self.put(name(3), self.content[:1000], size=2 * self.SIZE, offset=0)
        self.put(name(3), self.content[1000:2000], size=self.SIZE, offset=1000)
        archive = recover.Archive(self.store, self.keys, SYSTEM_ID)
        with self.assertRaises(recover.Failure) as caught:
            archive.known(name(3))
        self.assertIn("different lengths", str(caught.exception))

    def test_a_segment_is_there_once(self):
        self.segment(3)
        self.segment(3, key=f"wal/{SYSTEM_ID}/00000002/{name(3)}.wal")
        with self.assertRaises(recover.Failure) as caught:
            recover.Archive(self.store, self.keys, SYSTEM_ID)
        self.assertIn("there twice", str(caught.exception))
