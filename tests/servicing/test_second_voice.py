"""A credit note that others than its teller bear: it waits, and counts by the debtor's word or by two operators'."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from marketplace.db import db
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.errors import Conflict, NotFound, NotPermitted, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.perform import perform
from marketplace.receivables import queries as receivables
from marketplace.receivables.debtor import links
from marketplace.receivables.debtor.confirmation import dispute_receivable
from marketplace.receivables.schemas import DisputeReceivable
from marketplace.servicing.dilution import Parts, counts_alone
from marketplace.servicing.schemas import ApproveDilution, ConfirmDilution, RefuseDilution
from marketplace.servicing.second_voice import approve_dilution, confirm_dilution, refuse_dilution, waiting
from tests import lives
from tests.servicing.test_dilution import broken, counted, note, residual, second_operator
from tests.support import do
from tests.trading.world import World

WHY = "Their ledger was seen."
BEYOND = 2_000_000  # more than the residual of the receivable below


@given(st.sampled_from(["seller", "operator"]), st.integers(0, 10**12), st.integers(0, 10**12))
def test_only_the_seller_is_believed_alone_and_only_about_its_own_residual(said_by: str, own: int, others: int) -> None:
    assert counts_alone(said_by, Parts(own, others)) == (said_by == "seller" and others == 0)


@pytest.fixture
def sold(world: World, context: Flask) -> UUID:
    """A funded receivable of £48,600, of which some £7,000 are residual."""
    return lives.funded(world)


def asked(world: World, receivable_id: UUID, minor: int = BEYOND, number: str = "CN-1", who: str = "alice") -> UUID:
    made = note(world, receivable_id, minor, number, who)
    assert "dilution_id" not in made
    return UUID(made["proposal_id"])


def token_of(receivable_id: UUID, purpose: str = links.ACCOUNT) -> str:
    return do(lambda tx: links.issue(tx, receivable_id, purpose))


def the_debtor(world: World, name: str = "kestrel") -> Actor:
    return Actor(Role.DEBTOR, None, world.id(name))


def standing(receivable_id: UUID) -> tuple[Any, ...]:
    db.session.rollback()
    found = lives.collection(receivable_id)
    return found.dues, found.outstanding_minor, found.demanded_minor, str(found.state)


def test_what_the_residual_bears_counts_at_once_and_a_penny_more_waits(world: World, sold: UUID) -> None:
    room = residual(sold)
    before = standing(sold)
    waits = note(world, sold, room + 1, "CN-1")
    assert waits["proposal_state"] == "waiting"
    assert standing(sold) == before
    assert note(world, sold, room, "CN-2")["demanded_minor"] == 0
    assert broken() == []


def test_the_debtor_is_asked_and_its_yes_by_its_link_counts(world: World, sold: UUID) -> None:
    before, proposal_id = standing(sold), asked(world, sold)
    db.session.rollback()
    letter = db.session.execute(text("SELECT subject, body FROM outgoing_mail WHERE kind = 'credit_note'")).one()
    assert "CN-1" in letter.subject
    assert "20,000.00" in letter.body
    assert "/d/" not in letter.body
    assert standing(sold) == before
    made = perform(confirm_dilution, ConfirmDilution(token_of(sold), proposal_id, "A. Payable"), the_debtor(world))
    assert (made["proposal_state"], made["residual_minor"] + made["demanded_minor"]) == ("taken", BEYOND)
    assert standing(sold)[1] == before[1] - BEYOND
    with pytest.raises(Conflict, match="proposal_ended"):
        perform(confirm_dilution, ConfirmDilution(token_of(sold), proposal_id, "A. Payable"), the_debtor(world))
    assert broken() == []


def test_no_other_link_speaks_for_the_debtor(world: World, sold: UUID) -> None:
    proposal_id, other = asked(world, sold), lives.funded(world)
    for actor, token in (
        (the_debtor(world), token_of(other)),
        (the_debtor(world, "bob"), token_of(sold)),
        (the_debtor(world), token_of(sold) + "x"),
    ):
        with pytest.raises(NotFound):
            perform(confirm_dilution, ConfirmDilution(token, proposal_id, "Mallory"), actor)
    with pytest.raises(RuleBroken, match="link_purpose"):
        perform(confirm_dilution, ConfirmDilution(token_of(sold, links.CONFIRM), proposal_id, "M"), the_debtor(world))
    for who in ("alice", "bob", "olga"):
        with pytest.raises(NotPermitted):
            perform(confirm_dilution, ConfirmDilution(token_of(sold), proposal_id, "M"), getattr(world, who))
    assert len(waiting(db.session(), sold)) == 1


def test_two_operators_can_say_so_and_one_cannot_twice(world: World, sold: UUID) -> None:
    yes = ApproveDilution(asked(world, sold), WHY)
    assert perform(approve_dilution, yes, world.olga)["proposal_state"] == "proposed"
    with pytest.raises(NotPermitted, match="second_person"):
        perform(approve_dilution, yes, world.olga)
    for who in ("alice", "bob"):
        with pytest.raises(NotPermitted):
            perform(approve_dilution, yes, getattr(world, who))
    assert perform(approve_dilution, yes, second_operator(world))["proposal_state"] == "taken"
    assert broken() == []


def test_what_an_operator_tells_takes_another_however_little_and_never_the_debtor(world: World, sold: UUID) -> None:
    before, proposal_id = standing(sold), asked(world, sold, 1, who="olga")
    assert standing(sold) == before
    with pytest.raises(NotFound):
        perform(confirm_dilution, ConfirmDilution(token_of(sold), proposal_id, "A. Payable"), the_debtor(world))
    with pytest.raises(RuleBroken, match="not_yours"):
        perform(refuse_dilution, RefuseDilution(proposal_id, WHY), world.alice)
    with pytest.raises(NotPermitted, match="second_person"):
        perform(approve_dilution, ApproveDilution(proposal_id, WHY), world.olga)
    made = perform(approve_dilution, ApproveDilution(proposal_id, WHY), second_operator(world))
    assert (made["residual_minor"], made["demanded_minor"]) == (1, 0)


def test_a_no_changes_nothing_and_the_same_note_may_be_told_again(world: World, sold: UUID) -> None:
    before = standing(sold)
    first = asked(world, sold)
    with pytest.raises(Conflict, match="credit_note_waits"):
        note(world, sold, BEYOND, "cn 1")
    with pytest.raises(NotFound):
        perform(refuse_dilution, RefuseDilution(first, WHY), Actor(Role.SELLER, new_id(), world.id("mallory")))
    perform(refuse_dilution, RefuseDilution(first, WHY), world.alice)
    with pytest.raises(Conflict, match="proposal_ended"):
        perform(approve_dilution, ApproveDilution(first, WHY), world.olga)
    no = RefuseDilution(asked(world, sold), "We know of none.", token_of(sold), "A. Payable")
    assert perform(refuse_dilution, no, the_debtor(world))["proposal_state"] == "refused"
    third = asked(world, sold)
    perform(approve_dilution, ApproveDilution(third, WHY), world.olga)
    perform(refuse_dilution, RefuseDilution(third, WHY), second_operator(world))
    assert standing(sold) == before
    assert broken() == []


@pytest.mark.parametrize(("minor", "by_link", "counts"), [
    (BEYOND, True, True), (BEYOND - 1, True, False), (BEYOND, False, False),
])  # fmt: skip
def test_the_debtors_own_dispute_about_it_is_its_word(
    world: World, sold: UUID, minor: int, by_link: bool, counts: bool
) -> None:
    token = token_of(sold) if by_link else None
    no = DisputeReceivable(minor, "credit_note", credit_note="CN 1", token=token, receivable_id=sold)
    perform(dispute_receivable, no, the_debtor(world) if by_link else world.olga)
    made = note(world, sold, BEYOND)
    assert made["proposal_state"] == ("taken" if counts else "waiting")
    db.session.rollback()
    (dispute,) = receivables.disputes(db.session(), sold)
    assert str(dispute.state) == ("upheld" if counts else "open")
    assert broken() == []


def test_what_was_paid_meanwhile_is_not_taken_back(world: World, sold: UUID) -> None:
    yes = ApproveDilution(asked(world, sold, 4_000_000), WHY)
    perform(approve_dilution, yes, world.olga)
    lives.pays(world, sold, 1_000_000)
    with pytest.raises(RuleBroken, match="more_than_owed"):
        perform(approve_dilution, yes, second_operator(world))
    db.session.rollback()
    assert [one.state for one in waiting(db.session(), sold)] == ["proposed"]
    lives.pays(world, sold, 3_860_000)
    with pytest.raises(RuleBroken, match="wrong_state"):
        perform(approve_dilution, yes, second_operator(world))
    perform(refuse_dilution, RefuseDilution(yes.proposal_id, WHY), world.olga)
    assert broken() == []


# -- what the database refuses whoever asks -------------------------------------------------------------------------


@pytest.fixture
def tries(world: World, sold: UUID) -> Callable[[str], None]:
    """Run a statement as the database's owner, triggers awake, and fire what is deferred."""
    done = counted(world, sold, BEYOND, "CN-1")
    waits = asked(world, sold, BEYOND, "CN-2")
    foreign = lives.funded(world)
    token_of(foreign)

    def run(statement: str) -> None:
        values = {"receivable": sold, "done": done["dilution_id"], "waits": waits, "foreign": foreign,
                  "olga": world.olga.user_id}  # fmt: skip
        with world.superuser(resting=False) as owner:
            owner.execute(statement, values)
            owner.execute("SET CONSTRAINTS dilution_effect_voices IMMEDIATE")  # before the one that asks for an event
            owner.execute("SET CONSTRAINTS ALL IMMEDIATE")

    return run


