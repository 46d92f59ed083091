"""Two real markets and a real registry over HTTP: what one has, the other cannot sell."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from config.settings import Exchange
from marketplace.exchange import oprf, queries
from marketplace.exchange.client import Registry, RegistryMistrusted
from marketplace.receivables import actions
from marketplace.receivables.schemas import ReleaseReview, WithdrawReceivable
from marketplace.trading import queries as trading
from tests.exchange.conftest import Market, RegistryProcess, exchange_of

Markets = Callable[[str, Exchange], Market]
Registries = Callable[[str], RegistryProcess]
World = tuple[RegistryProcess, Market, Market]


@pytest.fixture
def world(request: pytest.FixtureRequest, markets: Markets, registries: Registries) -> World:
    """A registry and two markets that ask it."""
    registry = registries(getattr(request, "param", "hmac"))
    north, south = (markets(name, exchange_of(registry.peer(name))) for name in ("north", "south"))
    return registry, north, south


def answers(market: Market, receivable_id: UUID) -> list[tuple[str, str, str, bool]]:
    """What was written down, in order."""
    rows = market.sql("SELECT source, operation, state, yours FROM exchange_answer WHERE receivable_id = :id "
                      "ORDER BY at, id", id=receivable_id)  # fmt: skip
    return [tuple(row) for row in rows]


def release(market: Market, receivable_id: UUID) -> None:
    """Let two operators release what is held."""
    (review,) = market.sql("SELECT id FROM review WHERE receivable_id = :id AND state = 'open'", id=receivable_id)
    for who in ("operator_olga", "operator_oscar"):
        market.perform(actions.release_review, ReleaseReview(review.id, "The other listing is a clerk’s mistake."), who)


@pytest.mark.parametrize("world", ["hmac", "oblivious"], indirect=True)
def test_the_second_market_holds_the_same_invoice_until_the_first_lets_go(world: World) -> None:
    registry, north, south = world
    first = north.lists(north.paper())
    assert north.stops(first) == ["claims_unchecked"]
    north.work()
    assert north.stops(first) == []
    assert north.claim_states(first) == {"registered"}
    assert north.state(first) == "awaiting_confirmation"

    second = south.lists(south.paper(number="TPC 20418"))  # written otherwise, the same number
    south.work()
    assert south.stops(second) == ["registered_elsewhere"]
    assert south.state(second) == "held_for_review"
    (review,) = south.sql("SELECT id, cause, findings FROM review WHERE receivable_id = :id", id=second)
    assert review.cause == "outside_evidence"
    assert [check["rule"] for check in review.findings["checks"]] == ["outside_claim"]
    other = south.lists(south.paper(number="TPC-20419"))
    south.work()
    assert south.stops(other) == []

    north.perform(actions.withdraw_receivable, WithdrawReceivable(first, "seller"), "seller_alice")
    north.work()
    assert north.claim_states(first) == {"released"}
    south.clock(timedelta(hours=7))
    south.work()
    assert south.stops(second) == []
    assert south.claim_states(second) == {"registered"}
    assert {row[0] for row in registry.sql("SELECT reason FROM registry_claim WHERE state = 'released'")} == {
        "withdrawn"
    }
    asked = south.sql("SELECT count(*) FROM event WHERE verb = 'record_exchange_answer'")[0][0]
    served = registry.sql("SELECT count(*) FROM event WHERE verb = 'answer_peer'")[0][0]
    assert asked >= 3
    assert served >= 4  # every request is an event on both sides


def test_an_oblivious_registry_sees_no_claim_and_a_cheat_is_noticed(markets: Markets, registries: Registries) -> None:
    registry = registries("oblivious")
    peer = registry.peer("north")
    north = markets("north", exchange_of(peer))
    first = north.lists(north.paper())
    north.work()
    (row,) = north.ask(queries.claims_of, first)[:1]
    kept = {bytes(held) for (held,) in registry.sql("SELECT claim FROM registry_claim")}
    assert bytes(row.pseudonym) in kept
    assert bytes(row.claim) not in kept
    assert {len(held) for held in kept} == {64}
    trail = registry.sql("SELECT convert_from(body, 'UTF8') FROM event WHERE verb = 'answer_peer'")
    assert trail
    assert all(bytes(row.claim).hex() not in body for (body,) in trail)

    class Cheat(Registry):
        """A registry that uses a key of its own for this one client."""

        def _ask(self, operation: str, told: dict[str, object]) -> dict[str, object]:
            key = oprf.derived_key(b"x" * 32, b"")
            results, proof = oprf.evaluate_proved(key, [bytes.fromhex(str(one)) for one in told["elements"]])  # type: ignore[attr-defined]
            return {"elements": [one.hex() for one in results], "proof": proof.hex()}

    cheat = Cheat(peer.url, peer.key_id, peer.secret, peer.mode, peer.public_key)
    with pytest.raises(RegistryMistrusted, match="bad_proof"):
        cheat.pseudonyms([bytes(row.claim)])


def test_a_registry_with_another_key_is_told_nothing(markets: Markets, registries: Registries) -> None:
    registry = registries("oblivious")
    peer = registry.peer("north")
    pinned = oprf.derived_key(b"the key it had before, 32 bytes.", b"").public
    north = markets("north", exchange_of(replace(peer, public_key=pinned)))
    first = north.lists(north.paper())
    north.work()
    assert north.ask(queries.registry).state == "mistrusted"
    assert north.ask(queries.registry).code == "other_key"
    assert north.stops(first) == ["registry_unasked"]
    assert registry.sql("SELECT count(*) FROM registry_claim") == [(0,)]


def test_two_operators_may_overrule_it_until_something_worse_is_heard(world: World) -> None:
    _, north, south = world
    first, second = north.lists(north.paper()), south.lists(south.paper())
    north.work()
    south.work()
    assert south.stops(second) == ["registered_elsewhere"]
    release(south, second)
    assert south.stops(second) == []
    assert south.state(second) == "awaiting_confirmation"
    south.clock(timedelta(hours=7))
    south.work()
    assert south.state(second) == "awaiting_confirmation"  # the same answer again is no news

    north.sql_as_owner("UPDATE exchange_watch SET wanted = 'financed', next_at = market_now() WHERE receivable_id = %s",
                       first)  # fmt: skip
    north.work()
    assert north.claim_states(first) == {"financed"}
    south.clock(timedelta(hours=7))
    south.work()
    assert south.stops(second) == ["financed_elsewhere"]
    assert south.state(second) == "held_for_review"
    assert [line[1:3] for line in answers(south, second)][-1] == ("register", "financed")


def test_a_lease_is_renewed_and_what_lapsed_stops_the_sale(world: World) -> None:
    registry, north, south = world
    first = north.lists(north.paper())
    north.work()
    before = registry.sql("SELECT min(leased_until) FROM registry_claim")
    north.clock(timedelta(days=10))
    registry.clock(timedelta(days=10))
    north.work()
    assert registry.sql("SELECT min(leased_until) FROM registry_claim") > before
    assert north.stops(first) == []
    # The market's clock stops working for a month: what it knew then counts for nothing.
    north.clock(timedelta(days=30))
    registry.clock(timedelta(days=30))
    assert north.stops(first) == ["lease_lapsed"]
    second = south.lists(south.paper())
    south.work()
    assert south.stops(second) == []  # the lease was over, and this market came first
    north.work()
    north.work()
    assert north.stops(first) == ["registered_elsewhere"]


def test_while_the_registry_is_silent_the_listing_waits(world: World) -> None:
    registry, north, _ = world
    registry.kill()
    first = north.lists(north.paper())
    north.work()
    assert north.stops(first) == ["registry_unasked"]
    silent = north.ask(queries.registry)
    assert (silent.state, silent.code, silent.attempts) == ("silent", "unreachable", 1)
    north.work()  # not before its time
    assert north.ask(queries.registry).attempts == 1
    north.clock(timedelta(seconds=6))
    north.work()
    assert north.ask(queries.registry).attempts == 2
    assert [one.receivable_id for one in north.ask(queries.waiting)] == [first]
    registry.start()
    north.clock(timedelta(seconds=60))
    north.work()
    assert north.ask(queries.registry).state == "answering"
    assert north.stops(first) == []


def test_a_lot_does_not_open_while_the_answer_is_missing(world: World) -> None:
    _, north, _ = world
    first = north.lists(north.paper())
    rated = "UPDATE receivable SET state = 'rated', confirmed_at = market_now(), confirmed_by = 'debtor' WHERE id = %s"
    north.sql_as_owner(rated, first, resting=True)
    assert north.ask(trading.to_open) == []
    north.work()
    assert north.ask(trading.to_open) == [first]


def test_without_a_consortiums_key_nothing_waits_for_anybody(markets: Markets) -> None:
    alone = markets("north", Exchange())
    first = alone.lists(alone.paper())
    assert alone.work() == 0
    assert alone.stops(first) == []
