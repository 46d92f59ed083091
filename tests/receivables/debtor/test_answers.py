"""Links that do one thing, the address operators vouch for, and one answer for many receivables."""

from collections.abc import Callable
from datetime import date, timedelta
from threading import Barrier, Thread
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text

from marketplace.db import db
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.errors import Conflict, InvalidInput, MarketplaceError, NotFound, NotPermitted, RuleBroken
from marketplace.perform import perform
from marketplace.receivables import actions, queries
from marketplace.receivables.debtor import links
from marketplace.receivables.debtor import queries as debtor_queries
from marketplace.receivables.debtor.schemas import (
    AnswerMany,
    AskForDebtsLink,
    IssueDebtsLink,
    RenewDebtorLink,
    RevokeDebtorLink,
    SetDebtorContact,
)
from marketplace.receivables.relisting_schemas import RelistReceivable
from marketplace.receivables.schemas import (
    AcknowledgeNotice,
    ConfirmReceivable,
    DisputeReceivable,
    IssueDebtorLink,
    OpenDebtorLink,
    PromisePayment,
    WithdrawReceivable,
)
from tests.people import PersonOfTheTests
from tests.receivables.conftest import debtor_of, token_for
from tests.receivables.debtor.test_confirmation import funded, yes
from tests.receivables.invoices import Paper

People = dict[str, PersonOfTheTests]
Listed = Callable[..., dict[str, Any]]
GOODS = ("Seal ring", "Turbine blade", "Oil pump", "Steel bracket", "Fuel valve", "Wiring loom")


@pytest.fixture
def many(listed: Listed, invoice: Paper) -> list[UUID]:
    """Six invoices of Alice's that wait for Kestrel."""
    return [
        UUID(listed(invoice.but(number=f"A{n}7{n}", order=f"PO-{n}{n}1", pounds=1_000 + 137 * n, goods=goods,
                                due=invoice.due + timedelta(days=9 * n)))["receivable_id"])
        for n, goods in enumerate(GOODS, 1)
    ]  # fmt: skip


def contact(debtor_id: UUID, people: People, language: str = "en", address: str = "ap@kestrel.example") -> None:
    command = SetDebtorContact(debtor_id, address, language, "Rang the switchboard; asked for accounts payable.")
    perform(actions.set_debtor_contact, command, people["operator_olga"].actor)


@pytest.fixture
def all_of_it(many: list[UUID], people: People) -> str:
    """The token of a link to all that Kestrel owes."""
    kestrel = debtor_of(many[0])
    assert kestrel.organisation_id is not None
    contact(kestrel.organisation_id, people)
    told = perform(actions.issue_debts_link, IssueDebtsLink(kestrel.organisation_id), people["operator_olga"].actor)
    return str(told["address"]).rpartition("/")[2]


def state_of(receivable_id: UUID) -> str:
    db.session.rollback()
    return queries.receivable(db.session(), receivable_id).state


def confirm(token: str, ids: list[UUID], **changes: Any) -> AnswerMany:
    return AnswerMany(**({"token": token, "answer": "confirm", "receivable_ids": ids, "answered_by": "Kim Park",
                          "prior_notice": False} | changes))  # fmt: skip


def answer(command: AnswerMany, who: Actor, key: str | None = None) -> debtor_queries.Progress:
    made = perform(actions.answer_many, command, who, idempotency_key=key)
    actions.work_batch(UUID(made["batch_id"]), 60)
    db.session.rollback()
    return debtor_queries.progress(db.session(), UUID(made["batch_id"]))


# -- one link, one purpose -------------------------------------------------------------------------------------------


def test_a_question_link_neither_acknowledges_nor_promises_nor_answers_for_many(
    many: list[UUID], today: date, people: People
) -> None:
    token, who = token_for(many[0]), debtor_of(many[0])
    perform(actions.confirm_receivable, yes(many[1], today, amount_minor=127_400), debtor_of(many[1]))
    for verb, command in (
        (actions.acknowledge_notice, AcknowledgeNotice(token, 1)),
        (actions.promise_payment, PromisePayment(today, token=token)),
        (actions.answer_many, confirm(token, [many[0]])),
    ):
        with pytest.raises(RuleBroken, match="link_purpose"):
            perform(verb, command, who)


