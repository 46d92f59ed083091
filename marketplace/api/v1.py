"""Version 1 of the programmable door: a key in the header lets a program act for the person whose key it is."""

from typing import Any

from flask import Blueprint, Response, current_app, g, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import TooManyRequests

from marketplace.api.errors import refused
from marketplace.db import db
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.errors import InvalidInput, MarketplaceError, NotFound, NotPermitted, Problem
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties import api_keys
from marketplace.parties.windows import hit
from marketplace.schemas import load
from marketplace.trading.bid_file import ROWS_MAX
from marketplace.trading.naming import Named, lots_of, sha256_of, wait_for
from marketplace.trading.placing_many import Told, place_all
from marketplace.trading.schemas import PlaceBid, PlaceBidSchema

blueprint = Blueprint("v1", __name__, url_prefix="/api/v1")
BODY_MAX = 1_000_000
FIELDS = frozenset(("lot", *PlaceBidSchema().fields))


@blueprint.post("/bids")
def place_bids() -> ResponseReturnValue:
    """Place up to some thousand bids, each judged by itself: `{"bids": [{"lot", "rate_bps", "cash_minor", …}]}`."""
    actor = _actor(Role.INVESTOR)
    key, (rows, list_sha256) = _key(), _rows()
    most = current_app.extensions["duebill"].policy.session.bids_per_minute_max
    if wait := wait_for(db.engine, actor, len(rows), most):
        raise TooManyRequests(retry_after=wait)
    lots = lots_of([_ref(row) for row in rows], len(rows), list_sha256, actor, key)
    told: list[Told | None] = [None] * len(rows)
    bids: list[tuple[int, PlaceBid]] = []
    for place, row in enumerate(rows):
        try:
            bids.append((place, _bid(row, lots)))
        except MarketplaceError as refusal:
            told[place] = Told(None, refusal.code, refusal.problems or (Problem("", refusal.code, refusal.words),))
    for (place, _), one in zip(bids, place_all([bid for _, bid in bids], actor, key), strict=True):
        told[place] = one
    answers = [_answer(place, one) for place, one in enumerate(told) if one is not None]
    return jsonify(placed=sum("bid_id" in one for one in answers), bids=answers)


@blueprint.errorhandler(MarketplaceError)
def refuse(error: MarketplaceError) -> Response:
    """Say no as a problem document."""
    db.session.rollback()
    return refused(error)


def _actor(role: Role) -> Actor:
    """Return whom the key in the header lets act.

    Raises: NotPermitted("key_missing", "not_permitted"), TooManyRequests.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    known = scheme.lower() == "bearer" and token.startswith(api_keys.PREFIX) and token.isascii()
    actor = api_keys.actor_of(db.session(), token.strip(), g.get("request_id") or new_id()) if known else None
    if actor is None:
        raise NotPermitted("key_missing", N_("Send a key that is alive: Authorization: Bearer dbk_…"))
    most = current_app.extensions["duebill"].policy.session.posts_per_minute_max
    if wait := hit(db.engine, f"key {actor.user_id}", most, 60):
        raise TooManyRequests(retry_after=wait)
    if actor.role != role:
        raise NotPermitted("not_permitted", N_("Your role may not do this."))
    return actor


def _key() -> str:
    """Return the idempotency key; chunks of a list add to it. Raises: InvalidInput("idempotency_key")."""
    key = request.headers.get("Idempotency-Key", "")
    if not 1 <= len(key) <= 200 or not key.isprintable():
        raise InvalidInput("idempotency_key", N_("Send an Idempotency-Key of 1 to 200 characters."))
    return key


def _rows() -> tuple[list[dict[str, Any]], str]:
    """Return the bids as they were sent, and the list's hash. Raises: InvalidInput("invalid_fields")."""
    request.max_content_length = BODY_MAX
    list_sha256 = words = ""
    try:
        sent = request.get_json(silent=True)
        rows = sent.get("bids") if isinstance(sent, dict) else None
        list_sha256 = sha256_of(rows or [])
    except RecursionError:  # of a list in a list in a list …
        rows = None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        words = N_("Send a JSON object with a list of objects under “bids”.")
    elif not 1 <= len(rows) <= ROWS_MAX:
        words = N_("Send from 1 to %(most)s bids.")
    if words:
        problem = Problem("bids", "form", words, {"most": ROWS_MAX})
        raise InvalidInput.of_fields([problem])
    found: list[dict[str, Any]] = rows or []
    return found, list_sha256


def _ref(row: dict[str, Any]) -> str:
    ref = row.get("lot")
    return ref if isinstance(ref, str) else ""


def _bid(row: dict[str, Any], lots: dict[str, Named]) -> PlaceBid:
    """Return a row as a command; a lot is named by its reference or its id.

    A name that is misspelt is refused: a bid that was to replace another would else stand beside it.

    Raises: InvalidInput, NotFound.
    """
    unknown = [Problem(name, "unknown", N_("There is no such field here.")) for name in row if name not in FIELDS]
    if unknown:
        raise InvalidInput.of_fields(unknown)
    if "lot_id" not in row:
        lot = lots.get(_ref(row))
        if lot is None:
            raise NotFound("not_found", N_("No lot on auction has this reference."))
        row = row | {"lot_id": str(lot.id)}
    bid: PlaceBid = load(PlaceBidSchema, row)
    return bid


def _answer(place: int, told: Told) -> dict[str, Any]:
    if told.bid_id is not None:
        return {"place": place, "bid_id": told.bid_id}
    errors = [{"field": one.field, "rule": one.rule, "words": one.said()} for one in told.problems]
    return {"place": place, "code": told.code, "errors": errors}
