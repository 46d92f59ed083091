"""Lots of one session close at one instant and clear together, under what each investor caps."""

from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text

from marketplace.db import db
from marketplace.jobs.runner import run_job
from marketplace.jobs.schedule import job
from marketplace.kernel.errors import Conflict, InvalidInput, NotPermitted, RuleBroken
from marketplace.perform import perform
from marketplace.trading import engine, queries, session_queries
from marketplace.trading.actions import accept_award, cancel_lot, close_lot, place_bid
from marketplace.trading.schemas import (
    AcceptAward,
    CancelLot,
    CloseLot,
    CloseSession,
    OpenSession,
    PlaceBid,
    SealSession,
    SetSessionCaps,
)
from marketplace.trading.sessions import clear_and_close, close_session, open_session, seal_session, set_session_caps
from marketplace.trading.tables import LotRow
from tests.support import SYSTEM
from tests.trading.test_bidding import cash, count
from tests.trading.test_mandates import mandate
from tests.trading.world import World

HOUR = timedelta(hours=1)


def gathered(world: World, lots: int = 2, **terms: object) -> tuple[UUID, list[UUID]]:
    """Open a session of an hour and put lots into it."""
    session_id = UUID(perform(open_session, OpenSession("GBP", 60), world.olga)["session_id"])
    made = [world.lot(**terms) for _ in range(lots)]
    with world.superuser() as connection:
        connection.execute(
            "UPDATE lot SET session_id = s.id, closes_at = s.closes_at FROM call_session s WHERE lot.id = ANY (%s)",
            (made,),
        )
    return session_id, made


def bid(world: World, who: str, lot: UUID, rate: int, minor: int) -> UUID:
    return UUID(perform(place_bid, PlaceBid(lot, rate, minor), getattr(world, who))["bid_id"])


def close(world: World, session_id: UUID) -> None:
    world.move_clock(HOUR)
    clear_and_close(session_id, SYSTEM)
    db.session.rollback()


def filled(lot: UUID, investor: UUID) -> int:
    return sum(fill.cash_minor for fill in queries.fills(db.session, lot) if fill.investor_id == investor)


def test_a_budget_is_spent_where_it_is_worth_most(world: World) -> None:
    """Bob bids on both lots and caps himself at one; Carol covers the other, where she is the cheaper."""
    for who in ("bob", "carol"):
        world.fund(who, 90_000_000)
    session_id, (one, two) = gathered(world)
    for lot, rate in ((one, 600), (two, 500)):
        bid(world, "bob", lot, rate, 4_140_000)
        bid(world, "carol", lot, 700, 4_140_000)
    perform(set_session_caps, SetSessionCaps(session_id, 4_131_000), world.bob)
    close(world, session_id)
    assert (filled(one, world.id("bob")), filled(two, world.id("bob"))) == (0, 4_131_000)
    assert (filled(one, world.id("carol")), filled(two, world.id("carol"))) == (4_131_000, 0)
    assert cash(world, "bob") == (90_000_000, 4_140_000)  # the winning bid's hold, until the award settles
    told = session_queries.explained(db.session, session_id, world.id("bob"))
    assert {one.lot_id: [reason.code for reason in one.why] for one in told} == {
        one: ["group_cap", "budget_used"],
        two: ["group_cap"],
    }


def test_a_limit_by_debtor_holds_over_all_lots(world: World) -> None:
    world.fund("bob", 90_000_000)
    session_id, lots = gathered(world)
    for lot in lots:
        bid(world, "bob", lot, 600, 4_140_000)
    perform(set_session_caps, SetSessionCaps(session_id, None, ((world.id("kestrel"), 4_131_000),)), world.bob)
    close(world, session_id)
    assert sum(filled(lot, world.id("bob")) for lot in lots) == 4_131_000
    assert sorted(queries.lot(db.session, lot).state for lot in lots) == ["awaiting_seller", "closed_failed"]


def test_the_transcript_is_kept_and_every_lot_s_own_reproduces(world: World) -> None:
    world.fund("bob", 90_000_000)
    session_id, lots = gathered(world)
    bid(world, "bob", lots[0], 600, 4_140_000)
    close(world, session_id)
    kept = session_queries.transcript(db.session, session_id)
    assert engine.recompute(kept).reproduces
    for lot in lots:
        raw, award = queries.transcript(db.session, lot), queries.award(db.session, lot)
        assert award is not None
        assert engine.recompute(raw).computed_sha256 == award.sha256
    assert [queries.award(db.session, lot).rule for lot in lots] == ["JC-1", "JC-1"]  # type: ignore[union-attr]


def test_the_job_closes_it_and_no_lot_of_it_closes_alone(world: World) -> None:
    session_id, lots = gathered(world)
    world.move_clock(HOUR)
    assert queries.due_to_close(db.session) == []
    with pytest.raises(RuleBroken, match="in_session"):
        perform(close_lot, CloseLot(lots[0]), SYSTEM)
    assert run_job(job("close_lots")) == 0
    assert run_job(job("close_sessions")) == 1
    db.session.rollback()
    assert session_queries.session_of(db.session, session_id).state == "closed"


def cleared(session_id: UUID, lots: list[UUID]) -> engine.ClearedSession:
    """Clear lots as they stand, without caps, and write nothing."""
    books = queries.standing_books(db.session, lots)
    rows = [db.session.get_one(LotRow, lot, populate_existing=True) for lot in sorted(lots)]
    sealed = [engine.SessionLot(row, books.get(row.id, [])) for row in rows]
    return engine.clear_session(session_id, engine.session_books(sealed, {}, {}))


