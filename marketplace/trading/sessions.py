"""The verbs of a call session: gather lots, cap what one spends in all of them, clear them together.

Locks come session, lots by id, receivables by id, accounts by id. Clearing may take a minute, so it holds none: the
books are sealed, then read and cleared, then locked again and compared with what cleared.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from marketplace.db import db
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import Conflict, InvalidInput, NotPermitted, Problem, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx, perform
from marketplace.trading import engine, purses, queries
from marketplace.trading.batches import without_called_off, write_closed
from marketplace.trading.instructing import place_mandates
from marketplace.trading.rules import SESSION, LotState, SessionState
from marketplace.trading.schemas import CloseSession, OpenSession, SealSession, SetSessionCaps
from marketplace.trading.tables import CallSessionRow, LotRow, SessionCapRow, SessionReasonRow

MINUTES_LEAST, MINUTES_MOST = 10, 20_160
TRIES = 3  # to close a session whose books changed while it cleared; the next tick tries again


@verb("open_session")
def open_session(tx: Tx, command: OpenSession) -> Result:
    """Open a session: lots of its currency that open from now on join it and close when it does.

    Raises: InvalidInput, Conflict("session_open").
    """
    problems = []
    if command.currency not in tx.policy.currencies:
        problems.append(Problem("currency", "unknown", N_("Choose a currency of this market.")))
    if not MINUTES_LEAST <= command.open_minutes <= MINUTES_MOST:
        problems.append(Problem("open_minutes", "out_of_range", N_("Enter from 10 minutes to 14 days.")))
    if problems:
        raise InvalidInput.of_fields(problems)
    there = select(CallSessionRow.id).where(
        CallSessionRow.currency == command.currency, CallSessionRow.state == SessionState.OPEN
    )
    if tx.session.execute(there).first() is not None:
        raise Conflict("session_open", N_("A session in this currency is open already."))
    row = {"id": new_id(), "currency": command.currency, "opened_at": tx.now,
           "closes_at": tx.now + timedelta(minutes=command.open_minutes), "state": SessionState.OPEN}  # fmt: skip
    tx.session.execute(insert(CallSessionRow).values(row))
    tx.record("call_session", UUID(str(row["id"])), after=row)
    return {"session_id": row["id"], "closes_at": row["closes_at"]}


@verb("set_session_caps")
def set_session_caps(tx: Tx, command: SetSessionCaps) -> Result:
    """Cap what the investor spends in a session, in all and by debtor; what was set before no longer counts.

    With a purse the budget is held now, once, and bids placed from then on in the session need no hold of their own.

    Raises: NotFound, InvalidInput, RuleBroken("session_closed", "insufficient_cash", "bids_rest_on_budget").
    """
    if tx.actor.organisation_id is None:
        raise NotPermitted("not_permitted", N_("Only an investor’s own people may bid."))
    if command.purse:
        purses.demand_budget(command.budget_minor)
    who = tx.actor.organisation_id
    taking_turns = text("SELECT FROM organisation WHERE id = :id FOR NO KEY UPDATE")  # what is set next replaces this
    tx.session.execute(taking_turns, {"id": who})
    row = tx.session.execute(
        select(CallSessionRow).where(CallSessionRow.id == command.session_id).with_for_update(read=True)
    ).scalar_one_or_none()
    if row is None:
        raise queries.missing()
    if row.state != SessionState.OPEN or tx.clock() >= row.closes_at:
        raise RuleBroken("session_closed", N_("The session has closed."))
    owners = set(tx.session.scalars(select(LotRow.debtor_id).where(LotRow.session_id == row.id)))
    named = [debtor for debtor, _ in command.debtors]
    if len(set(named)) < len(named) or not set(named) <= owners:
        raise InvalidInput.about(
            "debtors",
            "invalid_fields",
            N_("A limit names a debtor that owes no lot of this session, or one twice."),
            rule="unknown",
        )
    own = {"session_id": row.id, "investor_id": who}
    caps = [{"id": new_id(), **own, "debtor_id": debtor, "minor": minor} for debtor, minor in command.debtors]
    if command.budget_minor is not None:
        caps.append({"id": new_id(), **own, "debtor_id": None, "minor": command.budget_minor})
    try:
        tx.session.execute(
            delete(SessionCapRow).where(SessionCapRow.session_id == row.id, SessionCapRow.investor_id == who)
        )
        if caps:
            tx.session.execute(insert(SessionCapRow), caps)
    except DBAPIError as error:
        if getattr(getattr(error.orig, "diag", None), "constraint_name", None) == "session_cap_in_time":
            raise RuleBroken("session_closed", N_("The session has closed.")) from error
        raise
    purses.set_purse(tx, row, who, command.budget_minor if command.purse else None)
    told = {"budget_minor": command.budget_minor, "debtors": [list(pair) for pair in command.debtors]}
    tx.record("call_session", row.id, after={"investor_id": who, **told})
    return {"session_id": row.id, **told}


@verb("seal_session")
def seal_session(tx: Tx, command: SealSession) -> Result:
    """Seal the books of a session whose time has come: lots that may not be sold are called off, mandates bid.

    Nothing comes into its books afterwards, for people's bids are late by now and each mandate is asked once a lot.

    Raises: NotFound, RuleBroken("wrong_state", "not_due").
    """
    _lock_due(tx, command.session_id)
    lots = without_called_off(tx, queries.lock_due(tx.session, _members(tx, command.session_id)))
    place_mandates(tx, lots)
    tx.record("call_session", command.session_id, after={"lots": len(lots)})
    return {"session_id": command.session_id, "lots": len(lots)}


@verb("close_session")
def close_session(tx: Tx, command: CloseSession) -> Result:
    """Write down how a session cleared, if it is still what cleared: awards, reasons, transcript; free what lost.

    Raises: NotFound, RuleBroken("wrong_state", "not_due"), Conflict("books_changed").
    """
    cleared = command.cleared
    now = _lock_due(tx, command.session_id)
    lots = without_called_off(tx, queries.lock_due(tx.session, _members(tx, command.session_id)))
    if _books(tx.session, command.session_id, lots) != cleared.books:
        raise Conflict("books_changed", N_("A lot of the session was called off while it cleared."))
    purses.spend(tx, command.session_id, cleared.lots)
    write_closed(tx, lots, cleared.lots, now)
    kept: dict[str, Any] = {"sha256": cleared.sha256, "path": cleared.path, "gap_ppm": cleared.gap_ppm}
    tx.session.execute(
        update(CallSessionRow)
        .where(CallSessionRow.id == command.session_id)
        .values(state=SessionState.CLOSED, closed_at=now, transcript=cleared.transcript, **kept)
        .execution_options(synchronize_session=False)
    )
    _write_reasons(tx, command.session_id, cleared)
    told = {"state": SessionState.CLOSED, "closed_at": now, "lots": len(lots), **kept}
    tx.record("call_session", command.session_id, before={"state": SessionState.OPEN}, after=told)
    return {"session_id": command.session_id, "lots": len(lots), **kept}


def clear_and_close(session_id: UUID, actor: Actor) -> Result:
    """Seal a session, clear it while nobody waits for a lock, and close it; a few times when its books change.

    Raises: what `seal_session` and `close_session` raise.
    """
    for attempt in range(1, TRIES + 1):
        perform(seal_session, SealSession(session_id), actor)
        with Session(db.engine) as session, session.begin():
            lots = session.scalars(_open_lots(session_id).order_by(LotRow.id)).all()
            books = _books(session, session_id, lots)
        try:
            return perform(close_session, CloseSession(session_id, engine.clear_session(session_id, books)), actor)
        except Conflict:
            if attempt == TRIES:
                raise
    raise AssertionError("unreachable")


def _lock_due(tx: Tx, session_id: UUID) -> datetime:
    """Lock an open session whose time has come; return the clock's instant under the lock."""
    row = tx.session.execute(
        select(CallSessionRow).where(CallSessionRow.id == session_id).with_for_update()
    ).scalar_one_or_none()
    if row is None:
        raise queries.missing()
    SESSION.check(row.state, SessionState.CLOSED)
    now = tx.clock()
    if now < row.closes_at:
        raise RuleBroken("not_due", N_("The session is still taking bids."))
    return now


