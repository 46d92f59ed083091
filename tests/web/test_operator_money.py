"""The operators' ledger page and suspense worked off, through the browser's own requests."""

import re
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from marketplace.db import db
from marketplace.kernel.clock import utc_now
from marketplace.ledger.queries import balance
from marketplace.web.forms import field_id
from tests import lives
from tests.trading.world import World
from tests.web.test_operator import visitor

WHY = "As the bank's letter of Monday says."
ENTRY = {"debit_code": "platform_fees", "debit_owner": "platform", "credit_code": "platform_reserve",
         "credit_owner": "platform", "amount": "50.00", "currency": "GBP", "reason": WHY}  # fmt: skip
DECISION = re.compile(r"/operator/ledger/decisions/([0-9a-f-]{36})")
Desk = Callable[[str], FlaskClient]


@pytest.fixture
def desk(app: Flask, world: World) -> Desk:
    first = visitor(app, world, "olga")
    second = visitor(app, world, "oscar", "olga")
    return lambda name: first if name == "olga" else second


def platform(code: str) -> int:
    db.session.rollback()
    return balance(db.session(), code, None, "GBP").posted_minor


def test_an_entry_by_hand_is_proposed_by_one_and_done_by_another(desk: Desk) -> None:
    assert desk("olga").get("/operator/ledger").status_code == 200
    assert desk("olga").post("/operator/ledger/entries", data=ENTRY).status_code == 303
    decision = DECISION.findall(desk("olga").get("/operator/ledger").text)[0]
    path = f"/operator/ledger/decisions/{decision}"
    refused = desk("olga").post(path, data={"decision": "agree"})
    assert refused.status_code == 409 or refused.status_code == 422
    assert "A second person has to agree." in refused.text
    assert platform("platform_reserve") == 0
    assert desk("oscar").post(path, data={"decision": "agree"}).status_code == 303
    assert platform("platform_reserve") == 5_000
    assert "platform reserve" in desk("oscar").get("/operator/ledger").text.lower()


@pytest.mark.parametrize(
    "change",
    [{"amount": "x"}, {"amount": ""}, {"amount": "-1"}, {"currency": "XXX"}, {"debit_code": "nowhere"},
     {"debit_owner": "not an id"}, {"reason": "short"}, {"credit_code": "investor_cash"}, {"debit_code": "\x00"}],
)  # fmt: skip
def test_what_is_wrong_is_said_and_nothing_is_proposed(desk: Desk, change: dict[str, str]) -> None:
    answer = desk("olga").post("/operator/ledger/entries", data=ENTRY | change)
    assert answer.status_code in (409, 422)
    assert DECISION.findall(answer.text) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [({"amount": "0"}, "amount"), ({"currency": "XXX"}, "currency"), ({"debit_owner": "not an id"}, "debit_owner"),
     ({"credit_code": "investor_cash"}, "credit_owner"), ({"credit_code": "suspense"}, "credit_code")],
)  # fmt: skip
def test_an_entry_by_hand_says_beside_the_field_what_is_wrong(desk: Desk, change: dict[str, str], field: str) -> None:
    answer = desk("olga").post("/operator/ledger/entries", data=ENTRY | change)
    assert f'id="{field_id(field)}-error"' in answer.text


def test_days_that_another_proposal_has_closed_meanwhile_are_not_closed_again(desk: Desk) -> None:
    days = [(utc_now() - timedelta(days=back)).date().isoformat() for back in (2, 1)]
    for day in days:
        assert desk("olga").post("/operator/ledger/close", data={"through_on": day, "reason": WHY}).status_code == 303
    later, earlier = DECISION.findall(desk("oscar").get("/operator/ledger").text)[:2]
    agree = {"decision": "agree"}
    assert desk("oscar").post(f"/operator/ledger/decisions/{later}", data=agree).status_code == 303
    refused = desk("oscar").post(f"/operator/ledger/decisions/{earlier}", data=agree)
    assert refused.status_code == 409
    assert "This period is closed already." in refused.text


def test_a_period_is_closed_by_two(desk: Desk) -> None:
    yesterday = (utc_now() - timedelta(days=1)).date().isoformat()
    wrong = desk("olga").post("/operator/ledger/close", data={"through_on": "2999-01-01", "reason": WHY})
    assert wrong.status_code in (409, 422)
    assert "Only days that are over can be closed." in wrong.text
    sent = desk("olga").post("/operator/ledger/close", data={"through_on": yesterday, "reason": WHY})
    assert sent.status_code == 303
    decision = DECISION.findall(desk("oscar").get("/operator/ledger").text)[0]
    done = desk("oscar").post(f"/operator/ledger/decisions/{decision}", data={"decision": "agree"})
    assert done.status_code == 303
    assert "closed through" in desk("oscar").get("/operator/ledger").text


def test_suspense_is_worked_off(desk: Desk, world: World) -> None:
    payment = lives.received(world, lives.funded(world), 4_860_000 + 50_000)
    lives.apply(payment)
    page = desk("olga").get("/operator/suspense").text
    assert "more than was owed" in page
    base = f"/operator/suspense/items/{payment}"
    unknown = desk("olga").post(base, data={"decision": "apply", "amount": "10", "ref": "NONE", "reason": WHY})
    assert unknown.status_code == 422
    assert "There is no receivable with this reference." in unknown.text
    more = desk("olga").post(base, data={"decision": "return", "amount": "501", "reason": WHY})
    assert "not so much of this payment left" in more.text
    assert desk("olga").post(base, data={"decision": "return", "amount": "500", "reason": WHY}).status_code == 303
    decision = DECISION.findall(desk("oscar").get("/operator/ledger").text)[0]
    done = desk("oscar").post(f"/operator/ledger/decisions/{decision}", data={"decision": "agree"})
    assert done.status_code == 303
    assert platform("suspense") == 0
    assert desk("olga").post(base, data={"decision": "return", "amount": "1", "reason": WHY}).status_code == 404
    assert UUID(str(payment))
