"""An investor's keys for programs: made here, shown once, ended here."""

from uuid import UUID

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.kernel.errors import Conflict, InvalidInput, MarketplaceError
from marketplace.kernel.words import N_
from marketplace.parties import api_keys
from marketplace.parties.schemas import CreateApiKey, EndApiKey
from marketplace.parties.sessions import new_token, token_hash
from marketplace.perform import perform
from marketplace.trading.bid_file import ROWS_MAX
from marketplace.web.forms import reasons, say, status_of
from marketplace.web.investor_door import blueprint
from marketplace.web.session import require_actor, signed_in

FIELDS = (
    ("lot, lot_id", N_("The lot: its reference, or its id.")),
    ("rate_bps", N_("The rate, in whole basis points a year.")),
    ("cash_minor", N_("The cash, in whole pence or cents.")),
    ("min_fill_minor", N_("The least cash that you take; may be left out.")),
    ("replaces_bid_id", N_("The bid of yours that this one replaces; may be left out.")),
)
ANSWERS = (
    ("bid_refused", N_("A rule of the lot refuses it: each is named.")),
    ("invalid_fields", N_("A field is missing, unknown, or out of range.")),
    ("not_found, lot_closed", N_("There is no such lot, or it takes no more bids.")),
    ("insufficient_cash", N_("Free cash does not cover it, after the bids before it.")),
    ("failed", N_("What became of it is not known: send the same list again under the same key.")),
    ("401, 403", N_("There is no key, it has ended, or it may not bid.")),
    ("409, 422", N_("The list as a whole is refused, and nothing is placed.")),
    ("429", N_("Too many: wait as many seconds as Retry-After says.")),
)


@blueprint.get("/keys")
@signed_in(Role.INVESTOR)
def keys() -> ResponseReturnValue:
    """List the investor's own keys, and how they are used."""
    return _page()


@blueprint.post("/keys")
@signed_in(Role.INVESTOR)
def create_api_key() -> ResponseReturnValue:
    """Make a key and show it, this once."""
    name = request.form.get("name", "").strip()
    try:
        if not 1 <= len(name) <= 80 or not name.isprintable():
            raise InvalidInput.of_field("name", "length", N_("Enter a name of 1 to 80 characters."))
        token = api_keys.PREFIX + new_token()
        perform(api_keys.create_api_key, CreateApiKey(name, token_hash(token)), require_actor())
    except (InvalidInput, Conflict) as refusal:
        return _page(refusal, name=name), status_of(refusal)
    return _page(token=token)


@blueprint.post("/keys/<uuid:key_id>/end")
@signed_in(Role.INVESTOR)
def end_api_key(key_id: UUID) -> ResponseReturnValue:
    """End one of the investor's own keys."""
    try:
        perform(api_keys.end_api_key, EndApiKey(key_id), require_actor())
    except Conflict as refusal:
        return _page(refusal), status_of(refusal)
    say(gettext("The key has ended. Nothing is taken with it any more."))
    return redirect(url_for("investor.keys"), 303)


def _page(refusal: MarketplaceError | None = None, token: str = "", name: str = "") -> str:
    actor = require_actor()
    assert actor.user_id is not None
    return render_template(
        "investor/keys.html", found=api_keys.keys_of(db.session(), actor.user_id), token=token, name=name,
        refusal=refusal, problems=reasons(refusal) if refusal else (), rows_max=ROWS_MAX,
        address=url_for("v1.place_bids", _external=True), fields=FIELDS, answers=ANSWERS,
    )  # fmt: skip
