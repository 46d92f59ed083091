"""Credit notes: the residual first, then the seller; to the penny, once each, never more than is owed."""

from collections.abc import Callable
from functools import partial
from threading import Barrier, Thread
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from marketplace.db import db
from marketplace.jobs.invariants import invariants
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.errors import Conflict, MarketplaceError, NotFound, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.ledger import queries as ledger
from marketplace.perform import perform
from marketplace.receivables import queries as receivables
from marketplace.receivables.debtor import queries as debtor_queries
from marketplace.receivables.debtor.confirmation import dispute_receivable
from marketplace.receivables.debtor.schemas import RecordDilution
from marketplace.receivables.schemas import DisputeReceivable
from marketplace.servicing.actions import default_receivable
from marketplace.servicing.diluting import cover_dilution, effects, record_dilution
from marketplace.servicing.dilution import Parts, cover_shares, covered, lowered, owed_by_debtor, part, share_receipt
from marketplace.servicing.schemas import ApproveDilution, CoverDilution, DefaultReceivable
from marketplace.servicing.second_voice import approve_dilution, waiting
from marketplace.servicing.waterfall import Due, Step
from tests import lives
from tests.servicing.dues import opening_dues
from tests.servicing.test_buy_back import put_in
from tests.trading.world import World

SELLER, BOB, CAROL = UUID(int=1), UUID(int=2), UUID(int=3)
# Face 100,000.00: principal 85,000.00 (60/25), discount 1,000.00, fee 500.00, residual 13,500.00.
WORKED = [Due(Step.PRINCIPAL, BOB, 6_000_000), Due(Step.PRINCIPAL, CAROL, 2_500_000), Due(Step.DISCOUNT, BOB, 70_000),
          Due(Step.DISCOUNT, CAROL, 30_000), Due(Step.PLATFORM_FEE, None, 50_000),
          Due(Step.RESIDUAL, SELLER, 1_350_000)]  # fmt: skip


def test_a_small_credit_note_costs_the_seller_his_residual_alone() -> None:
    assert part(500_000, WORKED) == Parts(500_000, 0)
    after = lowered(WORKED, 500_000)
    assert [due for due in after if due.step != Step.RESIDUAL] == WORKED[:-1]
    assert owed_by_debtor(after, 0) == 9_500_000


def test_the_worked_example_of_a_large_one() -> None:
    assert part(2_000_000, WORKED) == Parts(1_350_000, 650_000)
    after = lowered(WORKED, 1_350_000)
    assert owed_by_debtor(after, 650_000) == 8_000_000
    shares = cover_shares(650_000, after)
    assert [(one.step, one.party, one.minor) for one in shares] == [
        (Step.PRINCIPAL, BOB, 458_824), (Step.PRINCIPAL, CAROL, 191_176)]  # fmt: skip
    assert owed_by_debtor(covered(after, shares), 0) == 8_000_000


def test_what_the_debtor_pays_beyond_its_own_debt_is_nobodys() -> None:
    after = lowered(WORKED, 1_350_000)
    given = share_receipt(9_000_000, after, 650_000)
    assert given.excess_minor == 1_000_000
    assert sum(share.minor for share in given.shares) == 8_000_000


@given(st.integers(1, 10**9), st.integers(0, 200), st.lists(st.integers(1, 10**8), min_size=1, max_size=4),
       st.data())  # fmt: skip
