"""What the seller's pages share: the blueprint, the guard, today's date."""

from datetime import date
from uuid import UUID

from flask import Blueprint, current_app

from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.clock import business_date
from marketplace.kernel.errors import NotFound
from marketplace.kernel.policy import Policy
from marketplace.kernel.words import N_
from marketplace.web.frame import server_now
from marketplace.web.session import require_actor, signed_in

blueprint = Blueprint("seller", __name__, url_prefix="/seller")

for_sellers = signed_in(Role.SELLER)


def seller() -> tuple[Actor, UUID]:
    """Return the signed-in seller and the organisation acted for."""
    actor = require_actor()
    if actor.organisation_id is None:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    return actor, actor.organisation_id


def policy() -> Policy:
    """Return the market's business numbers."""
    found: Policy = current_app.extensions["duebill"].policy
    return found


def today() -> date:
    """Return the market's business date."""
    return business_date(server_now(), policy().zone)