NOTE = ("WITH made AS (INSERT INTO dilution (id, receivable_id, number, number_key, currency, amount_minor, "
        "recorded_by) VALUES (gen_random_uuid(), %(receivable)s, 'CN-9', 'CN9', 'GBP', 10, '{}') RETURNING id) "
        "INSERT INTO dilution_effect (dilution_id, receivable_id, residual_minor, demanded_minor, pay_by) "
        "SELECT id, %(receivable)s, {}, {}, {} FROM made")  # fmt: skip
AGAIN = ("INSERT INTO dilution_proposal (id, receivable_id, number, number_key, currency, amount_minor, said_by) "
         "VALUES (gen_random_uuid(), %(receivable)s, 'CN 2', 'CN2', 'GBP', 1, 'seller')")  # fmt: skip
SET = "UPDATE dilution_proposal SET {} WHERE id = %(waits)s"


REFUSALS = [
    (NOTE.format("seller", 0, 10, "CURRENT_DATE"), "second voice"),
    (NOTE.format("seller", 9, 1, "CURRENT_DATE"), "second voice"),
    (NOTE.format("operator", 10, 0, "NULL"), "second voice"),
    (SET.format("state = 'taken', dilution_id = %(done)s"), "ck_dilution_proposal_voices"),
    (SET.format("state = 'taken', dilution_id = %(done)s, maker_id = %(olga)s, approver_id = %(olga)s"),
     "ck_dilution_proposal_two_people"),
    (SET.format("state = 'taken', dilution_id = %(done)s, maker_id = %(olga)s, approver_id = gen_random_uuid()"),
     "uq_dilution_proposal_dilution_id"),
    (SET.format("state = 'taken', maker_id = %(olga)s, approver_id = gen_random_uuid()"),
     "ck_dilution_proposal_taken"),
    (SET.format("state = 'proposed'"), "ck_dilution_proposal_maker"),
    (SET.format("state = 'refused'"), "ck_dilution_proposal_refused"),
    (SET.format("link_id = (SELECT id FROM debtor_link WHERE receivable_id = %(foreign)s LIMIT 1)"),
     "not of the debtor"),
    (SET.format("amount_minor = 1"), "dilution_proposal"),
    (SET.format("said_by = 'operator'"), "dilution_proposal"),
    ("UPDATE dilution_proposal SET state = 'waiting' WHERE dilution_id = %(done)s", "cannot go from taken"),
    ("DELETE FROM dilution_proposal", "dilution_proposal"),
    (AGAIN, "uq_dilution_proposal_open"),
]  # fmt: skip


def test_the_database_refuses(tries: Callable[[str], None]) -> None:
    for statement, rule in REFUSALS:
        with pytest.raises(psycopg.DatabaseError, match=rule):
            tries(statement)
            pytest.fail(f"it took {statement}")
