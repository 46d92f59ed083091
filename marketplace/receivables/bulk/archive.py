"""Read a ZIP that somebody else packed: the directory first, within bounds, then one entry at a time.

Nothing is ever written to a disk, an entry's name is only a label, and no size that the archive claims is believed.
Written here rather than taken from `zipfile` because that one reads a directory of any length before it can be asked.
Source: APPNOTE.TXT 6.3.10 §4.3 (structure), §4.4 (fields); overlapping entries: D. Fifield, “A better zip bomb” (2019).
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.kernel.words import N_

# The bytes of the archive from an offset; fewer where it ends.
Read = Callable[[int, int], bytes]

END, DIRECTORY, LOCAL = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"
END_SIZE, DIRECTORY_SIZE, LOCAL_SIZE = 22, 46, 30
COMMENT_MAX = 65_535
NAME_BYTES_MAX = 1_000
DIRECTORY_BYTES_MAX = 16 * 1024 * 1024
STORED, DEFLATED = 0, 8
ENCRYPTED = 0x0001 | 0x0040 | 0x2000
UTF8 = 0x0800
ZIP64 = 0xFFFFFFFF
UNIX, MACOS = 3, 19
KIND_MASK, REGULAR = 0o170000, 0o100000
SMALL = 1_000_000  # what an entry may grow to whatever its ratio
# What systems leave in archives without anybody meaning it.
LITTER = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")
ARCHIVES = (LOCAL, END, b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b\x08")


@dataclass(frozen=True)
class Bounds:
    """What is read at most: entries, bytes of one entry, bytes of all, and how much an entry may grow."""

    entries_max: int
    entry_bytes_max: int
    inflated_bytes_max: int
    inflation_max: int


@dataclass(frozen=True)
class Entry:
    """One file of an archive: where its local header is, how it is packed, and why it is not opened, if so."""

    name: str
    at: int
    method: int
    packed: int
    size: int
    crc: int
    raw_name: bytes = b""
    problem: Problem | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what is needed to open it again."""
        return {"at": self.at, "method": self.method, "packed": self.packed, "size": self.size, "crc": self.crc,
                "name": self.raw_name.hex()}  # fmt: skip

    @classmethod
    def from_json(cls, kept: Mapping[str, Any], name: str) -> "Entry":
        """Return the entry that `to_json` wrote."""
        return cls(name, kept["at"], kept["method"], kept["packed"], kept["size"], kept["crc"],
                   bytes.fromhex(kept["name"]))  # fmt: skip


def is_archive(start: bytes) -> bool:
    """Say whether a file is an archive, by its first bytes."""
    return start.startswith(ARCHIVES)


def is_zip(start: bytes) -> bool:
    """Say whether a file is a ZIP, by its first bytes."""
    return start.startswith((LOCAL, END))


def entries(read: Read, size: int, bounds: Bounds) -> list[Entry]:
    """Return the files of an archive in its order, without folders and litter. Those not to be opened say why.

    Raises: InvalidInput("not_an_archive" | "archive_in_parts" | "too_many_entries" | "entries_overlap" |
    "too_large_unpacked") for the archive as a whole.
    """
    start, length, count = _end(read, size)
    if count > bounds.entries_max:
        raise _too_many(bounds)
    found = []
    for entry in _directory(read(start, length), bounds):
        found.append(entry)
        if len(found) > bounds.entries_max:
            raise _too_many(bounds)
    _refuse_overlaps(found, start)
    wanted = [entry for entry in found if not entry.name.endswith("/") and not _litter(entry.name)]
    if sum(entry.size for entry in wanted if entry.problem is None) > bounds.inflated_bytes_max:
        most = bounds.inflated_bytes_max // 1_000_000
        raise _refused("too_large_unpacked", N_("Unpacked, the archive would be larger than %(most)s MB."), most=most)
    return _without_twins(wanted)


