"""Bids from a file: every row is judged and placed by itself, and each that was refused says why.

Row by row, not all or none: a lot that closes while the file is read must not take the other bids with it. The same
file sent again under the same key places nothing twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import current_app, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import TooManyRequests

from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.kernel.errors import Conflict, InvalidInput, MarketplaceError, NotFound, Problem
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.schemas import load
from marketplace.trading.bid_file import BYTES_MAX, ROWS_MAX, Row, read_rows
from marketplace.trading.naming import Named, lots_of, sha256_of, wait_for
from marketplace.trading.placing_many import FAILED, Told, place_all
from marketplace.trading.schemas import PlaceBid, PlaceBidSchema
from marketplace.web import investor_lot_parts as parts
from marketplace.web.forms import minor_of, reasons, status_of
from marketplace.web.investor_door import blueprint
from marketplace.web.session import require_actor, signed_in


@dataclass(frozen=True)
class Judged:
    """What became of one row."""

    row: Row
    placed: bool
    problems: tuple[Problem, ...] = ()


@blueprint.get("/bids/file")
@signed_in(Role.INVESTOR)
def bid_file() -> ResponseReturnValue:
    """Show the form for a file of bids."""
    return _page()


@blueprint.post("/bids/file")
@signed_in(Role.INVESTOR)
def place_bids() -> ResponseReturnValue:
    """Place the bids of a file and tell what became of each row."""
    sent = request.files.get("document")
    try:
        rows = read_rows(sent.stream.read(BYTES_MAX + 1) if sent else b"")
    except InvalidInput as refusal:
        return _page(refusal), status_of(refusal)
    most = current_app.extensions["duebill"].policy.session.bids_per_minute_max
    if wait := wait_for(db.engine, require_actor(), len(rows), most):
        raise TooManyRequests(retry_after=wait)
    once = request.form.get("once", "")[:64] or str(new_id())
    judged = _judged(rows, once)
    again = any(one.rule == FAILED["code"] for row in judged for one in row.problems)
    return _page(judged=judged, once=once if again else None)


def _judged(rows: Sequence[Row], once: str) -> list[Judged]:
    """Place what can be read, hundreds of rows at a time, and say of every row what became of it."""
    typed = [(row.lot, row.rate, row.cash, row.least) for row in rows]
    try:
        lots = lots_of({row.lot for row in rows}, len(rows), sha256_of(typed), require_actor(), once)
    except (InvalidInput, Conflict) as refusal:  # of the page's own key, before any bid, and so of every row
        return [Judged(row, False, tuple(reasons(refusal))) for row in rows]
    found: dict[int, Judged] = {}
    bids: list[tuple[Row, PlaceBid]] = []
    for row in rows:
        try:
            bids.append((row, load(PlaceBidSchema, _values(row, lots.get(row.lot)))))
        except MarketplaceError as refusal:
            found[row.number] = Judged(row, False, tuple(reasons(refusal)))
    try:
        done = place_all([bid for _, bid in bids], require_actor(), once)
    except Conflict as refusal:  # somebody sent the same a moment before, and hears of it there
        done = [Told(None, refusal.code, tuple(reasons(refusal)))] * len(bids)
    for (row, _), told in zip(bids, done, strict=True):
        found[row.number] = Judged(row, told.bid_id is not None, told.problems)
    return [found[row.number] for row in rows]


def _values(row: Row, lot: Named | None) -> dict[str, Any]:
    """Return a row as the schema reads it. Raises: InvalidInput, NotFound."""
    if lot is None:
        raise NotFound("not_found", N_("No lot on auction has this reference."))
    values: dict[str, Any] = {"lot_id": str(lot.id)}
    problems: list[Problem] = []
    for name, typed in (("rate_bps", row.rate), ("cash_minor", row.cash), ("min_fill_minor", row.least)):
        if not typed and name == "min_fill_minor":
            continue
        try:
            values[name] = parts.rate_of(typed) if name == "rate_bps" else minor_of(typed, lot.currency, name)
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput("invalid_fields", N_("Some fields need another look."), problems=problems)
    return values


def _page(refusal: MarketplaceError | None = None, judged: list[Judged] | None = None, once: str | None = None) -> str:
    """Return the page with a key for the next file; `once` is kept for one that failed, and is sent again under it."""
    return render_template(
        "investor/bid_file.html", judged=judged, refusal=refusal, problems=reasons(refusal) if refusal else (),
        placed=sum(one.placed for one in judged or ()), once=once or str(new_id()), rows_max=ROWS_MAX,
    )  # fmt: skip