def test_an_account_link_answers_no_question_of_its_own_or_anothers(
    many: list[UUID], today: date, people: People
) -> None:
    first, second = many[:2]
    perform(actions.confirm_receivable, yes(first, today, amount_minor=113_700), debtor_of(first))
    funded(first, people)
    token = token_for(first, links.ACCOUNT)
    said = ConfirmReceivable(token, 127_400, today, False, answered_by="Kim", receivable_id=second)
    with pytest.raises(NotFound):
        perform(actions.confirm_receivable, said, debtor_of(second))
    with pytest.raises(RuleBroken, match="link_purpose"):
        perform(actions.confirm_receivable, ConfirmReceivable(token, 113_700, today, False), debtor_of(first))


def test_a_link_to_all_reaches_no_other_debtors_receivable(
    many: list[UUID], all_of_it: str, listed: Listed, invoice: Paper, today: date
) -> None:
    other = invoice.but(number="Z-1", buyer="Other Buyer Ltd", buyer_id="09999999", goods="Elbow", order="Q-1")
    strange = UUID(listed(other)["receivable_id"])
    said = ConfirmReceivable(all_of_it, 4_860_000, today, False, answered_by="Kim", receivable_id=strange)
    for who in (debtor_of(many[0]), debtor_of(strange)):
        with pytest.raises(NotFound):
            perform(actions.confirm_receivable, said, who)
    with pytest.raises(InvalidInput):
        perform(actions.answer_many, confirm(all_of_it, [many[0], strange]), debtor_of(many[0]))
    with pytest.raises(NotFound):
        perform(actions.answer_many, confirm(all_of_it, [strange]), debtor_of(strange))
    assert state_of(strange) == "awaiting_confirmation"


def test_opening_and_using_a_link_is_recorded(many: list[UUID], all_of_it: str) -> None:
    who = debtor_of(many[0])
    perform(actions.open_debtor_link, OpenDebtorLink(all_of_it), who)
    perform(actions.dispute_receivable, DisputeReceivable(100, "goods", token=all_of_it, receivable_id=many[0]), who)
    db.session.rollback()
    link = links.find(db.session(), all_of_it)
    assert link.first_opened_at is not None
    assert link.used_at is not None
    assert link.first_opened_at <= link.used_at
    assert state_of(many[0]) == "held_for_review"


def test_a_revoked_link_is_dead_even_after_it_was_used(many: list[UUID], today: date, people: People) -> None:
    token = token_for(many[0])
    perform(actions.confirm_receivable, yes(many[0], today, amount_minor=113_700), debtor_of(many[0]))
    db.session.rollback()
    revoke = RevokeDebtorLink(links.find(db.session(), token).id, "Forwarded to a stranger.")
    with pytest.raises(NotPermitted):
        perform(actions.revoke_debtor_link, revoke, people["seller_alice"].actor)
    perform(actions.revoke_debtor_link, revoke, people["operator_olga"].actor)
    db.session.rollback()
    with pytest.raises(NotFound, match="unknown_link"):
        links.find(db.session(), token)
    with pytest.raises(Conflict, match="link_revoked"):
        perform(actions.revoke_debtor_link, revoke, people["operator_olga"].actor)


@pytest.mark.parametrize("statement", [
    "UPDATE debtor_link SET purpose = 'debts'",
    "UPDATE debtor_link SET debtor_id = (SELECT id FROM organisation LIMIT 1)",
    "UPDATE debtor_link SET expires_at = expires_at + interval '1 day'",
    "DELETE FROM debtor_link",
    ("INSERT INTO debtor_link (id, purpose, token_hash, expires_at) "
     "VALUES (gen_random_uuid(), 'debts', sha256('x'), now())"),
    ("INSERT INTO debtor_link (id, receivable_id, debtor_id, purpose, token_hash, expires_at) "
     "SELECT gen_random_uuid(), id, debtor_id, 'debts', sha256('x'), now() FROM receivable LIMIT 1"),
])  # fmt: skip
def test_the_database_keeps_a_link_what_it_was_made_for(
    many: list[UUID], postgres: Any, database: str, statement: str
) -> None:
    with pytest.raises(psycopg.DatabaseError, match="debtor_link"), postgres.connect(database) as owner:
        owner.execute(statement)


# -- where letters go -------------------------------------------------------------------------------------------------


