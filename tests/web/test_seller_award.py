"""The seller's decision on an award: what the page offers is what the market takes, to the penny and once."""

import re
from uuid import UUID

from flask import Flask

from marketplace.db import db
from marketplace.receivables import queries as receivables
from marketplace.trading import queries
from tests.trading.test_closing import a_covered_lot, close
from tests.trading.test_sessions import bid, gathered
from tests.trading.test_sessions import close as close_session
from tests.trading.world import World
from tests.web.test_operator import visitor


def state(lot: UUID) -> str:
    db.session.rollback()
    return str(queries.lot(db.session(), lot).state)


def test_an_empty_smaller_amount_sells_nothing_and_a_form_sent_twice_sells_once(world: World, app: Flask) -> None:
    lot = a_covered_lot(world)
    close(lot)
    alice = visitor(app, world, "alice")
    for nothing in ("", "  ", "0", "-1", "1e30", "41,310.01"):
        refused = alice.post(f"/seller/lots/{lot}/accept", data={"accepted_minor": nothing})
        assert (refused.status_code, state(lot)) == (422, "awaiting_seller"), nothing
    page = alice.get(f"/seller/invoices/{queries.lot(db.session(), lot).receivable_id}").text
    once = re.findall(r'name="once" value="([^"]+)"', page.split('id="decide"')[1])[0]
    first, again = (alice.post(f"/seller/lots/{lot}/accept", data={"once": once}) for _ in range(2))
    assert (first.status_code, again.status_code, state(lot)) == (303, 303, "accepted")


def test_the_least_that_is_named_is_taken(world: World, app: Flask) -> None:
    lot = a_covered_lot(world, target_minor=4_131_001)
    close(lot)
    found = queries.lot(db.session(), lot)
    assert found.target_minor * found.min_share_bps % 10_000, "the bound is no whole penny"
    alice = visitor(app, world, "alice")
    page = alice.get(f"/seller/invoices/{found.receivable_id}").text
    least = page.split("Between £")[1].split(" ")[0]
    taken = alice.post(f"/seller/lots/{lot}/accept", data={"accepted_minor": least})
    assert (taken.status_code, state(lot)) == (303, "accepted")


def test_a_lot_of_a_session_is_not_offered_in_part(world: World, app: Flask) -> None:
    world.fund("bob", 90_000_000)
    session_id, (lot, _) = gathered(world)
    bid(world, "bob", lot, 600, 4_140_000)
    close_session(world, session_id)
    alice = visitor(app, world, "alice")
    receivable_id = receivables.receivable(db.session(), queries.lot(db.session(), lot).receivable_id).id
    page = alice.get(f"/seller/invoices/{receivable_id}").text.split('id="decide"')[1]
    assert "only the whole award can be accepted" in page
    assert "accepted_minor" not in page
