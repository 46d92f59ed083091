"""Pay-outs by bank: ordered by two people, in one file ever, valid by the schema, ended by what the bank books."""

import json
from contextlib import nullcontext
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from click.testing import CliRunner
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from sqlalchemy import text

from marketplace.banking import orders
from marketplace.banking.pain import SPACE, Order, OrderFile, plain, write_pain
from marketplace.commands import bank as command
from marketplace.db import db
from marketplace.kernel.errors import (
    Conflict,
    IntegrityBreach,
    InvalidInput,
    MarketplaceError,
    NotPermitted,
    RuleBroken,
)
from marketplace.payments import bank_payouts
from marketplace.payments import queries as payments
from marketplace.payments.actions import withdraw_cash
from marketplace.payments.schemas import WithdrawCash
from marketplace.perform import Verb, perform
from marketplace.servicing.bank_desk import propose_payout_file, propose_payout_rail, propose_payout_refused
from marketplace.servicing.bank_desk_schemas import ProposePayoutFile, ProposePayoutRail, ProposePayoutRefused
from marketplace.servicing.decision_schemas import DecideMoney, ProposeManualEntry
from marketplace.servicing.decisions import decide_money, propose_manual_entry
from tests import lives
from tests.banking.files import IBAN, OTHER, camt, entry
from tests.banking.test_taking import held, sound, take
from tests.trading.world import World
from tests.web.test_operator import visitor

WHY = "As agreed with the bank on Monday."
DAY = date(2026, 11, 24)
AT = datetime(2026, 11, 23, 12, tzinfo=UTC)


def proposed(verb: Verb, command: object, world: World) -> UUID:
    return UUID(str(perform(verb, command, world.olga)["decision_id"]))


def by_two(verb: Verb, command: object, world: World) -> UUID:
    decision = proposed(verb, command, world)
    perform(decide_money, DecideMoney(decision, True), world.oscar)
    return decision


def pay_by_bank(world: World, who: str) -> None:
    by_two(propose_payout_rail, ProposePayoutRail(world.id(who), "bank", OTHER, WHY), world)


def money_at_the_bank(world: World, minor: int) -> None:
    """Bring lenders' money from the provider to the bank, as two people book it."""
    by_two(propose_manual_entry, ProposeManualEntry("GBP", "bank_lender", None, "provider_lender", None, minor, WHY),
           world)  # fmt: skip


def withdrawn(world: World, minor: int = 10_000, who: str = "bob") -> UUID:
    done = perform(withdraw_cash, WithdrawCash(minor, "GBP"), getattr(world, who))
    return UUID(str(done["payout_id"]))


def today(world: World) -> date:
    db.session.rollback()
    found: date = db.session.execute(text("SELECT market_now()::date")).scalar_one()
    return found


def file_of(world: World, *payouts: UUID) -> orders.Row:
    by_two(propose_payout_file, ProposePayoutFile("GBP", payouts, today(world), WHY), world)
    db.session.rollback()
    return orders.files(db.session())[0]


def state(payout_id: UUID) -> str:
    db.session.rollback()
    return str(payments.payout(db.session(), payout_id).state)


@pytest.fixture
def paid_by_bank(bank: World) -> World:
    """Bob is paid by the bank and has £500 of cash, of which £300 lie there."""
    pay_by_bank(bank, "bob")
    bank.fund("bob", 50_000)
    money_at_the_bank(bank, 30_000)
    return bank


# -- the bytes ----------------------------------------------------------------------------------------------------


def a_file(currency: str = "EUR", *lines: Order) -> OrderFile:
    return OrderFile("f" * 32, "Düebill & Söhne", IBAN, currency, DAY, AT, lines or (
        Order("a" * 32, "Ärzte & Co_ 甲", OTHER, 1, "DUEBILL withdrawal 1"),
        Order("b" * 32, "***", OTHER, 99_999_999_999, "x"),
    ))  # fmt: skip


