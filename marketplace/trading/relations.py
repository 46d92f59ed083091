"""The verbs of relations: two organisations that share an officer or an owner bid, and are refused, as one.

A relation counts from the moment it is recorded: bids that it makes self-dealing in lots still open are taken back at
once. Caps count a group from the next bid on; what stood before stands. Locks come lots, organisations, accounts.
"""

from uuid import UUID

from sqlalchemy import text

from marketplace.ledger import actions as ledger
from marketplace.parties import relating
from marketplace.parties.rules import verb
from marketplace.parties.schemas import EndRelation, RelateOrganisations
from marketplace.perform import Result, Tx
from marketplace.trading.rules import BID, BidState

# Waits for the bids under way in the lots of those concerned; later ones see the new groups.
LOTS = text("""
    SELECT id FROM lot WHERE state = 'open' AND (seller_id = ANY (:ids) OR debtor_id = ANY (:ids)
        OR id IN (SELECT lot_id FROM bid WHERE state = 'placed' AND investor_id = ANY (:ids)))
    ORDER BY id FOR UPDATE""")
SELF_DEALING = text("""
    UPDATE bid SET state = 'withdrawn', ended_at = market_now(), reasons = ARRAY['related_party']
    FROM lot, organisation AS house
    WHERE lot.id = bid.lot_id AND house.id = bid.investor_id AND bid.state = 'placed' AND lot.id = ANY (:lots)
      AND lot.closes_at > market_now() AND EXISTS (
        SELECT FROM organisation AS owner WHERE owner.id IN (lot.seller_id, lot.debtor_id)
        AND coalesce(owner.group_id, owner.id) = coalesce(house.group_id, house.id))
    RETURNING bid.id, bid.hold_id""")


@verb("relate_organisations")
def relate_organisations(tx: Tx, command: RelateOrganisations) -> Result:
    """Record that two organisations share an officer or an owner, or that one owns the other; make them one group.

    Raises: NotFound, InvalidInput("same_organisation"), Conflict("relation_known").
    """
    relating.take_turns(tx)
    relation_id = relating.note_relation(tx, command)
    return {"relation_id": relation_id, "withdrawn_bids": _regroup(tx)}


@verb("end_relation")
def end_relation(tx: Tx, command: EndRelation) -> Result:
    """End a relation that is no more, or never was: groups are worked out anew from what is left.

    Raises: NotFound, Conflict("relation_ended").
    """
    relating.take_turns(tx)
    relating.end_relation(tx, command.relation_id)
    return {"relation_id": command.relation_id, "withdrawn_bids": _regroup(tx)}


def _regroup(tx: Tx) -> int:
    wanted = relating.regrouping(tx)
    lots = list(tx.session.execute(LOTS, {"ids": wanted.concerned}).scalars()) if wanted.concerned else []
    relating.regroup(tx, wanted)
    return _take_back(tx, lots)


def _take_back(tx: Tx, lots: list[UUID]) -> int:
    """Take back what has become self-dealing, free its cash, and return how many bids that were."""
    if not lots:
        return 0
    BID.check(BidState.PLACED, BidState.WITHDRAWN)
    rows = tx.session.execute(SELF_DEALING, {"lots": lots}).all()
    for row in rows:
        tx.record("bid", row.id, verb="withdraw_bid", before={"state": BidState.PLACED},
                  after={"state": BidState.WITHDRAWN}, reason="related_party")  # fmt: skip
    ledger.resolve_holds(tx, [row.hold_id for row in rows if row.hold_id], "voided")
    return len(rows)
