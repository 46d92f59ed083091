"""The verbs of a call session: gather lots, cap what one spends in all of them, clear them together.

Locks come session, lots by id, receivables by id, accounts by id.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from marketplace.kernel.errors import Conflict, InvalidInput, NotPermitted, Problem, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx
from marketplace.trading import engine, queries
from marketplace.trading.batches import without_called_off, write_closed
from marketplace.trading.instructing import place_mandates
from marketplace.trading.rules import SESSION, LotState, SessionState
from marketplace.trading.schemas import CloseSession, OpenSession, SetSessionCaps
from marketplace.trading.tables import CallSessionRow, LotRow, SessionCapRow

MINUTES_LEAST, MINUTES_MOST = 10, 20_160


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
        raise InvalidInput("invalid_fields", N_("Some fields need another look."), problems=problems)
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

    Raises: NotFound, InvalidInput, RuleBroken("session_closed").
    """
    if tx.actor.organisation_id is None:
        raise NotPermitted("not_permitted", N_("Only an investor’s own people may bid."))
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
        words = N_("A limit names a debtor that owes no lot of this session, or one twice.")
        raise InvalidInput("invalid_fields", words, problems=[Problem("debtors", "unknown", words)])
    who = tx.actor.organisation_id
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
    told = {"budget_minor": command.budget_minor, "debtors": [list(pair) for pair in command.debtors]}
    tx.record("call_session", row.id, after={"investor_id": who, **told})
    return {"session_id": row.id, **told}


@verb("close_session")
def close_session(tx: Tx, command: CloseSession) -> Result:
    """Clear all lots of a session whose time has come, together; write awards, free what lost, keep the transcript.

    Raises: NotFound, RuleBroken("wrong_state", "not_due").
    """
    row = tx.session.execute(
        select(CallSessionRow).where(CallSessionRow.id == command.session_id).with_for_update()
    ).scalar_one_or_none()
    if row is None:
        raise queries.missing()
    SESSION.check(row.state, SessionState.CLOSED)
    now = tx.clock()
    if now < row.closes_at:
        raise RuleBroken("not_due", N_("The session is still taking bids."))
    lots = without_called_off(tx, queries.lock_due(tx.session, _members(tx, row.id)))
    place_mandates(tx, lots)
    books = queries.standing_books(tx.session, [lot.id for lot in lots])
    budgets, debtors = _caps(tx, row.id)
    sealed = [engine.SessionLot(lot, books.get(lot.id, [])) for lot in lots]
    cleared = engine.clear_session(row.id, sealed, budgets, debtors)
    write_closed(tx, lots, cleared.lots, now)
    kept: dict[str, Any] = {"sha256": cleared.sha256, "path": cleared.path, "gap_ppm": cleared.gap_ppm}
    tx.session.execute(
        update(CallSessionRow)
        .where(CallSessionRow.id == command.session_id)
        .values(state=SessionState.CLOSED, closed_at=now, transcript=cleared.transcript, **kept)
        .execution_options(synchronize_session=False)
    )
    told = {"state": SessionState.CLOSED, "closed_at": now, "lots": len(lots), **kept}
    tx.record("call_session", command.session_id, before={"state": SessionState.OPEN}, after=told)
    return {"session_id": command.session_id, "lots": len(lots), **kept}


def _members(tx: Tx, session_id: UUID) -> list[UUID]:
    open_lots = select(LotRow.id).where(LotRow.session_id == session_id, LotRow.state == LotState.OPEN)
    return list(tx.session.scalars(open_lots))


def _caps(tx: Tx, session_id: UUID) -> tuple[dict[UUID, int], dict[tuple[UUID, UUID], int]]:
    """Return what each investor spends at most: in all, and on each debtor."""
    rows = tx.session.execute(
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