def test_a_file_is_the_same_bytes_each_time_and_sepa_for_euro() -> None:
    raw = write_pain(a_file())
    assert raw == write_pain(a_file())
    root = etree.fromstring(raw)

    def said(path: str) -> list[str | None]:
        return [node.text for node in root.iterfind(f".//p:{path}", SPACE)]

    assert said("MsgId") == said("PmtInfId") == ["f" * 32]
    assert said("SvcLvl/p:Cd") == ["SEPA"]
    assert said("CtrlSum") == ["1000000000.00"] * 2
    assert said("InstdAmt") == ["0.01", "999999999.99"]
    assert said("EndToEndId") == ["a" * 32, "b" * 32]
    assert said("Nm") == ["Duebill Sohne", "Duebill Sohne", "Arzte Co Jia", "NOTPROVIDED"]
    pounds = etree.fromstring(write_pain(a_file("GBP")))
    assert pounds.find(".//p:SvcLvl", SPACE) is None
    with pytest.raises(IntegrityBreach, match="two_places"):
        write_pain(a_file("JPY"))
    with pytest.raises(IntegrityBreach, match="not_valid"):
        write_pain(a_file("EUR", Order("a" * 36, "A", OTHER, 1, "x")))


@settings(max_examples=25)
@given(st.text(max_size=200), st.integers(1, 10**11 - 1), st.text(max_size=200))
def test_whatever_a_payee_is_called_the_file_is_valid(name: str, minor: int, words: str) -> None:
    root = etree.fromstring(write_pain(a_file("EUR", Order("a" * 32, name, OTHER, minor, words))))
    assert plain(name)
    said = root.find(".//p:Cdtr/p:Nm", SPACE)
    assert said is not None
    assert said.text == plain(str(said.text))


# -- ordering -----------------------------------------------------------------------------------------------------


def test_two_people_order_a_file_and_a_payout_is_in_one_ever(paid_by_bank: World) -> None:
    world = paid_by_bank
    first, second = withdrawn(world), withdrawn(world, 5_000)
    assert (state(first), held("withdrawal_in_transit", owner=world.id("bob"))) == ("requested", 15_000)
    wanted = ProposePayoutFile("GBP", (first, second), today(world), WHY)
    one, other = proposed(propose_payout_file, wanted, world), proposed(propose_payout_file, wanted, world)
    with pytest.raises(RuleBroken, match="four_eyes"):
        perform(decide_money, DecideMoney(one, True), world.olga)
    perform(decide_money, DecideMoney(one, True), world.oscar)
    with pytest.raises(RuleBroken, match="payouts_not_waiting"):
        perform(decide_money, DecideMoney(other, True), world.oscar)
    db.session.rollback()
    (file,) = orders.files(db.session())
    raw = orders.content(db.session(), file.id)
    assert (file.orders, file.total_minor, file.message_id) == (2, 15_000, file.id.hex)
    assert first.hex.encode() in raw
    assert raw == orders.content(db.session(), file.id)
    assert (state(first), state(second), held("bank_lender")) == ("in_transit", "in_transit", 30_000)
    assert bank_payouts.free_minor(db.session(), "GBP") == {"lender": 15_000, "borrower": 0}
    assert sound()
    into = "INSERT INTO payout_order (payout_id, file_id, end_to_end_id, name, iban, minor) SELECT"
    for change in (
        f"{into} payout_id, file_id, 'again', name, iban, minor FROM payout_order LIMIT 1",
        f"{into} p.id, f.id, 'x', 'x', 'x', 1 FROM payout_file f, payout p WHERE p.purpose <> 'withdrawal'",
        "UPDATE payout_order SET iban = 'x'", "DELETE FROM payout_file", "UPDATE payout SET rail = 'provider'",
        "UPDATE payout_file SET execute_on = '2030-01-01'",
    ):  # fmt: skip
        with world.superuser(resting=False) as owner, pytest.raises(psycopg.Error, match=r"pk_payout|refused|sealed"):
            lone = "INSERT INTO payout (id, organisation_id, currency, amount_minor, purpose, subject_kind, "
            owner.execute(
                f"{lone} subject_id, business_key, rail) SELECT gen_random_uuid(), organisation_id, currency, 1, "
                "'refund', subject_kind, subject_id, 'lone', 'bank' FROM payout LIMIT 1"
            )
            owner.execute(change)