def content(read: Read, entry: Entry) -> bytes:
    """Return the bytes of one entry, never more than its directory says.

    Raises: InvalidInput("entry_broken") naming it; and the entry's own problem, if it has one.
    """
    if entry.problem is not None:
        raise InvalidInput(entry.problem.rule, entry.problem.words, entry.problem.params, [entry.problem])
    header = read(entry.at, LOCAL_SIZE)
    if len(header) < LOCAL_SIZE or not header.startswith(LOCAL):
        raise _broken(entry)
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    if read(entry.at + LOCAL_SIZE, name_length) != entry.raw_name:
        raise _broken(entry)
    packed = read(entry.at + LOCAL_SIZE + name_length + extra_length, entry.packed)
    if len(packed) != entry.packed:
        raise _broken(entry)
    plain = packed if entry.method == STORED else _inflated(packed, entry)
    if len(plain) != entry.size or zlib.crc32(plain) != entry.crc:
        raise _broken(entry)
    return plain


def _inflated(packed: bytes, entry: Entry) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = inflater.decompress(packed, entry.size + 1)
    except zlib.error:
        raise _broken(entry) from None
    if not inflater.eof or inflater.unused_data:
        raise _broken(entry)
    return plain


def _end(read: Read, size: int) -> tuple[int, int, int]:
    """Return start, length and entry count of the directory, from the record at the end of the file."""
    tail_at = max(0, size - END_SIZE - COMMENT_MAX)
    tail = read(tail_at, size - tail_at)
    at = tail.rfind(END)
    while at >= 0 and at + END_SIZE + int.from_bytes(tail[at + 20 : at + 22], "little") != len(tail):
        at = tail.rfind(END, 0, at)
    if at < 0:
        raise _refused("not_an_archive", N_("The archive is cut off or is no ZIP: its directory is missing."))
    disk, first, here, count, length, start, _ = struct.unpack("<HHHHIIH", tail[at + 4 : at + 22])
    if ZIP64 in (start, length) or count == 0xFFFF:
        words = N_("The archive is packed in the ZIP64 form, which is for files of gigabytes. Pack it as a plain ZIP.")
        raise _refused("archive_zip64", words)
    if disk or first or here != count:
        raise _refused("archive_in_parts", N_("The archive is one part of several. Send one whole ZIP."))
    if start + length > tail_at + at or length > DIRECTORY_BYTES_MAX:
        raise _refused("not_an_archive", N_("The archive is cut off or is no ZIP: its directory is missing."))
    return start, length, count


def _directory(raw: bytes, bounds: Bounds) -> Iterator[Entry]:
    at = 0
    while at < len(raw):
        if raw[at : at + 4] != DIRECTORY or at + DIRECTORY_SIZE > len(raw):
            raise _refused("not_an_archive", N_("The directory of the archive cannot be read."))
        (made_by, flags, method, crc, packed, size, name_length, extra_length, comment_length, attributes, local) = (
            struct.unpack("<4xxBxxHHxxxxIIIHHHxxxxII", raw[at : at + DIRECTORY_SIZE])
        )
        raw_name = raw[at + DIRECTORY_SIZE : at + DIRECTORY_SIZE + name_length]
        name, spelled = _name(raw_name, flags)
        kind = (attributes >> 16) & KIND_MASK if made_by in (UNIX, MACOS) else 0
        entry = Entry(name, local, method, packed, size, crc, raw_name)
        problem = _problem(entry, flags, kind, spelled, bounds)
        yield Entry(name, local, method, packed, size, crc, raw_name, problem)
        at += DIRECTORY_SIZE + name_length + extra_length + comment_length


def _name(raw: bytes, flags: int) -> tuple[str, bool]:
    """Return the name, and whether it could be read as it says it is written. Source: APPNOTE §D.1."""
    shown = raw[:NAME_BYTES_MAX]
    try:
        return shown.decode("utf-8"), len(raw) <= NAME_BYTES_MAX
    except UnicodeDecodeError:
        if flags & UTF8:
            return shown.decode("utf-8", "replace"), False
        return shown.decode("cp437"), len(raw) <= NAME_BYTES_MAX


