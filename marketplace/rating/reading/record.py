"""What is said of one file of accounts: a line of `bin/market filings read`. Pure."""

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.kernel.words import N_
from marketplace.rating.figures import normal_company_number, read_filing
from marketplace.rating.filing import REPORTED, Filing, Year
from marketplace.rating.ixbrl import BYTES_MAX
from marketplace.rating.numbers import plain
from marketplace.rating.sheet import Sheet, complete, figures_of, level_of

# As the registry names the files of its bulk products: software, sequence, company number, balance sheet date.
REGISTRY_NAME = re.compile(r"Prod[0-9]{3}_[0-9]{1,8}_([A-Z0-9]{8})_[0-9]{8}", re.IGNORECASE)
TOO_COSTLY = Problem("filing", "too_costly", N_("The file takes more time or memory to read than accounts do."))


def record_of(label: str, content: bytes) -> dict[str, Any]:
    """Read one document and return its line; a document that cannot be read is a line with the reason."""
    try:
        return _read(label, read_filing(content, label))
    except InvalidInput as refusal:
        return refused_record(label, refusal.problems)


def sheets_of(label: str, content: bytes) -> dict[str, Any]:
    """Read one document and return what a model learns from: level, and the completed sheets of both years.

    `current` is None where the balance sheet cannot be completed or has no assets; a document that cannot be read is
    the line of `record_of`.
    """
    try:
        filing = read_filing(content, label)
    except InvalidInput as refusal:
        return refused_record(label, refusal.problems)
    now, then = _with_assets(filing.current), _with_assets(filing.prior)
    return {
        "company_number": filing.company_number or number_in_name(label),
        "period_end": filing.period_end.isoformat(),
        "dormant": filing.dormant,
        "level": level_of(now, then) if now else None,
        "current": _numbers(now, filing.current),
        "prior": _numbers(then, filing.prior),
    }


def refused_record(label: str, problems: Sequence[Problem]) -> dict[str, Any]:
    """Return the line of a file of which nothing could be read: every figure null, and why."""
    return {
        "file": label,
        "company_number": number_in_name(label),
        "period_end": None,
        "prior_period_end": None,
        "current": dict.fromkeys(REPORTED),
        "prior": dict.fromkeys(REPORTED),
        "faults": [_fault(problem) for problem in problems],
    }


def unpacked(packed: bytes, size: int, crc: int) -> bytes:
    """Inflate an entry of an archive, never beyond the size it claims.

    Raises: InvalidInput("filing_refused") with rule entry_broken: too long or short, cut off, or its checksum is wrong.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = inflater.decompress(packed, min(size, BYTES_MAX) + 1)
    except zlib.error:
        content = b""
    if not inflater.eof or inflater.unused_data or len(content) != size or zlib.crc32(content) != crc:
        raise entry_broken()
    return content


def checked(content: bytes, size: int, crc: int) -> bytes:
    """Return an entry that was stored as it is.

    Raises: InvalidInput("filing_refused") with rule entry_broken when its size or checksum is wrong.
    """
    if len(content) != size or zlib.crc32(content) != crc:
        raise entry_broken()
    return content


def entry_broken() -> InvalidInput:
    """Return the refusal of an archive's entry that is damaged."""
    problem = Problem("filing", "entry_broken", N_("The archive's entry is damaged: its size or checksum is wrong."))
    return InvalidInput("filing_refused", problem.words, problems=[problem])


def number_in_name(label: str) -> str | None:
    """Return the company number in a name that the registry gave, or None."""
    matched = REGISTRY_NAME.match(PurePosixPath(label).name)
    return normal_company_number(matched[1]) if matched else None


def _read(label: str, filing: Filing) -> dict[str, Any]:
    named = number_in_name(label)
    faults = list(filing.faults)
    if named and filing.company_number is None:
        faults = [fault for fault in faults if (fault.field, fault.rule) != ("company_number", "absent")]
        words = N_("The accounts do not state a company number; it was taken from the file's name.")
        faults.append(Problem("company_number", "from_name", words))
    elif named and named != filing.company_number:
        faults.append(Problem("company_number", "name_differs",
                              N_("The file's name says company %(named)s, the accounts say %(stated)s."),
                              {"named": named, "stated": filing.company_number}))  # fmt: skip
    return {
        "file": label,
        "company_number": filing.company_number or named,
        "period_end": filing.period_end.isoformat(),
        "prior_period_end": filing.prior_period_end.isoformat() if filing.prior_period_end else None,
        "current": _figures(filing.current),
        "prior": _figures(filing.prior),
        "faults": [_fault(problem) for problem in faults],
    }


def _with_assets(year: Year | None) -> Sheet | None:
    sheet = complete(year) if year else None
    return sheet if sheet is not None and sheet.total_assets > 0 else None


def _numbers(sheet: Sheet | None, year: Year | None) -> dict[str, float | None] | None:
    if sheet is None or year is None:
        return None
    known = figures_of(sheet, year.get("cash"))
    return {name: None if value is None else float(value) for name, value in known.items()}


def _figures(year: Year | None) -> dict[str, str | None]:
    values = {name: year.get(name) if year else None for name in REPORTED}
    return {name: None if value is None else plain(value) for name, value in values.items()}


def _fault(problem: Problem) -> Mapping[str, Any]:
    return asdict(problem) | {"params": {name: str(value) for name, value in problem.params.items()},
                              "words": problem.said()}  # fmt: skip
