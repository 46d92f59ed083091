"""A session's purse: one hold of an investor's budget, on which his bids there rest instead of holds of their own.

The joint clearing spends no more than the budget, whatever is bid, so the budget is all that has to be there. At the
close the purse is freed and each filled bid gets a hold of what it was filled with, in the same transaction.
"""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import delete, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from marketplace.kernel.errors import InvalidInput, Problem, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.ledger import actions as ledger
from marketplace.ledger.actions import Wanted
from marketplace.perform import Tx
from marketplace.trading import engine
from marketplace.trading.tables import CallSessionRow, SessionPurseRow

RESTING_MAX = 500  # bids of one investor in a session: they cost nothing, and every transcript of it names them
PURSE = text("""
    SELECT purse.hold_id, hold.minor FROM session_purse AS purse JOIN hold ON hold.id = purse.hold_id
    WHERE purse.session_id = :session AND purse.investor_id = :investor FOR UPDATE OF purse""")
RESTING = text("""
    SELECT bid.id, account.id AS account_id FROM bid JOIN lot ON lot.id = bid.lot_id
    JOIN account ON account.code = 'investor_cash' AND account.organisation_id = bid.investor_id
        AND account.currency = lot.currency
    WHERE bid.id = ANY (CAST(:ids AS uuid[])) AND bid.hold_id IS NULL ORDER BY bid.id""")


def purse_minor(session: Session, session_id: UUID, investor_id: UUID) -> int | None:
    """Return what an investor's purse in a session holds, or held; None where there is none."""
    minor: int | None = session.execute(
        text("SELECT hold.minor FROM session_purse JOIN hold ON hold.id = hold_id "
             "WHERE session_id = :session AND investor_id = :investor"),
        {"session": session_id, "investor": investor_id},
    ).scalar_one_or_none()  # fmt: skip
    return minor


def set_purse(tx: Tx, row: CallSessionRow, investor_id: UUID, wanted_minor: int | None) -> None:
    """Hold this budget from now on, or none; the caller has the session's row and has set the cap.

    Raises: RuleBroken("insufficient_cash", "bids_rest_on_budget").
    """
    before = tx.session.execute(PURSE, {"session": row.id, "investor": investor_id}).one_or_none()
    if (before.minor if before else None) == wanted_minor:
        return
    if wanted_minor is None:
        _give_up(tx, row.id, investor_id)
    if before is not None:
        ledger.resolve_holds(tx, [before.hold_id], "voided")
    if wanted_minor is not None:
        account = ledger.account(tx, "investor_cash", investor_id, row.currency)
        try:
            hold_id = ledger.place_hold(tx, account, wanted_minor, "call_session", row.id)
        except RuleBroken as error:
            words = N_("You have less free cash than this budget: add some, or set a smaller one.")
            raise RuleBroken(error.code, error.words, problems=[Problem("budget", error.code, words)]) from error
        made = upsert(SessionPurseRow).values(session_id=row.id, investor_id=investor_id, hold_id=hold_id)
        tx.session.execute(made.on_conflict_do_update(constraint="pk_session_purse", set_={"hold_id": hold_id}))
    told = {"investor_id": investor_id, "held_minor": wanted_minor}
    tx.record("call_session", row.id, before={"held_minor": before.minor if before else None}, after=told)


def _give_up(tx: Tx, session_id: UUID, investor_id: UUID) -> None:
    mine = SessionPurseRow.session_id == session_id, SessionPurseRow.investor_id == investor_id
    try:
        with tx.session.begin_nested():
            tx.session.execute(delete(SessionPurseRow).where(*mine))
    except IntegrityError as error:
        if getattr(getattr(error.orig, "diag", None), "constraint_name", None) != "purse_has_bids":
            raise
        raise RuleBroken.about(
            "purse",
            "bids_rest_on_budget",
            N_("Bids of yours rest on this budget: take them back first, or keep it held."),
            rule="in_use",
        ) from error


def too_many() -> RuleBroken:
    """Return the refusal of a bid on a purse that carries as many as it can."""
    words = N_("%(most)s bids of yours rest on this budget, which is as many as it carries: take one back first.")
    return RuleBroken("bid_refused", N_("The bid was not placed."),
                      problems=[Problem("", "too_many_bids", words, {"most": RESTING_MAX})])  # fmt: skip


def demand_budget(budget_minor: int | None) -> None:
    """Raises: InvalidInput when there is no budget to hold."""
    if budget_minor is None:
        raise InvalidInput.of_field("budget", "needed", N_("Enter the budget that is to be held."))


def spend(tx: Tx, session_id: UUID, cleared: Mapping[UUID, engine.Cleared]) -> None:
    """Free all purses of a session that closes, and hold instead what each resting bid was filled with."""
    held = tx.session.execute(
        text("SELECT hold_id FROM session_purse WHERE session_id = :session ORDER BY hold_id"), {"session": session_id}
    ).scalars()
    ledger.void_holds(tx, [[hold_id] for hold_id in held])
    cash = {leg.bid: leg.cash_minor for one in cleared.values() for leg in one.legs}
    resting = tx.session.execute(RESTING, {"ids": list(cash)}).all()
    wanted = [Wanted(new_id(), row.account_id, cash[str(row.id)], "bid", row.id) for row in resting]
    ledger.place_holds(tx, wanted)
    tx.session.execute(
        text("UPDATE bid SET hold_id = made.hold_id, state = 'filled' "
             "FROM unnest(CAST(:ids AS uuid[]), CAST(:holds AS uuid[])) AS made (id, hold_id) WHERE bid.id = made.id"),
        {"ids": [one.subject_id for one in wanted], "holds": [one.id for one in wanted]},
    )  # fmt: skip
