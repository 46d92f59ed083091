"""Each invariant is broken on purpose, behind the constraints' back, and is then named."""

from collections.abc import Callable
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import InternalError

from marketplace.audit.sequencer import sequence_events
from marketplace.db import db
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.jobs.invariants import as_reader, invariants, verify_invariants
from marketplace.jobs.runner import run_job
from marketplace.jobs.schedule import job
from marketplace.kernel.errors import IntegrityBreach
from marketplace.perform import perform
from marketplace.reports import operations
from marketplace.trading.actions import place_bid
from marketplace.trading.schemas import PlaceBid
from tests import lives
from tests.trading.world import World

# invariant: what a superuser, with all triggers at rest, does to break it
AN_OFFER = (  # of a receivable by somebody who holds nothing of it
    "INSERT INTO holding_offer (id, receivable_id, owner_id, units, currency, price_minor, principal_minor, "
    "to_come_minor, fee_bps, policy_version, offered_by, closes_at, state, ended_at, buyer_id, fee_minor, entry_id) "
    "SELECT gen_random_uuid(), receivable_id, gen_random_uuid(), '[0,10)', 'GBP', 1, 1, 1, 0, 'test', "
    "gen_random_uuid(), market_now() + interval '1 hour',"
)
BREAKS = {
    "entries_balance": "UPDATE posting SET minor = minor + 1 WHERE (entry_id, account_id) = "
    "(SELECT entry_id, account_id FROM posting LIMIT 1)",
    "pools_balance": "UPDATE posting SET minor = minor + 1 WHERE (entry_id, account_id) = "
    "(SELECT entry_id, account_id FROM posting LIMIT 1)",
    "balances_equal_folds": "UPDATE balance SET posted_minor = posted_minor + 1",
    "client_money_not_negative": "ALTER TABLE balance DROP CONSTRAINT ck_balance_guarded; "
    "UPDATE balance SET posted_minor = -1, held_minor = 0 WHERE guarded",
    "title_units_equal_face": "DELETE FROM holding WHERE upper_inf(held_during) AND lower(units) = 0",
    "holds_are_open_bids": "UPDATE bid SET state = 'unfilled' WHERE state = 'placed'",
    "purses_are_of_open_sessions": "UPDATE hold SET subject_kind = 'call_session' WHERE subject_kind = 'bid'",
    "funded_once": "DROP INDEX uq_lot_receivable_id_live; "
    "ALTER TABLE lot DROP CONSTRAINT ck_lot_decided, DROP CONSTRAINT ck_lot_closed; "
    "UPDATE lot SET receivable_id = (SELECT receivable_id FROM collection LIMIT 1), state = 'settled', "
    "number = number + 7 WHERE state = 'open'",
    "advanced_once": "INSERT INTO payout (id, organisation_id, currency, amount_minor, purpose, subject_kind, "
    "subject_id, business_key, state) SELECT gen_random_uuid(), organisation_id, currency, amount_minor, purpose, "
    "subject_kind, subject_id, 'again', state FROM payout WHERE purpose = 'advance' LIMIT 1",
    "dues_sum_to_face": "UPDATE due SET due_minor = due_minor + 1 WHERE step = 'residual'",
    "paid_equals_shares": "UPDATE due SET paid_minor = paid_minor - 1 WHERE paid_minor > 0",
    "receipts_shared_whole": "UPDATE distribution SET received_minor = received_minor + 1",
    "reversals_are_whole": "INSERT INTO receipt_reversal (id, chargeback_id, distribution_id, entry_id, taken_minor, "
    "excess_minor, borne_minor) SELECT gen_random_uuid(), gen_random_uuid(), id, entry_id, 5, 0, 0 FROM distribution",
    "settled_means_paid": "UPDATE collection SET state = 'settled', closed_at = market_now()",
    "collections_match_receivables": "UPDATE receivable SET state = 'discharged' WHERE state = 'funded'",
    "owners_are_due_principal": "UPDATE holding SET owner_id = gen_random_uuid() WHERE upper_inf(held_during)",
    "entitled_hold_units": "UPDATE due SET party_id = gen_random_uuid() WHERE step = 'discount'",
    "bought_back_whole": "UPDATE collection SET state = 'bought_back', closed_at = market_now()",
    "offers_are_held": f"{AN_OFFER} 'open', NULL, NULL, NULL, NULL FROM collection LIMIT 1",
    "sales_were_paid": f"{AN_OFFER} 'accepted', market_now(), gen_random_uuid(), 0, (SELECT id FROM entry LIMIT 1) "
    "FROM collection LIMIT 1",
    "bank_orders_are_payouts": "UPDATE payout SET rail = 'bank', state = 'in_transit', payout_id = 'x', "
    "transfer_id = NULL WHERE purpose = 'advance'",
    "payouts_are_not_mirrored": "UPDATE entry SET kind = 'advance_paid' WHERE kind = 'advance_requested'; "
    "UPDATE entry SET reverses_id = (SELECT id FROM entry WHERE kind = 'advance_paid' LIMIT 1) "
    "WHERE id = (SELECT id FROM entry WHERE kind <> 'advance_paid' LIMIT 1)",
    "costs_are_booked": "UPDATE entry SET kind = 'processing_cost' WHERE kind = 'advance_requested'",
    "leaves_equal_events": "DELETE FROM event WHERE id = (SELECT event_id FROM event_order ORDER BY seq LIMIT 1)",
    "sequence_is_dense": "DELETE FROM event_order WHERE seq = 3",
}


