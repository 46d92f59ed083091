"""Where accounts lie: files, folders walked in order, and the registry's bulk ZIPs. One item at a time."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.kernel.words import N_
from marketplace.rating.ixbrl import BYTES_MAX
from marketplace.rating.reading.directory import DEFLATED, Entry, entries, find_directory, packed_bytes

DOCUMENTS = (".html", ".xhtml", ".htm", ".xml")
ARCHIVE = ".zip"
ZIP_START = (b"PK\x03\x04", b"PK\x05\x06")


@dataclass(frozen=True)
class Item:
    """One document as it lies there, perhaps packed; or why it is not opened."""

    label: str
    content: bytes = field(default=b"", repr=False)
    packing: str = "plain"
    size: int = 0
    crc: int = 0
    problem: Problem | None = None

    def order(self) -> dict[str, Any]:
        """Return what a worker must know beside the bytes."""
        return {"file": self.label, "bytes": len(self.content), "packing": self.packing, "size": self.size,
                "crc": self.crc}  # fmt: skip


@dataclass(frozen=True)
class Survey:
    """What there is to read: a digest of names, sizes and times, by which a resumed run knows its sources again."""

    count: int
    digest: str


def survey(paths: Sequence[Path]) -> Survey:
    """Count the documents in files, folders and archives without opening any."""
    count, digest = 0, hashlib.sha256()
    for path in files(paths):
        try:
            known = path.stat()
            digest.update(f"{path}\0{known.st_size}\0{known.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
            count += _count(path)
        except OSError:
            digest.update(f"{path}\0\n".encode("utf-8", "surrogateescape"))
            count += 1
    return Survey(count, digest.hexdigest())


def items(paths: Sequence[Path], skip: int = 0) -> Iterator[Item]:
    """Yield every document, leaving out the first `skip` without reading them. Whatever is wrong is an item too."""
    for path in files(paths):
        for place in _places(path):
            if skip:
                skip -= 1
            else:
                yield place if isinstance(place, Item) else place.item()


def files(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the files: those named, and those with a known ending in named folders, in the order of their names."""
    for path in paths:
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


def _walk(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as found:
            inside = sorted((entry.name, entry.is_dir(follow_symlinks=False), entry.is_file(follow_symlinks=False))
                            for entry in found)  # fmt: skip
    except OSError:
        yield folder
        return
    for name, is_folder, is_file in inside:
        if is_folder:
            yield from _walk(folder / name)
        elif is_file and name.lower().endswith((*DOCUMENTS, ARCHIVE)):
            yield folder / name


def _count(path: Path) -> int:
    if not path.is_file():
        return 1
    with path.open("rb") as file:
        if not file.read(4).startswith(ZIP_START):
            return 1
        try:
            return find_directory(file, path.stat().st_size).count
        except InvalidInput:
            return 1


@dataclass(frozen=True)
class _Place:
    """An entry of an open archive that may still be skipped."""

    label: str
    file: BinaryIO
    entry: Entry

    def item(self) -> Item:
        """Take the entry's bytes out, still packed."""
        name = self.entry.name.lower()
        if name.endswith(ARCHIVE):
            return _unopened(self.label, "nested", N_("An archive inside an archive is not opened."))
        if not name.endswith(DOCUMENTS):
            return _unopened(self.label, "kind", N_("The file is no iXBRL or XBRL document by its name."))
        if self.entry.problem:
            return Item(self.label, problem=self.entry.problem)
        try:
            packed = packed_bytes(self.file, self.entry)
        except InvalidInput as refusal:
            return Item(self.label, problem=refusal.problems[0])
        packing = "deflated" if self.entry.method == DEFLATED else "stored"
        return Item(self.label, packed, packing, self.entry.size, self.entry.crc)


def _places(path: Path) -> Iterator[Item | _Place]:
    label = _shown(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            yield _unopened(label, "kind", N_("This is no file that can be read."))
            return
        with path.open("rb") as file:
            start = file.read(4)
            if start.startswith(ZIP_START) or path.suffix.lower() == ARCHIVE:
                yield from _archive(label, file, path.stat().st_size)
            else:
                yield Item(label, start + file.read(BYTES_MAX + 1 - len(start)))
    except OSError as error:
        words = N_("The file cannot be opened: %(why)s.")
        yield Item(label, problem=Problem("filing", "unreadable", words, {"why": error.strerror or "?"}))


def _archive(label: str, file: BinaryIO, size: int) -> Iterator[Item | _Place]:
    try:
        directory = find_directory(file, size)
        for entry in entries(file, size, directory):
            yield _Place(f"{label}/{entry.name}", file, entry)
    except InvalidInput as refusal:
        yield Item(label, problem=refusal.problems[0])


def _unopened(label: str, rule: str, words: str) -> Item:
    return Item(label, problem=Problem("filing", rule, words))


def _shown(path: Path) -> str:
    """Return the path as text that can be written down, whatever bytes its name has."""
    return os.fsencode(path).decode("utf-8", "replace")
