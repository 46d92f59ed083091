"""What an investor sees of a lot while it is open, live: its state, its close, his own bids at the last call points."""

from typing import Any
from uuid import UUID

from flask.typing import ResponseReturnValue

from marketplace.db import db, market_now
from marketplace.kernel.actors import Role
from marketplace.trading import queries
from marketplace.trading.calls import calls_of
from marketplace.trading.running import shown
from marketplace.web import live
from marketplace.web.investor_door import blueprint, policy
from marketplace.web.session import require_actor, signed_in


@blueprint.get("/lots/<uuid:lot_id>/live")
@signed_in(Role.INVESTOR)
def lot_live(lot_id: UUID) -> ResponseReturnValue:
    """Tell a lot's state and close, and how the investor's own bids stood at the last call point."""
    actor = require_actor()
    assert actor.user_id is not None
    assert actor.organisation_id is not None
    investor_id = actor.organisation_id
    return live.answer(actor.user_id, lambda: facts(lot_id, investor_id))


def facts(lot_id: UUID, investor_id: UUID) -> dict[str, Any]:
    """Return what this investor may see of the lot now.

    No rival's bid changes a word of it before the next call, but for what a lot that answers to its bids tells all:
    in an open one the rate shown and the close it moves, in one with a buy-now rate the close when it is bought.
    """
    session = db.session()
    found, now = queries.lot(session, lot_id), market_now(session)
    mine = [bid for bid in queries.bids_of(session, lot_id, investor_id) if bid.state == "placed"]
    called = calls_of(session, policy(), now, investor_id, [lot_id], most=1) if mine else []
    calls = [{"at": one.called_at, "bid": one.bid_id, "clearing": one.clearing} for one in called]
    mark = {"state": found.state, "closes_at": found.closes_at, "calls": calls}
    if found.bidding == "open":
        mark["shown_bps"] = shown(session, [lot_id]).get(lot_id)
    return live.plain({"now": now, "mark": mark})
