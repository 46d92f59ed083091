"""Walk the directory of a bulk ZIP of any length in constant memory, and take its entries out still packed.

The registry's monthly products hold hundreds of thousands of filings, so ZIP64 is read and no list is kept. No claim of
the archive is believed: entries together may not be larger than the file they lie in, which leaves no room for one
that is told twice or overlaps another.
Source: APPNOTE.TXT 6.3.10 §4.3 (structure), §4.4 (fields), §4.5.3 (ZIP64); D. Fifield, “A better zip bomb” (2019).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.kernel.words import N_
from marketplace.rating.ixbrl import BYTES_MAX

END, END_64, LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
CENTRAL, LOCAL = b"PK\x01\x02", b"PK\x03\x04"
END_SIZE, LOCATOR_SIZE, END_64_SIZE, CENTRAL_SIZE, LOCAL_SIZE = 22, 20, 56, 46, 30
COMMENT_MAX = 65_535
ENTRIES_MAX = 2_000_000
NAME_MAX = 1_000
BUFFER = 1 << 20
STORED, DEFLATED = 0, 8
ENCRYPTED = 0x0001 | 0x0040 | 0x2000
UTF_8 = 0x0800
FULL_16, FULL_32 = 0xFFFF, 0xFFFFFFFF
# iXBRL shrinks to a tenth or a twentieth. Nobody's accounts shrink to less than a five-hundredth.
RATIO_MAX, SMALL = 500, 1_000_000


@dataclass(frozen=True)
class Entry:
    """One file of an archive, as its directory tells it; `problem` says why it is not to be opened."""

    name: str
    raw_name: bytes
    at: int
    method: int
    packed: int
    size: int
    crc: int
    problem: Problem | None = None


@dataclass(frozen=True)
class Directory:
    """Where the directory of an archive lies, how long it is and how many entries it claims."""

    at: int
    length: int
    count: int


def refused(rule: str, words: str, **params: object) -> InvalidInput:
    """Return the refusal of a whole archive."""
    return InvalidInput("archive_refused", N_("This archive cannot be read."),
                        problems=[Problem("archive", rule, words, params)])  # fmt: skip


def find_directory(file: BinaryIO, size: int) -> Directory:
    """Find the directory by the record at the archive's end.

    Raises: InvalidInput("archive_refused"); its rule is archive, archive_parts, directory or entries.
    """
    tail_at = max(0, size - END_SIZE - COMMENT_MAX)
    tail = _bytes(file, tail_at, size - tail_at)
    at = tail.rfind(END)
    while at >= 0 and at + END_SIZE + int.from_bytes(tail[at + 20 : at + 22], "little") != len(tail):
        at = tail.rfind(END, 0, at)
    if at < 0:
        raise refused("archive", N_("The archive is cut off or is no ZIP: its directory is missing."))
    disk, first, here, count, length, start = struct.unpack("<HHHHII", tail[at + 4 : at + 20])
    end_at = tail_at + at
    if FULL_16 in (disk, first, here, count) or FULL_32 in (length, start):
        disk, first, here, count, length, start, end_at = _end_64(file, end_at)
    if disk or first or here != count:
        raise refused("archive_parts", N_("The archive is one part of several. Join them first."))
    if start + length != end_at:
        raise refused("directory", N_("The archive's directory is not where the archive says."))
    if count > ENTRIES_MAX:
        raise refused("entries", N_("The archive claims %(count)s entries; %(most)s are read at most."),
                      count=count, most=ENTRIES_MAX)  # fmt: skip
    return Directory(start, length, count)


def _end_64(file: BinaryIO, end_at: int) -> tuple[int, int, int, int, int, int, int]:
    locator = _bytes(file, end_at - LOCATOR_SIZE, LOCATOR_SIZE) if end_at >= LOCATOR_SIZE else b""
    if not locator.startswith(LOCATOR_64):
        raise refused("directory", N_("The archive's directory is not where the archive says."))
    at = int.from_bytes(locator[8:16], "little")
    record = _bytes(file, at, END_64_SIZE) if at <= end_at else b""
    if len(record) < END_64_SIZE or not record.startswith(END_64):
        raise refused("directory", N_("The archive's directory is not where the archive says."))
    disk, first, here, count, length, start = struct.unpack("<IIQQQQ", record[16:])
    return disk, first, here, count, length, start, at


def entries(file: BinaryIO, size: int, directory: Directory) -> Iterator[Entry]:
    """Yield the files of an archive in its order, without folders. Those not to be opened say why.

    Raises: InvalidInput("archive_refused") where the directory breaks off, lies about its length, or where its
    entries together are larger than the archive (rule overlap).
    """
    told, room = 0, directory.at
    stream = _Stream(file, directory.at, directory.length)
    while stream.left:
        told += 1
        if told > ENTRIES_MAX:
            raise refused("entries", N_("The archive claims %(count)s entries; %(most)s are read at most."),
                          count=told, most=ENTRIES_MAX)  # fmt: skip
        entry = _entry(stream)
        room -= LOCAL_SIZE + len(entry.raw_name) + entry.packed
        if room < 0:
            raise refused("overlap", N_("The archive's entries overlap: together they are larger than the archive."))
        if not entry.raw_name.endswith(b"/"):
            yield entry
    # Writers that know no ZIP64 keep only the last sixteen bits.
    if told not in (directory.count, directory.count + (told & ~FULL_16)):
        raise refused("directory", N_("The archive says it holds %(said)s entries, but %(found)s are there."),
                      said=directory.count, found=told)  # fmt: skip


def packed_bytes(file: BinaryIO, entry: Entry) -> bytes:
    """Return an entry's bytes as they lie in the archive.

    Raises: InvalidInput("filing_refused") with rule entry_broken when its own header says otherwise.
    """
    header = _bytes(file, entry.at, LOCAL_SIZE)
    if len(header) == LOCAL_SIZE and header.startswith(LOCAL):
        flags, method = struct.unpack("<HH", header[6:10])
        name_length, extra_length = struct.unpack("<HH", header[26:30])
        name = _bytes(file, entry.at + LOCAL_SIZE, name_length)
        packed = _bytes(file, entry.at + LOCAL_SIZE + name_length + extra_length, entry.packed)
        if (name, method, flags & ENCRYPTED, len(packed)) == (entry.raw_name, entry.method, 0, entry.packed):
            return packed
    problem = Problem("filing", "entry_broken", N_("The archive's entry is not what its directory says."))
    raise InvalidInput("filing_refused", problem.words, problems=[problem])


class _Stream:
    """The directory's bytes, a buffer at a time."""

    def __init__(self, file: BinaryIO, at: int, length: int) -> None:
        self._file, self._at, self._unread, self._buffer, self._place = file, at, length, b"", 0

    @property
    def left(self) -> int:
        return self._unread + len(self._buffer) - self._place

    def take(self, count: int) -> bytes:
        if count > len(self._buffer) - self._place and self._unread:
            more = _bytes(self._file, self._at, min(self._unread, max(BUFFER, count)))
            self._buffer, self._place = self._buffer[self._place :] + more, 0
            self._at, self._unread = self._at + len(more), self._unread - len(more) if more else 0
        found = self._buffer[self._place : self._place + count]
        if len(found) != count:
            raise refused("directory", N_("The archive's directory breaks off."))
        self._place += count
        return found


