"""Money in suspense is its payer's: two who decide at once spend it once, and a chargeback takes no other payer's."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
from flask import Flask

from marketplace.db import db
from marketplace.kernel.errors import MarketplaceError
from marketplace.payments import queries as payments
from marketplace.payments.alerts import raise_alert
from marketplace.perform import perform
from marketplace.servicing import suspense
from marketplace.servicing.decision_schemas import DecideMoney, ProposeSuspense
from marketplace.servicing.decisions import decide_money, propose_suspense
from tests import lives
from tests.servicing.test_decisions import FACE, WHY, by_two, overpaid, platform, proposed, sound
from tests.support import do
from tests.trading.world import World, libpq

EXCESS = 50_000


def left(payment_id: UUID) -> int:
    db.session.rollback()
    found = [one.left_minor for one in suspense.items(db.session(), payment_id)]
    db.session.rollback()
    return sum(found)


def while_locked(world: World, app: Flask, payment_id: UUID, *bodies: Callable[[], object]) -> list[str]:
    """Hold a payment's row until everybody waits for something, then let go; return 'done' or each one's refusal."""

    def run(body: Callable[[], object]) -> str:
        with app.app_context():
            try:
                body()
            except MarketplaceError as refusal:
                return refusal.code
            return "done"

    db.session.rollback()
    url = libpq(world.postgres.url(world.database))
    with psycopg.connect(url) as holding, ThreadPoolExecutor(len(bodies)) as pool:
        holding.execute("SELECT FROM debtor_payment WHERE id = %s FOR UPDATE", (payment_id,))
        running = [pool.submit(run, body) for body in bodies]
        with psycopg.connect(url, autocommit=True) as looking:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                waiting = looking.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND wait_event_type = 'Lock'"
                ).fetchone()
                if waiting is not None and waiting[0] == len(bodies):
                    break
                time.sleep(0.02)
            else:
                raise AssertionError("somebody did not come to wait")
        holding.rollback()
        return sorted(one.result(30) for one in running)


def test_applied_and_returned_at_once_it_goes_one_way(world: World, app: Flask) -> None:
    payment, other = overpaid(world, EXCESS), overpaid(world, EXCESS)  # the second one's money must stay
    owed = lives.funded(world)
    decisions = [
        proposed(propose_suspense, ProposeSuspense(payment, "apply", EXCESS, owed, WHY), world.olga),
        proposed(propose_suspense, ProposeSuspense(payment, "return", EXCESS, None, WHY), world.olga),
    ]
    bodies = [lambda one=one: perform(decide_money, DecideMoney(one, True), world.oscar) for one in decisions]
    assert while_locked(world, app, payment, *bodies) == ["done", "worked_off"]
    assert (platform("suspense"), left(payment), left(other)) == (EXCESS, 0, EXCESS)
    sound()


def test_a_chargeback_takes_no_other_payers_money_from_suspense(world: World) -> None:
    payment, other = overpaid(world, EXCESS), overpaid(world, EXCESS)
    by_two(world, propose_suspense, ProposeSuspense(payment, "return", EXCESS, None, WHY))
    assert platform("suspense") == EXCESS
    before = platform("platform_loss")
    lives.taken_back(payment, FACE + EXCESS)
    assert (platform("suspense"), left(other)) == (EXCESS, EXCESS)
    assert platform("platform_loss") - before >= EXCESS
    sound()


def test_what_the_platform_bore_for_the_debtor_is_its_own_again(world: World) -> None:
    payment = overpaid(world, EXCESS)
    by_two(world, propose_suspense, ProposeSuspense(payment, "return", EXCESS, None, WHY))
    lives.taken_back(payment, FACE + EXCESS)
    lost = platform("platform_loss")
    lives.taken_back(payment, FACE + EXCESS, "won")
    (again,) = payments.received_unapplied(db.session())
    db.session.rollback()
    lives.apply(again.id)
    assert (again.amount_minor, platform("suspense")) == (FACE, 0)
    assert platform("platform_loss") == lost - EXCESS
    sound()


def test_a_chargeback_of_what_went_back_takes_nothing_of_what_arrived_later(world: World) -> None:
    listed, owed = world.receivable(), lives.funded(world)
    payment = lives.received(world, listed, 7_000)
    by_two(world, propose_suspense, ProposeSuspense(payment, "return", 7_000, None, WHY))
    later = lives.received(world, owed, 7_000)
    lives.taken_back(payment, 7_000)
    lives.apply(later)  # its money is still there
    assert platform("platform_loss") == 7_000
    sound()


def test_a_part_taken_back_of_what_nobody_owed_leaves_the_rest_in_sight(world: World) -> None:
    payment = lives.received(world, world.receivable(), 7_000)
    lives.taken_back(payment, 3_000)
    assert left(payment) == 4_000
    by_two(world, propose_suspense, ProposeSuspense(payment, "return", 4_000, None, WHY))
    assert platform("suspense") == 0
    sound()


def test_what_nobody_owed_is_in_sight_again_when_the_bank_gives_it_back(world: World) -> None:
    payment = lives.received(world, world.receivable(), 7_000)
    lives.taken_back(payment, 7_000)
    assert left(payment) == 0
    lives.taken_back(payment, 7_000, "won")
    waiting = [one.id for one in payments.received_unapplied(db.session())]
    db.session.rollback()
    assert left(payment) == 7_000 or waiting == [payment]
    by_two(world, propose_suspense, ProposeSuspense(payment, "return", 7_000, None, WHY))
    assert left(payment) == 0
    sound()


def test_the_call_about_a_payment_ends_with_the_last_of_it(world: World) -> None:
    payment = overpaid(world)
    do(lambda tx: raise_alert(tx, "not_as_asked", "debtor_payment", payment, asked_minor=FACE))

    def called() -> list[UUID]:
        return [one.subject_id for one in payments.open_alerts(db.session()) if one.kind == "not_as_asked"]

    for minor, after in ((20_000, [payment]), (EXCESS - 20_000, [])):
        by_two(world, propose_suspense, ProposeSuspense(payment, "return", minor, None, WHY))
        assert called() == after
