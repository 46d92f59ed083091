"""Files that a page gives out: CSV that no spreadsheet takes for a formula."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from flask import Response

from marketplace.kernel.money import exponent
from marketplace.web.format import instant

NUMBER = re.compile(r"-?\d+(\.\d+)?")
STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def plain(minor: int | None, currency: str) -> str:
    """Return an amount as a spreadsheet reads it: `-1204.55`; nothing for None."""
    if minor is None:
        return ""
    digits = exponent(currency)
    whole, rest = divmod(abs(minor), 10**digits)
    return f"{'-' if minor < 0 else ''}{whole}" + (f".{rest:0{digits}d}" if digits else "")


def csv_file(name: str, headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> Response:
    """Return rows as a CSV download (UTF-8 with its mark, so that spreadsheets read names right)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([_safe(header) for header in headers])
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    response = Response("\ufeff" + out.getvalue(), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def _safe(cell: Any) -> str:
    """Return a cell as text; one that a spreadsheet would take for a formula gets an apostrophe in front."""
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return instant(cell)
    if isinstance(cell, date):
        return cell.isoformat()
    words = str(cell)
    if words.startswith(STARTS_A_FORMULA) and not NUMBER.fullmatch(words):
        return "'" + words
    return words
