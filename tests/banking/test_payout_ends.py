"""Pay-outs by bank that end otherwise than ordered: reversed, dropped from a lump; and who may change an account."""

import json
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.event import listen, remove

from marketplace.db import db
from marketplace.payments import bank_payouts
from marketplace.payments import queries as payments
from marketplace.perform import perform
from marketplace.servicing.bank_desk import propose_payout_rail, propose_payout_refused
from marketplace.servicing.bank_desk_schemas import ProposePayoutRail, ProposePayoutRefused
from marketplace.servicing.decision_schemas import DecideMoney
from marketplace.servicing.decisions import decide_money
from tests import lives
from tests.banking.files import IBAN, OTHER, camt, entry
from tests.banking.test_payout_files import (
    WHY,
    file_of,
    money_at_the_bank,
    paid_by_bank,
    pay_by_bank,
    proposed,
    state,
    withdrawn,
)
from tests.banking.test_taking import held, sound, take
from tests.trading.world import World
from tests.web.test_operator import visitor

__all__ = ["paid_by_bank"]


def test_a_debit_that_the_bank_reverses_brings_its_payouts_back(paid_by_bank: World) -> None:
    world = paid_by_bank
    lone, second, third = withdrawn(world), withdrawn(world, 5_000), withdrawn(world, 2_500)
    file_of(world, lone)
    take(camt(entry("A", "100.00", into=False, names=[("EndToEndId", lone.hex)])))
    back = entry("A-R", "100.00", reversal=True, names=[("AcctSvcrRef", "A")])
    assert take(camt(back, message="M-2"))["outcomes"] == {"came_back": 1}
    assert (state(lone), held("investor_cash", owner=world.id("bob")), held("bank_lender")) == (
        "returned", 42_500, 30_000,
    )  # fmt: skip
    file = file_of(world, second, third)
    take(camt(entry("B", "75.00", into=False, batch=file.message_id), message="M-3"))
    whole = entry("B-R", "75.00", reversal=True, batch=file.message_id)
    assert take(camt(whole, message="M-4"))["outcomes"] == {"came_back": 1}
    assert (state(second), state(third), held("withdrawal_in_transit", owner=world.id("bob"))) == (
        "returned", "returned", 0,
    )  # fmt: skip
    assert (held("investor_cash", owner=world.id("bob")), held("bank_lender")) == (50_000, 30_000)
    again = entry("B-R2", "75.00", reversal=True, batch=file.message_id)
    assert take(camt(again, message="M-5"))["outcomes"] == {"suspense": 1}
    db.session.rollback()
    told = db.session.execute(text("SELECT count(*) FROM payment_alert WHERE kind = 'payout_failed'")).scalar_one()
    assert told == 3
    with world.superuser(resting=False) as owner, pytest.raises(psycopg.Error, match="by a mirrored entry"):
        owner.execute(
            "INSERT INTO entry (id, kind, subject_kind, subject_id, business_on, reverses_id) SELECT gen_random_uuid(),"
            " 'x', subject_kind, subject_id, business_on, id FROM entry WHERE kind = 'payout_file_paid'"
        )
    assert sound()


def test_of_a_file_booked_as_one_sum_the_bank_may_drop_an_order_in_either_order_of_telling(
    paid_by_bank: World,
) -> None:
    world = paid_by_bank
    for turn, dropped_first in enumerate((True, False)):
        one, other, third = withdrawn(world), withdrawn(world, 5_000), withdrawn(world, 2_500)
        file = file_of(world, one, other, third)
        rest = camt(entry(f"C{turn}", "125.00", into=False, batch=file.message_id), message=f"M-{turn}")
        if not dropped_first:
            assert take(rest)["outcomes"] == {"left": 1}
            assert held("bank_unexplained") == 12_500
        decision = proposed(propose_payout_refused, ProposePayoutRefused(other, WHY), world)
        perform(decide_money, DecideMoney(decision, True), world.oscar)
        if dropped_first:
            assert take(rest)["outcomes"] == {"paid_out": 1}
        assert (state(one), state(other), state(third)) == ("paid", "returned", "paid")
        assert (held("withdrawal_in_transit", owner=world.id("bob")), held("bank_unexplained")) == (0, 0)
        db.session.rollback()
        assert "bank_money_left" not in {alert.kind for alert in payments.open_alerts(db.session())}
    assert (held("bank_lender"), held("bank_borrower")) == (5_000, 0)
    back = entry("C1-R", "125.00", reversal=True, batch=file.message_id)
    assert take(camt(back, message="M-9"))["outcomes"] == {"came_back": 1}
    assert (state(one), state(third), held("bank_lender"), held("bank_unexplained")) == (
        "returned",
        "returned",
        17_500,
        0,
    )
    assert sound()


