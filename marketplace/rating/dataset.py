"""Read firm-years with their outcome for training and judging. Needs pyarrow; never imported by a door.

Two layouts. That of the public set of US listed companies: one row a company and fiscal year, figures X1…X18, and
y = 1 on the last fiscal year before a company failed. And that of the Polish set: 64 ready-made ratios and `class`,
without company, year or a year before.

Source: Lombardo et al. 2022, Future Internet 14(8) 244; Pellegrino et al. 2024, Future Internet 16(3) 79 (CC BY 4.0);
Zięba, Tomczak, Tomczak 2016, Expert Systems with Applications 58, 93-101.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.kernel.words import N_
from marketplace.rating.measures import Outcome
from marketplace.rating.ratios import LEVELS, Array, Columns, from_ready_ratios, matrix, tells

FIGURES_NEEDED = ("X1", "X5", "X6", "X7", "X9", "X10", "X12", "X14", "X15", "X17")
NEEDED = ("company_name", "year", *FIGURES_NEEDED, "y")
LAYOUTS = ("us", "polish")
# Where firm-years come from: the layouts, the companies register's bulk products, the market's own outcomes, or those
# together with the public set's.
REGISTER, OWN, BOTH = "register", "own", "both"
READY = {
    "profit": "Attr1", "liabilities": "Attr2", "working_capital": "Attr3", "current_ratio": "Attr4",
    "retained": "Attr6", "operating_profit": "Attr7", "equity_to_debt": "Attr8", "turnover": "Attr9",
    "equity": "Attr10", "margin": "Attr23", "liquid_cover": "Attr40", "due_within": "Attr51",
    "turnover_to_debtors": "Attr61",
}  # fmt: skip
ROWS_NAMED_MAX = 3


@dataclass(frozen=True)
class FirmYears:
    """A population: ratios of full accounts (mask them for lesser levels), outcome, year, company; and its file.

    `company` numbers the companies. `z` is Altman's Z″, NaN where a figure is missing. `filed` is the level of each
    row's filing where they differ; None: every row is full. `left_out` counts what is no row, by reason. `own` tells of
    the rows that are the market's own: how many, how many failed, until when, their hash.
    """

    ratios: Array
    outcome: Outcome
    year: NDArray[np.int64]
    company: NDArray[np.int64]
    z: Array
    filename: str
    sha256: str
    origin: str = "us"
    filed: NDArray[np.str_] | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)

    def between(self, first: int, last: int) -> NDArray[np.bool_]:
        """Return which rows lie in these years, both included."""
        return (self.year >= first) & (self.year <= last)

    def telling(self, rows: NDArray[np.bool_], level: str, failures_min: int) -> NDArray[np.bool_]:
        """Return those of the rows whose filing tells all that a level knows; where too few failed, all the rows."""
        if self.filed is None:
            return rows
        enough = [own for own in LEVELS if tells(own, level)]
        found = np.asarray(rows & np.isin(self.filed, enough))
        return found if self.outcome[found].sum() >= failures_min else rows


def read_data(path: Path, layout: str = "us") -> FirmYears:
    """Read a Parquet or CSV file of one of the LAYOUTS.

    Raises: InvalidInput("dataset_refused") naming every column and rule that is broken.
    """
    return read_polish(path) if layout == "polish" else read_firm_years(path)


def read_firm_years(path: Path) -> FirmYears:
    """Read a Parquet or CSV file of firm-years, sorted by company and year. More columns may stand in it.

    Rows that stand twice are kept twice: each finds its company's figures of the year before.

    Raises: InvalidInput("dataset_refused") naming every column and rule that is broken.
    """
    table = _read(path, NEEDED)
    company = _companies(table, path.name)
    numbers = _numbers(table, NEEDED[1:], path.name)
    year = _whole(numbers["year"], "year", path.name)
    _outcome(numbers["y"], "y", path.name)
    columns = {name: numbers[name] for name in (*FIGURES_NEEDED, "y")}
    return firm_years(company, year, columns, path.name, _sha256(path))


def firm_years(
    company: NDArray[np.int64], year: NDArray[np.int64], columns: Columns, filename: str, sha256: str = ""
) -> FirmYears:
    """Return the population of figures X1… and outcome y that were read already, sorted by company and year."""
    key = _key(company, year)
    if (key[1:] < key[:-1]).any():
        order = np.argsort(key, kind="stable")
        company, year = company[order], year[order]
        columns = {name: columns[name][order] for name in (*FIGURES_NEEDED, "y")}
    current = _figures(columns)
    prior = _of_last_year(current, _key(company, year))
    outcome = columns["y"].astype(np.int64)
    return FirmYears(matrix(current, prior), outcome, year, company, z_double_prime(current), filename, sha256)


def read_polish(path: Path) -> FirmYears:
    """Read a file in the layout of the Polish set. Ratios that are not there are not known; so is the year before.

    Raises: InvalidInput("dataset_refused") naming every column and rule that is broken.
    """
    needed = (*READY.values(), "class")
    table = _read(path, needed)
    numbers = _numbers(table, needed, path.name, gaps=True)
    outcome = _outcome(numbers["class"], "class", path.name)
    ready = {name: numbers[column] for name, column in READY.items()}
    z = 6.56 * ready["working_capital"] + 3.26 * ready["retained"] + 6.72 * ready["operating_profit"]
    z += 1.05 * ready["equity_to_debt"]
    count = len(outcome)
    return FirmYears(from_ready_ratios(ready), outcome, np.zeros(count, np.int64), np.arange(count), z, path.name,
                     _sha256(path))  # fmt: skip


def _read(path: Path, needed: tuple[str, ...]) -> Any:
    import pyarrow.csv
    import pyarrow.parquet

    if not path.is_file():
        raise _refused(path.name, "file", N_("there is no such file"))
    if not path.stat().st_size:
        raise _refused(path.name, "empty", N_("the file is empty"))
    is_csv = path.suffix.lower() == ".csv"
    try:
        # The names first, so that no other column is read.
        if is_csv:
            with pyarrow.csv.open_csv(path) as start:
                names = start.schema.names
        else:
            names = pyarrow.parquet.read_schema(path).names
        missing = [name for name in needed if names.count(name) != 1]
        if missing:
            raise _refused(path.name, "columns", N_("columns missing, or there twice: %(columns)s"),
                           columns=", ".join(missing))  # fmt: skip
        if is_csv:
            wanted = pyarrow.csv.ConvertOptions(include_columns=needed)
            table = pyarrow.csv.read_csv(path, convert_options=wanted)
        else:
            table = pyarrow.parquet.read_table(path, columns=list(needed))
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, OSError) as error:
        raise _refused(path.name, "layout", N_("it is neither Parquet nor CSV")) from error
    if not table.num_rows:
        raise _refused(path.name, "empty", N_("the file holds no rows"))
    return table


def _numbers(table: Any, names: tuple[str, ...], filename: str, *, gaps: bool = False) -> dict[str, Array]:
    """Return the columns as float64; every column of another kind, and every gap, is told at once."""
    import pyarrow as pa

    found, problems = {}, []
    for name in names:
        kind = table[name].type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
                or pa.types.is_boolean(kind) or pa.types.is_null(kind)):  # fmt: skip
            problems.append(Problem(name, "type", N_("%(column)s holds %(kind)s, not numbers"),
                                    {"column": name, "kind": str(kind)}))  # fmt: skip
            continue
        values = table[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
        odd = np.flatnonzero(np.isinf(values) if gaps and name != "class" else ~np.isfinite(values))
        if len(odd):
            rows = ", ".join(str(row + 1) for row in odd[:ROWS_NAMED_MAX])
            problems.append(Problem(name, "number", N_("%(column)s: no number in %(count)s rows (first: %(rows)s)"),
                                    {"column": name, "count": len(odd), "rows": rows}))  # fmt: skip
        found[name] = values
    if problems:
        raise _refusal(filename, problems)
    return found


def _companies(table: Any, filename: str) -> NDArray[np.int64]:
    """Return the companies as numbers, in the order of their names."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table["company_name"]
    if column.null_count or pa.types.is_null(column.type):
        raise _refused(filename, "company_name", N_("company_name is missing in %(count)s rows"),
                       count=column.null_count)  # fmt: skip
    try:
        encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _refused(filename, "company_name", N_("company_name holds neither text nor numbers")) from error
    places = np.empty(len(encoded.dictionary), np.int64)
    places[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(places))
    return np.asarray(places[encoded.indices.to_numpy()])


