"""What the outside should know follows a receivable through its whole life, whichever room moves it."""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
from flask import current_app
from sqlalchemy import text

from marketplace.db import db
from marketplace.exchange import queries
from marketplace.kernel.errors import RuleBroken
from marketplace.perform import perform
from marketplace.trading.actions import open_lot
from marketplace.trading.schemas import OpenLot
from tests import lives
from tests.support import SYSTEM
from tests.trading.conftest import world
from tests.trading.world import World

__all__ = ["world"]


def wish(receivable_id: UUID) -> tuple[str, str | None]:
    with db.engine.connect() as connection:
        row = connection.execute(
            text("SELECT wanted, reason FROM exchange_watch WHERE receivable_id = :id"), {"id": receivable_id}
        ).one()
    return row.wanted, row.reason


def test_settled_is_financed_and_repaid_is_released(world: World) -> None:
    receivable_id = lives.funded(world)
    assert wish(receivable_id) == ("financed", None)
    lives.pays(world, receivable_id, 4_860_000)
    assert wish(receivable_id) == ("released", "repaid")


def test_a_lot_does_not_open_before_its_claims_were_compared(world: World) -> None:
    """The door is asked, whoever calls the verb; the exchange itself is another test's story."""
    receivable_id = world.receivable()
    world.rate(receivable_id)
    assert queries.stops(db.session(), receivable_id) == []  # off: nothing is asked, nothing waits
    with world.superuser() as owner:
        owner.execute("DELETE FROM exchange_watch WHERE receivable_id = %s", (receivable_id,))
    exchange = type(queries.settings())(key=b"k" * 40)
    with pytest.raises(RuleBroken, match="lot_not_opened") as refusal:
        _with(exchange, lambda: perform(open_lot, OpenLot(receivable_id), SYSTEM))
    assert [problem.rule for problem in refusal.value.problems] == ["claims_unchecked"]


def _with(exchange: object, body: Callable[[], object]) -> None:
    """Do something in the same market with other settings of the exchange."""
    before = current_app.extensions["duebill"]
    current_app.extensions["duebill"] = replace(before, settings=replace(before.settings, exchange=exchange))
    try:
        body()
    finally:
        current_app.extensions["duebill"] = before
