"""Stored awards: a transcript in a file of its own, or every award of an audit bundle, packed or unpacked.

Source: docs/audit-format.md, sections 4, 5 and 8.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from auction.errors import TranscriptUnreadable

AWARDS = "packs/auctions/award.jsonl"


@dataclass(frozen=True, slots=True)
class StoredAward:
    """One award as it was stored: the bytes of its transcript, and the hash on record where there is one."""

    lot: str
    round: int
    raw: bytes
    sha256: str


def is_bundle(path: Path) -> bool:
    """Tell an audit bundle, a ZIP file or a folder, from a transcript."""
    return path.is_dir() or zipfile.is_zipfile(path)


def awards_in(bundle: Path) -> Iterator[StoredAward]:
    """Yield the awards of a bundle, in the order of their events.

    Raises: TranscriptUnreadable when the bundle has no awards' pack, or a line of it is not an award.
    """
    if bundle.is_dir():
        try:
            with (bundle / AWARDS).open("rb") as lines:
                yield from _awards(lines)
        except FileNotFoundError:
            raise TranscriptUnreadable(f"not an audit bundle: the folder has no {AWARDS}") from None
        return
    try:
        with zipfile.ZipFile(bundle) as packed, packed.open(AWARDS) as lines:
            yield from _awards(lines)
    except KeyError:
        raise TranscriptUnreadable(f"not an audit bundle: the archive has no {AWARDS}") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as fault:
        raise TranscriptUnreadable(f"not a whole archive: {fault}") from None


def _awards(lines: Iterable[bytes]) -> Iterator[StoredAward]:
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            yield StoredAward(str(row["lot_id"]), int(row["round"]), row["transcript"].encode(), str(row["sha256"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise TranscriptUnreadable(f"{AWARDS}: line {number} is not an award") from None
