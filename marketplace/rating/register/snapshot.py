"""The companies register's free monthly file: one row for every company there is, read a row at a time.

`BasicCompanyDataAsOneFile-YYYY-MM-DD.zip` holds one CSV of two to three gigabytes; its parts and the bare CSV are read
too. Some column names have a space before them, days are written 31/12/2024, and states are words of their own.
Source: Companies House free company data product, column names as in the file.
"""

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.kernel.words import N_
from marketplace.rating.figures import normal_company_number
from marketplace.rating.register.answers import Charges, CompanyAnswer, Profile

NEEDED = ("CompanyName", "CompanyNumber", "CompanyCategory", "CompanyStatus", "IncorporationDate", "DissolutionDate",
          "Accounts.NextDueDate", "Accounts.LastMadeUpDate", "Accounts.AccountCategory", "Mortgages.NumMortCharges",
          "Mortgages.NumMortOutstanding", "Mortgages.NumMortPartSatisfied")  # fmt: skip
# The product's words, by what stands in them, as the states of the API. The first that fits counts.
STATES = (
    ("liquidation", "liquidation"),
    ("administration", "administration"),
    ("receiver", "receivership"),
    ("voluntary arrangement", "voluntary-arrangement"),
    ("insolvency", "insolvency-proceedings"),
    ("dissolved", "dissolved"),
    ("converted", "converted-closed"),
    ("closed", "closed"),
    ("removed", "removed"),
    ("active", "active"),
    ("registered", "registered"),
)
FIELD_MAX = 4_000
FILE_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})")


@dataclass(frozen=True)
class SnapshotCompany:
    """One company of the file, and the number of the row that it stands in."""

    row: int
    answer: CompanyAnswer


def day_of(path: Path) -> date | None:
    """Return the day that the file speaks of, which its name tells; None where it does not."""
    named = FILE_DAY.search(path.name)
    try:
        return date.fromisoformat(named[1]) if named else None
    except ValueError:
        return None


def companies(path: Path, day: date) -> Iterator[SnapshotCompany]:
    """Yield every company with a sound number. Accounts are overdue when they were due before `day`.

    Raises: InvalidInput("snapshot_refused") naming the columns that are missing, or the row that cannot be read.
    """
    with _opened(path) as file:
        rows = csv.reader(file)
        try:
            names = [name.strip() for name in next(rows, [])]
            missing = [name for name in NEEDED if name not in names]
            if missing:
                raise _refused("columns", N_("Columns are missing: %(names)s."), names=", ".join(missing))
            places = {name: names.index(name) for name in NEEDED}
            for cells in rows:
                if len(cells) != len(names):
                    raise _refused("row", N_("Row %(row)s has another number of columns."), row=rows.line_num)
                answer = _answer({name: cells[place].strip() for name, place in places.items()}, day)
                if answer is not None:
                    yield SnapshotCompany(rows.line_num, answer)
        except csv.Error:
            raise _refused("row", N_("Row %(row)s cannot be read."), row=rows.line_num) from None
        except (zipfile.BadZipFile, EOFError, OSError):
            raise _refused("archive", N_("The file is damaged or was not fetched to its end.")) from None


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    with path.open("rb") as raw:
        if raw.read(2) != b"PK":
            raw.seek(0)
            yield io.TextIOWrapper(raw, "utf-8-sig", "replace", newline="")
            return
        try:
            with zipfile.ZipFile(raw) as archive:
                inside = [one for one in archive.namelist() if one.lower().endswith(".csv")]
                if len(inside) != 1:
                    raise _refused("archive", N_("The archive must hold one CSV file."))
                with archive.open(inside[0]) as packed:
                    yield io.TextIOWrapper(packed, "utf-8-sig", "replace", newline="")
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError):
            raise _refused("archive", N_("The file is damaged or was not fetched to its end.")) from None


def _answer(cells: dict[str, str], day: date) -> CompanyAnswer | None:
    number = normal_company_number(cells["CompanyNumber"])
    if number is None or not cells["CompanyName"]:
        return None
    due = _day(cells["Accounts.NextDueDate"])
    outstanding = _count(cells["Mortgages.NumMortOutstanding"]) + _count(cells["Mortgages.NumMortPartSatisfied"])
    total = max(_count(cells["Mortgages.NumMortCharges"]), outstanding)
    about = Profile(
        number=number,
        name=cells["CompanyName"][:200],
        state=state_of(cells["CompanyStatus"]),
        kind=cells["CompanyCategory"][:200] or None,
        incorporated_on=_day(cells["IncorporationDate"]),
        ceased_on=_day(cells["DissolutionDate"]),
        accounts_due_on=due,
        accounts_overdue=due is not None and due < day,
        accounts_made_up_to=_day(cells["Accounts.LastMadeUpDate"]),
        accounts_kind=cells["Accounts.AccountCategory"].lower().replace(" ", "-")[:200] or None,
        has_charges=total > 0,
        has_insolvency_history=False,
    )
    return CompanyAnswer(number, about, None, Charges(total, outstanding))


def state_of(words: str) -> str:
    """Return a state of the file as the API's enumeration; words never heard of are kept, in its spelling."""
    said = words.strip().lower()
    spelled = re.sub(r"[^a-z0-9]+", "-", said).strip("-")[:60]
    return next((state for part, state in STATES if part in said), spelled or "unknown")


def _day(text: str) -> date | None:
    day, _, rest = text.partition("/")
    month, _, year = rest.partition("/")
    try:
        return date(int(year), int(month), int(day)) if text else None
    except ValueError:
        return None


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0


def _refused(rule: str, words: str, **params: object) -> InvalidInput:
    return InvalidInput("snapshot_refused", N_("This is not the companies register's monthly file."),
                        problems=[Problem("snapshot", rule, words, params)])  # fmt: skip