def _whole(values: Array, name: str, filename: str) -> NDArray[np.int64]:
    if (values != np.floor(values)).any() or (np.abs(values) > 9_999).any():
        raise _refused(filename, name, N_("%(column)s must be a whole number of at most four digits"), column=name)
    return values.astype(np.int64)


def _outcome(values: Array, name: str, filename: str) -> Outcome:
    if not np.isin(values, (0.0, 1.0)).all():
        raise _refused(filename, name, N_("the outcome %(column)s must be 0 or 1 in every row"), column=name)
    return values.astype(np.int64)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refused(filename: str, rule: str, words: str, **params: object) -> InvalidInput:
    return _refusal(filename, [Problem(filename, rule, words, params)])


def _refusal(filename: str, problems: list[Problem]) -> InvalidInput:
    return InvalidInput("dataset_refused", N_("The data file %(file)s cannot be used."), {"file": filename},
                        problems=problems)  # fmt: skip


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


def _key(company: NDArray[np.int64], year: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a number a row. Years have four digits: a company's years stay together, and apart from others'."""
    return company * 20_000 + year


def _of_last_year(current: Columns, key: NDArray[np.int64]) -> dict[str, Array]:
    """Return each row's figures of the year before; NaN where the series has a gap. Rows come sorted."""
    before = np.searchsorted(key, key - 1, side="right") - 1
    follows = (before >= 0) & (key[before] == key - 1)
    return {name: np.where(follows, values[before], np.nan) for name, values in current.items()}


def z_double_prime(x: Columns) -> Array:
    """Return Altman's Z″ of every row of figures, NaN without assets; a company that owes nothing has the best."""
    total = np.where(x["total_assets"] > 0, x["total_assets"], np.nan)
    owed = np.maximum(total - x["equity"], 1e-9)
    weighed = (6.56 * (x["current_assets"] - x["current_liabilities"]) + 3.26 * x["retained"]
               + 6.72 * x["operating_profit"])  # fmt: skip
    return np.asarray(weighed / total + 1.05 * x["equity"] / owed)
