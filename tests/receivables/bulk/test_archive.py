"""Archives that somebody else packed: honest ones open whatever packed them, hostile ones are refused by name."""

import io
import random
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest

from marketplace.kernel.errors import InvalidInput
from marketplace.receivables.bulk.archive import Bounds, Entry, Read, content, entries

BOUNDS = Bounds(entries_max=500, entry_bytes_max=2_000_000, inflated_bytes_max=20_000_000, inflation_max=200)


def reader(raw: bytes) -> Read:
    return lambda offset, length: raw[offset : offset + length]


def opened(raw: bytes, bounds: Bounds = BOUNDS) -> dict[str, bytes | str]:
    """Return each entry's content, or the rule by which it is refused."""
    found: dict[str, bytes | str] = {}
    for entry in entries(reader(raw), len(raw), bounds):
        try:
            found[entry.name] = content(reader(raw), Entry.from_json(entry.to_json(), entry.name)
                                        if entry.problem is None else entry)  # fmt: skip
        except InvalidInput as refusal:
            found[entry.name] = refusal.code if "“" in refusal.said() and refusal.problems else "no words"
    return found


def packed(write: Callable[[zipfile.ZipFile], None], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        write(made)
    return out.getvalue()


def one(name: str, data: bytes = b"<a/>", **changes: int) -> bytes:
    """Return a ZIP of one entry under any name, with fields of its directory as a test wants them."""
    raw = name.encode() if isinstance(name, str) else name
    return hand([(raw, data, changes)])


def hand(files: list[tuple[bytes, bytes, dict[str, int]]]) -> bytes:
    """Return a ZIP written by hand: names, contents and whatever the directory is to claim."""
    out, directory = b"", b""
    for raw, data, changes in files:
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        body = deflater.compress(data) + deflater.flush()
        told = {"flags": 0x800, "method": 8, "size": len(data), "packed": len(body), "crc": zlib.crc32(data),
                "attributes": 0o100644 << 16, "at": len(out), "made_by": 3} | changes  # fmt: skip
        directory += struct.pack("<4sBBHHHHHIIIHHHHHII", b"PK\x01\x02", 20, told["made_by"], 20, told["flags"],
                                 told["method"], 0, 0, told["crc"], told["packed"], told["size"], len(raw), 0, 0, 0, 0,
                                 told["attributes"], told["at"]) + raw  # fmt: skip
        out += struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, told["flags"], 8, 0, 0, 0, len(body), len(data),
                           len(raw), 0) + raw + body  # fmt: skip
    return ended(out, directory, len(files))


def ended(out: bytes, directory: bytes, count: int, comment: bytes = b"") -> bytes:
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(out), len(comment))
    return out + directory + end + comment


def refused(raw: bytes, bounds: Bounds = BOUNDS) -> str:
    with pytest.raises(InvalidInput) as refusal:
        entries(reader(raw), len(raw), bounds)
    assert refusal.value.problems[0].words
    return refusal.value.code


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_what_is_honestly_packed_opens(method: int) -> None:
    files = {"a.xml": b"<a/>", "folder/b.xml": b"<b/>" * 9_000, "größe.xml": b"", "名.pdf": bytes(range(256))}
    raw = packed(lambda made: [made.writestr(name, data) for name, data in files.items()] and None, method)
    assert opened(raw) == files


def test_folders_and_litter_are_left_out_and_a_comment_is_no_harm() -> None:
    def write(made: zipfile.ZipFile) -> None:
        made.mkdir("in")
        for name in ("in/a.xml", "__MACOSX/in/._a.xml", "in/.DS_Store", "in/._b", "Thumbs.db"):
            made.writestr(name, b"<a/>")
        made.comment = b"PK\x05\x06" + b"x" * 100

    assert opened(packed(write)) == {"in/a.xml": b"<a/>"}


def test_sizes_told_after_the_data_and_zip64_headers_before_it_are_read() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise OSError

        def tell(self) -> int:
            raise OSError

    out = Pipe()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made, made.open("a.xml", "w", force_zip64=True) as inner:
        inner.write(b"<a/>")
    assert opened(out.getvalue()) == {"a.xml": b"<a/>"}