def test_the_database_wants_two_people_whole_files_and_an_order(paid_by_bank: World) -> None:
    world, payout = paid_by_bank, withdrawn(paid_by_bank)
    decision = proposed(propose_payout_file, ProposePayoutFile("GBP", (payout,), today(world), WHY), world)
    db.session.rollback()
    file = (
        "INSERT INTO payout_file (id, message_id, decision_id, iban, currency, execute_on, orders, total_minor, "
        "sha256, raw) VALUES (%(id)s, 'm', %(id)s, 'x', 'GBP', '2030-01-01', 1, {}, sha256('x'), 'x'); "
        "INSERT INTO payout_order (payout_id, file_id, end_to_end_id, name, iban, minor) "
        "SELECT id, %(id)s, 'e', 'x', 'x', {} FROM payout WHERE rail = 'bank'; "
        "SET CONSTRAINTS payout_file_is_whole IMMEDIATE"
    )
    unordered = "UPDATE payout SET state = 'in_transit', payout_id = 'x' WHERE rail = 'bank'"
    alone = f"UPDATE organisation SET payout_rail = 'bank', iban = '{OTHER}' WHERE payout_rail = 'provider'"
    for statement, words in (
        (file.format(10_000, 10_000), "two people order"), (file.format(9_999, 9_999), "are not its pay-outs"),
        (f"{unordered}; SET CONSTRAINTS payout_is_ordered IMMEDIATE", "is in no file"),
        (f"{alone}; SET CONSTRAINTS organisation_rail_decided_by_two IMMEDIATE", "two people decide by which rail"),
    ):  # fmt: skip
        with world.superuser(resting=False) as owner, pytest.raises(psycopg.Error, match=words):
            for one in statement.split("; "):
                owner.execute(one, {"id": decision} if "%(id)s" in one else None)


def test_what_cannot_be_ordered_is_named(paid_by_bank: World) -> None:
    world, payout = paid_by_bank, withdrawn(paid_by_bank, 40_000)

    def refused(*payouts: UUID, currency: str = "GBP", day: date | None = None) -> str:
        with pytest.raises(MarketplaceError) as error:
            perform(propose_payout_file, ProposePayoutFile(currency, payouts, day or today(world), WHY), world.olga)
        return error.value.code

    take(camt(entry("A", "900.00")))  # borrowers' money there pays no lender
    assert refused(payout) == "bank_short"
    assert refused(payout, currency="EUR") == "payouts_not_waiting"
    assert refused(world.id("bob")) == "payouts_not_waiting"
    assert refused(payout, day=date(2020, 1, 1)) == "invalid_fields"
    with pytest.raises(NotPermitted):
        perform(propose_payout_file, ProposePayoutFile("GBP", (payout,), DAY, WHY), world.bob)
    for organisation, rail, iban, code in (
        ("carol", "bank", None, "no_iban"), ("olga", "bank", None, "own_rail"),
        ("carol", "provider", None, "nothing_new"), ("bob", "bank", OTHER, "nothing_new"),
    ):  # fmt: skip
        with pytest.raises(RuleBroken, match=code):
            perform(propose_payout_rail, ProposePayoutRail(world.id(organisation), rail, iban, WHY), world.olga)
    with world.superuser() as owner:
        owner.execute("INSERT INTO provider_account (id, organisation_id, kind, currency, provider_id) "
                      "VALUES (gen_random_uuid(), %s, 'connected', 'GBP', 'acct_1')", (world.id("carol"),))  # fmt: skip
    with pytest.raises(RuleBroken, match="kept_there"):
        perform(propose_payout_rail, ProposePayoutRail(world.id("carol"), "provider", OTHER, WHY), world.olga)
    with pytest.raises(RuleBroken, match="payout_not_on_its_way"):
        perform(propose_payout_refused, ProposePayoutRefused(payout, WHY), world.olga)


