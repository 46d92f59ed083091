"""The investor's door: one blueprint, opened only to investors; its pages are in the modules beside it."""

from flask import Blueprint, current_app

from marketplace.db import db
from marketplace.kernel.policy import Policy
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.queries import Organisation
from marketplace.web.credit_note_words import credit_note_words
from marketplace.web.session import require_actor

blueprint = Blueprint("investor", __name__, url_prefix="/investor")

RECOURSE = {"full": N_("Full"), "limited": N_("Limited"), "none": N_("None")}
RECOURSE_MEANS = {
    "full": N_("the seller buys back what is not paid"),
    "limited": N_("the seller buys back disputes only"),
    "none": N_("the loss would be yours"),
}
PRICES = {"uniform": N_("Uniform"), "pay_as_bid": N_("Pay as bid")}
PRICE_MEANS = {"uniform": N_("all earn the stop-out rate"), "pay_as_bid": N_("each earns his own rate")}
REASONS = {
    "above_reserve": N_("above the reserve"),
    "below_minimum": N_("below the smallest bid"),
    "not_lot_multiple": N_("not a whole number of steps"),
    "related_party": N_("related party"),
    "over_group_cap": N_("over its group’s cap"),
}


blueprint.context_processor(credit_note_words)


def house() -> Organisation:
    """Return the organisation of the investor at the door."""
    actor = require_actor()
    assert actor.organisation_id is not None
    return parties.organisation(db.session(), actor.organisation_id)


def policy() -> Policy:
    """Return the market's business numbers."""
    found: Policy = current_app.extensions["duebill"].policy
    return found