def _problem(entry: Entry, flags: int, kind: int, spelled: bool, bounds: Bounds) -> Problem | None:
    """Return why an entry is not opened, the gravest reason first; None when it is."""
    name, most = entry.name.replace("\\", "/"), bounds.entry_bytes_max
    grown = entry.size > SMALL and entry.size > entry.packed * bounds.inflation_max
    for wrong, rule, words in (
        (not spelled or any(ord(letter) < 32 for letter in name), "entry_name",
         N_("“%(entry)s”: its name is not written as the archive says, or holds signs that no name has.")),
        (name.startswith("/") or name[1:2] == ":", "entry_absolute",
         N_("“%(entry)s” names a place on a disk instead of a file in the archive.")),
        (".." in name.split("/"), "entry_outside", N_("“%(entry)s” points outside the archive.")),
        (kind not in (0, REGULAR) and not name.endswith("/"), "entry_link",
         N_("“%(entry)s” is a link or a device, not a file.")),
        (flags & ENCRYPTED, "entry_encrypted", N_("“%(entry)s” is encrypted. Pack it without a password.")),
        (ZIP64 in (entry.size, entry.packed, entry.at), "entry_zip64",
         N_("“%(entry)s” is packed in the ZIP64 form, which is for files of gigabytes.")),
        (entry.method not in (STORED, DEFLATED), "entry_packing",
         N_("“%(entry)s” is packed by a method other than Deflate. Pack it as a plain ZIP.")),
        (entry.method == STORED and entry.size != entry.packed, "entry_broken", N_("“%(entry)s” is damaged.")),
        (entry.size > most, "entry_too_large", N_("“%(entry)s” is larger than %(most)s MB.")),
        (grown, "entry_bomb", N_("“%(entry)s” would grow more than %(times)s-fold when it is unpacked.")),
    ):  # fmt: skip
        if wrong:
            params = {"entry": _shown(entry.name), "most": most // 1_000_000, "times": bounds.inflation_max}
            return Problem("document", rule, words, params)
    return None


def _shown(name: str) -> str:
    """Return a name as it may stand in a sentence: no control characters, and its end when it is long."""
    kept = "".join(letter if letter.isprintable() else "·" for letter in name)
    return kept if len(kept) <= 120 else "…" + kept[-119:]


def _litter(name: str) -> bool:
    last = name.rsplit("/", 1)[-1]
    return name.startswith(LITTER[0]) or last in LITTER or last.startswith("._")


def _refuse_overlaps(found: list[Entry], directory_at: int) -> None:
    """No two entries may share bytes, nor reach into the directory: that is how small archives become huge."""
    end, before = 0, ""
    for entry in sorted((one for one in found if one.problem is None), key=lambda one: one.at):
        if entry.at < end or entry.at + LOCAL_SIZE + len(entry.raw_name) + entry.packed > directory_at:
            raise _refused("entries_overlap", N_("In the archive “%(entry)s” and “%(other)s” share the same bytes."),
                           entry=_shown(entry.name), other=_shown(before) or "–")  # fmt: skip
        end, before = entry.at + LOCAL_SIZE + len(entry.raw_name) + entry.packed, entry.name


def _without_twins(found: list[Entry]) -> list[Entry]:
    seen: set[str] = set()
    told = []
    for entry in found:
        name = entry.name.replace("\\", "/").casefold()
        if name in seen and entry.problem is None:
            words = N_("“%(entry)s” is in the archive more than once. Which one is meant cannot be known.")
            problem = Problem("document", "entry_twice", words, {"entry": _shown(entry.name)})
            entry = Entry(entry.name, entry.at, entry.method, entry.packed, entry.size, entry.crc, entry.raw_name,
                          problem)  # fmt: skip
        seen.add(name)
        told.append(entry)
    return told


def nested(entry: Entry) -> Problem:
    """Return why an archive inside the archive is not opened."""
    words = N_("“%(entry)s” is an archive inside the archive. Put the invoices into one ZIP.")
    return Problem("document", "entry_archive", words, {"entry": _shown(entry.name)})


def _refused(code: str, words: str, **params: object) -> InvalidInput:
    return InvalidInput(code, words, params, [Problem("documents", code, words, params)])


def _too_many(bounds: Bounds) -> InvalidInput:
    return _refused("too_many_entries", N_("The archive holds more than %(most)s files."), most=bounds.entries_max)


def _broken(entry: Entry) -> InvalidInput:
    words, params = N_("“%(entry)s” is damaged."), {"entry": _shown(entry.name)}
    return InvalidInput("entry_broken", words, params, [Problem("document", "entry_broken", words, params)])
