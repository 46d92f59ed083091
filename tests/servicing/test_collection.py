"""A debtor's money is shared out to the penny; lateness, default, recovery and write-off follow the calendar."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from flask import Flask, current_app
from sqlalchemy import text

from marketplace.audit.sequencer import sequence_events
from marketplace.db import db
from marketplace.jobs.invariants import invariants
from marketplace.kernel.errors import Conflict, NotFound, NotPermitted, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.policy import Collection as CollectionPolicy
from marketplace.ledger.queries import balance
from marketplace.payments import queries as payments
from marketplace.perform import perform
from marketplace.receivables import queries as receivables
from marketplace.servicing import queries as servicing
from marketplace.servicing.actions import apply_debtor_payment, default_receivable, write_off_receivable
from marketplace.servicing.schemas import ApplyDebtorPayment, DefaultReceivable, WriteOffReceivable
from marketplace.servicing.waterfall import Step
from tests import lives
from tests.support import SYSTEM
from tests.trading.world import World

FACE, ADVANCE, FEE = 4_860_000, 4_131_000, 9_720
DISCOUNT = ADVANCE * 700 * 50 // 3_650_000
RESIDUAL = FACE - ADVANCE - DISCOUNT - FEE
REASON = "The debtor entered administration."


def posted(code: str, owner: UUID | None = None) -> int:
    db.session.rollback()
    return balance(db.session(), code, owner, "GBP").posted_minor


def paid(receivable_id: UUID, step: Step) -> int:
    return sum(due.paid_minor for due in lives.collection(receivable_id).dues if due.step == step)


def sound() -> None:
    while sequence_events():
        pass
    db.session.rollback()
    assert [check.name for check in invariants(db.session()) if not check.ok] == []


def test_a_full_payment_settles_and_ends_the_title(world: World) -> None:
    receivable_id = lives.funded(world)
    told = lives.pays(world, receivable_id, FACE)
    assert (told["excess_minor"], told["outstanding_minor"]) == (0, 0)
    found = lives.collection(receivable_id)
    assert (found.state, found.outstanding_minor, found.closed_at is not None) == ("settled", 0, True)
    assert receivables.receivable(db.session(), receivable_id).state == "discharged"
    assert posted("investor_cash", world.id("bob")) + posted("investor_cash", world.id("carol")) == (
        3_000_000 - 2_131_000 + ADVANCE + DISCOUNT
    )
    assert posted("platform_fees") == FEE
    assert posted("residual_in_transit", world.id("alice")) == RESIDUAL
    residual = [p for p in payments.payouts_about(db.session(), receivable_id) if p.purpose == "residual"]
    assert [p.amount_minor for p in residual] == [RESIDUAL]
    sound()


def test_a_part_pays_principal_first_and_by_principal(world: World) -> None:
    receivable_id = lives.funded(world)
    lives.pays(world, receivable_id, 1_000_001)
    found = lives.collection(receivable_id)
    assert (found.state, found.outstanding_minor) == ("paid_in_part", FACE - 1_000_001)
    assert (paid(receivable_id, Step.PRINCIPAL), paid(receivable_id, Step.DISCOUNT)) == (1_000_001, 0)
    given = {party: minor for _, party, minor in servicing.receipts(db.session(), receivable_id)[0].shares}
    assert given == {world.id("bob"): 484_145, world.id("carol"): 515_856}
    sound()


def test_one_penny_reaches_somebody(world: World) -> None:
    receivable_id = lives.funded(world)
    for _ in range(3):
        lives.pays(world, receivable_id, 1)
    assert paid(receivable_id, Step.PRINCIPAL) == 3
    assert lives.collection(receivable_id).outstanding_minor == FACE - 3
    sound()


def test_what_is_too_much_goes_to_suspense_and_so_does_all_that_follows(world: World) -> None:
    receivable_id = lives.funded(world)
    assert lives.pays(world, receivable_id, FACE + 250)["excess_minor"] == 250
    assert posted("suspense") == 250
    before = posted("investor_cash", world.id("bob"))
    assert lives.pays(world, receivable_id, FACE)["excess_minor"] == FACE
    assert posted("suspense") == FACE + 250
    assert posted("investor_cash", world.id("bob")) == before
    assert lives.collection(receivable_id).state == "settled"
    sound()


def test_late_money_bears_interest_out_of_the_residual(world: World) -> None:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, 12)  # ten days beyond the expected date
    lives.pays(world, receivable_id, FACE)
    charge = 2_000_000 * 700 * 10 // 3_650_000 + 2_131_000 * 700 * 10 // 3_650_000
    assert paid(receivable_id, Step.LATE_CHARGE) == charge
    assert paid(receivable_id, Step.RESIDUAL) == RESIDUAL - charge
    assert lives.collection(receivable_id).state == "settled"
    sound()


def test_two_late_payments_are_charged_each_day_once(world: World) -> None:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, 12)
    lives.pays(world, receivable_id, 131_000)
    lives.on_day(world, receivable_id, 22)
    lives.pays(world, receivable_id, FACE - 131_000)
    found = lives.collection(receivable_id)
    charged = sum(due.due_minor for due in found.dues if due.step == Step.LATE_CHARGE)
    assert 7_922 + 7_671 - 4 <= charged <= 7_922 + 7_671  # ten days on £41,310, ten on £40,000, rounded down a holder
    assert found.state == "settled"
    sound()


def test_a_receipt_that_is_heard_of_late_bears_no_late_charge_for_the_days_it_was_there(world: World) -> None:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, 22)  # twenty days beyond the expected one
    expected_on = lives.collection(receivable_id).expected_on
    lives.pays(world, receivable_id, 131_000)
    charged = sum(due.due_minor for due in lives.collection(receivable_id).dues if due.step == Step.LATE_CHARGE)
    assert charged == 2_000_000 * 700 * 20 // 3_650_000 + 2_131_000 * 700 * 20 // 3_650_000
    lives.apply(lives.received(world, receivable_id, 1_000_000, on=expected_on + timedelta(days=5)))
    parts = (484_144, 515_856)  # by what is left of bob's 2,000,000 and carol's 2,131,000
    dues = lives.collection(receivable_id).dues
    now = sum(due.due_minor for due in dues if due.step == Step.LATE_CHARGE)
    assert charged - now == sum(part * 700 * 15 // 3_650_000 for part in parts)
    assert sum(due.due_minor for due in dues) == FACE
    sound()
    lives.pays(world, receivable_id, FACE - 1_131_000)
    assert (lives.collection(receivable_id).state, paid(receivable_id, Step.LATE_CHARGE)) == ("settled", now)
    sound()


def test_what_was_paid_of_a_late_charge_is_not_taken_back_for_a_receipt_heard_of_later(world: World) -> None:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, 22)
    expected_on = lives.collection(receivable_id).expected_on
    lives.pays(world, receivable_id, FACE - 1)
    late_paid = paid(receivable_id, Step.LATE_CHARGE)
    assert late_paid > 0
    lives.apply(lives.received(world, receivable_id, 1, on=expected_on))
    assert (lives.collection(receivable_id).state, paid(receivable_id, Step.LATE_CHARGE)) == ("settled", late_paid)
    sound()


def test_a_policy_of_later_changes_no_deal(world: World, app: Flask) -> None:
    lot = lives.accepted(world)
    market = app.extensions["duebill"]
    dearer = replace(market.policy.fees, platform_bps=900, late_bps_over_award=5_000)
    app.extensions["duebill"] = replace(market, policy=replace(market.policy, version="later", fees=dearer))
    try:
        lives.settle(lot)
        receivable_id = lives.collection_of_lot(lot).receivable_id
        lives.on_day(world, receivable_id, 12)
        lives.pays(world, receivable_id, FACE)
    finally:
        app.extensions["duebill"] = market
    assert posted("platform_fees") == FEE
    assert paid(receivable_id, Step.LATE_CHARGE) == 2_000_000 * 700 // 365_000 + 2_131_000 * 700 // 365_000
    sound()


def test_ninety_days_are_a_default_and_the_steps_are_taken_once(world: World) -> None:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, -7)
    assert lives.age(receivable_id)["steps"] == ["reminder"]
    lives.on_day(world, receivable_id, 1)
    assert lives.age(receivable_id) == {"steps": ["overdue"], "state": "overdue"}
    assert lives.age(receivable_id) == {"steps": [], "state": "overdue"}
    lives.on_day(world, receivable_id, 89)
    assert lives.age(receivable_id)["state"] == "overdue"
    lives.on_day(world, receivable_id, 90)
    assert lives.age(receivable_id) == {"steps": ["default"], "state": "defaulted"}
    assert lives.collection(receivable_id).defaulted_at is not None


def test_a_clock_that_was_away_takes_all_steps_at_once(world: World) -> None:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, 100)
    assert lives.age(receivable_id)["state"] == "defaulted"
    assert list(servicing.steps_taken(db.session(), receivable_id)) != []


def test_what_comes_after_a_default_is_a_recovery(world: World) -> None:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, 90)
    lives.age(receivable_id)
    lives.pays(world, receivable_id, 2_000_000)
    assert lives.collection(receivable_id).state == "recovered"
    lives.pays(world, receivable_id, FACE - 2_000_000)
    assert lives.collection(receivable_id).state == "settled"
    assert [receipt.recovery for receipt in servicing.receipts(db.session(), receivable_id)] == [True, True]
    sound()


def test_a_write_off_waits_for_its_day(world: World) -> None:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, 179)
    lives.age(receivable_id)
    command = WriteOffReceivable(receivable_id, REASON)
    with pytest.raises(RuleBroken, match="too_early"):
        perform(write_off_receivable, command, world.olga)
    lives.on_day(world, receivable_id, 180)
    assert perform(write_off_receivable, command, world.olga)["state"] == "defaulted"
    with pytest.raises(RuleBroken, match="four_eyes"):
        perform(write_off_receivable, command, world.olga)
    assert lives.collection(receivable_id).state == "defaulted"
    told = perform(write_off_receivable, command, world.oscar)
    assert (told["state"], told["loss_minor"]) == ("written_off", FACE)
    assert receivables.receivable(db.session(), receivable_id).state == "written_off"
    sound()


def test_money_after_a_write_off_still_reaches_those_who_lost(world: World) -> None:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, 180)
    lives.age(receivable_id)
    lives.written_off(world, receivable_id)
    before = posted("investor_cash", world.id("bob"))
    lives.pays(world, receivable_id, 1_000_000)
    assert posted("investor_cash", world.id("bob")) == before + 484_144
    assert lives.collection(receivable_id).state == "written_off"
    assert servicing.receipts(db.session(), receivable_id)[0].recovery
    sound()


def test_a_default_can_be_declared_before_its_day(world: World) -> None:
    receivable_id = lives.funded(world)
    told = perform(default_receivable, DefaultReceivable(receivable_id, REASON), world.olga)
    assert told["state"] == "defaulted"
    with pytest.raises(RuleBroken, match="wrong_state"):
        perform(default_receivable, DefaultReceivable(receivable_id, REASON), world.olga)


def test_a_payment_is_shared_out_once(world: World) -> None:
    receivable_id = lives.funded(world)
    payment = lives.received(world, receivable_id, 500_000)
    lives.apply(payment)
    with pytest.raises(Conflict, match="payment_applied"):
        lives.apply(payment)
    assert paid(receivable_id, Step.PRINCIPAL) == 500_000
    assert payments.received_unapplied(db.session()) == []


def test_a_payment_that_has_not_arrived_is_not_shared_out(world: World) -> None:
    receivable_id = lives.funded(world)
    payment = lives.received(world, receivable_id, 500_000)
    with world.superuser() as owner:
        owner.execute("UPDATE debtor_payment SET state = 'processing' WHERE id = %s", (payment,))
    with pytest.raises(Conflict, match="payment_applied"):
        lives.apply(payment)
    assert paid(receivable_id, Step.PRINCIPAL) == 0


def test_money_for_what_nobody_funded_stays_for_a_person(world: World) -> None:
    payment = lives.received(world, world.receivable(), 500_000)
    with pytest.raises(RuleBroken, match="nothing_owed"):
        lives.apply(payment)
    assert posted("debtor_receipts", world.id("kestrel")) == 500_000


def test_money_in_another_currency_stays_for_a_person(world: World) -> None:
    payment = lives.received(world, lives.funded(world), 500_000, "EUR")
    with pytest.raises(RuleBroken, match="wrong_currency"):
        lives.apply(payment)


def test_nobody_but_the_system_shares_out(world: World) -> None:
    payment = lives.received(world, lives.funded(world), 500_000)
    for who in ("alice", "bob", "olga", "mallory"):
        with pytest.raises(NotPermitted):
            perform(apply_debtor_payment, ApplyDebtorPayment(payment), getattr(world, who))
    with pytest.raises(NotPermitted):
        perform(write_off_receivable, WriteOffReceivable(new_id(), REASON), world.alice)


@pytest.mark.parametrize(
    "act",
    [
        lives.age,
        lives.apply,
        lambda nobody: perform(default_receivable, DefaultReceivable(nobody, REASON), SYSTEM),
    ],
)
def test_what_does_not_exist_is_not_found(world: World, act: Callable[[UUID], object]) -> None:
    with pytest.raises(NotFound):
        act(new_id())


def test_a_sharing_out_that_fails_leaves_nothing_and_can_be_done_again(world: World) -> None:
    receivable_id = lives.funded(world)
    payment = lives.received(world, receivable_id, FACE)
    with world.superuser() as owner:
        owner.execute("ALTER TABLE distribution ADD CONSTRAINT power_cut CHECK (received_minor < 0) NOT VALID")
    with pytest.raises(Exception, match="power_cut"):
        lives.apply(payment)
    assert posted("debtor_receipts", world.id("kestrel")) == FACE
    assert lives.collection(receivable_id).state == "due"
    with world.superuser() as owner:
        owner.execute("ALTER TABLE distribution DROP CONSTRAINT power_cut")
    lives.apply(payment)
    assert lives.collection(receivable_id).state == "settled"
    sound()


def test_only_collections_with_a_step_to_take_are_looked_at(world: World) -> None:
    receivable_id = lives.funded(world)
    policy = world_policy()

    def waiting() -> list[UUID]:
        db.session.rollback()
        today = db.session.execute(text("SELECT (market_now() AT TIME ZONE 'Europe/London')::date")).scalar_one()
        return servicing.to_age(db.session(), today, policy)

    assert waiting() == []
    lives.on_day(world, receivable_id, 3)
    assert waiting() == [receivable_id]
    lives.age(receivable_id)
    assert waiting() == []
    lives.on_day(world, receivable_id, 10)
    assert waiting() == [receivable_id]


def world_policy() -> CollectionPolicy:
    policy: CollectionPolicy = current_app.extensions["duebill"].policy.collection
    return policy


def test_the_system_is_the_actor_of_what_the_clock_does(world: World) -> None:
    receivable_id = lives.funded(world)
    lives.pays(world, receivable_id, 5)
    roles = db.session.execute(
        text("SELECT DISTINCT actor_role FROM event WHERE verb IN ('apply_debtor_payment', 'settle_award')")
    ).scalars()
    assert set(roles) == {str(SYSTEM.role)}
