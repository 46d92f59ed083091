"""Which companies failed after their accounts: what monthly files and insolvency cases say, as labels to learn from.

A failure is liquidation, administration, receivership or a voluntary arrangement between the balance sheet date and
the end of a window: the time allowed for filing and twelve months. The monthly file tells states without their days,
so a window is judged by the first file on or after its end; a row without such a file is left out, failed or not:
keeping early failures alone would make the rate too high. Where a case's day is known it counts instead of the files.

Source: Companies House, guide to the free company data product (states); public data API, resource companyInsolvency.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.kernel.words import N_
from marketplace.rating.figures import normal_company_number
from marketplace.rating.register.answers import ENDED, INSOLVENT, Nonsense, cases

# Solvent owners wind up their company, or creditors are asked to wait: nobody goes unpaid by that alone.
NO_FAILURE = ("members-voluntary-liquidation", "moratorium", "corporate-voluntary-arrangement-moratorium")
ABSENT, SOUND, FAILED = 0, 1, 2
NEVER = np.iinfo(np.int64).max
# Why a row has no label, in the order in which it is asked.
ALREADY, UNJUDGED, GONE = "failed_before", "no_file_at_window_end", "left_the_register"

EPOCH = date(1970, 1, 1).toordinal()
Days = NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """How long after the balance sheet date a failure counts, and how late a monthly file may judge it. In months."""

    lag: int = 9
    months: int = 12
    tolerance: int = 6


@dataclass
class History:
    """What is known of every company: its state in each monthly file, and the days of its cases by its number.

    `days` are the files' days, oldest first, as ordinals; `states` has a row a company and a column a file. `began`
    holds the first failing case's day as an ordinal, or NEVER for companies whose cases are known and none fails.
    """

    days: Days
    states: NDArray[np.uint8]
    began: Mapping[int, int]


@dataclass(frozen=True)
class Labels:
    """The outcome of every row that has one (others are 0), which rows those are, and why the others have none."""

    outcome: NDArray[np.int64]
    known: NDArray[np.bool_]
    left_out: Mapping[str, int]


def state_code(state: str) -> int:
    """Return what a published state says of a company that is in a file."""
    return FAILED if state in INSOLVENT else ABSENT if state in ENDED else SOUND


def labels(company: NDArray[np.int64], period_end: Days, history: History, window: Window) -> Labels:
    """Return the outcome of each row: a company by its row in the history, and its balance sheet date (ordinal)."""
    end = months_after(period_end, window.lag + window.months)
    judge = np.searchsorted(history.days, end, side="left")
    judged = judge < len(history.days)
    by = np.minimum(judge, len(history.days) - 1)
    judged &= history.days[by] <= months_after(end, window.tolerance)
    failed, before = np.zeros(len(company), np.bool_), np.zeros(len(company), np.bool_)
    for place, day in enumerate(history.days):
        seen = history.states[company, place] == FAILED
        before |= seen & (day <= period_end)
        failed |= seen & (day > period_end) & (place <= by)
    present = history.states[company, by] != ABSENT
    dated = np.isin(company, np.fromiter(history.began, np.int64, len(history.began)))
    began = np.array([history.began.get(int(one), NEVER) for one in company[dated]], np.int64)
    before[dated] = began <= period_end[dated]
    failed[dated] = (began > period_end[dated]) & (began <= end[dated])
    known = judged & ~before & (present | failed | dated)
    left_out = {ALREADY: before, UNJUDGED: ~before & ~judged, GONE: ~before & judged & ~known}
    return Labels((failed & known).astype(np.int64), known, {why: int(rows.sum()) for why, rows in left_out.items()})


def months_after(days: Days, months: int) -> Days:
    """Return the ordinals of the same day so many months later, or of the month's last day where there is none."""
    day = (np.asarray(days) - EPOCH).astype("datetime64[D]")
    month = day.astype("datetime64[M]")
    within = (day - month.astype("datetime64[D]")).astype(np.int64)
    target = month + months
    last = ((target + 1).astype("datetime64[D]") - target.astype("datetime64[D]")).astype(np.int64) - 1
    return np.asarray(target.astype("datetime64[D]").astype(np.int64) + np.minimum(within, last) + EPOCH)


def read_cases(paths: Sequence[Path], companies: Mapping[str, int]) -> dict[int, int]:
    """Read insolvency cases, a company a line as the register's API answers, with `company_number` beside `cases`.

    Returns the first failing day (ordinal) by company, NEVER where no case of it is a failure. A company with a
    failing case of no day is passed over: the monthly files judge it.

    Raises: InvalidInput("cases_refused") naming the line.
    """
    found: dict[int, int] = {}
    for path in paths:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for row, line in enumerate(lines, 1):
                if line.strip():
                    number, began = _case(line, path.name, row)
                    if number in companies and began is not None:
                        found[companies[number]] = min(began, found.get(companies[number], NEVER))
    return found


def _case(line: str, filename: str, row: int) -> tuple[str, int | None]:
    try:
        told: Any = json.loads(line)
        number = normal_company_number(told["company_number"])
        if number is None or "cases" not in told:
            raise Nonsense
        failing = [case for case in cases(told) if case.kind not in NO_FAILURE]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Nonsense):
        problem = Problem(filename, "case", N_("line %(row)s is no company with its insolvency cases"), {"row": row})
        raise InvalidInput("cases_refused", N_("The file of insolvency cases %(file)s cannot be used."),
                           {"file": filename}, problems=[problem]) from None  # fmt: skip
    if any(case.began_on is None for case in failing):
        return number, None
    return number, min((case.began_on.toordinal() for case in failing if case.began_on), default=NEVER)