def test_the_link_to_all_goes_to_no_address_that_a_seller_gave(listed: Listed, invoice: Paper, people: People) -> None:
    made = listed(invoice, corrections={"debtor_email": "me@seller.example"})
    receivable_id = UUID(made["receivable_id"])
    kestrel = debtor_of(receivable_id)
    assert kestrel.organisation_id is not None
    with pytest.raises(RuleBroken, match="no_address"):
        perform(actions.issue_debts_link, IssueDebtsLink(kestrel.organisation_id), people["operator_olga"].actor)
    assert perform(actions.ask_for_debts_link, AskForDebtsLink(token_for(receivable_id)), kestrel) == {}
    contact(kestrel.organisation_id, people)
    perform(actions.ask_for_debts_link, AskForDebtsLink(token_for(receivable_id)), kestrel)
    sent = [one for one in queries.outgoing_mail(db.session()) if one.kind == "debts"]
    assert [one.address for one in sent] == ["ap@kestrel.example"]
    perform(actions.ask_for_debts_link, AskForDebtsLink(token_for(receivable_id)), kestrel)
    db.session.rollback()
    assert len([one for one in queries.outgoing_mail(db.session()) if one.kind == "debts"]) == 1


def test_a_verified_address_comes_before_the_listings_own(
    listed: Listed, invoice: Paper, people: People, many: list[UUID]
) -> None:
    kestrel = debtor_of(many[0]).organisation_id
    assert kestrel is not None
    contact(kestrel, people, "zh_Hant")
    perform(actions.issue_debtor_link, IssueDebtorLink(many[0]), people["operator_olga"].actor)
    db.session.rollback()
    letter = queries.outgoing_mail(db.session(), many[0])[0]
    assert letter.address == "ap@kestrel.example"
    due = queries.receivable(db.session(), many[0]).due_on
    assert f"{due.year}年{due.month}月{due.day}日" in letter.body


def test_a_new_address_ends_the_links_sent_to_the_old_one(many: list[UUID], all_of_it: str, people: People) -> None:
    kestrel = debtor_of(many[0]).organisation_id
    assert kestrel is not None
    contact(kestrel, people, address="payables@kestrel.example")
    db.session.rollback()
    with pytest.raises(NotFound):
        links.find(db.session(), all_of_it)
    assert [one.version for one in debtor_queries.contacts(db.session(), kestrel)] == [2, 1]


def test_an_old_link_may_ask_for_a_new_one_and_learns_nothing(
    many: list[UUID], today: date, people: People, shift_clock: Callable[[int], None]
) -> None:
    token, who = token_for(many[0]), debtor_of(many[0])
    assert perform(actions.renew_debtor_link, RenewDebtorLink(token), who) == {}
    assert len(queries.outgoing_mail(db.session(), many[0])) == 1  # the first letter is fresh
    shift_clock(15)
    actions.run_expiry()
    assert perform(actions.renew_debtor_link, RenewDebtorLink(token), who) == {}
    db.session.rollback()
    assert len(queries.outgoing_mail(db.session(), many[0])) == 2
    later = today + timedelta(days=60)
    said = ConfirmReceivable(token_for(many[0]), 113_700, later, False, answered_by="Kim")
    perform(actions.confirm_receivable, said, who)
    assert perform(actions.renew_debtor_link, RenewDebtorLink(token), who) == {}
    db.session.rollback()
    assert len(queries.outgoing_mail(db.session(), many[0])) == 2
    with pytest.raises(NotFound):
        perform(actions.renew_debtor_link, RenewDebtorLink(token[:-2] + "xx"), who)


@pytest.fixture
def shift_clock(postgres: Any, database: str) -> Callable[[int], None]:
    """Move the market's clock by days, as only the database's owner can."""

    def shift(days: int) -> None:
        with postgres.connect(database) as connection:
            connection.execute("UPDATE clock_shift SET shift = make_interval(days => %s)", (days,))

    return shift


# -- one answer for many ----------------------------------------------------------------------------------------------


def test_one_yes_for_many_with_days_of_their_own(many: list[UUID], all_of_it: str, today: date) -> None:
    day, own = today + timedelta(days=50), today + timedelta(days=33)
    done = answer(confirm(all_of_it, many, pay_on=day, days={many[2]: own}), debtor_of(many[0]))
    assert (done.taken, done.refused, done.waiting) == (6, 0, 0)
    found = queries.receivables(db.session(), many)
    assert {one.state for one in found.values()} == {"confirmed"}
    assert found[many[2]].promised_on == own
    assert found[many[0]].promised_on == day


def test_without_a_day_each_is_promised_for_its_due_date(many: list[UUID], all_of_it: str) -> None:
    answer(confirm(all_of_it, many[:3]), debtor_of(many[0]))
    for one in queries.receivables(db.session(), many[:3]).values():
        assert one.promised_on == one.due_on


