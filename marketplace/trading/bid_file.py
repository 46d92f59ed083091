"""Reading a file of bids: one row a bid, as texts; what they mean is judged row by row, where the lots are known."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.kernel.words import N_

NEEDED, OPTIONAL = ("lot", "rate", "cash"), ("least",)
NUMBER = "line"  # of the file that was sent first, where a list is sent again from the page that showed it
ROWS_MAX, BYTES_MAX = 2_000, 1_000_000
CELL_MAX = 100
CUT = re.compile(r"0[0-9]+")  # what follows a comma in an amount, where it stands in the column beside it


@dataclass(frozen=True)
class Row:
    """One row as it was typed; `number` counts lines of the file, the header being the first."""

    number: int
    lot: str
    rate: str
    cash: str
    least: str
    surplus: bool = False  # there are more cells than columns: an amount was cut at its comma


def text_of(rows: Sequence[Row]) -> str:
    """Return rows as a file that reads as the same rows, their numbers too."""
    out = io.StringIO()
    lines = csv.writer(out)
    lines.writerow((*NEEDED, *OPTIONAL, NUMBER))
    beyond = ("+",)
    lines.writerows((row.lot, row.rate, row.cash, row.least, row.number, *beyond[: row.surplus]) for row in rows)
    return out.getvalue()


def read_rows(raw: bytes) -> list[Row]:
    """Read CSV with a header; columns in any order, others left aside, empty lines skipped.

    A row with more cells than the header is marked: `10,000` without quotes is two cells, of which the first is 10; and
    one whose `least` no amount begins like.

    A file that is too large is refused whole, and a cell that is too long ends with a sign that no number has: bids
    that were left out, or an amount that lost its last digits, would be placed as if they had been meant.

    Raises: InvalidInput("invalid_fields") saying what the file as a whole lacks.
    """
    if len(raw) > BYTES_MAX:
        raise _wrong("too_large", N_("The file is larger than %(most)s MB."), most=BYTES_MAX // 1_000_000)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _wrong("encoding", N_("The file is not UTF-8 text.")) from None
    lines = csv.reader(io.StringIO(text.replace("\x00", "")))
    rows: list[Row] = []
    try:
        header = [name.strip().lower() for name in next(lines, [])]
        _sound(header)
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if len(rows) == ROWS_MAX:
                raise _wrong("rows", N_("The file has more than %(most)s rows."), most=ROWS_MAX)
            held = {name: _cut(cell.strip()) for name, cell in zip(header, cells, strict=False)}
            surplus = any(cell.strip() for cell in cells[len(header) :]) or bool(CUT.fullmatch(held.get("least", "")))
            given = held.get(NUMBER, "")
            number = int(given) if given.isascii() and given.isdigit() else lines.line_num
            lot, rate, cash, least = (held.get(name, "") for name in (*NEEDED, *OPTIONAL))
            rows.append(Row(number, lot, rate, cash, least, surplus))
    except csv.Error:
        raise _wrong(
            "columns", N_("Choose a CSV file with the columns lot, rate and cash; least is optional.")
        ) from None
    if not rows:
        raise _wrong("rows", N_("The file has no rows."))
    return rows


def _sound(header: Sequence[str]) -> None:
    missing = next((name for name in NEEDED if name not in header), None)
    if missing:
        raise _wrong("columns", N_("The file lacks the column %(name)s."), name=missing)
    twice = next((name for name in (*NEEDED, *OPTIONAL) if header.count(name) > 1), None)
    if twice:
        raise _wrong("columns", N_("The file has the column %(name)s twice."), name=twice)


def _cut(cell: str) -> str:
    return cell if len(cell) <= CELL_MAX else f"{cell[:CELL_MAX]}…"


def _wrong(rule: str, words: str, **params: object) -> InvalidInput:
    return InvalidInput.of_fields([Problem("document", rule, words, params)])
