"""Firm-years from the register's bulk products: the ZIPs of filed accounts, and the monthly files that tell who failed.

Accounts come first and are read as `bin/market filings read` reads them, each by a process that can do nothing else;
then every monthly file is read once, and only companies with accounts are kept. Never imported by a door.
"""

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.kernel.words import N_
from marketplace.rating.dataset import REGISTER, FirmYears, z_double_prime
from marketplace.rating.ratios import LEVELS, Array, matrix
from marketplace.rating.reading.sources import items
from marketplace.rating.reading.worker import SHEETS
from marketplace.rating.reading.workers import Readers
from marketplace.rating.register.outcomes import History, Window, labels, read_cases, state_code
from marketplace.rating.register.snapshot import companies, day_of
from marketplace.rating.sheet import FIGURES

TELL_FILINGS, TELL_COMPANIES = 10_000, 1_000_000
Progress = Callable[[str], None]


@dataclass
class _Accounts:
    """A column a figure, a place a filing; companies are numbered as they come."""

    numbers: dict[str, int] = field(default_factory=dict)
    company: "array[int]" = field(default_factory=lambda: array("q"))
    period_end: "array[int]" = field(default_factory=lambda: array("q"))
    level: "array[int]" = field(default_factory=lambda: array("b"))
    figures: "array[float]" = field(default_factory=lambda: array("d"))
    left_out: "Counter[str]" = field(default_factory=Counter)

    def take(self, line: bytes) -> None:
        """Keep a filing, or count why it is none to learn from."""
        told = json.loads(line)
        why = ("unreadable" if told["period_end"] is None else "no_company_number" if told["company_number"] is None
               else "dormant" if told["dormant"] else "no_assets" if told["current"] is None else None)  # fmt: skip
        if why:
            self.left_out[why] += 1
            return
        self.company.append(self.numbers.setdefault(told["company_number"], len(self.numbers)))
        self.period_end.append(date.fromisoformat(told["period_end"]).toordinal())
        self.level.append(LEVELS.index(told["level"]))
        for year in (told["current"], told["prior"] or {}):
            self.figures.extend(np.nan if (value := year.get(name)) is None else value for name in FIGURES)


def read_bulk(
    accounts: Sequence[Path],
    snapshots: Sequence[Path],
    cases: Sequence[Path] = (),
    window: Window | None = None,
    progress: Progress = lambda words: None,
) -> FirmYears:
    """Read accounts (files, folders, the register's ZIPs) and monthly files into firm-years with their outcome.

    Of two filings of one company and date the later in order of the sources counts. The year is the balance sheet's.

    Raises: InvalidInput("dataset_refused") when no filing has a known outcome, or a monthly file's name tells no day;
    InvalidInput("snapshot_refused", "cases_refused").
    """
    window = window or Window()
    days = _by_day(snapshots)
    found = _read_accounts(accounts, progress)
    if not found.numbers:
        raise _refused("accounts", N_("no set of accounts can be read in the paths given"))
    # Companies by the order of their numbers: the order of the files must not decide who is held out.
    order = np.argsort(np.array(list(found.numbers)), kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    ranked = {number: int(rank[place]) for number, place in found.numbers.items()}
    history = _history(days, ranked, read_cases(cases, ranked), progress)
    company, period_end = rank[np.frombuffer(found.company, np.int64)], np.frombuffer(found.period_end, np.int64)
    newest = _last_filed(company, period_end)
    labelled = labels(company[newest], period_end[newest], history, window)
    rows = newest[labelled.known]
    found.left_out["filed_again"] = len(company) - len(newest)
    found.left_out.update(labelled.left_out)
    if not len(rows):
        raise _refused("outcome", N_("no filing has a known outcome: give monthly files from after the accounts"))
    figures = np.frombuffer(found.figures, np.float64).reshape(len(company), 2, len(FIGURES))[rows]
    level = np.frombuffer(found.level, np.int8)[rows]
    return _population(company[rows], period_end[rows], figures, level, labelled.outcome[labelled.known],
                       {why: count for why, count in sorted(found.left_out.items()) if count})  # fmt: skip


def _population(
    company: NDArray[np.int64], period_end: NDArray[np.int64], figures: Array, level: NDArray[np.int8],
    outcome: NDArray[np.int64], left_out: Mapping[str, int]
) -> FirmYears:  # fmt: skip
    current, prior = ({name: figures[:, year, place] for place, name in enumerate(FIGURES)} for year in (0, 1))
    digest = hashlib.sha256()
    for part in (company, period_end, figures, level, outcome):
        digest.update(np.ascontiguousarray(part).tobytes())
    year = np.array([date.fromordinal(int(day)).year for day in period_end], np.int64)
    return FirmYears(matrix(current, prior), outcome, year, company, z_double_prime(current), "bulk products",
                     digest.hexdigest(), REGISTER, np.array(LEVELS)[level], left_out)  # fmt: skip


def _read_accounts(paths: Sequence[Path], progress: Progress) -> _Accounts:
    found, read = _Accounts(), 0
    with Readers(want=SHEETS) as readers:
        for chunk in readers.read(items(paths)):
            for line in chunk:
                found.take(line)
            if (read + len(chunk)) // TELL_FILINGS > read // TELL_FILINGS:
                progress(f"{read + len(chunk):,} filings read, {len(found.company):,} to learn from")
            read += len(chunk)
    progress(f"{read:,} filings read, {len(found.company):,} to learn from, of {len(found.numbers):,} companies")
    return found


def _by_day(snapshots: Sequence[Path]) -> dict[date, list[Path]]:
    """Return the monthly files by their day, oldest first; the parts of one day lie together."""
    nameless = [path.name for path in snapshots if day_of(path) is None]
    if nameless or not snapshots:
        raise _refused("snapshot", N_("a monthly file's name must tell its day, as BasicCompanyDataAsOneFile-2026-02-01"
                                      " does: %(names)s"), names=", ".join(nameless) or "–")  # fmt: skip
    found: dict[date, list[Path]] = {}
    for path in snapshots:
        day = day_of(path)
        assert day is not None
        found.setdefault(day, []).append(path)
    return dict(sorted(found.items()))


def _history(
    by_day: Mapping[date, Sequence[Path]], ranked: Mapping[str, int], began: Mapping[int, int], progress: Progress
) -> History:
    states = np.zeros((len(ranked), len(by_day)), np.uint8)
    read = 0
    for place, (day, paths) in enumerate(by_day.items()):
        for path in paths:
            for one in companies(path, day):
                read += 1
                if read % TELL_COMPANIES == 0:
                    progress(f"{day}: {read:,} rows of monthly files read")
                row, profile = ranked.get(one.answer.number), one.answer.profile
                if row is not None and profile is not None:
                    states[row, place] = state_code(profile.state)
        progress(f"{day}: {int((states[:, place] > 0).sum()):,} of {len(ranked):,} companies are in the monthly file")
    return History(np.array([day.toordinal() for day in by_day], np.int64), states, began)


def _last_filed(company: NDArray[np.int64], period_end: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places of the filings, sorted by company and date; of several of one date the last that came."""
    order = np.lexsort((np.arange(len(company)), period_end, company))
    last = np.ones(len(order), np.bool_)
    last[:-1] = (company[order][1:] != company[order][:-1]) | (period_end[order][1:] != period_end[order][:-1])
    return np.asarray(order[last])


def _refused(rule: str, words: str, **params: Any) -> InvalidInput:
    return InvalidInput("dataset_refused", N_("The data file %(file)s cannot be used."), {"file": "bulk products"},
                        problems=[Problem("bulk products", rule, words, params)])  # fmt: skip