def test_an_account_that_changed_after_the_proposal_is_not_paid(paid_by_bank: World) -> None:
    world, payout = paid_by_bank, withdrawn(paid_by_bank)
    decision = proposed(propose_payout_file, ProposePayoutFile("GBP", (payout,), today(world), WHY), world)
    by_two(propose_payout_rail, ProposePayoutRail(world.id("bob"), "bank", "GB33BUKB20201555555555", WHY), world)
    with pytest.raises(RuleBroken, match="payees_changed"):
        perform(decide_money, DecideMoney(decision, True), world.oscar)
    assert state(payout) == "requested"
    db.session.rollback()
    told = db.session.execute(text("SELECT string_agg(convert_from(body, 'UTF8'), ' ') FROM event")).scalar_one()
    assert OTHER not in told  # the trail shows the last four places
    assert OTHER[-4:] in told


# -- what the bank books ------------------------------------------------------------------------------------------


def test_the_bank_books_a_payout_and_gives_it_back(paid_by_bank: World) -> None:
    world, payout = paid_by_bank, withdrawn(paid_by_bank)
    file_of(world, payout)
    ours = [("EndToEndId", payout.hex)]
    wrong = take(camt(entry("W", "99.00", into=False, names=ours), message="W"))
    assert (wrong["outcomes"], state(payout)) == ({"left": 1}, "in_transit")
    assert take(camt(entry("A", "100.00", into=False, names=ours)))["outcomes"] == {"paid_out": 1}
    assert (state(payout), held("withdrawal_in_transit", owner=world.id("bob"))) == ("paid", 0)
    assert held("bank_lender") == 20_000
    assert take(camt(entry("A2", "100.00", into=False, names=ours), message="M-2"))["outcomes"] == {"left": 1}
    back = entry("B", "100.00", names=ours, returned="AC04", text="Bob moved house")
    assert take(camt(back, message="M-3"))["outcomes"] == {"came_back": 1}
    assert (state(payout), held("investor_cash", owner=world.id("bob"))) == ("returned", 50_000)
    assert held("bank_lender") == 30_000
    db.session.rollback()
    assert payments.payout(db.session(), payout).failure_code == "AC04"
    told = db.session.execute(text("SELECT facts ->> 'code' FROM payment_alert WHERE kind = 'payout_failed'"))
    assert told.scalar_one() == "AC04"
    bodies = db.session.execute(text("SELECT string_agg(convert_from(body, 'UTF8'), ' ') FROM event")).scalar_one()
    assert "Bob moved" not in bodies
    again = entry("B2", "100.00", names=ours, returned="AC04")
    assert take(camt(again, message="M-4"))["outcomes"] == {"suspense": 1}
    assert sound()


def test_a_return_that_is_told_before_the_debit_and_a_file_booked_as_one_sum(paid_by_bank: World) -> None:
    world = paid_by_bank
    first, second, third = withdrawn(world), withdrawn(world, 5_000), withdrawn(world, 2_500)
    ours = [("EndToEndId", first.hex)]
    file_of(world, first)
    back = entry("B", "100.00", names=ours, returned="AC04")
    assert take(camt(back, kind="camt.054"))["outcomes"] == {"came_back": 1}
    assert state(first) == "returned"
    assert held("bank_lender") == 40_000  # until the statement tells that it left
    assert bank_payouts.free_minor(db.session(), "GBP") == {"lender": 30_000, "borrower": 0}
    debit = entry("A", "100.00", into=False, names=ours)
    assert take(camt(debit, message="M-2"))["outcomes"] == {"paid_out": 1}
    assert (state(first), held("bank_lender"), held("investor_cash", owner=world.id("bob"))) == (
        "returned", 30_000, 42_500,
    )  # fmt: skip
    file = file_of(world, second, third)
    whole = entry("C", "75.00", into=False, batch=file.message_id)
    assert take(camt(whole, message="M-3"))["outcomes"] == {"paid_out": 1}
    assert (state(second), state(third), held("bank_lender")) == ("paid", "paid", 22_500)
    assert held("withdrawal_in_transit", owner=world.id("bob")) == 0
    assert sound()


