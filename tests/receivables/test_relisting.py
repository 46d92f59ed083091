"""What left the market unsold comes back as itself: same id, ref and key, new terms, every wall once more."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from marketplace.db import db
from marketplace.kernel.errors import Conflict, MarketplaceError, NotFound, RuleBroken
from marketplace.perform import perform
from marketplace.receivables import actions, queries
from marketplace.receivables.relisting_schemas import RelistReceivable
from marketplace.receivables.schemas import RejectReceivable, ReleaseReview, Terms, WithdrawReceivable
from marketplace.title import queries as title
from tests.people import PersonOfTheTests
from tests.receivables.invoices import Paper, cii, ubl
from tests.support import do

People = dict[str, PersonOfTheTests]
Listed = Callable[..., dict[str, Any]]
EVENT = ("INSERT INTO event (id, verb, actor_role, request_id, subject_kind, subject_id, body) "
         "VALUES (gen_random_uuid(), 'x', 'x', gen_random_uuid(), 'x', gen_random_uuid(), 'x')")  # fmt: skip


@pytest.fixture
def gone(listed: Listed, invoice: Paper, people: People) -> UUID:
    """An invoice that Alice listed and withdrew."""
    receivable_id = UUID(listed(invoice)["receivable_id"])
    perform(actions.withdraw_receivable, WithdrawReceivable(receivable_id, "not now"), people["seller_alice"].actor)
    return receivable_id


def found(receivable_id: UUID) -> queries.Receivable:
    db.session.rollback()
    return queries.receivable(db.session(), receivable_id)


def bring_back(people: People, receivable_id: UUID, who: str = "seller_alice", **more: Any) -> dict[str, Any]:
    return perform(actions.relist_receivable, RelistReceivable(receivable_id, **more), people[who].actor)


def test_it_comes_back_as_itself_on_other_terms(gone: UUID, people: People) -> None:
    before = found(gone)
    done = bring_back(people, gone, terms=Terms("outright", "none", own_rate_bps=700))
    now = found(gone)
    assert (now.id, now.ref, now.face_minor, now.listed_at) == (
        before.id,
        before.ref,
        before.face_minor,
        before.listed_at,
    )
    assert (now.state, now.round, done["round"]) == ("awaiting_confirmation", 2, 2)
    assert (now.deal_type, now.recourse, now.own_rate_bps) == ("outright", "none", 700)
    assert (now.closed_at, now.confirmed_at) == (None, None)
    with db.engine.connect() as connection:
        rounds = connection.execute(text("SELECT round, deal_type FROM listing_round ORDER BY round")).all()
        ways = connection.execute(text("SELECT (SELECT count(*) FROM tombstone), (SELECT count(*) FROM title_return), "
                                       "(SELECT count(*) FROM title)")).one()  # fmt: skip
    assert [tuple(row) for row in rounds] == [(1, "advance"), (2, "outright")]
    assert tuple(ways) == (1, 1, 1)
    letters = queries.outgoing_mail(db.session(), gone)
    assert [letter.kind for letter in letters] == ["confirm", "confirm"]


def test_the_same_file_dropped_again_is_refused_as_new_and_brought_back(
    gone: UUID, drafted: Listed, listed: Listed, invoice: Paper, people: People
) -> None:
    with pytest.raises(Conflict, match="already_listed") as refusal:
        listed(invoice)
    assert found(gone).ref in refusal.value.said()
    draft_id = UUID(drafted(cii(invoice))["draft_id"])
    assert bring_back(people, gone, draft_id=draft_id)["ref"] == found(gone).ref
    with pytest.raises(MarketplaceError):
        bring_back(people, gone, draft_id=draft_id)


def test_it_can_leave_and_come_back_again(gone: UUID, people: People) -> None:
    for round_ in (2, 3):
        assert bring_back(people, gone)["round"] == round_
        perform(actions.withdraw_receivable, WithdrawReceivable(gone), people["seller_alice"].actor)
    assert title.left_because(db.session(), gone) == "withdrawn"


def test_nobody_else_brings_it_back(gone: UUID, people: People) -> None:
    with pytest.raises(NotFound):
        bring_back(people, gone, "stranger_mallory")


@pytest.mark.parametrize("state", ["awaiting_confirmation", "on_auction", "funded", "discharged"])
def test_what_has_not_left_unsold_does_not_come_back(
    listed: Listed, invoice: Paper, people: People, state: str
) -> None:
    receivable_id = UUID(listed(invoice)["receivable_id"])
    force(receivable_id, state)
    with pytest.raises(RuleBroken, match="cannot_come_back"):
        bring_back(people, receivable_id)


def force(receivable_id: UUID, state: str) -> None:
    with db.engine.begin() as connection:
        for step in ("confirmed", "rated", "on_auction", "awarded", "funded", "discharged"):
            if state == "awaiting_confirmation":
                return
            connection.execute(text(EVENT))
            move = "UPDATE receivable SET state = :step, confirmed_at = now(), confirmed_by = 'debtor' WHERE id = :id"
            connection.execute(text(move), {"step": step, "id": receivable_id})
            if step == state:
                return


def test_refused_for_good_stays_out_and_refused_until_put_right_comes_back_to_be_looked_at(
    listed: Listed, invoice: Paper, people: People
) -> None:
    olga, oscar = people["operator_olga"].actor, people["operator_oscar"].actor
    good = UUID(listed(invoice)["receivable_id"])
    perform(actions.reject_receivable, RejectReceivable(good, "The debtor does not exist"), olga)
    with pytest.raises(RuleBroken, match="cannot_come_back"):
        bring_back(people, good)
    curable = UUID(listed(invoice.but(number="X-1", pounds=900, goods="Bolts", order="PO-2"))["receivable_id"])
    for _ in range(2):
        perform(actions.reject_receivable, RejectReceivable(curable, "The order is not attached", True), olga)
        assert bring_back(people, curable)["held_for"] == ["came_back"]
        review = queries.open_review(db.session(), curable)
        assert review is not None
        assert review.cause == "came_back"
        perform(actions.release_review, ReleaseReview(review.id, "The order is there now"), olga)
        perform(actions.release_review, ReleaseReview(review.id, "Seen, the order is there"), oscar)
        assert found(curable).state == "awaiting_confirmation"


def test_another_amount_or_another_invoice_does_not_come_back_under_its_name(
    gone: UUID, drafted: Listed, invoice: Paper, people: People
) -> None:
    dearer = UUID(drafted(ubl(invoice.but(pounds=48_601)))["draft_id"])
    with pytest.raises(RuleBroken, match="differs_from_listing") as refusal:
        bring_back(people, gone, draft_id=dearer)
    assert {problem.field for problem in refusal.value.problems} == {"face_minor", "total_minor"}
    other = UUID(drafted(ubl(invoice.but(number="ELSE-1")))["draft_id"])
    with pytest.raises(RuleBroken, match="another_invoice"):
        bring_back(people, gone, draft_id=other)
    assert found(gone).state == "withdrawn"


def test_every_wall_is_asked_again(gone: UUID, listed: Listed, invoice: Paper, people: People) -> None:
    listed(invoice.but(number="TPC-2O418"))
    assert bring_back(people, gone)["held_for"] == ["near_match"]


def test_impossible_terms_are_refused(gone: UUID, people: People) -> None:
    with pytest.raises(RuleBroken) as refusal:
        bring_back(people, gone, terms=Terms("outright", "full"))
    assert {problem.rule for problem in refusal.value.problems} == {"outright_without_recourse"}


@pytest.mark.parametrize(
    "change",
    ["recourse = 'none'", "round = 2", "round = 2, recourse = 'none'", "reserve_bps = 900", "policy_version = 'x'"],
)
def test_the_database_changes_terms_in_no_other_way(listed: Listed, invoice: Paper, change: str) -> None:
    made = listed(invoice)
    with pytest.raises(DBAPIError, match="comes back"), db.engine.begin() as connection:
        connection.execute(text(EVENT))
        connection.execute(text(f"UPDATE receivable SET {change} WHERE id = :id"), {"id": made["receivable_id"]})


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 'awaiting_confirmation'", "receivable_comes_back"),
        ("state = 'awaiting_confirmation', round = 2", "receivable_comes_back"),
        ("state = 'awaiting_confirmation', round = 3", "receivable_comes_back"),
        ("state = 'confirmed', round = 2", "receivable_comes_back"),
    ],
)
def test_nothing_comes_back_without_a_round_of_its_own(gone: UUID, change: str, constraint: str) -> None:
    with pytest.raises(DBAPIError) as refusal, db.engine.begin() as connection:
        connection.execute(text(EVENT))
        connection.execute(text(f"UPDATE receivable SET {change} WHERE id = :id"), {"id": gone})
    assert refusal.value.orig.diag.constraint_name in (constraint, "receivable_state_moves")  # type: ignore[union-attr]


def test_a_round_is_never_rewritten(gone: UUID) -> None:
    with pytest.raises(DBAPIError), db.engine.begin() as connection:
        connection.execute(text("UPDATE listing_round SET recourse = 'none'"))


def test_brought_back_twice_at_once_it_comes_back_once(app: Flask, gone: UUID, people: People) -> None:
    ready = Barrier(3)

    def race(_: int) -> str:
        with app.app_context():
            ready.wait()
            try:
                return str(bring_back(people, gone)["round"])
            except RuleBroken as error:
                return error.code

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(race, range(3))) == ["2", "cannot_come_back", "cannot_come_back"]
    assert do(lambda tx: title.chain(tx.session, gone)[0].units) == 4_860_000
