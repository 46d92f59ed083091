"""Bids from a file: every row is judged and placed by itself, and each that was refused says why.

Row by row, not all or none: a lot that closes while the file is read must not take the other bids with it. The same
file sent again under the same key places nothing twice.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
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
from marketplace.ledger import queries as ledger
from marketplace.schemas import load, unreadable
from marketplace.trading.bid_file import BYTES_MAX, Row, read_rows, text_of
from marketplace.trading.foreseeing import foresee
from marketplace.trading.naming import Named, lots_of, named, sha256_of, wait_for
from marketplace.trading.placing_many import FAILED, Told, place_all
from marketplace.trading.schemas import PlaceBid, PlaceBidSchema
from marketplace.web import investor_lot_parts as parts
from marketplace.web.forms import minor_of, reasons, status_of
from marketplace.web.investor_door import blueprint, house
from marketplace.web.session import require_actor, signed_in


@dataclass(frozen=True)
class Judged:
    """What became of one row."""

    row: Row
    placed: bool  # or that nothing speaks against it yet, where the page only shows
    problems: tuple[Problem, ...] = ()
    bid: PlaceBid | None = None
    currency: str = ""


@blueprint.get("/bids/file")
@signed_in(Role.INVESTOR)
def bid_file() -> ResponseReturnValue:
    """Show the form for a file of bids."""
    return _page()


@blueprint.post("/bids/file")
@signed_in(Role.INVESTOR)
def place_bids() -> ResponseReturnValue:
    """Show what the bids of a file mean and would meet; place those that were shown, and tell what became of each."""
    sent, shown = request.files.get("document"), request.form.get("rows", "")
    try:
        rows = read_rows(sent.stream.read(BYTES_MAX + 1) if sent else shown.encode("utf-8", "replace"))
    except InvalidInput as refusal:
        return _page(refusal), status_of(refusal)
    if request.form.get("step") != "place":
        return _shown(rows)
    most = current_app.extensions["duebill"].policy.session.bids_per_minute_max
    if wait := wait_for(db.engine, require_actor(), len(rows), most):
        raise TooManyRequests(retry_after=wait)
    once = request.form.get("once", "")[:64] or str(new_id())
    judged = _judged(rows, once)
    again = any(one.rule == FAILED["code"] for row in judged for one in row.problems)
    return _page(judged=judged, rows=text_of(rows) if again else "", once=once)


def _shown(rows: Sequence[Row]) -> ResponseReturnValue:
    """Show every row as it was understood, and give those that nothing speaks against to the button that places."""
    lots = named(db.session(), {row.lot for row in rows if not unreadable(row.lot)})
    read, refused = _read(rows, lots)
    told = foresee(db.session(), [bid for _, bid in read], house().id)
    found = dict(refused)
    sums: dict[str, int] = defaultdict(int)
    for (place, bid), refusal in zip(read, told, strict=True):
        lot = lots[rows[place].lot]
        problems = tuple(reasons(refusal)) if refusal else ()
        found[place] = Judged(rows[place], not problems, problems, bid, lot.currency)
        sums[lot.currency] += 0 if problems else bid.cash_minor
    judged = [found[place] for place in range(len(rows))]
    sound = [one.row for one in judged if one.placed]
    free = {code: ledger.balance(db.session(), "investor_cash", house().id, code).free_minor for code in sums}
    return _page(judged=judged, rows=text_of(sound) if sound else "", once=str(new_id()), sums=sums, free=free)


def _read(rows: Sequence[Row], lots: Mapping[str, Named]) -> tuple[list[tuple[int, PlaceBid]], dict[int, Judged]]:
    """Return the bids that can be read, each with its place, and the refusals of the other rows."""
    bids: list[tuple[int, PlaceBid]] = []
    refused: dict[int, Judged] = {}
    for place, row in enumerate(rows):
        try:
            bids.append((place, load(PlaceBidSchema, _values(row, lots.get(row.lot)))))
        except MarketplaceError as refusal:
            refused[place] = Judged(row, False, tuple(reasons(refusal)))
    return bids, refused


def _judged(rows: Sequence[Row], once: str) -> list[Judged]:
    """Place what can be read, hundreds of rows at a time, and say of every row what became of it."""
    typed = [(row.lot, row.rate, row.cash, row.least) for row in rows]
    try:
        lots = lots_of({row.lot for row in rows}, len(rows), sha256_of(typed), require_actor(), once)
    except (InvalidInput, Conflict) as refusal:  # of the page's own key, before any bid, and so of every row
        return [Judged(row, False, tuple(reasons(refusal))) for row in rows]
    bids, found = _read(rows, lots)
    try:
        done = place_all([bid for _, bid in bids], require_actor(), once)
    except Conflict as refusal:  # somebody sent the same a moment before, and hears of it there
        done = [Told(None, refusal.code, tuple(reasons(refusal)))] * len(bids)
    for (place, bid), told in zip(bids, done, strict=True):
        row = rows[place]
        found[place] = Judged(row, told.bid_id is not None, told.problems, bid, lots[row.lot].currency)
    return [found[place] for place in range(len(rows))]


def _values(row: Row, lot: Named | None) -> dict[str, Any]:
    """Return a row as the schema reads it. Raises: InvalidInput, NotFound."""
    if lot is None:
        raise NotFound("not_found", N_("No lot on auction has this reference."))
    if row.surplus:
        words = N_('This row has more cells than the first one. Put an amount with a comma in quotes: "10,000".')
        raise InvalidInput.about("", "invalid_fields", words, rule="columns")
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
        raise InvalidInput.of_fields(problems)
    return values


def _page(
    refusal: MarketplaceError | None = None, judged: list[Judged] | None = None, rows: str = "", once: str = "",
    sums: Mapping[str, int] | None = None, free: Mapping[str, int] | None = None,
) -> str:  # fmt: skip
    """Return the page. `rows` are placed by its button: those just shown, or under their key `once` a list that failed.

    `sums` and `free` are minor units by currency, where the page only shows.
    """
    return render_template(
        "investor/bid_file.html", judged=judged, refusal=refusal, problems=reasons(refusal) if refusal else (),
        placed=sum(one.placed for one in judged or ()), once=once, rows=rows, sums=sums, free=free,
    )  # fmt: skip
