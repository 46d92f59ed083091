"""What two people decide about money: entries by hand, suspense worked off, periods closed. Nobody does it alone."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from flask import Flask

from marketplace.audit.sequencer import sequence_events
from marketplace.db import db
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.errors import Conflict, InvalidInput, NotFound, NotPermitted, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.ledger.queries import balance, trial_balance
from marketplace.payments import queries as payments
from marketplace.perform import Verb, perform
from marketplace.servicing import suspense
from marketplace.servicing.actions import write_off_receivable
from marketplace.servicing.decision_schemas import (
    DecideMoney,
    ProposeManualEntry,
    ProposePeriodClose,
    ProposeSuspense,
)
from marketplace.servicing.decisions import decide_money, propose_manual_entry, propose_period_close, propose_suspense
from marketplace.servicing.schemas import WriteOffReceivable
from tests import lives
from tests.jobs.test_invariants import broken
from tests.trading.world import World, libpq

WHY = "As the bank's letter of Monday says."
FACE = 4_860_000
SET_ASIDE = ProposeManualEntry("GBP", "platform_fees", None, "platform_reserve", None, 5_000, WHY)


def sound() -> None:
    while sequence_events():
        pass
    assert broken() == []


def proposed(verb: Verb, command: object, who: Actor) -> UUID:
    return UUID(str(perform(verb, command, who)["decision_id"]))


def by_two(world: World, verb: Verb, command: object) -> dict[str, object]:
    return perform(decide_money, DecideMoney(proposed(verb, command, world.olga), True), world.oscar)


def platform(code: str) -> int:
    db.session.rollback()
    return balance(db.session(), code, None, "GBP").posted_minor


def overpaid(world: World, excess: int = 50_000) -> UUID:
    payment = lives.received(world, lives.funded(world), FACE + excess)
    lives.apply(payment)
    return payment


def test_an_entry_by_hand_takes_two_people(world: World) -> None:
    decision = proposed(propose_manual_entry, SET_ASIDE, world.olga)
    assert platform("platform_reserve") == 0
    with pytest.raises(RuleBroken, match="four_eyes"):
        perform(decide_money, DecideMoney(decision, True), world.olga)
    assert perform(decide_money, DecideMoney(decision, True), world.oscar)["state"] == "done"
    assert platform("platform_reserve") == 5_000
    with pytest.raises(Conflict, match="decided"):
        perform(decide_money, DecideMoney(decision, True), world.oscar)
    assert platform("platform_reserve") == 5_000
    sound()


def test_a_withdrawn_proposal_moves_nothing(world: World) -> None:
    decision = proposed(propose_manual_entry, SET_ASIDE, world.olga)
    perform(decide_money, DecideMoney(decision, False), world.olga)
    with pytest.raises(Conflict, match="decided"):
        perform(decide_money, DecideMoney(decision, True), world.oscar)
    assert platform("platform_reserve") == 0


@pytest.mark.parametrize(
    ("debited", "credited", "code"),
    [(("investor_cash", "bob"), ("platform_fees", None), "pools_cross"),
     (("nowhere", None), ("platform_fees", None), "no_such_account"),
     (("investor_cash", None), ("seller_advance", "alice"), "no_such_account"),
     (("platform_fees", "bob"), ("platform_loss", None), "no_such_account"),
     (("platform_fees", None), ("platform_fees", None), "invalid_fields")],
)  # fmt: skip
def test_an_entry_that_cannot_be_is_not_proposed(
    world: World, debited: tuple[str, str | None], credited: tuple[str, str | None], code: str
) -> None:
    owners = [world.id(name) if name else None for _, name in (debited, credited)]
    command = ProposeManualEntry("GBP", debited[0], owners[0], credited[0], owners[1], 1, WHY)
    with pytest.raises(InvalidInput, match=code):
        perform(propose_manual_entry, command, world.olga)


def test_nobody_proposes_an_entry_for_an_owner_that_is_not_there(world: World) -> None:
    command = ProposeManualEntry("GBP", "investor_cash", new_id(), "provider_lender", None, 1, WHY)
    with pytest.raises(InvalidInput, match="no_such_account"):
        perform(propose_manual_entry, command, world.olga)


def test_client_money_is_guarded_from_hands_too(world: World) -> None:
    command = ProposeManualEntry("GBP", "investor_cash", world.id("bob"), "seller_advance", world.id("alice"), 1, WHY)
    with pytest.raises(RuleBroken, match="insufficient_cash"):
        by_two(world, propose_manual_entry, command)


def test_nobody_but_operators_in_person(world: World) -> None:
    for who in (world.bob, world.alice, world.mallory):
        with pytest.raises(NotPermitted):
            perform(propose_manual_entry, SET_ASIDE, who)
    with pytest.raises(NotPermitted, match="person_needed"):
        perform(propose_manual_entry, SET_ASIDE, Actor(Role.OPERATOR, None, world.id("olga")))
    with pytest.raises(NotFound):
        perform(decide_money, DecideMoney(new_id(), True), world.olga)


def test_the_database_itself_asks_for_the_second_person(world: World) -> None:
    decision = proposed(propose_manual_entry, SET_ASIDE, world.olga)
    db.session.rollback()
    with world.superuser(resting=False) as owner, pytest.raises(psycopg.errors.CheckViolation, match="_two"):
        owner.execute(
            "UPDATE money_decision SET state = 'done', decided_by = proposed_by, decided_at = market_now() "
            "WHERE id = %s",
            (decision,),
        )
    with world.superuser(resting=False) as owner, pytest.raises(psycopg.errors.RestrictViolation):
        owner.execute(
            "INSERT INTO money_decision (id, kind, subject_id, payload, payload_hash, reason, proposed_by, state, "
            "decided_by, decided_at) SELECT gen_random_uuid(), kind, gen_random_uuid(), payload, payload_hash, reason, "
            "%s, 'done', proposed_by, market_now() FROM money_decision", (world.oscar.user_id,),
        )  # fmt: skip
    for kind in ("manual_entry", "suspense_applied", "return_requested"):
        with world.superuser(resting=False) as owner, pytest.raises(psycopg.errors.CheckViolation, match="two people"):
            owner.execute("SET CONSTRAINTS ALL DEFERRED")
            owner.execute(
                "INSERT INTO entry (id, kind, subject_kind, subject_id, business_on) "
                "VALUES (gen_random_uuid(), %s, 'x', gen_random_uuid(), market_now()::date)",
                (kind,),
            )
            owner.execute("SET CONSTRAINTS entry_decided_by_two IMMEDIATE")


def test_the_database_itself_refuses_a_write_off_of_one(world: World) -> None:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, 180)
    lives.age(receivable_id)
    db.session.rollback()
    with world.superuser(resting=False) as owner, pytest.raises(psycopg.errors.CheckViolation, match="two people"):
        owner.execute("UPDATE collection SET state = 'written_off', closed_at = market_now()")
        owner.execute("SET CONSTRAINTS write_off_decided_by_two IMMEDIATE")


def test_a_write_off_that_one_proposed_can_be_withdrawn_and_is_then_proposed_anew(world: World) -> None:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, 180)
    lives.age(receivable_id)
    command = WriteOffReceivable(receivable_id, WHY)
    decision = UUID(str(perform(write_off_receivable, command, world.olga)["decision_id"]))
    with pytest.raises(NotFound):
        perform(decide_money, DecideMoney(decision, True), world.oscar)
    perform(decide_money, DecideMoney(decision, False), world.oscar)
    assert perform(write_off_receivable, command, world.oscar)["state"] == "defaulted"
    assert perform(write_off_receivable, command, world.olga)["state"] == "written_off"


# -- suspense -------------------------------------------------------------------------------------------------------


def test_what_is_too_much_is_applied_to_what_the_debtor_owes_elsewhere(world: World) -> None:
    payment, other = overpaid(world), lives.funded(world)
    (item,) = suspense.items(db.session())
    assert (item.payment_id, item.cause, item.left_minor) == (payment, "excess", 50_000)
    by_two(world, propose_suspense, ProposeSuspense(payment, "apply", 30_000, other, WHY))
    arrived = [one for one in payments.received_unapplied(db.session()) if one.receivable_id == other]
    db.session.rollback()
    lives.apply(arrived[0].id)
    assert lives.collection(other).outstanding_minor == FACE - 30_000
    assert platform("suspense") == 20_000
    assert [one.left_minor for one in suspense.items(db.session())] == [20_000]
    with pytest.raises(RuleBroken, match="more_than_left"):
        perform(propose_suspense, ProposeSuspense(payment, "apply", 20_001, other, WHY), world.olga)
    sound()


def test_it_goes_to_nobody_elses_debt(world: World) -> None:
    payment = overpaid(world)
    for target in (world.receivable(), new_id()):
        with pytest.raises(RuleBroken, match="not_this_debtors"):
            perform(propose_suspense, ProposeSuspense(payment, "apply", 1, target, WHY), world.olga)
    with pytest.raises(InvalidInput, match="receivable_needed"):
        perform(propose_suspense, ProposeSuspense(payment, "apply", 1, None, WHY), world.olga)


def test_it_goes_back_to_the_debtor_by_two(world: World) -> None:
    payment = overpaid(world)
    decision = proposed(propose_suspense, ProposeSuspense(payment, "return", 50_000, None, WHY), world.olga)
    with pytest.raises(Conflict, match="proposed"):
        perform(propose_suspense, ProposeSuspense(payment, "return", 1, None, WHY), world.oscar)
    perform(decide_money, DecideMoney(decision, True), world.oscar)
    db.session.rollback()
    (payout,) = payments.payouts_about(db.session(), payment)
    assert (payout.purpose, payout.amount_minor, payout.organisation_id) == ("return", 50_000, world.id("kestrel"))
    assert platform("suspense") == 0
    assert suspense.items(db.session()) == []
    sound()


def test_money_for_which_nothing_was_owed_can_go_back_too(world: World) -> None:
    payment = lives.received(world, world.receivable(), 7_000)
    assert [one.cause for one in suspense.items(db.session())] == ["unmatched"]
    db.session.rollback()
    by_two(world, propose_suspense, ProposeSuspense(payment, "return", 4_000, None, WHY))
    assert platform("suspense") == 3_000
    assert [one.left_minor for one in suspense.items(db.session())] == [3_000]
    db.session.rollback()
    by_two(world, propose_suspense, ProposeSuspense(payment, "return", 3_000, None, WHY))
    assert platform("suspense") == 0
    sound()


# -- periods --------------------------------------------------------------------------------------------------------


def test_a_closed_period_takes_no_entry_and_keeps_its_trial_balance(world: World) -> None:
    world.fund("bob", 1_000)
    db.session.rollback()
    with world.superuser() as owner:
        row = owner.execute("SELECT market_now()::date").fetchone()
    assert row is not None
    today = row[0]
    with pytest.raises(RuleBroken, match="period_not_over"):
        perform(propose_period_close, ProposePeriodClose(today + timedelta(days=1), WHY), world.olga)
    world.move_clock(timedelta(days=2))
    by_two(world, propose_period_close, ProposePeriodClose(today, WHY))
    db.session.rollback()
    with world.superuser(resting=False) as owner:
        kept = owner.execute("SELECT trial_balance FROM closed_period").fetchone()
        assert kept is not None
        assert {(line["code"], line["debit_minor"], line["credit_minor"]) for line in kept[0]} == {
            ("provider_lender", 1_000, 0), ("investor_cash", 0, 1_000)
        }  # fmt: skip
        with pytest.raises(psycopg.errors.CheckViolation, match="is closed"):
            owner.execute(
                "INSERT INTO entry (id, kind, subject_kind, subject_id, business_on) "
                "VALUES (gen_random_uuid(), 'x', 'x', gen_random_uuid(), %s)",
                (today,),
            )
    with pytest.raises(Conflict, match="period_closed"):
        perform(propose_period_close, ProposePeriodClose(today, WHY), world.olga)
    world.fund("bob", 1)  # the days that are open take entries as ever


def test_a_period_is_closed_after_the_entries_that_are_under_way(world: World, app: Flask) -> None:
    """An entry of yesterday that is not committed when midnight has passed is in the balance, or is refused."""
    with world.superuser() as owner:
        row = owner.execute("SELECT market_now()::date").fetchone()
    assert row is not None
    world.move_clock(timedelta(days=2))
    decision = proposed(propose_period_close, ProposePeriodClose(row[0], WHY), world.olga)
    db.session.rollback()

    def close() -> object:
        with app.app_context():
            return perform(decide_money, DecideMoney(decision, True), world.oscar)["state"]

    with psycopg.connect(libpq(world.postgres.url(world.database))) as writing, ThreadPoolExecutor(1) as pool:
        writing.execute(
            "INSERT INTO entry (id, kind, subject_kind, subject_id, business_on) "
            "VALUES (gen_random_uuid(), 'x', 'x', gen_random_uuid(), %s)", (row[0],),
        )  # fmt: skip
        closing = pool.submit(close)
        world.somebody_waits()
        assert not closing.done()
        writing.rollback()
        assert closing.result(20) == "done"


def test_a_trial_balance_has_two_equal_sides_in_every_pool(world: World) -> None:
    overpaid(world)
    db.session.rollback()
    lines = trial_balance(db.session())
    for pool in ("lender", "borrower", "platform"):
        mine = [line for line in lines if line.pool == pool]
        assert mine
        assert sum(line.debit_minor for line in mine) == sum(line.credit_minor for line in mine)