def test_what_cannot_be_taken_holds_nothing_else_up(
    many: list[UUID], all_of_it: str, people: People, today: date
) -> None:
    perform(actions.withdraw_receivable, WithdrawReceivable(many[1]), people["seller_alice"].actor)
    perform(actions.confirm_receivable, yes(many[3], today, amount_minor=154_800), debtor_of(many[3]))
    done = answer(confirm(all_of_it, many), debtor_of(many[0]))
    assert (done.taken, done.refused) == (5, 1)
    with db.engine.connect() as connection:
        rows = dict(connection.execute(text("SELECT receivable_id, code FROM answer_row")).all())  # type: ignore[arg-type]
    assert (rows[many[1]], rows[many[3]], rows[many[0]]) == ("wrong_state", "already", "confirmed")
    assert state_of(many[1]) == "withdrawn"


def test_a_prior_notice_for_many_holds_every_one_of_them(many: list[UUID], all_of_it: str) -> None:
    done = answer(confirm(all_of_it, many[:2], prior_notice=True, claimant="Quick Factors Ltd"), debtor_of(many[0]))
    assert done.taken == 2
    assert {state_of(one) for one in many[:2]} == {"held_for_review"}
    assert [one.claimant for one in queries.prior_notices(db.session(), many[1])] == ["Quick Factors Ltd"]


def test_the_same_answer_sent_twice_is_taken_once(many: list[UUID], all_of_it: str) -> None:
    who = debtor_of(many[0])
    first = answer(confirm(all_of_it, many), who, key="page-1")
    again = answer(confirm(all_of_it, many), who, key="page-1")
    assert first.batch.id == again.batch.id
    assert [len(queries.confirmations(db.session(), one)) for one in many] == [1] * 6


def test_notices_are_acknowledged_and_days_noted_for_many(
    many: list[UUID], all_of_it: str, people: People, today: date
) -> None:
    who = debtor_of(many[0])
    answer(confirm(all_of_it, many[:2]), who)
    for one in many[:2]:
        funded(one, people)
    acknowledge = AnswerMany(all_of_it, "acknowledge", many[:3], "Kim Park")
    done = answer(acknowledge, who)
    assert (done.taken, done.refused) == (2, 1)
    assert all(queries.notices(db.session(), one)[0].acknowledged_at for one in many[:2])
    day = today + timedelta(days=70)
    assert answer(AnswerMany(all_of_it, "promise", many[:2], "Kim Park", pay_on=day), who).taken == 2
    assert {queries.receivable(db.session(), one).promised_on for one in many[:2]} == {day}