def _entry(stream: _Stream) -> Entry:
    header = stream.take(CENTRAL_SIZE)
    if not header.startswith(CENTRAL):
        raise refused("directory", N_("The archive's directory breaks off."))
    flags, method = struct.unpack("<HH", header[8:12])
    crc, packed, size, name_length, extra_length, comment_length = struct.unpack("<IIIHHH", header[16:34])
    at = int.from_bytes(header[42:46], "little")
    raw_name = stream.take(name_length)
    extra = stream.take(extra_length)
    stream.take(comment_length)
    if FULL_32 in (packed, size, at):
        size, packed, at = _wide(extra, size, packed, at)
    name = raw_name[:NAME_MAX].decode("utf-8" if flags & UTF_8 else "cp437", "replace")
    return Entry(name, raw_name, at, method, packed, size, crc, _problem(flags, method, packed, size, name_length))


def _wide(extra: bytes, size: int, packed: int, at: int) -> tuple[int, int, int]:
    """Return the sizes and the place from the ZIP64 field, which tells those only that did not fit."""
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        if kind == 1:
            fields = extra[4 : 4 + length][: length // 8 * 8]
            wide = (int.from_bytes(fields[place : place + 8], "little") for place in range(0, len(fields), 8))
            found = tuple(next(wide, value) if value == FULL_32 else value for value in (size, packed, at))
            return found[0], found[1], found[2]
        extra = extra[4 + length :]
    return size, packed, at


def _problem(flags: int, method: int, packed: int, size: int, name_length: int) -> Problem | None:
    if name_length > NAME_MAX:
        return Problem("filing", "name", N_("The entry's name is longer than any file's."))
    if flags & ENCRYPTED:
        return Problem("filing", "encrypted", N_("The entry is encrypted."))
    if method not in (STORED, DEFLATED):
        return Problem("filing", "packing", N_("The entry is packed in a way that is not read (%(method)s)."),
                       {"method": method})  # fmt: skip
    if size > BYTES_MAX or packed > BYTES_MAX:
        return Problem("filing", "size", N_("The file is larger than %(most)s MB."), {"most": BYTES_MAX // 2**20})
    if size > max(SMALL, packed * RATIO_MAX) or (method == STORED and size != packed):
        return Problem("filing", "ratio", N_("The entry claims to unpack to more than any filing does."))
    return None


def _bytes(file: BinaryIO, at: int, count: int) -> bytes:
    if at < 0 or at >= 1 << 62:
        return b""
    file.seek(at)
    return file.read(count)
