"""The walls at the close and before money leaves: what nobody released holds the sale back; nothing is sold twice."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text

from marketplace.db import db
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.errors import Conflict, NotPermitted, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.ledger.queries import balance
from marketplace.perform import Tx, perform
from marketplace.receivables import actions as receivables
from marketplace.receivables import queries as found_in
from marketplace.receivables import relisting
from marketplace.receivables.relisting_schemas import RenewKeys
from marketplace.receivables.rules import Check
from marketplace.receivables.schemas import ReleaseReview
from marketplace.receivables.states import ReceivableState
from marketplace.receivables.walls import duplicates
from marketplace.receivables.walls.reviewing import open_review
from marketplace.servicing.schemas import SettleAward
from marketplace.servicing.settlement import settle_award
from marketplace.title import queries as title
from marketplace.trading import queries
from marketplace.trading.actions import close_lot, refuse_award, reject_award
from marketplace.trading.schemas import CloseLot, RefuseAward, RejectAward
from tests import lives
from tests.support import SYSTEM, do
from tests.trading.world import World, libpq

WHY = "The same goods under two numbers"


def keys(receivable_id: UUID) -> None:
    perform(relisting.renew_keys, RenewKeys(receivable_id), SYSTEM)


def a_look_alike(world: World, receivable_id: UUID, state: str = "awaiting_confirmation") -> UUID:
    """Let somebody list the same goods under a number that reads alike."""
    other = world.receivable(state=state)
    with world.superuser() as owner:
        owner.execute("UPDATE receivable SET number = 'TPC-20418' WHERE id = %s", (receivable_id,))
        owner.execute("UPDATE receivable SET number = 'TPC-2O418' WHERE id = %s", (other,))
    for one in (receivable_id, other):
        keys(one)
    return other


def a_closing_lot(world: World) -> tuple[UUID, UUID]:
    lot = world.lot()
    for who, rate, minor in lives.BIDS:
        world.fund(who, minor)
        perform(lives.place_bid, lives.PlaceBid(lot, rate, minor, 0), getattr(world, who))
    world.move_clock(timedelta(hours=1))
    return lot, queries.lot(db.session(), lot).receivable_id


def cash(world: World, who: str) -> tuple[int, int]:
    db.session.rollback()
    kept = balance(db.session(), "investor_cash", world.id(who), "GBP")
    return kept.posted_minor, kept.held_minor


def states(lot: UUID) -> tuple[str, str | None, str]:
    db.session.rollback()
    kept = queries.lot(db.session(), lot)
    return kept.state, kept.state_reason, found_in.receivable(db.session(), kept.receivable_id).state


def review_of(receivable_id: UUID) -> Any:
    db.session.rollback()
    return found_in.open_review(db.session(), receivable_id)


def oscar(world: World) -> Actor:
    return Actor(Role.OPERATOR, new_id(), world.id("olga"))


def release(world: World, receivable_id: UUID) -> None:
    review = review_of(receivable_id)
    for actor in (world.olga, oscar(world)):
        perform(receivables.release_review, ReleaseReview(review.id, "Two deliveries, we saw both notes"), actor)


def letters(receivable_id: UUID) -> list[UUID]:
    db.session.rollback()
    return [
        one.organisation_id for one in found_in.outgoing_mail(db.session(), receivable_id) if one.kind == "title_check"
    ]


def test_a_review_does_not_outlive_the_listing_that_it_held(world: World) -> None:
    """Else what comes back would be confirmed by the end of an old review, and its debtor never asked again."""
    lot, receivable_id = a_closing_lot(world)
    perform(close_lot, CloseLot(lot), SYSTEM)

    def hold(tx: Tx) -> str:
        row = found_in.lock_row(tx.session, receivable_id)
        looks = [Check("outside_claim", "look", WHY)]
        return str(open_review(tx, row, "outside_evidence", looks, goes_to=ReceivableState.CONFIRMED))

    do(hold)
    with world.superuser() as owner:  # too few days are left to offer it again
        owner.execute("UPDATE lot SET expected_on = market_now()::date + 5 WHERE id = %s", (lot,))
    perform(refuse_award, RefuseAward(lot), world.alice)
    assert states(lot) == ("refused", None, "expired")
    assert review_of(receivable_id) is None


# --- at the close -----------------------------------------------------------------------------------------------


def test_a_look_alike_listed_meanwhile_stops_the_award(world: World) -> None:
    lot, receivable_id = a_closing_lot(world)
    other = a_look_alike(world, receivable_id)
    done = perform(close_lot, CloseLot(lot), SYSTEM)
    assert (done["outcome"], done["reasons"]) == ("cancelled", ["near_match"])
    assert states(lot) == ("cancelled", "title_check", "held_for_review")
    review = review_of(receivable_id)
    assert (review.cause, review.goes_to) == ("title_check", "confirmed")
    assert [match["receivable_id"] for match in review.matches] == [str(other)]
    assert (cash(world, "bob"), cash(world, "carol")) == ((2_000_000, 0), (3_000_000, 0))
    assert queries.award(db.session(), lot) is None
    assert sorted(letters(receivable_id)) == sorted([world.id("bob"), world.id("carol")])


def test_what_two_people_released_is_sold(world: World) -> None:
    lot, receivable_id = a_closing_lot(world)
    other = a_look_alike(world, receivable_id, "held_for_review")

    def hold(tx: Tx) -> str:
        row = found_in.lock_row(tx.session, other)
        matches = receivables.recheck(tx, other).matches
        return str(open_review(tx, row, "near_match", [Check("near_match", "look", WHY)], matches))

    do(hold)
    release(world, other)
    assert perform(close_lot, CloseLot(lot), SYSTEM)["outcome"] == "full"


@pytest.mark.parametrize("state", ["withdrawn", "rejected", "expired"])
def test_what_left_unsold_stops_nothing(world: World, state: str) -> None:
    lot, receivable_id = a_closing_lot(world)
    a_look_alike(world, receivable_id, state)
    assert perform(close_lot, CloseLot(lot), SYSTEM)["outcome"] == "full"


def test_after_a_release_it_may_be_offered_again(world: World) -> None:
    lot, receivable_id = a_closing_lot(world)
    a_look_alike(world, receivable_id)
    perform(close_lot, CloseLot(lot), SYSTEM)
    release(world, receivable_id)
    assert states(lot)[2] == "confirmed"
    assert do(lambda tx: receivables.recheck(tx, receivable_id).codes) == []


def test_another_account_of_the_seller_stops_the_award(world: World) -> None:
    lot, receivable_id = a_closing_lot(world)
    with world.superuser() as owner:
        owner.execute(
            "INSERT INTO listing_round (receivable_id, round, deal_type, recourse, price_rule, seller_default, "
            "min_share_bps, policy_version, paid_to) "
            "VALUES (%s, 1, 'advance', 'full', 'uniform', 'refuse', 8000, 'x', %s) "
            "ON CONFLICT (receivable_id, round) DO UPDATE SET paid_to = excluded.paid_to",
            (receivable_id, b"x" * 16),
        )
        owner.execute("UPDATE organisation SET iban = 'GB29NWBK60161331926819' WHERE id = %s", (world.id("alice"),))
    assert perform(close_lot, CloseLot(lot), SYSTEM)["reasons"] == ["account_changed"]


def test_a_prior_notice_that_nobody_released_stops_the_award(world: World) -> None:
    lot, receivable_id = a_closing_lot(world)
    with world.superuser() as owner:
        owner.execute(
            "INSERT INTO prior_notice (id, receivable_id, claimant) VALUES (gen_random_uuid(), %s, 'Quick Factors')",
            (receivable_id,),
        )
    assert perform(close_lot, CloseLot(lot), SYSTEM)["reasons"] == ["prior_notice"]


# --- before money leaves ----------------------------------------------------------------------------------------


def a_held_award(world: World) -> tuple[UUID, UUID]:
    lot = lives.accepted(world)
    receivable_id = queries.lot(db.session(), lot).receivable_id
    a_look_alike(world, receivable_id)
    assert perform(settle_award, SettleAward(lot), SYSTEM)["stopped"] == ["near_match"]
    return lot, receivable_id


def count(table: str) -> int:
    db.session.rollback()
    return int(db.session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_an_award_with_a_finding_waits_and_nothing_moves(world: World) -> None:
    lot, receivable_id = a_held_award(world)
    assert states(lot) == ("held", "title_check", "awarded")
    assert (review_of(receivable_id).cause, review_of(receivable_id).goes_to) == ("title_check", "awarded")
    assert cash(world, "bob") == (2_000_000, 2_000_000)
    assert (count("collection"), count("payout")) == (0, 0)
    assert title.chain(db.session(), receivable_id)[0].owner_id == world.id("alice")
    assert len(letters(receivable_id)) == 2
    assert queries.accepted(db.session()) == []
    with pytest.raises(Conflict, match="stopped"):
        lives.settle(lot)
    assert len(letters(receivable_id)) == 2


def test_two_people_release_it_and_it_settles(world: World) -> None:
    lot, receivable_id = a_held_award(world)
    olga, review = world.olga, review_of(receivable_id)
    perform(receivables.release_review, ReleaseReview(review.id, "Two deliveries"), olga)
    with pytest.raises(NotPermitted, match="second_person"):
        perform(receivables.release_review, ReleaseReview(review.id, "Two deliveries"), olga)
    assert queries.accepted(db.session()) == []
    perform(receivables.release_review, ReleaseReview(review.id, "We saw both notes"), oscar(world))
    assert queries.accepted(db.session()) == [lot]
    lives.settle(lot)
    assert states(lot)[::2] == ("settled", "funded")
    assert {one.owner_id for one in title.owners_at(db.session(), receivable_id, lives_now())} == {
        world.id("bob"), world.id("carol")}  # fmt: skip


def lives_now() -> Any:
    return db.session.execute(text("SELECT market_now()")).scalar_one()


def test_refused_it_is_called_off_and_everything_is_free(world: World) -> None:
    lot, receivable_id = a_held_award(world)
    perform(reject_award, RejectAward(lot, WHY), world.olga)
    assert states(lot) == ("cancelled", "title_check", "rejected")
    assert (cash(world, "bob"), cash(world, "carol")) == ((2_000_000, 0), (3_000_000, 0))
    assert title.left_because(db.session(), receivable_id) == "title_check"
    assert [one.owner_id for one in title.chain(db.session(), receivable_id)] == [world.id("alice")]
    assert {one.state for one in queries.bids_of(db.session(), lot, world.id("bob"))} == {"unfilled"}
    assert review_of(receivable_id) is None
    assert len(letters(receivable_id)) == 4
    with pytest.raises(RuleBroken, match="wrong_state"):
        perform(reject_award, RejectAward(lot, WHY), world.olga)


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_only_operators_refuse_an_award(world: World, who: str) -> None:
    lot, _ = a_held_award(world)
    with pytest.raises(NotPermitted):
        perform(reject_award, RejectAward(lot, WHY), getattr(world, who))


def test_it_does_not_wait_for_ever(world: World) -> None:
    lot, receivable_id = a_held_award(world)
    world.move_clock(timedelta(hours=73))
    assert queries.accepted(db.session()) == [lot]
    lives.settle(lot)
    assert states(lot) == ("cancelled", "title_check", "held_for_review")
    assert cash(world, "bob") == (2_000_000, 0)
    review = review_of(receivable_id)
    assert (review.goes_to, len(review.matches)) == ("confirmed", 1)


# --- the database's own last line -------------------------------------------------------------------------------


def refused(world: World, statement: str, *values: Any) -> str:
    address = libpq(world.postgres.url(world.database))
    with psycopg.connect(address) as connection, pytest.raises(psycopg.Error) as refusal:
        connection.execute(statement, values)
        connection.commit()
    return str(refusal.value.diag.constraint_name or refusal.value)


def speak_against(world: World, receivable_id: UUID, what: str) -> None:
    with world.superuser() as owner:
        if what == "dispute":
            owner.execute("INSERT INTO dispute (id, receivable_id, amount_minor, reason) "
                          "VALUES (gen_random_uuid(), %s, 1, 'goods')", (receivable_id,))  # fmt: skip
        else:
            owner.execute("INSERT INTO review (id, receivable_id, cause, findings, matches, goes_to, state) "
                          "VALUES (gen_random_uuid(), %s, 'title_check', '{}', '[]', 'awarded', %s)",
                          (receivable_id, what))  # fmt: skip


HOLDING = (
    "INSERT INTO holding (id, receivable_id, owner_id, units, held_during, cause) "
    "VALUES (gen_random_uuid(), %s, gen_random_uuid(), int8range(0, 1), tstzrange(now(), NULL), 'award')"
)


@pytest.mark.parametrize("what", ["dispute", "open", "proposed"])
def test_no_award_no_owner_and_no_lot_while_something_is_open(world: World, what: str) -> None:
    lot = lives.accepted(world)
    receivable_id = queries.lot(db.session(), lot).receivable_id
    speak_against(world, receivable_id, what)
    with world.superuser() as owner:
        owner.execute("DELETE FROM holding WHERE receivable_id = %s", (receivable_id,))
    assert refused(world, HOLDING, receivable_id) == "title_is_clear"
    award = ("INSERT INTO award SELECT lot_id, 2, outcome, stop_out_bps, awarded_minor, discount_minor, "
             "standing_minor, groups, rule, rule_version, transcript, sha256 FROM award WHERE lot_id = %s")  # fmt: skip
    assert refused(world, award, lot) == "title_is_clear"
    copied = ", ".join(name for name in queries.Lot.__dataclass_fields__
                       if name not in ("id", "number", "state", "decided_at", "decided_how", "closed_at"))  # fmt: skip
    opened = (f"INSERT INTO lot (id, number, state, {copied}) SELECT gen_random_uuid(), 2, 'open', {copied} "
              "FROM lot WHERE id = %s")  # fmt: skip
    with world.superuser() as owner:
        owner.execute("UPDATE lot SET state = 'cancelled' WHERE id = %s", (lot,))
    assert refused(world, opened, lot) == "title_is_clear"


@pytest.mark.parametrize("state", ["withdrawn", "rejected", "expired"])
def test_nothing_leaves_the_market_with_its_lot_alive(world: World, state: str) -> None:
    lot = lives.accepted(world)
    receivable_id = queries.lot(db.session(), lot).receivable_id
    assert refused(world, f"UPDATE receivable SET state = '{state}' WHERE id = %s", receivable_id) == "end_has_no_lot"


# --- races, on real connections ---------------------------------------------------------------------------------


def test_a_review_being_written_and_an_assignment_wait_for_each_other(world: World) -> None:
    receivable_id = queries.lot(db.session(), lives.accepted(world)).receivable_id
    with world.superuser() as owner:
        owner.execute("DELETE FROM holding WHERE receivable_id = %s", (receivable_id,))
    with psycopg.connect(libpq(world.postgres.url(world.database))) as writing, ThreadPoolExecutor(1) as pool:
        writing.execute("INSERT INTO review (id, receivable_id, cause, findings, matches, goes_to, state) "
                        "VALUES (gen_random_uuid(), %s, 'title_check', '{}', '[]', 'awarded', 'open')",
                        (receivable_id,))  # fmt: skip
        writing.execute(
            "INSERT INTO event (id, verb, actor_role, request_id, subject_kind, subject_id, body) "
            "VALUES (gen_random_uuid(), 'x', 'x', gen_random_uuid(), 'x', gen_random_uuid(), 'x')"
        )
        assigning = pool.submit(refused, world, HOLDING, receivable_id)
        assert not assigning.done()
        writing.commit()
        assert assigning.result(10) == "title_is_clear"


def test_the_close_waits_for_a_look_alike_that_is_being_listed(world: World, app: Flask) -> None:
    lot, receivable_id = a_closing_lot(world)
    other = a_look_alike(world, receivable_id)
    with world.superuser() as owner:
        owner.execute("DELETE FROM fingerprint WHERE receivable_id = %s", (other,))
    listing, go_on = Event(), Event()

    def list_it() -> str:
        with app.app_context():
            return str(do(half_way))

    def half_way(tx: Tx) -> str:
        _, about = duplicates.subjects(tx.session, [other])[other]
        made = duplicates.keys_of(about)
        duplicates.wait_in_turn(tx, made)
        duplicates.keep_keys(tx, other, made)
        listing.set()
        assert go_on.wait(10)
        return "listed"

    def close() -> list[str]:
        with app.app_context():
            done: list[str] = perform(close_lot, CloseLot(lot), SYSTEM)["reasons"]
            return done

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(list_it)
        assert listing.wait(10)
        second = pool.submit(close)
        world.somebody_waits()
        go_on.set()
        assert (first.result(20), second.result(20)) == ("listed", ["near_match"])


@pytest.mark.parametrize("seed", range(3))
def test_settling_and_refusing_at_once_does_one_of_the_two(world: World, app: Flask, seed: int) -> None:
    lot, receivable_id = a_held_award(world)
    release(world, receivable_id)

    def outcome(deed: Callable[[], Any]) -> str:
        with app.app_context():
            try:
                deed()
            except RuleBroken as error:
                return error.code
            return "done"

    deeds: list[Callable[[], Any]] = [lambda: lives.settle(lot),
                                      lambda: perform(reject_award, RejectAward(lot, WHY), world.olga)]  # fmt: skip
    with ThreadPoolExecutor(2) as pool:
        ends = sorted(pool.map(outcome, deeds if seed % 2 else reversed(deeds)))
    assert ends == ["done", "wrong_state"]
    assert states(lot)[::2] in (("settled", "funded"), ("cancelled", "rejected"))
    assert sum(one.units for one in title.owners_at(db.session(), receivable_id, lives_now())) == 4_860_000