def test_what_waits_is_taken_by_the_clock_and_only_by_one(many: list[UUID], all_of_it: str, context: Flask) -> None:
    made = perform(actions.answer_many, confirm(all_of_it, many), debtor_of(many[0]))
    batch_id = UUID(made["batch_id"])
    assert debtor_queries.batches_waiting(db.session()) == [batch_id]
    gate, worked = Barrier(3), []

    def work() -> None:
        with context.app_context():
            gate.wait()
            worked.append(actions.work_batch(batch_id, 60))

    threads = [Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    actions.work_batch(batch_id, 60)  # whatever was locked by another when a worker passed by
    db.session.rollback()
    assert debtor_queries.progress(db.session(), batch_id).taken == 6
    assert [len(queries.confirmations(db.session(), one)) for one in many] == [1] * 6
    assert debtor_queries.batches_waiting(db.session()) == []


def test_a_revoked_link_takes_no_further_row_but_a_newer_one_changes_nothing(
    many: list[UUID], all_of_it: str, people: People
) -> None:
    who, olga = debtor_of(many[0]), people["operator_olga"].actor
    made = perform(actions.answer_many, confirm(all_of_it, many[:2]), who)
    told = perform(actions.issue_debts_link, IssueDebtsLink(who.organisation_id), olga)  # type: ignore[arg-type]
    actions.work_batch(UUID(made["batch_id"]), 60)
    assert {state_of(one) for one in many[:2]} == {"confirmed"}
    newer = str(told["address"]).rpartition("/")[2]
    made = perform(actions.answer_many, confirm(newer, many[2:]), who)
    db.session.rollback()
    perform(actions.revoke_debtor_link, RevokeDebtorLink(links.find(db.session(), newer).id, "Lost laptop."), olga)
    actions.work_batch(UUID(made["batch_id"]), 60)
    assert {state_of(one) for one in many[2:]} == {"awaiting_confirmation"}


def test_a_yes_that_waited_does_not_answer_for_what_came_back_since(
    many: list[UUID], all_of_it: str, people: People
) -> None:
    """The seller may have sold it elsewhere while it was away: the debtor is asked about the new round."""
    who, alice = debtor_of(many[0]), people["seller_alice"].actor
    batch_id = UUID(perform(actions.answer_many, confirm(all_of_it, many[:2]), who)["batch_id"])
    perform(actions.withdraw_receivable, WithdrawReceivable(many[0], "not now"), alice)
    perform(actions.relist_receivable, RelistReceivable(many[0]), alice)
    actions.work_batch(batch_id, 60)
    assert (state_of(many[0]), state_of(many[1])) == ("awaiting_confirmation", "confirmed")
    told = db.session.execute(
        text("SELECT code FROM answer_row WHERE batch_id = :batch AND receivable_id = :one"),
        {"batch": batch_id, "one": many[0]},
    )
    assert told.scalar_one() == "asked_again"


def test_a_link_used_twice_at_once_answers_once(many: list[UUID], today: date, context: Flask) -> None:
    command, who = yes(many[0], today, amount_minor=113_700), debtor_of(many[0])
    assert race(context, *[lambda: perform(actions.confirm_receivable, command, who)] * 4).count("done") == 1
    assert len(queries.confirmations(db.session(), many[0])) == 1


def test_a_confirmation_and_a_withdrawal_at_once_leave_one_truth(
    many: list[UUID], today: date, people: People, context: Flask
) -> None:
    alice = people["seller_alice"].actor
    for one, pounds in zip(many, (1137, 1274, 1411, 1548, 1685, 1822), strict=True):
        command, who = yes(one, today, amount_minor=pounds * 100), debtor_of(one)
        race(context, lambda c=command, w=who: perform(actions.confirm_receivable, c, w),
             lambda i=one: perform(actions.withdraw_receivable, WithdrawReceivable(i), alice))  # fmt: skip
        found, answers = state_of(one), queries.confirmations(db.session(), one)
        assert found == "withdrawn"  # a confirmed one may still be taken back; never the other way round
        assert len(answers) <= 1


def race(context: Flask, *acts: Callable[[], Any]) -> list[str]:
    """Run all at once, each over a connection of its own; return what each came to."""
    gate, came = Barrier(len(acts)), []

    def run(act: Callable[[], Any]) -> None:
        with context.app_context():
            gate.wait()
            try:
                act()
                came.append("done")
            except MarketplaceError as error:
                came.append(error.code)

    threads = [Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    db.session.rollback()
    return came


@pytest.mark.parametrize("statement", [
    "UPDATE answer_batch SET answered_by = 'Somebody else'",
    "DELETE FROM answer_batch",
    "UPDATE answer_row SET state = 'waiting', done_at = NULL",
    "UPDATE answer_row SET pay_on = CURRENT_DATE",
    "DELETE FROM answer_row",
    "UPDATE debtor_contact SET address = 'x@y.example'",
    ("INSERT INTO answer_row (batch_id, receivable_id, position, state) SELECT batch_id, receivable_id, 99, 'taken' "
     "FROM answer_row LIMIT 1"),
])  # fmt: skip
def test_the_database_keeps_answers_as_they_were_given(
    many: list[UUID], all_of_it: str, postgres: Any, database: str, statement: str
) -> None:
    answer(confirm(all_of_it, many[:1]), debtor_of(many[0]))
    with pytest.raises(psycopg.DatabaseError, match=r"answer_|debtor_contact"), postgres.connect(database) as owner:
        owner.execute(statement)


def test_a_strangers_role_does_none_of_it(many: list[UUID], all_of_it: str, people: People) -> None:
    mallory = people["stranger_mallory"].actor
    for verb, command in (
        (actions.answer_many, confirm(all_of_it, many)),
        (actions.set_debtor_contact, SetDebtorContact(debtor_of(many[0]).organisation_id, "m@m.example", "en", "x")),  # type: ignore[arg-type]
        (actions.issue_debts_link, IssueDebtsLink(debtor_of(many[0]).organisation_id)),  # type: ignore[arg-type]
    ):
        with pytest.raises(MarketplaceError):
            perform(verb, command, mallory)
    with pytest.raises(NotFound):
        perform(actions.answer_many, confirm(all_of_it, many), Actor(Role.DEBTOR, None, mallory.organisation_id, "x"))
