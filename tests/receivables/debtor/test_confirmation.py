"""The debtor's answers by signed link, the operators' second pair of eyes, and the notice of assignment."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text

from marketplace.db import db
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import Conflict, InvalidInput, NotFound, NotPermitted, RuleBroken
from marketplace.perform import perform
from marketplace.receivables import actions, queries
from marketplace.receivables.debtor import links
from marketplace.receivables.debtor import queries as debtor_queries
from marketplace.receivables.debtor.notice_facts import Statement
from marketplace.receivables.debtor.notice_text import creditor_reference, phrase
from marketplace.receivables.debtor.schemas import WriteNotice
from marketplace.receivables.schemas import (
    AcceptEvidence,
    AcknowledgeNotice,
    ConfirmReceivable,
    DisputeReceivable,
    IssueDebtorLink,
    OpenDebtorLink,
    PromisePayment,
    RejectReceivable,
    ReleaseReview,
    ResolveDispute,
)
from marketplace.receivables.states import DISPUTE, RECEIVABLE, REVIEW
from tests.people import PersonOfTheTests
from tests.receivables.conftest import debtor_of, token_for, told_of
from tests.receivables.invoices import Paper
from tests.support import do

People = dict[str, PersonOfTheTests]
Listed = Callable[..., dict[str, Any]]


@pytest.fixture
def waiting(listed: Listed, invoice: Paper) -> UUID:
    """A receivable that waits for its debtor."""
    return UUID(listed(invoice)["receivable_id"])


def yes(receivable_id: UUID, today: date, **changes: Any) -> ConfirmReceivable:
    command = ConfirmReceivable(token_for(receivable_id), 4_860_000, today + timedelta(days=60), False,
                                answered_by="Kim Park")  # fmt: skip
    return replace(command, **changes)


def state_of(receivable_id: UUID) -> str:
    db.session.rollback()
    return queries.receivable(db.session(), receivable_id).state


def test_a_yes_confirms_and_the_link_is_spent(waiting: UUID, today: date) -> None:
    command = yes(waiting, today)
    perform(actions.confirm_receivable, command, debtor_of(waiting))
    found = queries.receivable(db.session(), waiting)
    assert (found.state, found.confirmed_by, found.promised_on) == ("confirmed", "debtor", command.pay_on)
    with pytest.raises((Conflict, RuleBroken)):
        perform(actions.confirm_receivable, command, debtor_of(waiting))


def test_a_seller_cannot_confirm_his_own_invoice(waiting: UUID, today: date, people: People) -> None:
    with pytest.raises(NotPermitted):
        perform(actions.confirm_receivable, yes(waiting, today), people["seller_alice"].actor)


def test_the_sender_of_a_link_is_never_told_the_link(waiting: UUID, people: People) -> None:
    told = perform(actions.issue_debtor_link, IssueDebtorLink(waiting), people["seller_alice"].actor)
    assert "address" not in told
    told = perform(actions.issue_debtor_link, IssueDebtorLink(waiting), people["operator_olga"].actor)
    assert "/d/" in told["address"]


def test_a_new_link_ends_the_old_one(waiting: UUID, today: date, people: People) -> None:
    command = yes(waiting, today)
    perform(actions.issue_debtor_link, IssueDebtorLink(waiting), people["seller_alice"].actor)
    with pytest.raises(NotFound, match="unknown_link"):
        perform(actions.confirm_receivable, command, debtor_of(waiting))
    perform(actions.confirm_receivable, yes(waiting, today), debtor_of(waiting))


@pytest.mark.parametrize("spoil", [lambda t: t[:-1] + ("A" if t[-1] != "A" else "B"), lambda t: "x" + t,
                                   lambda t: "", lambda t: "é" * 40, lambda t: t * 9])  # fmt: skip
def test_a_forged_link_is_unknown(waiting: UUID, today: date, spoil: Callable[[str], str]) -> None:
    command = yes(waiting, today, token=spoil(token_for(waiting)))
    with pytest.raises(NotFound, match="unknown_link"):
        perform(actions.confirm_receivable, command, debtor_of(waiting))
    assert state_of(waiting) == "awaiting_confirmation"


def test_a_link_that_ran_out_confirms_nothing(waiting: UUID, today: date, shift_clock: Callable[[int], None]) -> None:
    command = yes(waiting, today, pay_on=today + timedelta(days=40))
    shift_clock(15)
    with pytest.raises(RuleBroken, match="link_expired"):
        perform(actions.confirm_receivable, command, debtor_of(waiting))


@pytest.fixture
def shift_clock(postgres: Any, database: str) -> Callable[[int], None]:
    """Move the market's clock by days, as only the database's owner can."""

    def shift(days: int) -> None:
        with postgres.connect(database) as connection:
            connection.execute("UPDATE clock_shift SET shift = make_interval(days => %s)", (days,))

    return shift


@pytest.mark.parametrize("changes", [{"amount_minor": 4_859_999}, {"pay_on": date(2020, 1, 1)},
                                     {"pay_on": date(2999, 1, 1)}])  # fmt: skip
def test_a_yes_to_another_amount_or_an_impossible_day_is_refused(
    waiting: UUID, today: date, changes: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput):
        perform(actions.confirm_receivable, yes(waiting, today, **changes), debtor_of(waiting))
    assert state_of(waiting) == "awaiting_confirmation"


def test_a_prior_notice_holds_it_until_two_operators_release_it(waiting: UUID, today: date, people: People) -> None:
    command = yes(waiting, today, prior_notice=True, claimant="Quick Factors Ltd")
    perform(actions.confirm_receivable, command, debtor_of(waiting))
    assert state_of(waiting) == "held_for_review"
    review = queries.open_review(db.session(), waiting)
    assert review is not None
    assert review.cause == "prior_notice"
    olga, oscar = people["operator_olga"].actor, people["operator_oscar"].actor
    perform(actions.release_review, ReleaseReview(review.id, "Released in writing."), olga)
    assert state_of(waiting) == "held_for_review"
    with pytest.raises(NotPermitted, match="second_person"):
        perform(actions.release_review, ReleaseReview(review.id, "Me again."), olga)
    perform(actions.release_review, ReleaseReview(review.id, "Letter seen."), oscar)
    assert state_of(waiting) == "confirmed"


def test_a_dispute_holds_it_and_must_end_before_a_release(waiting: UUID, people: People) -> None:
    command = DisputeReceivable(100_000, "goods", "Ten rings were cracked.", token=token_for(waiting))
    perform(actions.dispute_receivable, command, debtor_of(waiting))
    assert state_of(waiting) == "held_for_review"
    assert queries.stops(db.session(), waiting) == ["open_dispute", "open_review"]
    review, dispute = queries.open_review(db.session(), waiting), queries.open_dispute(db.session(), waiting)
    assert review is not None
    assert dispute is not None
    olga, oscar = people["operator_olga"].actor, people["operator_oscar"].actor
    with pytest.raises(RuleBroken, match="dispute_open"):
        perform(actions.release_review, ReleaseReview(review.id, "Fine."), olga)
    perform(actions.resolve_dispute, ResolveDispute(dispute.id, "resolved", "Replaced."), olga)
    perform(actions.release_review, ReleaseReview(review.id, "Replaced."), olga)
    perform(actions.release_review, ReleaseReview(review.id, "Seen."), oscar)
    assert state_of(waiting) == "awaiting_confirmation"
    assert len(queries.outgoing_mail(db.session(), waiting)) == 2


def test_a_debtor_who_was_right_stops_it_until_two_operators_say_why_not(waiting: UUID, people: People) -> None:
    command = DisputeReceivable(100_000, "goods", "Ten rings were cracked.", token=token_for(waiting))
    perform(actions.dispute_receivable, command, debtor_of(waiting))
    review, dispute = queries.open_review(db.session(), waiting), queries.open_dispute(db.session(), waiting)
    assert review is not None
    assert dispute is not None
    olga, oscar = people["operator_olga"].actor, people["operator_oscar"].actor
    perform(actions.resolve_dispute, ResolveDispute(dispute.id, "upheld", "They were cracked."), olga)
    db.session.rollback()
    assert queries.stops(db.session(), waiting) == ["open_review", "upheld_dispute"]
    perform(actions.release_review, ReleaseReview(review.id, "New rings are on their way."), olga)
    perform(actions.release_review, ReleaseReview(review.id, "The debtor agreed."), oscar)
    db.session.rollback()
    assert queries.stops(db.session(), waiting) == []


def test_more_than_the_invoice_cannot_be_disputed(waiting: UUID) -> None:
    command = DisputeReceivable(4_860_001, "amount", token=token_for(waiting))
    with pytest.raises(InvalidInput):
        perform(actions.dispute_receivable, command, debtor_of(waiting))


def test_two_operators_may_do_without_the_debtor(waiting: UUID, people: People) -> None:
    olga, oscar = people["operator_olga"].actor, people["operator_oscar"].actor
    perform(actions.accept_evidence, AcceptEvidence(waiting, "Signed delivery note."), olga)
    with pytest.raises(NotPermitted, match="second_person"):
        perform(actions.accept_evidence, AcceptEvidence(waiting, "Really."), olga)
    assert state_of(waiting) == "awaiting_confirmation"
    perform(actions.accept_evidence, AcceptEvidence(waiting, "Called the debtor's switchboard."), oscar)
    found = queries.receivable(db.session(), waiting)
    assert (found.state, found.confirmed_by) == ("confirmed", "operators")


def test_a_rejection_ends_it_for_good(waiting: UUID, people: People) -> None:
    command = RejectReceivable(waiting, "Forged.")
    perform(actions.reject_receivable, command, people["operator_olga"].actor)
    assert state_of(waiting) == "rejected"
    with pytest.raises(RuleBroken, match="wrong_state"):
        perform(actions.reject_receivable, command, people["operator_olga"].actor)


def test_another_debtor_cannot_use_the_link(waiting: UUID, today: date, people: People) -> None:
    actor = replace(debtor_of(waiting), organisation_id=people["stranger_mallory"].organisation_id)
    with pytest.raises(NotFound, match="unknown_link"):
        perform(actions.confirm_receivable, yes(waiting, today), actor)


def funded(receivable_id: UUID, people: People) -> None:
    """Take a confirmed receivable to funded with its notice, as the later rooms do."""
    for state in ("rated", "on_auction", "awarded", "funded"):
        do(lambda tx, state=state: actions.move(tx, receivable_id, state).state)
    told_of(receivable_id, people["investor_bob"].organisation_id)


def test_a_notice_is_issued_delivered_and_acknowledged(waiting: UUID, today: date, people: People) -> None:
    perform(actions.confirm_receivable, yes(waiting, today), debtor_of(waiting))
    funded(waiting, people)
    (notice,) = queries.notices(db.session(), waiting)
    assert queries.content(db.session(), notice.document_id).startswith(b"%PDF-")
    token = token_for(waiting, links.ACCOUNT)
    perform(actions.open_debtor_link, OpenDebtorLink(token), debtor_of(waiting))
    perform(actions.acknowledge_notice, AcknowledgeNotice(token, 1, "Kim Park"), debtor_of(waiting))
    db.session.rollback()
    (notice,) = queries.notices(db.session(), waiting)
    assert notice.issued_at <= notice.sent_at <= notice.acknowledged_at
    assert queries.receivable(db.session(), waiting).notice_acknowledged_at == notice.acknowledged_at
    with pytest.raises(Conflict, match="acknowledged"):
        perform(actions.acknowledge_notice, AcknowledgeNotice(token, 1), debtor_of(waiting))


def test_a_notice_is_drawn_after_the_assignment_from_what_it_stated_then(
    waiting: UUID, today: date, people: People
) -> None:
    perform(actions.confirm_receivable, yes(waiting, today), debtor_of(waiting))
    bob = people["investor_bob"].organisation_id
    issued = UUID(str(do(lambda tx: actions.issue_notice(tx, waiting, [bob]))))
    assert debtor_queries.unwritten_notices(db.session()) == [issued]
    (notice,) = queries.notices(db.session(), waiting)
    assert (notice.document_id, notice.written_at) == (None, None)
    kept = str(notice.facts)
    assert Statement.from_text(kept).to_bytes() == kept.encode()
    assert hashlib.sha256(kept.encode()).hexdigest() == notice.facts_sha256
    with pytest.raises(AssertionError, match="no letter"):
        token_for(waiting, links.ACCOUNT)
    system = Actor.system("test")
    perform(actions.write_notice, WriteNotice(issued), system)
    with pytest.raises(Conflict, match="notice_written"):
        perform(actions.write_notice, WriteNotice(issued), system)
    db.session.rollback()
    assert debtor_queries.unwritten_notices(db.session()) == []
    (notice,) = queries.notices(db.session(), waiting)
    assert (str(notice.facts), notice.phrase) == (kept, Statement.from_text(kept).phrase)
    assert notice.document_id is not None
    assert notice.message_document_id is not None
    pdf = queries.content(db.session(), notice.document_id)
    message = queries.content(db.session(), notice.message_document_id)
    assert hashlib.sha256(pdf).hexdigest().encode() in message
    events = db.session.execute(
        text("SELECT verb, convert_from(body, 'UTF8')::jsonb #>> '{after,facts_sha256}' FROM event "
             "WHERE verb IN ('issue_notice', 'write_notice') ORDER BY at, verb")
    ).all()  # fmt: skip
    assert [tuple(one) for one in events] == [
        ("issue_notice", notice.facts_sha256), ("write_notice", notice.facts_sha256)
    ]  # fmt: skip


def test_a_new_letter_ends_the_account_link_before_it_though_it_was_used(
    waiting: UUID, today: date, people: People
) -> None:
    perform(actions.confirm_receivable, yes(waiting, today), debtor_of(waiting))
    funded(waiting, people)
    token = token_for(waiting, links.ACCOUNT)
    perform(actions.acknowledge_notice, AcknowledgeNotice(token, 1, "Kim Park"), debtor_of(waiting))
    perform(actions.issue_debtor_link, IssueDebtorLink(waiting, links.ACCOUNT), people["operator_olga"].actor)
    db.session.rollback()
    with pytest.raises(NotFound, match="unknown_link"):
        links.find(db.session(), token)
    assert links.find(db.session(), token_for(waiting, links.ACCOUNT)).used_at is None


def test_a_promise_changes_the_day_and_keeps_the_earlier_one(waiting: UUID, today: date, people: People) -> None:
    perform(actions.confirm_receivable, yes(waiting, today), debtor_of(waiting))
    funded(waiting, people)
    later = today + timedelta(days=70)
    command = PromisePayment(later, answered_by="Kim Park", token=token_for(waiting, links.ACCOUNT))
    perform(actions.promise_payment, command, debtor_of(waiting))
    assert queries.receivable(db.session(), waiting).promised_on == later
    assert [one.pay_on for one in queries.promises(db.session(), waiting)] == [today + timedelta(days=60), later]


def test_a_listing_lapses_when_it_can_no_longer_be_sold(
    waiting: UUID, shift_clock: Callable[[int], None], context: Flask
) -> None:
    assert actions.run_expiry() == 0
    shift_clock(58)
    assert actions.run_expiry() == 2
    assert state_of(waiting) == "expired"
    assert actions.run_expiry() == 0


def test_a_structured_reference_has_valid_check_digits() -> None:
    from stdnum.iso11649 import is_valid

    assert is_valid(creditor_reference("DB-26-0001"))
    assert creditor_reference("DB-26-0001").startswith("RF")


def test_the_phrase_belongs_to_one_pair_and_one_market() -> None:
    seller, debtor = UUID(int=1), UUID(int=2)
    assert phrase(b"a", seller, debtor) == phrase(b"a", seller, debtor)
    assert phrase(b"a", seller, debtor) != phrase(b"b", seller, debtor)
    assert phrase(b"a", seller, debtor) != phrase(b"a", debtor, seller)


@pytest.mark.parametrize(("table", "machine"), [("receivable", RECEIVABLE), ("review", REVIEW), ("dispute", DISPUTE)])
def test_the_database_knows_the_same_states_and_moves(session: Any, table: str, machine: Any) -> None:
    source = session.execute(text("SELECT prosrc FROM pg_proc WHERE proname = :n"),
                             {"n": f"{table}_state_moves"}).scalar_one()  # fmt: skip
    check = session.execute(text("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = :n"),
                            {"n": f"ck_{table}_state"}).scalar_one()  # fmt: skip
    assert machine.sql_moves() in source
    assert all(f"'{state}'" in check for state in machine.states)
