"""Bids from a file: every row is judged and placed by itself, and each that was refused says why.

Row by row, not all or none: a lot that closes while the file is read must not take the other bids with it. The same
file sent again under the same key places nothing twice.
"""

from dataclasses import dataclass
from typing import Any

from flask import render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy import text

from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.kernel.errors import InvalidInput, MarketplaceError, NotFound, Problem
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.perform import perform
from marketplace.schemas import load
from marketplace.trading import queries
from marketplace.trading.actions import place_bid
from marketplace.trading.bid_file import ROWS_MAX, Row, read_rows
from marketplace.trading.schemas import PlaceBidSchema
from marketplace.web import investor_lot_parts as parts
from marketplace.web.forms import minor_of, reasons, status_of
from marketplace.web.investor_door import blueprint
from marketplace.web.session import require_actor, signed_in

BYTES_MAX = 200_000


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
    """Place the bids of a file, row by row, and tell what became of each."""
    sent = request.files.get("document")
    try:
        rows = read_rows(sent.stream.read(BYTES_MAX) if sent else b"")
    except InvalidInput as refusal:
        return _page(refusal), status_of(refusal)
    once = request.form.get("once", "")[:64] or str(new_id())
    return _page(judged=[_judged(row, once) for row in rows])


def _judged(row: Row, once: str) -> Judged:
    try:
        command = load(PlaceBidSchema, _values(row))
        perform(place_bid, command, require_actor(), idempotency_key=f"{once}:{row.number}")
        return Judged(row, True)
    except MarketplaceError as refusal:
        db.session.rollback()
        return Judged(row, False, tuple(reasons(refusal)))


def _values(row: Row) -> dict[str, Any]:
    """Return a row as the schema reads it. Raises: InvalidInput, NotFound."""
    lot_id = db.session.execute(
        text("SELECT lot.id FROM lot JOIN receivable ON receivable.id = lot.receivable_id "
             "WHERE receivable.ref = :ref ORDER BY lot.number DESC LIMIT 1"),
        {"ref": row.lot},
    ).scalar_one_or_none()  # fmt: skip
    if lot_id is None:
        raise NotFound("not_found", N_("No lot on auction has this reference."))
    currency = queries.lot(db.session(), lot_id).currency
    values: dict[str, Any] = {"lot_id": str(lot_id)}
    problems: list[Problem] = []
    for name, typed in (("rate_bps", row.rate), ("cash_minor", row.cash), ("min_fill_minor", row.least)):
        if not typed and name == "min_fill_minor":
            continue
        try:
            values[name] = parts.rate_of(typed) if name == "rate_bps" else minor_of(typed, currency, name)
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput("invalid_fields", N_("Some fields need another look."), problems=problems)
    return values


def _page(refusal: MarketplaceError | None = None, judged: list[Judged] | None = None) -> str:
    return render_template(
        "investor/bid_file.html", judged=judged, refusal=refusal, problems=reasons(refusal) if refusal else (),
        placed=sum(one.placed for one in judged or ()), once=str(new_id()), rows_max=ROWS_MAX,
    )  # fmt: skip
