"""What a seller sees of its own lot while it is open, live: its cover, and the rate that an open one shows to all."""

from typing import Any
from uuid import UUID

from flask.typing import ResponseReturnValue

from marketplace.db import db, market_now
from marketplace.parties.rules import require_own
from marketplace.trading import queries
from marketplace.trading.running import shown
from marketplace.web import live
from marketplace.web.seller_door import blueprint, for_sellers, seller


@blueprint.get("/lots/<uuid:lot_id>/live")
@for_sellers
def lot_live(lot_id: UUID) -> ResponseReturnValue:
    """Tell a lot's state, close and cover."""
    actor, _ = seller()
    require_own(actor, queries.lot(db.session(), lot_id).seller_id)
    assert actor.user_id is not None
    return live.answer(actor.user_id, lambda: facts(lot_id))


def facts(lot_id: UUID) -> dict[str, Any]:
    """Return what the seller may see of the lot now."""
    session = db.session()
    found = queries.lot(session, lot_id)
    cover = queries.cover_minor(session, [lot_id]).get(lot_id, 0) if found.state == "open" else 0
    mark = {"state": found.state, "closes_at": found.closes_at, "cover_minor": cover}
    if found.bidding == "open":
        mark["shown_bps"] = shown(session, [lot_id]).get(lot_id)
    return live.plain({"now": market_now(session), "mark": mark})