@pytest.fixture
def receivable_id(world: World) -> UUID:
    """A market with a funded receivable, money received on it, and an open lot with a bid."""
    receivable_id = lives.funded(world)
    lives.pays(world, receivable_id, 1_000)
    a_bid(world)
    while sequence_events():
        pass
    return receivable_id


def a_bid(world: World) -> None:
    lot = world.lot()
    world.fund("dave", 1_000_000)
    perform(place_bid, PlaceBid(lot, 700, 1_000_000, 0), world.dave)


def broken() -> list[str]:
    db.session.rollback()
    return [check.name for check in invariants(db.session()) if not check.ok]


def test_a_sound_market_breaks_none(receivable_id: UUID) -> None:
    assert broken() == []
    db.session.rollback()
    assert {check.name for check in invariants(db.session())} == set(BREAKS)
    assert verify_invariants() == len(BREAKS)


@pytest.mark.parametrize("name", BREAKS)
def test_each_is_named_when_it_is_broken(world: World, receivable_id: UUID, name: str) -> None:
    db.session.rollback()
    with world.superuser() as owner:
        owner.execute(BREAKS[name])
    assert name in broken()
    db.session.rollback()
    with pytest.raises(IntegrityBreach) as caught:
        verify_invariants()
    assert name in caught.value.said()


def test_the_job_reads_with_a_role_that_can_do_nothing_else(
    make_app: Callable[..., Flask], postgres: EmbeddedPostgres, database: str
) -> None:
    reader = postgres.url(database, "duebill_reader")
    with make_app(role="duebill_worker", reader_database_url=reader).app_context(), as_reader() as session:
        assert session.scalar(text("SELECT current_user")) == "duebill_reader"
        rights = session.scalar(text("SELECT count(*) FROM information_schema.table_privileges "
                                     "WHERE grantee = current_user AND privilege_type <> 'SELECT'"))  # fmt: skip
        assert rights == 0


def test_where_there_is_no_such_role_the_job_can_only_read_all_the_same(make_app: Callable[..., Flask]) -> None:
    with (
        make_app(role="duebill_worker").app_context(), as_reader() as session,
        pytest.raises(InternalError, match="read-only transaction"),
    ):  # fmt: skip
        session.execute(text("DELETE FROM job_state"))


def test_the_job_tells_the_operators(world: World, receivable_id: UUID) -> None:
    db.session.rollback()
    with world.superuser() as owner:
        owner.execute(BREAKS["dues_sum_to_face"])
    run_job(job("verify_invariants"))
    db.session.rollback()
    assert [row.words for row in operations.failures(db.session())] == ["Broken: dues_sum_to_face"]