def test_nobody_waits_for_a_lock_while_a_session_clears(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.fund("bob", 90_000_000)
    session_id, lots = gathered(world)
    bid(world, "bob", lots[0], 600, 4_140_000)
    clear, looked = engine.clear_session, []

    def slow(*given: object) -> engine.ClearedSession:
        with world.superuser(resting=False) as connection:
            for table in ("call_session", "lot", "receivable", "bid", "balance", "mandate"):
                looked.append(connection.execute(f"SELECT FROM {table} FOR UPDATE NOWAIT").rowcount)
        return clear(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "clear_session", slow)
    close(world, session_id)
    assert len(looked) == 6
    assert looked[1] == len(lots)
    assert session_queries.session_of(db.session, session_id).state == "closed"


def test_what_cleared_is_written_only_while_the_books_are_the_same(world: World) -> None:
    world.fund("bob", 90_000_000)
    session_id, lots = gathered(world)
    for lot in lots:
        bid(world, "bob", lot, 600, 4_140_000)
    world.move_clock(HOUR)
    perform(seal_session, SealSession(session_id), SYSTEM)
    found = cleared(session_id, lots)
    perform(cancel_lot, CancelLot(lots[1], "Called off meanwhile."), world.olga)
    with pytest.raises(Conflict, match="books_changed"):
        perform(close_session, CloseSession(session_id, found), SYSTEM)
    db.session.rollback()
    assert (queries.lot(db.session, lots[0]).state, queries.award(db.session, lots[0])) == ("open", None)
    clear_and_close(session_id, SYSTEM)
    db.session.rollback()
    assert filled(lots[0], world.id("bob")) == 4_131_000
    assert [one.lot_id for one in session_queries.explained(db.session, session_id, world.id("bob"))] == [lots[0]]


def test_a_session_sealed_twice_asks_each_mandate_once(world: World) -> None:
    world.fund("bob", 90_000_000)
    session_id, lots = gathered(world)
    mandate(world, "bob")
    world.move_clock(HOUR)
    for _ in range(2):
        perform(seal_session, SealSession(session_id), SYSTEM)
    assert (count("bid"), count("mandate_note")) == (len(lots), len(lots))
    clear_and_close(session_id, SYSTEM)
    assert count("bid") == len(lots)


def test_reasons_are_kept_and_stay_and_are_their_investor_s_alone(world: World) -> None:
    for who in ("bob", "carol"):
        world.fund(who, 90_000_000)
    session_id, (lot, _) = gathered(world)
    bid(world, "bob", lot, 600, 4_140_000)
    bid(world, "carol", lot, 700, 4_140_000)
    close(world, session_id)
    told = [session_queries.explained(db.session, session_id, world.id(who)) for who in ("bob", "carol", "dave")]
    assert [[one.rate_bps for one in of] for of in told] == [[600], [700], []]
    with world.superuser(resting=False) as connection, pytest.raises(psycopg.errors.RestrictViolation):
        connection.execute("UPDATE session_reason SET state = 'filled'")


def test_only_a_whole_award_of_a_session_can_be_accepted(world: World) -> None:
    world.fund("bob", 90_000_000)
    session_id, (lot, _) = gathered(world)
    bid(world, "bob", lot, 600, 4_140_000)
    close(world, session_id)
    with pytest.raises(RuleBroken, match="in_session"):
        perform(accept_award, AcceptAward(lot, 4_000_000), world.alice)
    perform(accept_award, AcceptAward(lot), world.alice)


def test_who_may_and_what_a_session_s_fields_must_be(world: World) -> None:
    with pytest.raises(NotPermitted):
        perform(open_session, OpenSession("GBP", 60), world.bob)
    for command, field in ((OpenSession("XXX", 60), "currency"), (OpenSession("GBP", 1), "open_minutes")):
        with pytest.raises(InvalidInput) as refused:
            perform(open_session, command, world.olga)
        assert [one.field for one in refused.value.problems] == [field]
    session_id, _ = gathered(world)
    with pytest.raises(Conflict, match="session_open"):
        perform(open_session, OpenSession("GBP", 60), world.olga)
    with pytest.raises(InvalidInput):
        perform(set_session_caps, SetSessionCaps(session_id, None, ((world.id("carol"), 5),)), world.bob)
    with pytest.raises(RuleBroken, match="not_due"):
        perform(seal_session, SealSession(session_id), SYSTEM)
    with pytest.raises(RuleBroken, match="not_due"):
        perform(close_session, CloseSession(session_id, cleared(session_id, [])), SYSTEM)


def test_a_cap_that_comes_late_is_refused_by_verb_and_database(world: World) -> None:
    session_id, _ = gathered(world)
    perform(set_session_caps, SetSessionCaps(session_id, 100), world.bob)
    world.move_clock(HOUR)
    with pytest.raises(RuleBroken, match="session_closed"):
        perform(set_session_caps, SetSessionCaps(session_id, 200), world.bob)
    with world.superuser(resting=False) as connection, pytest.raises(psycopg.errors.CheckViolation) as refused:
        connection.execute("UPDATE session_cap SET minor = 200")
    assert refused.value.diag.constraint_name == "session_cap_in_time"
    db.session.rollback()
    assert db.session.execute(text("SELECT minor FROM session_cap")).scalar_one() == 100
