"""The walls at listing: look-alikes found by keys alone, outside evidence, and what two people have released."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from threading import Barrier, BrokenBarrierError
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import Engine, event, text

from marketplace.db import db
from marketplace.kernel.errors import Conflict, NotPermitted, RuleBroken
from marketplace.perform import perform
from marketplace.receivables import actions, listing, queries
from marketplace.receivables.debtor.schemas import SetDebtorContact
from marketplace.receivables.relisting_schemas import RenewKeys
from marketplace.receivables.schemas import ListReceivable, RejectReceivable, ReleaseReview, WithdrawReceivable
from marketplace.receivables.walls import duplicates
from tests.people import PersonOfTheTests, paid_on
from tests.receivables.invoices import Paper, ubl
from tests.support import SYSTEM, do

People = dict[str, PersonOfTheTests]
Listed = Callable[..., dict[str, Any]]
IBAN, OTHER_IBAN = "GB29NWBK60161331926819", "GB94BARC10201530093459"


def review_of(made: dict[str, Any]) -> Any:
    db.session.rollback()
    return queries.open_review(db.session(), UUID(made["receivable_id"]))


def release(people: People, review_id: UUID) -> None:
    for who in ("operator_olga", "operator_oscar"):
        perform(actions.release_review, ReleaseReview(review_id, "Rang the buyer: two debts"), people[who].actor)


def recheck(made: dict[str, Any]) -> list[str]:
    receivable_id = UUID(made["receivable_id"])
    found: list[str] = do(lambda tx: actions.recheck(tx, receivable_id).codes)
    return found


# --- look-alikes ------------------------------------------------------------------------------------------------


def test_a_look_alike_is_held_naming_what_it_resembles(listed: Listed, invoice: Paper) -> None:
    first = listed(invoice.but(number="TPC-2O418"))
    review = review_of(listed(invoice))
    assert review.cause == "near_match"
    (match,) = review.matches
    assert (match["ref"], match["receivable_id"]) == (first["ref"], first["receivable_id"])
    assert match["score"] >= 100
    assert {finding["code"] for finding in match["findings"]} >= {"same_amount"}


def test_a_number_written_without_its_separator_is_refused_like_the_same(listed: Listed, invoice: Paper) -> None:
    first = listed(invoice.but(number="3-45"))
    with pytest.raises(Conflict) as refused:
        listed(invoice.but(number="345"))
    assert refused.value.code == "already_listed"
    assert refused.value.params == {"ref": first["ref"]}


def test_asking_again_meets_what_is_certainly_the_same_even_if_keys_were_made_by_other_rules(
    listed: Listed, invoice: Paper, owner_engine: Engine
) -> None:
    made = listed(invoice.but(number="3-45"))
    other = listed(
        invoice.but(
            number="9-87", issued=invoice.issued - timedelta(days=9), pounds=7_700, goods="Another job", order="PO-5"
        )
    )
    with owner_engine.begin() as owner:  # as if the register held both from a time of other rules
        owner.execute(text("ALTER TABLE receivable DISABLE TRIGGER USER"))
        owner.execute(
            text("UPDATE receivable r SET number = '345', face_minor = o.face_minor, total_minor = o.total_minor, "
                 "issued_on = o.issued_on, facts = o.facts FROM receivable o WHERE r.id = :this AND o.id = :that"),
            {"this": other["receivable_id"], "that": made["receivable_id"]},
        )  # fmt: skip
        owner.execute(text("UPDATE receivable SET keys_version = 0"))
    with owner_engine.begin() as owner:
        owner.execute(text("ALTER TABLE receivable ENABLE TRIGGER USER"))
    for one in (made, other):
        perform(actions.renew_keys, RenewKeys(UUID(one["receivable_id"])), SYSTEM)
    assert recheck(made) == ["near_match"]
    assert recheck(other) == ["near_match"]


def test_another_sellers_look_alike_is_not_named_to_the_seller(listed: Listed, invoice: Paper) -> None:
    other = invoice.but(seller="Mallory Trading Ltd", seller_id="07100006")
    listed(other, "stranger_mallory")
    review = review_of(listed(invoice))
    said = next(check for check in review.findings["checks"] if check["rule"] == "near_match")
    assert said["params"] == {"refs": "–"}


def test_one_look_up_costs_the_same_however_many_it_meets(listed: Listed, invoice: Paper) -> None:
    def statements(suffix: str) -> int:
        made = listed(invoice.but(number=f"TPC-20418{suffix}"))
        with counted() as told:
            assert recheck(made) == ["near_match"]
        return len(told)

    listed(invoice.but(number="TPC-20418A"))
    few = statements("B")
    for suffix in "CDEFGHI":
        listed(invoice.but(number=f"TPC-20418{suffix}"))
    assert statements("J") == few


@contextmanager
def counted() -> Iterator[list[str]]:
    told: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        told.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    yield told
    event.remove(db.engine, "before_cursor_execute", note)


def test_the_look_up_reads_one_index_and_no_row(listed: Listed, invoice: Paper) -> None:
    listed(invoice)
    with db.engine.begin() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        connection.execute(text("SET LOCAL enable_bitmapscan = off"))
        plan = "\n".join(
            connection.execute(
                text("EXPLAIN " + duplicates.LOOK_UP), {"values": [b"x" * 16] * 20, "bearers": 200, "most": 200}
            ).scalars()
        )
    assert "Index Only Scan Backward using pk_fingerprint" in plan
    assert "Seq Scan" not in plan


def test_no_key_can_be_read_or_guessed_without_the_pepper(listed: Listed, invoice: Paper) -> None:
    listed(invoice)
    with db.engine.connect() as connection:
        rows = connection.execute(text("SELECT value, kind FROM fingerprint")).all()
    assert rows
    assert {len(row.value) for row in rows} == {duplicates.KEY_BYTES}
    assert not [row for row in rows if b"TPC" in bytes(row.value)]


def test_two_look_alikes_of_a_debtor_nobody_knew_do_not_slip_past_each_other(
    drafted: Listed, invoice: Paper, people: People, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = {"buyer": "Osprey Marine plc", "buyer_id": "05512345"}
    drafts = [
        UUID(drafted(ubl(invoice.but(number=number, **unknown)))["draft_id"]) for number in ("Q-2O418", "Q-20418")
    ]
    both, register = Barrier(2), listing._register

    def judged_and_not_committed(*args: Any) -> None:
        with suppress(BrokenBarrierError):  # broken when the other one waits for this one, as it should
            both.wait(1)
        register(*args)

    monkeypatch.setattr(listing, "_register", judged_and_not_committed)

    def list_it(draft_id: UUID) -> str:
        with app.app_context():
            return str(
                perform(actions.list_receivable, ListReceivable(draft_id), people["seller_alice"].actor)["state"]
            )

    with ThreadPoolExecutor(2) as sellers:
        assert sorted(sellers.map(list_it, drafts)) == ["awaiting_confirmation", "held_for_review"]


def test_keys_of_an_earlier_version_are_written_anew(listed: Listed, invoice: Paper) -> None:
    made = listed(invoice)
    with db.engine.begin() as connection:
        connection.execute(text("UPDATE receivable SET keys_version = 0"))
        connection.execute(
            text(
                "INSERT INTO event (id, verb, actor_role, request_id, subject_kind, subject_id, body) "
                "VALUES (gen_random_uuid(), 'x', 'x', gen_random_uuid(), 'x', gen_random_uuid(), 'x')"
            )
        )
    assert duplicates.outdated(db.session()) == [UUID(made["receivable_id"])]
    assert perform(actions.renew_keys, RenewKeys(UUID(made["receivable_id"])), SYSTEM)["keys"] > 5
    db.session.rollback()
    assert duplicates.outdated(db.session()) == []


# --- what two people released -----------------------------------------------------------------------------------


def test_a_pair_that_two_people_released_holds_neither_again(listed: Listed, invoice: Paper, people: People) -> None:
    first = listed(invoice.but(number="TPC-2O418"))
    second = listed(invoice)
    assert recheck(first) == recheck(second) == ["near_match"]
    release(people, review_of(second).id)
    assert recheck(first) == recheck(second) == []


def test_one_person_alone_releases_nothing(listed: Listed, invoice: Paper, people: People) -> None:
    listed(invoice.but(number="TPC-2O418"))
    second = listed(invoice)
    review = review_of(second)
    olga = people["operator_olga"].actor
    perform(actions.release_review, ReleaseReview(review.id, "It looks fine to me"), olga)
    with pytest.raises(NotPermitted, match="second_person"):
        perform(actions.release_review, ReleaseReview(review.id, "It looks fine to me"), olga)
    assert recheck(second) == ["near_match"]


def test_a_look_alike_that_was_refused_holds_nobody(listed: Listed, invoice: Paper, people: People) -> None:
    first = listed(invoice.but(number="TPC-2O418"))
    second = listed(invoice)
    perform(actions.reject_receivable, RejectReceivable(UUID(second["receivable_id"]), "The same invoice retyped"),
            people["operator_olga"].actor)  # fmt: skip
    assert recheck(first) == []


def test_a_new_review_takes_over_what_nobody_had_released(listed: Listed, invoice: Paper) -> None:
    first = listed(invoice.but(number="TPC-2O418"))
    second = UUID(listed(invoice)["receivable_id"])

    def dispute(tx: Any) -> str:
        check = listing.rules.Check("dispute", "look", "The debtor disputes it")
        from marketplace.receivables.walls.reviewing import open_review

        return str(open_review(tx, queries.lock_row(tx.session, second), "dispute", [check]))

    do(dispute)
    review = review_of({"receivable_id": str(second)})
    assert [check["rule"] for check in review.findings["checks"]] == ["dispute", "near_match"]
    assert [match["receivable_id"] for match in review.matches] == [first["receivable_id"]]


# --- outside evidence -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "note",
    [
        "This debt has been assigned to Quick Factors Ltd. Pay them only.",
        "Forderung abgetreten an die Musterbank AG",
        "Zessionar: Handelsfactoring GmbH",
        "Créance cédée à Factor SA dans le cadre de la cession Dailly",
        "We use invoice discounting with Harbour Bank plc",
    ],
)
def test_words_of_assignment_hold_it(listed: Listed, invoice: Paper, note: str) -> None:
    review = review_of(listed(invoice.but(note=note)))
    assert review.cause == "outside_evidence"
    assert "assignment" in {check["rule"] for check in review.findings["checks"]}


@pytest.mark.parametrize(
    "note",
    [
        "The consultant was assigned to project 12.",
        "This claim may not be assigned to third parties.",
        "Es gilt ein Abtretungsverbot; die Abtretung ist ausgeschlossen.",
        "Amount to be transferred to account below within 30 days.",
        "Refactoring of the billing module.",
    ],
)
def test_words_that_only_sound_alike_hold_nothing(listed: Listed, invoice: Paper, note: str) -> None:
    assert listed(invoice.but(note=note))["state"] == "awaiting_confirmation"


def test_an_account_that_is_not_the_sellers_holds_it_and_says_which(listed: Listed, invoice: Paper) -> None:
    review = review_of(listed(invoice.but(iban=OTHER_IBAN)))
    said = next(check for check in review.findings["checks"] if check["rule"] == "iban")
    assert said["params"] == {"account": "GB…3459", "known": "–"}
    assert review.cause == "outside_evidence"


def test_a_released_account_holds_again_only_when_the_sellers_own_changes(
    listed: Listed, invoice: Paper, people: People
) -> None:
    alice = people["seller_alice"].organisation_id
    paid_on(people, alice, IBAN)
    made = listed(invoice.but(iban=OTHER_IBAN))
    release(people, review_of(made).id)
    assert recheck(made) == []
    paid_on(people, alice, "GB33BUKB20201555555555")
    assert recheck(made) == ["iban", "account_changed"]


def test_a_seller_may_not_name_its_own_letterbox_for_the_debtor(listed: Listed, invoice: Paper) -> None:
    for own in ("seller.alice@example.com", "Seller.Alice+kestrel@EXAMPLE.com"):
        with pytest.raises(RuleBroken, match="address of yours") as refused:
            listed(invoice, corrections={"debtor_email": own})
        assert [problem.field for problem in refused.value.problems] == ["debtor_email"]
    db.session.rollback()
    assert db.session.execute(text("SELECT count(*) FROM receivable")).scalar_one() == 0


@pytest.mark.parametrize(("address", "rule"), [
    ("accounts@example.com", "own_domain"), ("kestrel.accounts@gmail.com", "public_mailbox")])  # fmt: skip
def test_a_letterbox_that_may_be_the_sellers_is_looked_at_first(
    listed: Listed, invoice: Paper, address: str, rule: str
) -> None:
    review = review_of(listed(invoice, corrections={"debtor_email": address}))
    assert review.cause == "outside_evidence"
    assert rule in [check["rule"] for check in review.findings["checks"]]
    assert queries.outgoing_mail(db.session()) == []


def test_the_debtors_own_letterbox_and_a_verified_one_pass(listed: Listed, invoice: Paper, people: People) -> None:
    made = listed(invoice, corrections={"debtor_email": "ap@kestrel.example"})
    db.session.rollback()
    row = queries.receivable(db.session(), UUID(made["receivable_id"]))
    assert row.state == "awaiting_confirmation"
    verify = SetDebtorContact(row.debtor_id, "ap@kestrel.example", "en", "Rang the switchboard.")
    perform(actions.set_debtor_contact, verify, people["operator_olga"].actor)
    other = invoice.but(number="TPC-90001", pounds=777, goods="Flange, forged", order="PO-91002")
    again = listed(other, corrections={"debtor_email": "kestrel@gmail.com"})
    db.session.rollback()
    assert queries.receivable(db.session(), UUID(again["receivable_id"])).state == "awaiting_confirmation"


def test_listings_taken_back_hide_nothing_that_is_live(listed: Listed, invoice: Paper, people: People) -> None:
    """A review names five look-alikes at the most; those that left the market must not take the places of others."""
    mine = listed(invoice.but(number="TPC-20418-A"))
    alike = ("TPC-2O418", "TPC-204I8", "TPC-2041B", "TPC-2O4I8", "TPC-2O41B", "TPC-204IB", "TPC-2O4IB")
    decoys = [listed(invoice.but(number=number)) for number in alike]
    for decoy in decoys:
        command = WithdrawReceivable(UUID(decoy["receivable_id"]), "seller")
        perform(actions.withdraw_receivable, command, people["seller_alice"].actor)
    again = listed(invoice)
    assert mine["receivable_id"] in [match["receivable_id"] for match in review_of(again).matches]
    assert recheck(mine) == ["near_match"]
    assert recheck(again) == ["near_match"]
