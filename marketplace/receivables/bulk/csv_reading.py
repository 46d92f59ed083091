"""A CSV of invoices: one row an invoice, columns by name, amounts in decimals of the currency, dates ISO 8601.

Nothing is guessed: an amount that can be read in two ways, or a date written with slashes, is refused in words. The
columns are told in docs/bulk.md; the same text serves rows of a file and what a seller types into a row.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.kernel.money import EXPONENTS
from marketplace.kernel.words import N_
from marketplace.receivables.schemas import FactsSchema
from marketplace.schemas import load

# column -> field of the listing; the four amounts are written as decimals and kept as minor units.
COLUMNS = {
    "number": "number", "document_type": "document_type", "currency": "currency", "issued_on": "issued_on",
    "due_on": "due_on", "amount_due": "face_minor", "total": "total_minor", "net": "net_minor", "vat": "vat_minor",
    "debtor_name": "debtor_name", "debtor_legal_id": "debtor_legal_id", "debtor_vat_id": "debtor_vat_id",
    "debtor_country": "debtor_country", "debtor_email": "debtor_email", "purchase_order": "purchase_order",
    "iban": "iban",
}  # fmt: skip
FILE, ROW = "file", "row"
FIELDS = {name: column for column, name in COLUMNS.items()}
AMOUNTS = frozenset({"amount_due", "total", "net", "vat"})
DATES = frozenset({"issued_on", "due_on"})
ROWS_ENDING = "\r\n"
CELL_MAX = 2_000
DELIMITERS = (",", ";", "\t", "|")
SPACES = str.maketrans("", "", " \u00a0\u202f\u2009'’")
PLAIN = re.compile(r"[0-9]{1,15}(?:[.,][0-9]+)?")
GROUPED = re.compile(r"[0-9]{1,3}(?:(?:,[0-9]{3})+(?:\.[0-9]+)?|(?:\.[0-9]{3})+(?:,[0-9]+)?)")
SYMBOLS = re.compile(r"^(?:[A-Z]{3}|HK\$|US\$|[£€$¥])\s*|\s*(?:[A-Z]{3}|[£€$¥])$")


@dataclass(frozen=True)
class Line:
    """One row of the file: its number in it, the file it names, what it says, and which cells cannot be used."""

    number: int
    file: str
    values: dict[str, Any]
    problems: tuple[Problem, ...] = ()
    row: int | None = None


@dataclass(frozen=True)
class Sheet:
    """All rows of a CSV, and the columns that mean nothing here."""

    lines: tuple[Line, ...]
    unknown: tuple[str, ...] = field(default=())


def read_sheet(content: bytes, rows_max: int) -> Sheet:
    """Return the rows of a CSV. Cells that cannot be used are problems of their row, not of the file.

    Raises: InvalidInput("csv_encoding" | "csv_header" | "csv_column_twice" | "csv_too_long" | "csv_broken").
    """
    text = _decoded(content)
    first, _, rest = text.partition("\n")
    if first.strip().lower() in {f"sep={one}" for one in DELIMITERS}:
        text = rest
    delimiter = _delimiter(text)
    rows = _rows(text, delimiter)
    header = [_header(cell) for cell in next(rows, (0, []))[1]]
    known = {*COLUMNS, FILE, ROW}
    if not known & set(header):
        words = N_("The CSV has no header that this market knows. Download the template and keep its first line.")
        raise _refused("csv_header", words)
    for name in header:
        if name in known and header.count(name) > 1:
            raise _refused("csv_column_twice", N_("The column “%(column)s” is there twice."), column=name)
    lines: list[Line] = []
    for number, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        if len(lines) == rows_max:
            raise _refused("csv_too_long", N_("The CSV has more than %(most)s rows."), most=rows_max)
        lines.append(_line(number, dict(zip(header, cells, strict=False)), len(cells) > len(header)))
    return Sheet(tuple(lines), tuple(dict.fromkeys(name for name in header if name and name not in known)))


def _decoded(content: bytes) -> str:
    """Return the text: UTF-16 by its mark, else UTF-8 with or without one.

    Raises: InvalidInput("csv_encoding").
    """
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        words = N_("The CSV is written in neither UTF-8 nor UTF-16. Save it as “CSV UTF-8”.")
        raise _refused("csv_encoding", words) from None
    if "\0" in text:
        raise _refused("csv_encoding", N_("The CSV is written in neither UTF-8 nor UTF-16. Save it as “CSV UTF-8”."))
    return text


def _delimiter(text: str) -> str:
    """Return the sign that parts the header into most known columns; the comma where none does."""
    first = text.partition("\n")[0]
    known = {*COLUMNS, FILE, ROW}
    return max(DELIMITERS, key=lambda one: len(known & {_header(cell) for cell in first.split(one)}))


def _header(cell: str) -> str:
    return re.sub(r"[\s-]+", "_", cell.strip().strip('"').lower())


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error:
        words = N_("The CSV cannot be read near line %(line)s: a quotation mark is not closed, or a cell is too long.")
        raise _refused("csv_broken", words, line=reader.line_num) from None


def _line(number: int, cells: Mapping[str, str], longer: bool) -> Line:
    values, problems = parse_cells({name: cell for name, cell in cells.items() if name in COLUMNS})
    if longer:
        words = N_("The row has more cells than the header has columns: a cell with a comma needs quotation marks.")
        problems = (Problem("", "csv_cells", words), *problems)
    row = cells.get(ROW, "").strip()
    return Line(number, cells.get(FILE, "").strip()[:300], values, problems, int(row) if row.isdecimal() else None)


def parse_cells(cells: Mapping[str, str], currency: str | None = None) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """Return the fields that cells under column names mean, and a problem for each that cannot be used.

    Amounts are decimals of the row's currency, or of `currency` where the cells name none.
    """
    given = {name: cell.strip() for name, cell in cells.items() if cell.strip()}
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    code = given.get("currency", currency or "").upper()
    for column, cell in given.items():
        name = COLUMNS[column]
        try:
            values[name] = _value(column, cell, code)
        except InvalidInput as refusal:
            problems += refusal.problems
    while True:  # characters are told before forms: what is wrong is taken out until the rest is right
        try:
            return load(FactsSchema, values), tuple(problems)
        except InvalidInput as refusal:
            wrong = {problem.field for problem in refusal.problems} & values.keys()
            if not wrong:
                raise
            problems += refusal.problems
            values = {name: value for name, value in values.items() if name not in wrong}


def _value(column: str, cell: str, currency: str) -> Any:
    if len(cell) > CELL_MAX:
        raise _of_cell(column, "cell", N_("This cell is longer than any of these fields."))
    if column in AMOUNTS:
        return _amount(column, cell, currency)
    if column in DATES:
        return _day(column, cell)
    return cell.upper() if column in ("currency", "debtor_country") else cell


def _day(column: str, cell: str) -> str:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", cell):
        raise _of_cell(column, "day", N_("“%(cell)s” is no date like 2026-10-02: year, month, day."), cell=cell[:40])
    return cell


def _amount(column: str, cell: str, currency: str) -> int:
    """Return minor units of a decimal. A single separator before three digits could mean either: it is refused."""
    if currency not in EXPONENTS:
        raise _of_cell(column, "amount", N_("The amount cannot be read while its currency is not known."))
    digits = EXPONENTS[currency]
    bare = SYMBOLS.sub("", cell).translate(SPACES)
    marks = [letter for letter in bare if letter in ".,"]
    if len(marks) == 1 and len(bare) - bare.index(marks[0]) == 4 and bare[0] != "0":
        raise _of_cell(column, "ambiguous", N_("“%(cell)s” can be read as thousands or as a fraction. Write 1234.56."),
                       cell=cell[:40])  # fmt: skip
    if PLAIN.fullmatch(bare):
        whole, _, rest = bare.replace(",", ".").partition(".")
    elif GROUPED.fullmatch(bare):
        grouping = marks[0]
        whole, _, rest = bare.replace(grouping, "").replace(",", ".").partition(".")
    else:
        raise _of_cell(column, "amount", N_("“%(cell)s” is no amount like 1234.56."), cell=cell[:40])
    if len(rest) > digits and rest[digits:].strip("0"):
        raise _of_cell(column, "amount", N_("“%(cell)s” has more decimals than %(currency)s has."), cell=cell[:40],
                       currency=currency)  # fmt: skip
    return int(whole + rest[:digits].ljust(digits, "0"))


def _of_cell(column: str, rule: str, words: str, **params: object) -> InvalidInput:
    return InvalidInput("invalid_fields", words, params, [Problem(COLUMNS[column], rule, words, params)])


def _refused(code: str, words: str, **params: object) -> InvalidInput:
    return InvalidInput(code, words, params, [Problem("documents", code, words, params)])


def kept(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields as JSON keeps them: dates as texts."""
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in values.items()}


def unkept(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields that `kept` wrote."""
    days = {COLUMNS[column] for column in DATES}
    return {name: date.fromisoformat(value) if name in days and value else value for name, value in values.items()}


def decimal_of(minor: int | None, currency: str | None) -> str:
    """Return an amount as the CSV writes it: `48600.00`; nothing where it or its currency is not known."""
    if minor is None or currency not in EXPONENTS:
        return ""
    digits = EXPONENTS[currency]
    text = str(minor).rjust(digits + 1, "0")
    return f"{text[:-digits]}.{text[-digits:]}" if digits else text