def test_an_order_that_the_bank_refused_is_taken_back_by_two_and_a_late_debit_is_a_break(paid_by_bank: World) -> None:
    world, payout = paid_by_bank, withdrawn(paid_by_bank)
    file_of(world, payout)
    decision = proposed(propose_payout_refused, ProposePayoutRefused(payout, WHY), world)
    perform(decide_money, DecideMoney(decision, True), world.oscar)
    assert (state(payout), held("investor_cash", owner=world.id("bob"))) == ("returned", 50_000)
    late = entry("A", "100.00", into=False, names=[("EndToEndId", payout.hex)])
    assert take(camt(late))["outcomes"] == {"left": 1}
    with pytest.raises((Conflict, RuleBroken)):
        proposed(propose_payout_refused, ProposePayoutRefused(payout, WHY), world)
    assert sound()


def test_a_seller_who_is_paid_by_the_bank_gets_the_advance_by_a_file(bank: World) -> None:
    pay_by_bank(bank, "alice")
    receivable_id = lives.funded(bank)
    money_at_the_bank(bank, 4_131_000)
    db.session.rollback()
    (waiting,) = bank_payouts.waiting(db.session())
    assert (waiting.purpose, waiting.minor, waiting.iban) == ("advance", 4_131_000, OTHER)
    file_of(bank, waiting.id)
    debit = entry("A", "41310.00", into=False, names=[("EndToEndId", waiting.id.hex)])
    assert take(camt(debit))["outcomes"] == {"paid_out": 1}
    assert (state(waiting.id), held("bank_lender"), held("advance_in_transit", owner=bank.id("alice"))) == (
        "paid",
        0,
        0,
    )
    assert lives.collection(receivable_id).state == "due"
    assert sound()


# -- the page -----------------------------------------------------------------------------------------------------


def test_the_page_proposes_agrees_and_gives_the_file(paid_by_bank: World, app: Flask) -> None:
    world, payout = paid_by_bank, withdrawn(paid_by_bank)
    olga, oscar = visitor(app, world, "olga"), visitor(app, world, "oscar")
    assert OTHER in olga.get("/operator/bank/pay-outs").text
    form = {"currency": "GBP", "execute_on": today(world).isoformat(), "reason": WHY, "payout_ids": [str(payout)]}
    for change, words in (
        ({"payout_ids": []}, "Choose at least one pay-out."), ({"reason": "no"}, "Say why in 10 to 500"),
        ({"execute_on": "2020-01-01"}, "Choose today"), ({"payout_ids": ["x"]}, "another look"),
    ):  # fmt: skip
        answer = olga.post("/operator/bank/pay-outs", data=form | change)
        assert (answer.status_code, words in answer.text) == (422, True), answer.text[-2000:]
    assert olga.post("/operator/bank/pay-outs", data=form).status_code == 303
    db.session.rollback()
    decision = db.session.execute(text("SELECT id FROM money_decision WHERE state = 'proposed'")).scalar_one()
    assert "You proposed it" in olga.get("/operator/bank/pay-outs").text
    assert "Agree and do it" in oscar.get("/operator/bank/pay-outs").text
    oscar.post(f"/operator/ledger/decisions/{decision}", data={"decision": "agree"})
    db.session.rollback()
    (file,) = orders.files(db.session())
    answer = oscar.get(f"/operator/bank/pay-outs/{file.id}.xml")
    assert (answer.mimetype, answer.data) == ("application/xml", orders.content(db.session(), file.id))
    assert oscar.get(f"/operator/bank/pay-outs/{payout}.xml").status_code == 404
    assert oscar.post(f"/operator/bank/pay-outs/{payout}/refused", data={"reason": WHY}).status_code == 303
    shown = olga.get("/operator/bank/pay-outs").text
    shown = shown[shown.index("Pay-out that the bank refused") :].split("</form>")[0]
    for words in (OTHER, "ordered by the file", file.message_id, "Withdrawal"):
        assert words in shown, words
    rail = {"organisation_id": str(world.id("carol")), "rail": "bank", "iban": "GB00", "reason": WHY}
    assert olga.post("/operator/bank/pay-outs/rail", data=rail).status_code == 422
    page = olga.get("/operator/bank/pay-outs").text
    for words in ("Download pain.001", file.message_id, "Pay-out that the bank refused", "On its way"):
        assert words in page, words
    assert visitor(app, world, "bob").get(f"/operator/bank/pay-outs/{file.id}.xml").status_code == 403


