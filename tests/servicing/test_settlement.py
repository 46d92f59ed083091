"""An accepted award becomes money, title, notice, payout and a collection: all of it or nothing, once."""

from uuid import UUID

import pytest
from sqlalchemy import text

from marketplace.db import db, market_now
from marketplace.kernel.errors import Conflict, NotPermitted, RuleBroken
from marketplace.ledger.queries import balance
from marketplace.payments import queries as payments
from marketplace.perform import perform
from marketplace.receivables import queries as receivables
from marketplace.servicing.schemas import SettleAward
from marketplace.servicing.settlement import settle_award
from marketplace.servicing.waterfall import Step
from marketplace.title import queries as title
from marketplace.trading import queries as trading
from tests import lives
from tests.trading.world import World

ADVANCE = 4_131_000


def cash(world: World, who: str, code: str = "investor_cash") -> tuple[int, int]:
    db.session.rollback()
    found = balance(db.session(), code, world.id(who), "GBP")
    return found.posted_minor, found.held_minor


def test_holds_become_postings_and_the_rest_is_freed(world: World) -> None:
    lot = lives.accepted(world)
    assert cash(world, "carol") == (3_000_000, 3_000_000)
    lives.settle(lot)
    assert cash(world, "bob") == (0, 0)
    assert cash(world, "carol") == (3_000_000 - 2_131_000, 0)
    assert cash(world, "alice", "seller_advance") == (0, 0)
    assert cash(world, "alice", "advance_in_transit") == (ADVANCE, 0)


def test_title_moves_to_the_investors_by_principal_to_the_unit(world: World) -> None:
    receivable_id = lives.funded(world)
    held = title.owners_at(db.session(), receivable_id, market_now(db.session()))
    units = {holding.owner_id: holding.units for holding in held}
    assert units == {world.id("bob"): 2_352_941, world.id("carol"): 2_507_059}
    assert sum(units.values()) == 4_860_000
    assert (held[0].first_unit, held[-1].first_unit + held[-1].units) == (0, 4_860_000)


def test_the_seller_is_paid_the_debtor_is_told_and_the_collection_opens(world: World) -> None:
    receivable_id = lives.funded(world)
    found = lives.collection(receivable_id)
    assert (found.state, found.outstanding_minor, found.rate_bps) == ("due", 4_860_000, 700)
    assert receivables.receivable(db.session(), receivable_id).state == "funded"
    assert len(receivables.notices(db.session(), receivable_id)) == 1
    advance = payments.payouts_about(db.session(), receivable_id)
    assert [(p.purpose, p.amount_minor, p.state) for p in advance] == [("advance", ADVANCE, "requested")]
    due = {(d.step, d.party): d.due_minor for d in found.dues}
    discount = ADVANCE * 700 * 50 // 3_650_000
    assert due[Step.PRINCIPAL, world.id("bob")] == 2_000_000
    assert due[Step.DISCOUNT, world.id("bob")] + due[Step.DISCOUNT, world.id("carol")] == discount
    assert due[Step.PLATFORM_FEE, None] == 4_860_000 * 20 // 10_000
    assert sum(due.values()) == 4_860_000


def test_one_investor_with_two_fills_is_one_owner(world: World) -> None:
    receivable_id = lives.funded(world, [("bob", 600, 2_000_000), ("carol", 650, 1_000_000), ("carol", 700, 1_140_000)])
    found = lives.collection(receivable_id)
    principal = {d.party: d.due_minor for d in found.dues if d.step == Step.PRINCIPAL}
    assert principal == {world.id("bob"): 2_000_000, world.id("carol"): 2_131_000}


def test_an_award_settles_once(world: World) -> None:
    lot = lives.accepted(world)
    lives.settle(lot)
    with pytest.raises(RuleBroken, match="wrong_state"):
        lives.settle(lot)
    db.session.rollback()
    assert db.session.execute(text("SELECT count(*) FROM collection")).scalar_one() == 1
    assert db.session.execute(text("SELECT count(*) FROM payout")).scalar_one() == 1


@pytest.mark.parametrize("who", ["alice", "bob", "olga", "mallory"])
def test_only_the_system_settles(world: World, who: str) -> None:
    lot = lives.accepted(world)
    with pytest.raises(NotPermitted):
        perform(settle_award, SettleAward(lot), getattr(world, who))


def test_an_award_that_nobody_accepted_does_not_settle(world: World) -> None:
    with pytest.raises(RuleBroken, match="wrong_state"):
        lives.settle(world.lot())


def test_an_open_dispute_stops_the_money_and_leaves_everything_as_it_was(world: World) -> None:
    lot = lives.accepted(world)
    receivable_id = lot_receivable(lot)
    with world.superuser() as owner:
        owner.execute(
            "INSERT INTO dispute (id, receivable_id, amount_minor, reason, state) "
            "VALUES (gen_random_uuid(), %s, 100, 'goods', 'open')",
            (receivable_id,),
        )
    before = cash(world, "bob")
    lives.settle(lot)
    with pytest.raises(Conflict, match="stopped"):
        lives.settle(lot)
    assert cash(world, "bob") == before
    assert receivables.receivable(db.session(), receivable_id).state == "awarded"
    assert trading.lot(db.session(), lot).state == "held"
    assert trading.accepted(db.session()) == []


def test_an_award_is_called_off_when_the_debtor_turns_out_to_be_right(world: World) -> None:
    lot = lives.accepted(world)
    receivable_id = lot_receivable(lot)
    with world.superuser() as owner:
        owner.execute(
            "INSERT INTO dispute (id, receivable_id, amount_minor, reason, state, opened_at, ended_at) "
            "VALUES (gen_random_uuid(), %s, 100, 'not_ours', 'upheld', market_now(), market_now())",
            (receivable_id,),
        )
    assert receivables.stops(db.session(), receivable_id) == ["upheld_dispute"]
    lives.settle(lot)
    assert cash(world, "carol") == (3_000_000, 0)
    assert (count("payout"), count("collection")) == (0, 0)
    assert receivables.receivable(db.session(), receivable_id).state == "held_for_review"
    with pytest.raises(RuleBroken, match="wrong_state"):
        lives.settle(lot)


def test_a_settlement_that_fails_at_its_last_step_leaves_nothing(world: World) -> None:
    """The database refuses the very last constraint: nothing of the transaction stays."""
    lot = lives.accepted(world)
    with world.superuser() as owner:
        owner.execute(
            "CREATE FUNCTION refuse_due() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'power cut'; END $$"
        )
        owner.execute(
            "CREATE CONSTRAINT TRIGGER power_cut AFTER INSERT ON due DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION refuse_due()"
        )
    before, events = cash(world, "bob"), count("event")
    with pytest.raises(Exception, match="power cut"):
        lives.settle(lot)
    assert cash(world, "bob") == before
    assert (count("collection"), count("payout"), count("event")) == (0, 0, events)
    with world.superuser() as owner:
        owner.execute("DROP TRIGGER power_cut ON due")
    lives.settle(lot)
    assert count("collection") == 1


def count(table: str) -> int:
    db.session.rollback()
    found: int = db.session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
    return found


def lot_receivable(lot: UUID) -> UUID:
    db.session.rollback()
    found: UUID = db.session.execute(text("SELECT receivable_id FROM lot WHERE id = :id"), {"id": lot}).scalar_one()
    return found