def test_credit_notes_and_payments_in_any_order_add_up(
    face: int, fee: int, principals: list[int], data: st.DataObject
) -> None:
    fills = [(UUID(int=9 + i), p * face // (2 * sum(principals)), p * face // (200 * sum(principals)))
             for i, p in enumerate(principals)]  # fmt: skip
    dues, demanded, credited, paid = opening_dues(face, SELLER, fills, fee), 0, 0, 0
    for _ in range(data.draw(st.integers(1, 6))):
        owed = owed_by_debtor(dues, demanded)
        assert owed == face - credited - paid
        minor = data.draw(st.integers(0, owed))
        if data.draw(st.booleans()):
            parts = part(minor, dues)
            assert parts.residual_minor + parts.demanded_minor == minor
            dues, credited = lowered(dues, parts.residual_minor), credited + minor
            demanded += parts.demanded_minor
        else:
            shared = share_receipt(minor, dues, demanded)
            assert shared.excess_minor == 0
            got = {(s.step, s.party): s.minor for s in shared.shares}
            dues = [Due(d.step, d.party, d.due_minor, d.paid_minor + got.get((d.step, d.party), 0)) for d in dues]
            paid += minor
    shares = cover_shares(demanded, dues)
    assert sum(share.minor for share in shares) == demanded
    after = covered(dues, shares)
    assert owed_by_debtor(after, 0) == face - credited - paid
    assert all(0 <= due.paid_minor <= due.due_minor for due in after)


# -- through the verbs --------------------------------------------------------------------------------------------


@pytest.fixture
def sold(world: World, context: Flask) -> UUID:
    """A funded receivable of £48,600: residual 4,860,000 − 4,131,000 − discount − fee."""
    return lives.funded(world)


def note(world: World, receivable_id: UUID, minor: int, number: str = "CN-1", who: str = "alice", **more: Any) -> Any:
    return perform(record_dilution, RecordDilution(receivable_id, number=number, amount_minor=minor, **more),
                   getattr(world, who))  # fmt: skip


def second_operator(world: World) -> Actor:
    return Actor(Role.OPERATOR, new_id(), world.id("olga"))


def counted(world: World, receivable_id: UUID, minor: int, number: str = "CN-1", **more: Any) -> Any:
    """Record a credit note over more than the residual, and let two operators say that it is right."""
    asked = note(world, receivable_id, minor, number, **more)
    yes = ApproveDilution(UUID(asked["proposal_id"]), "Seen on the debtor's ledger.")
    if asked["proposal_state"] == "waiting":
        perform(approve_dilution, yes, world.olga)
    return perform(approve_dilution, yes, second_operator(world))


def residual(receivable_id: UUID) -> int:
    return sum(due.outstanding_minor for due in lives.collection(receivable_id).dues if due.step == Step.RESIDUAL)


def cash(world: World, who: str, code: str = "investor_cash") -> int:
    db.session.rollback()
    return ledger.balance(db.session(), code, world.id(who), "GBP").posted_minor


def broken() -> list[str]:
    db.session.rollback()
    return [one.name for one in invariants(db.session()) if not one.ok and one.name not in (
        "leaves_equal_events", "sequence_is_dense")]  # fmt: skip


def test_a_credit_note_lowers_residual_and_debt_by_the_penny(world: World, sold: UUID) -> None:
    before = residual(sold)
    made = note(world, sold, 100_001)
    assert (made["residual_minor"], made["demanded_minor"], made["owed_minor"]) == (100_001, 0, 4_759_999)
    found = lives.collection(sold)
    assert (residual(sold), found.outstanding_minor) == (before - 100_001, 4_759_999)
    lives.pays(world, sold, 4_759_999)
    assert (lives.collection(sold).state, receivables.receivable(db.session(), sold).state) == ("settled", "discharged")
    assert broken() == []


def test_the_same_credit_note_counts_once_however_it_is_written(world: World, sold: UUID) -> None:
    note(world, sold, 100, "CN-0007")
    for again in ("CN-0007", "cn 0007", "CN‐0007"):
        with pytest.raises(Conflict, match="credit_note_known"):
            note(world, sold, 100, again, who="olga")
    note(world, sold, 100, "CN-0008")
    assert debtor_queries.credited_minor(db.session(), sold) == 200


def test_two_credit_notes_eat_the_residual_then_ask_the_seller(world: World, sold: UUID) -> None:
    room = residual(sold)
    note(world, sold, room - 1, "CN-1")
    made = counted(world, sold, 500_000, "CN-2")
    assert (made["residual_minor"], made["demanded_minor"]) == (1, 499_999)
    found = lives.collection(sold)
    assert (found.demanded_minor, found.outstanding_minor) == (499_999, 4_860_000 - room + 1 - 500_000)
    effect = effects(db.session(), sold)[UUID(made["dilution_id"])]
    assert effect.pay_by is not None
    assert effect.open_minor == 499_999
    assert broken() == []


def test_the_seller_makes_the_difference_good_and_the_debtors_rest_settles_it(world: World, sold: UUID) -> None:
    made = counted(world, sold, 2_000_000)
    demanded, bob, carol = made["demanded_minor"], cash(world, "bob"), cash(world, "carol")
    cover = CoverDilution(UUID(made["dilution_id"]))
    with pytest.raises(RuleBroken, match="insufficient_cash"):
        perform(cover_dilution, cover, world.alice)
    put_in(world, demanded)
    perform(cover_dilution, cover, world.alice)
    assert cash(world, "bob") + cash(world, "carol") - bob - carol == demanded
    assert (cash(world, "alice", "seller_cash"), lives.collection(sold).demanded_minor) == (0, 0)
    with pytest.raises(Conflict, match="covered"):
        perform(cover_dilution, cover, world.alice)
    done = lives.pays(world, sold, 2_860_000)
    assert (done["excess_minor"], done["outstanding_minor"]) == (0, 0)
    assert lives.collection(sold).state == "settled"
    assert broken() == []


def test_the_debtor_pays_first_and_the_sellers_share_settles_it(world: World, sold: UUID) -> None:
    made = counted(world, sold, 2_000_000)
    done = lives.pays(world, sold, 3_000_000)
    assert (done["excess_minor"], done["outstanding_minor"]) == (140_000, 0)
    assert lives.collection(sold).open
    put_in(world, made["demanded_minor"])
    perform(cover_dilution, CoverDilution(UUID(made["dilution_id"])), world.alice)
    assert lives.collection(sold).state == "settled"
    assert broken() == []


def test_a_credit_note_over_all_that_is_left_settles_without_a_payment(world: World, sold: UUID) -> None:
    lives.pays(world, sold, 4_860_000 - residual(sold))
    left = residual(sold)
    with pytest.raises(RuleBroken, match="more_than_owed"):
        note(world, sold, left + 1)
    note(world, sold, left)
    assert lives.collection(sold).state == "settled"
    with pytest.raises(RuleBroken, match="wrong_state"):
        note(world, sold, 1, "CN-2")


def test_it_counts_after_a_default_and_after_a_write_off(world: World, sold: UUID) -> None:
    perform(default_receivable, DefaultReceivable(sold, "The debtor is insolvent."), world.olga)
    note(world, sold, 300_000, "CN-1")
    lives.on_day(world, sold, 181)
    lives.written_off(world, sold)
    made = counted(world, sold, 1_000_000, "CN-2", who="olga")
    assert made["residual_minor"] + made["demanded_minor"] == 1_000_000
    assert broken() == []


def test_only_the_seller_and_operators_record_one(world: World, sold: UUID) -> None:
    for who in ("bob", "mallory"):
        with pytest.raises(MarketplaceError):
            note(world, sold, 1, who=who)
    with pytest.raises(NotFound):
        perform(record_dilution, RecordDilution(new_id(), number="CN-1", amount_minor=1), world.alice)


def test_a_dispute_about_the_same_credit_note_ends_with_it(world: World, sold: UUID) -> None:
    perform(dispute_receivable, DisputeReceivable(5_000, "credit_note", credit_note="CN 1", receivable_id=sold),
            world.olga)  # fmt: skip
    note(world, sold, 5_000, "CN-1")
    db.session.rollback()
    (dispute,) = receivables.disputes(db.session(), sold)
    assert (dispute.state, dispute.outcome) == ("upheld", "credit_note")


def test_before_the_award_settles_the_lot_is_cancelled_and_the_listing_ends(world: World, context: Flask) -> None:
    lot = lives.accepted(world)
    db.session.rollback()
    from marketplace.trading import queries as trading

    receivable_id = trading.lot(db.session(), lot).receivable_id
    made = note(world, receivable_id, 1)
    assert made["state"] == "withdrawn"
    db.session.rollback()
    found = receivables.receivable(db.session(), receivable_id)
    assert (found.state, found.state_reason) == ("withdrawn", "credit_note")
    assert str(trading.lot(db.session(), lot).state) == "cancelled"
    assert ledger.balance(db.session(), "investor_cash", world.id("bob"), "GBP").held_minor == 0
    assert broken() == []


def test_of_two_at_once_only_what_is_owed_is_taken(world: World, sold: UUID, context: Flask) -> None:
    def at_once(*acts: Callable[[], Any]) -> list[str]:
        results, gate = [], Barrier(len(acts))

        def run(act: Callable[[], Any]) -> None:
            with context.app_context():
                gate.wait()
                try:
                    results.append(str(act()["proposal_state"]))
                except (Conflict, RuleBroken) as error:
                    results.append(error.code)

        threads = [Thread(target=run, args=(act,)) for act in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(results)

    told = at_once(*(partial(note, world, sold, 2_500_000, number, "olga") for number in ("CN-1", "CN-1", "CN-2")))
    assert told == ["credit_note_waits", "proposed", "proposed"]
    db.session.rollback()
    yes = [ApproveDilution(one.id, "Seen on the debtor's ledger.") for one in waiting(db.session(), sold)]
    db.session.rollback()
    oscar = second_operator(world)
    done = at_once(*(partial(perform, approve_dilution, one, oscar) for one in [*yes, yes[0]]))
    assert done.count("taken") == 1
    assert set(done) <= {"taken", "more_than_owed", "proposal_ended"}
    assert broken() == []


# -- what the database refuses whoever asks -------------------------------------------------------------------------


@pytest.fixture
def tries(world: World, sold: UUID) -> Callable[[str], None]:
    """Run a statement as the database's owner, triggers awake, and fire what is deferred."""
    made = counted(world, sold, 2_000_000)

    def run(statement: str) -> None:
        values = {"receivable": sold, "dilution": made["dilution_id"], "bob": world.id("bob")}
        with world.superuser(resting=False) as owner:
            owner.execute(statement, values)
            owner.execute("SET CONSTRAINTS dilution_cover_whole IMMEDIATE")  # before the one that asks for an event
            owner.execute("SET CONSTRAINTS ALL IMMEDIATE")

    return run


WRITE = ("INSERT INTO dilution (id, receivable_id, number, number_key, currency, amount_minor, recorded_by) "
         "VALUES (gen_random_uuid(), %(receivable)s, {}, 'seller') RETURNING id")  # fmt: skip
EFFECT = "INSERT INTO dilution_effect (dilution_id, receivable_id, residual_minor, demanded_minor, pay_by) "
COVER = "INSERT INTO dilution_cover (dilution_id, receivable_id, covered_minor, entry_id) "
SHARE = "INSERT INTO dilution_cover_share (id, dilution_id, step, party_id, minor) "


@pytest.mark.parametrize(("statement", "rule"), [
    (WRITE.format("'CN 1', 'CN1', 'GBP', 1"), "uq_dilution_receivable_id_number_key"),
    (WRITE.format("'CN-9', 'CN9', 'GBP', 2860001"), "sum to"),
    (WRITE.format("'CN-9', 'CN9', 'EUR', 1"), "is in EUR"),
    (WRITE.format("'CN-9', 'CN9', 'GBP', 0"), "ck_dilution_amount"),
    (WRITE.format("'CN-9', 'CN9', 'GBP', 1").replace("'seller'", "'debtor'"), "ck_dilution_recorded_by"),
    ("UPDATE dilution SET amount_minor = 1", "dilution"),
    ("DELETE FROM dilution", "dilution"),
    ("UPDATE dilution_effect SET demanded_minor = 0", "dilution_effect"),
    ("DELETE FROM dilution_effect", "dilution_effect"),
    ("UPDATE due SET due_minor = due_minor + 1 WHERE receivable_id = %(receivable)s AND step = 'residual'", "the dues"),
    ("UPDATE due SET due_minor = due_minor - 1 WHERE receivable_id = %(receivable)s AND step = 'platform_fee'",
     "the dues"),
    (EFFECT + "VALUES (%(dilution)s, %(receivable)s, 2000000, 0, NULL)", "pk_dilution_effect"),
    ("WITH made AS (" + WRITE.format("'CN-9', 'CN9', 'GBP', 10") + ") " + EFFECT
     + "SELECT id, %(receivable)s, 0, 9, CURRENT_DATE FROM made", "not its whole"),
    (COVER + "SELECT %(dilution)s, %(receivable)s, 1, id FROM entry LIMIT 1", "demanded"),
    (SHARE + "VALUES (gen_random_uuid(), %(dilution)s, 'principal', %(bob)s, 1)",
     "fk_dilution_cover_share_dilution_id"),
])  # fmt: skip
def test_the_database_refuses(tries: Callable[[str], None], statement: str, rule: str) -> None:
    with pytest.raises(psycopg.DatabaseError, match=rule):
        tries(statement)