def test_a_wrong_iban_is_refused_before_anybody_agrees() -> None:
    from marketplace.schemas import load
    from marketplace.servicing.bank_desk_schemas import PayoutRailSchema

    with pytest.raises(InvalidInput) as refused:
        load(PayoutRailSchema, {"organisation_id": str(UUID(int=1)), "rail": "bank", "iban": "GB00", "reason": WHY})
    assert [one.field for one in refused.value.problems] == ["iban"]


def test_the_command_lists_what_waits_and_carries_files(
    paid_by_bank: World, app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, payout = paid_by_bank, withdrawn(paid_by_bank)
    monkeypatch.setattr(command, "opened", lambda: nullcontext(app))

    def said(*words: str) -> list[dict[str, Any]]:
        done = CliRunner().invoke(command.command, [*words, "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return [json.loads(line) for line in done.stdout.splitlines()]

    assert [(one["id"], one["minor"]) for one in said("waiting")] == [(str(payout), 10_000)]
    message_id = file_of(world, payout).message_id
    assert [(one["message_id"], one["total_minor"]) for one in said("files")] == [(message_id, 10_000)]
    out = tmp_path / "out.xml"
    assert said("fetch", message_id, "--out", str(out))[0]["bytes"] == out.stat().st_size
    assert out.read_bytes() == orders.content(db.session(), UUID(message_id))
    db.session.rollback()
    (tmp_path / "in.xml").write_bytes(camt(entry("A", "100.00", into=False, names=[("EndToEndId", payout.hex)])))
    assert said("take", str(tmp_path / "in.xml"))[0]["outcomes"] == {"paid_out": 1}
    assert state(payout) == "paid"
    with pytest.raises(InvalidInput, match="bad_message_id"):
        said("fetch", "nonsense", "--out", str(out))


def test_an_advance_that_came_back_is_sent_once_more_to_the_account_that_is_known_now(bank: World, app: Flask) -> None:
    pay_by_bank(bank, "alice")
    lives.funded(bank)
    money_at_the_bank(bank, 4_131_000)
    db.session.rollback()
    (first,) = bank_payouts.waiting(db.session())
    olga = visitor(app, bank, "olga")
    again = f"/operator/suspense/pay-outs/{first.id}/again"
    assert olga.post(again).status_code == 409  # it has not come back
    file_of(bank, first.id)
    ours = [("EndToEndId", first.id.hex)]
    take(camt(entry("A", "41310.00", into=False, names=ours), entry("B", "41310.00", names=ours, returned="AC04")))
    assert (state(first.id), held("seller_advance", owner=bank.id("alice"))) == ("returned", 4_131_000)
    by_two(propose_payout_rail, ProposePayoutRail(bank.id("alice"), "bank", "GB33BUKB20201555555555", WHY), bank)
    assert "Send it again" in olga.get("/operator/suspense").text
    assert [olga.post(again).status_code for _ in range(2)] == [303, 409]
    assert "Send it again" not in olga.get("/operator/suspense").text
    db.session.rollback()
    (second,) = bank_payouts.waiting(db.session())
    assert (second.minor, second.iban, second.id != first.id) == (4_131_000, "GB33BUKB20201555555555", True)
    file_of(bank, second.id)
    debit = entry("C", "41310.00", into=False, names=[("EndToEndId", second.id.hex)])
    assert take(camt(debit, message="M-2"))["outcomes"] == {"paid_out": 1}
    assert (state(second.id), held("seller_advance", owner=bank.id("alice")), held("bank_lender")) == ("paid", 0, 0)
    assert olga.post(f"/operator/suspense/pay-outs/{bank.id('bob')}/again").status_code == 404
    assert sound()