@pytest.mark.parametrize(
    ("name", "changes", "code"),
    [
        ("../../etc/passwd", {}, "entry_outside"),
        ("a/../../b.xml", {}, "entry_outside"),
        ("..\\..\\b.xml", {}, "entry_outside"),
        ("/etc/passwd", {}, "entry_absolute"),
        ("C:\\invoices\\a.xml", {}, "entry_absolute"),
        ("\\\\server\\a.xml", {}, "entry_absolute"),
        ("a\x00.xml", {}, "entry_name"),
        ("a\n.xml", {}, "entry_name"),
        ("link.xml", {"attributes": 0o120777 << 16}, "entry_link"),
        ("device.xml", {"attributes": 0o060644 << 16}, "entry_link"),
        ("secret.xml", {"flags": 0x801}, "entry_encrypted"),
        ("lzma.xml", {"method": 14}, "entry_packing"),
        ("aes.xml", {"method": 99}, "entry_packing"),
        ("far.xml", {"size": 0xFFFFFFFF}, "entry_zip64"),
        ("far.xml", {"at": 0xFFFFFFFF}, "entry_zip64"),
        ("large.xml", {"size": 2_000_001}, "entry_too_large"),
        ("small.xml", {"size": 3}, "entry_broken"),
        ("wrong.xml", {"crc": 1}, "entry_broken"),
        ("short.xml", {"size": 5}, "entry_broken"),
        ("stored.xml", {"method": 0}, "entry_broken"),
    ],
)
def test_an_entry_that_is_not_opened_says_why_by_name(name: str, changes: dict[str, int], code: str) -> None:
    assert list(opened(one(name, **changes)).values()) == [code]


def test_a_name_that_is_not_written_as_it_says_is_refused_and_an_old_one_is_read() -> None:
    assert opened(hand([(b"gr\xff\xfe.xml", b"<a/>", {})]))["gr\ufffd\ufffd.xml"] == "entry_name"
    assert opened(hand([(b"gr\x94\xe1e.xml", b"<a/>", {"flags": 0})])) == {"größe.xml": b"<a/>"}
    assert opened(hand([(b"x" * 1_001, b"<a/>", {})])) == {"x" * 1_000: "entry_name"}


def test_of_two_entries_with_one_name_the_second_is_refused() -> None:
    found = entries(reader(raw := hand([(b"a.xml", b"<a/>", {}), (b"A.XML", b"<b/>", {})])), len(raw), BOUNDS)
    assert [one.problem.rule if one.problem else None for one in found] == [None, "entry_twice"]


def test_the_local_header_must_bear_the_same_name() -> None:
    raw = one("a.xml").replace(b"a.xml", b"b.xml", 1)
    assert opened(raw) == {"a.xml": "entry_broken"}


def test_bombs_are_refused_before_they_grow() -> None:
    began = time.monotonic()
    assert list(opened(one("zeros.xml", bytes(1_900_000))).values()) == ["entry_bomb"]
    lying = one("liar.xml", bytes(1_900_000), size=100)
    assert list(opened(lying).values()) == ["entry_broken"]
    noise = random.Random(1).randbytes(1_500_000)
    many = hand([(f"{index}.xml".encode(), noise, {}) for index in range(15)])
    assert refused(many) == "too_large_unpacked"
    assert time.monotonic() - began < 5


def test_entries_that_share_their_bytes_are_refused() -> None:
    raw = hand([(b"aa.xml", b"<a/>" * 100, {})])
    start = raw.index(b"PK\x01\x02")
    entry = raw[start : raw.index(b"PK\x05\x06")]
    assert refused(ended(raw[:start], entry + entry.replace(b"aa.xml", b"bb.xml"), 2)) == "entries_overlap"
    reaching = hand([(b"a.xml", b"<a/>", {"packed": 10_000, "size": 10_000})])
    assert refused(reaching) == "entries_overlap"


def test_a_hundred_thousand_entries_are_refused_whatever_the_count_says() -> None:
    began = time.monotonic()
    entry = one("a")[one("a").index(b"PK\x01\x02") : one("a").index(b"PK\x05\x06")]
    for count in (65_000, 3):
        assert refused(ended(b"", entry * 100_000, count)) == "too_many_entries"
    assert refused(ended(b"", entry * 400_000, 3)) == "not_an_archive"
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "raw",
    [b"", b"PK\x05\x06", b"PK\x03\x04" + b"x" * 100, one("a.xml")[:-1], one("a.xml")[:-23], one("a.xml") + b"x",
     ended(b"", b"", 0)[:-2] + b"\xff\xff", ended(b"", b"PK\x01\x02", 1), ended(b"", b"x" * 46, 1)],
)  # fmt: skip
def test_what_is_cut_off_or_is_no_zip_is_refused(raw: bytes) -> None:
    assert refused(raw) == "not_an_archive"


def test_parts_and_zip64_as_a_whole_are_refused() -> None:
    parts = bytearray(ended(b"", b"", 0))
    parts[4] = 1
    assert refused(bytes(parts)) == "archive_in_parts"
    assert refused(ended(b"", b"", 0xFFFF)) == "archive_zip64"


def test_mutated_archives_are_read_or_refused_and_nothing_else() -> None:
    noise = random.Random(7)
    sound = packed(lambda made: [made.writestr(f"{n}.xml", b"<a/>" * n) for n in range(9)] and None)
    for _ in range(3_000):
        raw = bytearray(sound)
        for _ in range(noise.randint(1, 6)):
            raw[noise.randrange(len(raw))] = noise.randrange(256)
        with suppress(InvalidInput):
            assert "no words" not in opened(bytes(raw)).values()
