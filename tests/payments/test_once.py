"""A wish happens once: the same key gives the first answer again, and never stands for another wish or another caller.

The three ways in which a large open-source core bank got it wrong are here by name: the same key with another amount
gave the first answer, so did the same key of another account, and a request that failed was remembered as done.
"""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from marketplace.db import db
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.errors import InvalidInput, RuleBroken
from marketplace.payments.actions import fund_account, withdraw_cash
from marketplace.payments.schemas import FundAccount, WithdrawCash
from marketplace.perform import perform
from tests.trading.conftest import world
from tests.trading.world import World

__all__ = ["world"]
HOUSE = Path(__file__).resolve().parents[2]
BACK = "https://duebill.example/back"
# Verbs that move money or place an order, and that a person asks for: no door performs one without a key.
MONEY = {"fund_account", "withdraw_cash", "start_debtor_payment", "place_bid", "buy_back_receivable", "accept_offer",
         "offer_holding", "cover_dilution", "propose_manual_entry", "propose_suspense"}  # fmt: skip


def count(table: str) -> int:
    db.session.rollback()
    return int(db.session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def fund(actor: Actor, minor: int = 500, key: str = "k", currency: str = "GBP") -> dict[str, Any]:
    return perform(fund_account, FundAccount(minor, currency, BACK), actor, idempotency_key=key)


def test_the_same_wish_gives_the_first_answer_again(world: World) -> None:
    assert fund(world.bob) == fund(world.bob)
    assert count("funding") == 1


def test_the_same_key_for_another_amount_is_refused(world: World) -> None:
    fund(world.bob)
    for minor, currency in ((501, "GBP"), (500, "EUR")):
        with pytest.raises(InvalidInput, match="idempotency_key_reused"):
            fund(world.bob, minor, currency=currency)
    assert count("funding") == 1


def test_the_same_key_of_another_account_is_another_wish(world: World) -> None:
    assert fund(world.bob)["funding_id"] != fund(world.carol)["funding_id"]
    machines = [Actor(Role.INVESTOR, None, world.id(name), on_behalf_of="a program") for name in ("bob", "carol")]
    first, second = (fund(machine) for machine in machines)
    assert first["funding_id"] != second["funding_id"], "two organisations' programs of one name"
    assert count("funding") == 4


def test_a_request_that_failed_is_not_remembered_as_done(world: World) -> None:
    with world.superuser() as owner:
        owner.execute("UPDATE organisation SET iban = 'GB33BUKB20201555555555' WHERE id = %s", (world.id("bob"),))
    command = WithdrawCash(1_000, "GBP")
    for _ in range(2):
        with pytest.raises(RuleBroken, match="insufficient_cash"):
            perform(withdraw_cash, command, world.bob, idempotency_key="k")
    assert count("payout") == count("idempotency") == 0
    world.fund("bob", 1_000)
    first = perform(withdraw_cash, command, world.bob, idempotency_key="k")
    assert perform(withdraw_cash, command, world.bob, idempotency_key="k") == first
    assert count("payout") == 1


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_that_is_none_is_refused(world: World, key: str) -> None:
    with pytest.raises(InvalidInput, match="idempotency_key"):
        fund(world.bob, key=key)
    assert count("funding") == 0


def doors() -> list[Path]:
    return sorted([*(HOUSE / "marketplace" / "web").glob("*.py"), *(HOUSE / "marketplace" / "api").glob("*.py")])


def test_no_door_moves_money_without_a_key() -> None:
    keyed, bare = set(), []
    for path in doors():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            called = getattr(node.func, "id", "")
            if called == "place_together":
                name, has_key = "place_bid", len(node.args) == 3 or any(word.arg == "key" for word in node.keywords)
            elif called == "perform":
                name = getattr(node.args[0], "attr", None) or getattr(node.args[0], "id", "")
                has_key = any(word.arg == "idempotency_key" for word in node.keywords)
            else:
                continue
            if name in MONEY:
                keyed.add(name) if has_key else bare.append(f"{path.name}:{node.lineno} {name}")
    assert bare == []
    assert keyed >= {"fund_account", "start_debtor_payment", "place_bid", "propose_manual_entry"}


def test_every_form_that_changes_something_bears_a_key() -> None:
    """The key comes with the token against forged requests: a form that has the one has the other."""
    without = []
    for path in sorted((HOUSE / "templates").rglob("*.html")):
        for form in re.findall(r"<form\b[^>]*method=\"post\".*?</form>", path.read_text(encoding="utf-8"), re.S):
            if "csrf_field(" not in form:
                without.append(f"{path.name}: {form[:90]}")
    assert without == []
    parts = (HOUSE / "templates" / "shared" / "parts.html").read_text(encoding="utf-8")
    assert 'name="once" value="{{ once or once_key() }}"' in parts