def _books(session: Session, session_id: UUID, lots: Sequence[LotRow]) -> engine.Books:
    """Return the books of lots as they stand, with every cap; equal when nothing has changed."""
    books = queries.standing_books(session, [lot.id for lot in lots])
    sealed = [engine.SessionLot(lot, books.get(lot.id, [])) for lot in sorted(lots, key=lambda lot: lot.id)]
    return engine.session_books(sealed, *_caps(session, session_id))


def _write_reasons(tx: Tx, session_id: UUID, cleared: engine.ClearedSession) -> None:
    rows = [
        {"bid_id": UUID(one.bid.id), "session_id": session_id, "investor_id": UUID(one.bid.investor),
         "state": one.state, "cash_minor": one.cash_minor,
         "reasons": [{"code": why.code, "numbers": dict(why.numbers)} for why in one.why]}
        for one in cleared.reasons
    ]  # fmt: skip
    if rows:
        tx.session.execute(insert(SessionReasonRow), rows)


def _open_lots(session_id: UUID) -> Select[LotRow]:
    return select(LotRow).where(LotRow.session_id == session_id, LotRow.state == LotState.OPEN)


def _members(tx: Tx, session_id: UUID) -> list[UUID]:
    return list(tx.session.scalars(_open_lots(session_id).with_only_columns(LotRow.id)))


def _caps(session: Session, session_id: UUID) -> tuple[dict[UUID, int], dict[tuple[UUID, UUID], int]]:
    """Return what each investor spends at most: in all, and on each debtor."""
    rows = session.execute(
        select(SessionCapRow.investor_id, SessionCapRow.debtor_id, SessionCapRow.minor).where(
            SessionCapRow.session_id == session_id
        )
    ).all()
    budgets = {row.investor_id: row.minor for row in rows if row.debtor_id is None}
    return budgets, {(row.investor_id, row.debtor_id): row.minor for row in rows if row.debtor_id is not None}


def due_sessions(session: Any, limit: int = 20) -> list[UUID]:
    """Return open sessions whose time has come, by the database's clock."""
    due = CallSessionRow.state == SessionState.OPEN, CallSessionRow.closes_at <= func.market_now()
    return list(session.scalars(select(CallSessionRow.id).where(*due).order_by(CallSessionRow.closes_at).limit(limit)))
