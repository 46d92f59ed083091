"""Read firm-years with their outcome for training and judging. Needs pyarrow; never imported by a door.

The layout is that of the public set of US listed companies: one row a company and fiscal year, figures X1…X18, and
y = 1 on the last fiscal year before a company failed.

Source: Lombardo et al. 2022, Future Internet 14(8) 244; Pellegrino et al. 2024, Future Internet 16(3) 79 (CC BY 4.0).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.kernel.words import N_
from marketplace.rating.ratios import Array, Columns, matrix

NEEDED = ("company_name", "year", "X1", "X5", "X6", "X7", "X9", "X10", "X12", "X14", "X15", "X17", "y")


@dataclass(frozen=True)
class FirmYears:
    """A population: ratios of full accounts (mask them for lesser levels), outcome, year, company; and its file."""

    ratios: Array
    outcome: NDArray[np.int64]
    year: NDArray[np.int64]
    company: NDArray[Any]
    filename: str
    sha256: str

    def between(self, first: int, last: int) -> NDArray[np.bool_]:
        """Return which rows lie in these years, both included."""
        return (self.year >= first) & (self.year <= last)


def read_firm_years(path: Path) -> FirmYears:
    """Read a Parquet (or CSV) file of firm-years, sorted by company and year.

    Raises: InvalidInput("dataset_refused") naming what is missing.
    """
    table = _read(path)
    missing = [name for name in NEEDED if name not in table.column_names]
    if missing:
        raise _refused(f"{path.name}", N_("columns missing: %(columns)s"), columns=", ".join(missing))
    raw = {name: table[name].to_numpy(zero_copy_only=False) for name in NEEDED}
    order = np.lexsort((raw["year"], raw["company_name"]))
    columns = {name: values[order] for name, values in raw.items()}
    try:
        figures = {name: columns[name].astype(np.float64) for name in NEEDED if name.startswith("X")}
        outcome, year = columns["y"].astype(np.int64), columns["year"].astype(np.int64)
    except (TypeError, ValueError) as error:
        raise _refused(path.name, N_("a column holds something that is not a number")) from error
    if not len(outcome) or set(np.unique(outcome)) - {0, 1}:
        raise _refused(path.name, N_("the outcome y must be 0 or 1 on at least one row"))
    current = _figures(figures)
    prior = _of_last_year(current, columns["company_name"], year)
    return FirmYears(matrix(current, prior), outcome, year, columns["company_name"], path.name,
                     hashlib.sha256(path.read_bytes()).hexdigest())  # fmt: skip


def _read(path: Path) -> Any:
    import pyarrow.csv
    import pyarrow.parquet

    if not path.is_file():
        raise _refused(path.name, N_("there is no such file"))
    try:
        if path.suffix == ".csv":
            return pyarrow.csv.read_csv(path)
        return pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise _refused(path.name, N_("it is neither Parquet nor CSV")) from error


def _refused(filename: str, words: str, **params: object) -> InvalidInput:
    return InvalidInput("dataset_refused", N_("The data file cannot be used."),
                        problems=[Problem(filename, "layout", words, params)])  # fmt: skip


def _figures(x: Columns) -> dict[str, Array]:
    return {
        "total_assets": x["X10"],
        "current_assets": x["X1"],
        "current_liabilities": x["X14"],
        "equity": x["X10"] - x["X17"],
        "retained": x["X15"],
        "debtors": x["X7"],
        "stocks": x["X5"],
        "liquid": x["X1"] - x["X7"] - x["X5"],
        "turnover": x["X9"],
        "operating_profit": x["X12"],
        "profit": x["X6"],
    }


def _of_last_year(current: Columns, company: NDArray[Any], year: NDArray[np.int64]) -> dict[str, Array]:
    """Return each row's figures of the year before; NaN where the series has a gap."""
    follows = np.zeros(len(year), dtype=bool)
    follows[1:] = (company[1:] == company[:-1]) & (year[1:] == year[:-1] + 1)
    prior = {}
    for name, values in current.items():
        shifted = np.full(len(values), np.nan)
        shifted[1:] = values[:-1]
        prior[name] = np.where(follows, shifted, np.nan)
    return prior