def test_a_file_is_ordered_and_paid_in_few_statements_however_many_it_orders(paid_by_bank: World) -> None:
    world, told = paid_by_bank, []

    def count(*_: object) -> None:
        told[-1] += 1

    for many in (2, 12):
        payouts = [withdrawn(world, 100) for _ in range(many)]
        told.append(0)
        listen(db.engine, "before_cursor_execute", count)
        file = file_of(world, *payouts)
        take(camt(entry(f"F{many}", f"{many}.00", into=False, batch=file.message_id), message=f"M-{many}"))
        remove(db.engine, "before_cursor_execute", count)
        assert state(payouts[-1]) == "paid"
    assert told[1] <= told[0] + 2, told


def test_a_return_that_the_bank_reverses_is_not_sent_again(bank: World, app: Flask) -> None:
    pay_by_bank(bank, "alice")
    lives.funded(bank)
    money_at_the_bank(bank, 4_131_000)
    db.session.rollback()
    (first,) = bank_payouts.waiting(db.session())
    file_of(bank, first.id)
    ours = [("EndToEndId", first.id.hex)]
    take(camt(entry("A", "41310.00", into=False, names=ours), entry("B", "41310.00", names=ours, returned="AC04")))
    olga = visitor(app, bank, "olga")
    assert "Send it again" in olga.get("/operator/suspense").text
    undone = entry("B-R", "41310.00", into=False, reversal=True, names=[*ours, ("AcctSvcrRef", "B")])
    assert take(camt(undone, message="M-2"))["outcomes"] == {"taken_back": 1}
    assert (state(first.id), held("bank_unexplained")) == ("returned", 4_131_000)
    assert "Send it again" not in olga.get("/operator/suspense").text
    assert olga.post(f"/operator/suspense/pay-outs/{first.id}/again").status_code == 409
    assert sound()


def test_no_account_changes_without_a_decision_of_that_moment(paid_by_bank: World, app: Flask) -> None:
    world = paid_by_bank
    rule = "; SET CONSTRAINTS organisation_rail_decided_by_two, organisation_comes_without_own_account IMMEDIATE"
    mine, olgas = world.id("bob"), world.id("olga")
    new = json.dumps({"id": str(UUID(int=7)), "kind": "operator", "legal_name": "X", "legal_id": None, "iban": OTHER})
    with world.superuser() as owner:  # as the decision of before left it, and then not
        owner.execute("UPDATE organisation SET payout_rail = 'provider' WHERE id = %s", (mine,))
    for statement in (
        f"UPDATE organisation SET iban = '{IBAN}' WHERE id = '{mine}'",
        f"UPDATE organisation SET payout_rail = 'bank' WHERE id = '{mine}'",  # decided once, long ago
        f"UPDATE organisation SET iban = '{OTHER}' WHERE id = '{olgas}'",
        f"UPDATE organisation SET kind = 'operator' WHERE id = '{mine}'",
        f"INSERT INTO organisation SELECT (jsonb_populate_record(o, '{new}'::jsonb)).* FROM organisation o LIMIT 1",
    ):
        with world.superuser(resting=False) as owner, pytest.raises(psycopg.Error, match="two people decide"):
            for one in (statement + rule).split("; "):
                owner.execute(one)
    proposed(propose_payout_rail, ProposePayoutRail(mine, "bank", None, WHY), world)
    page = visitor(app, world, "oscar").get("/operator/bank/pay-outs").text
    assert f'<span class="mono">{OTHER}</span> · the account does not change' in page
    olga = visitor(app, world, "olga").get("/operator/ledger").text
    assert OTHER in olga
