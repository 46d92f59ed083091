"""What is known of our claims outside: is an answer missing, does anything speak against a sale, how does it go on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from marketplace.exchange.rules import Answer
from marketplace.exchange.states import ClaimState
from marketplace.exchange.tables import (
    AnswerRow,
    ClaimRow,
    FileRow,
    IssuerRow,
    OutsideClaimRow,
    RegistryRow,
    WatchRow,
)
from marketplace.kernel.policy import Exchange
from marketplace.receivables import queries as receivables

OUTSIDE_CLAIM = "outside_claim"  # the rule that a review names for it
S = ClaimState


@dataclass(frozen=True)
class Standing:
    """One receivable as the outside knows it: what is wanted, and how its claims stand."""

    receivable_id: UUID
    wanted: str
    reason: str | None
    claims: int
    states: tuple[str, ...]
    leased_until: datetime | None
    next_at: datetime | None
    asked_at: datetime | None


def settings() -> Any:
    """Return how this installation exchanges claims (`config.settings.Exchange`)."""
    return current_app.extensions["duebill"].settings.exchange


def policy() -> Exchange:
    """Return the business numbers of the exchange."""
    found: Exchange = current_app.extensions["duebill"].policy.exchange
    return found


def stops(session: Session, receivable_id: UUID) -> list[str]:
    """Return everything that stands between a receivable and a sale here: what is against it, and what is missing."""
    return contrary(session, receivable_id) + pending(session, receivable_id)


def contrary(session: Session, receivable_id: UUID) -> list[str]:
    """Return what speaks against a sale: `registered_elsewhere`, `financed_elsewhere`; empty when nothing does.

    What two operators released, having seen it, does not speak against it any more; a later and different answer does.
    """
    if not settings().key:
        return []
    seen_at = _overruled_at(session, receivable_id)
    return sorted({
        f"{row.state}_elsewhere"
        for row in latest_answers(session, receivable_id)
        if row.known and not row.yours and (seen_at is None or row.at > seen_at)
    })  # fmt: skip


def pending(session: Session, receivable_id: UUID) -> list[str]:
    """Return what is not known yet and must be, before it is auctioned and before money leaves; empty when all is.

    `claims_unchecked`: other markets' files were not looked at. `registry_unasked`: the registry has not answered.
    `lease_lapsed`: it answered, but too long ago. The last two only where a registry is asked and required.
    """
    exchange = settings()
    if not exchange.key:
        return []
    watch = session.get(WatchRow, receivable_id, populate_existing=True)
    if watch is None or watch.claimed_at is None:
        return ["claims_unchecked"]
    if not exchange.asks or not policy().registry_required:
        return []
    rows = claims_of(session, receivable_id)
    now = session.execute(select(func.market_now())).scalar_one()
    found = set()
    if any(row.state in (S.UNASKED, S.RELEASED) for row in rows):
        found.add("registry_unasked")
    if any(row.leased_until is not None and row.leased_until <= now for row in rows):
        found.add("lease_lapsed")
    return sorted(found)


def latest_answers(session: Session, receivable_id: UUID) -> list[AnswerRow]:
    """Return the newest news of each source about each claim."""
    newest = (
        select(AnswerRow)
        .where(AnswerRow.receivable_id == receivable_id)
        .ext(distinct_on(AnswerRow.source, AnswerRow.claim_id))
        .order_by(AnswerRow.source, AnswerRow.claim_id, AnswerRow.at.desc())
    )
    return list(session.execute(newest).scalars())


def _overruled_at(session: Session, receivable_id: UUID) -> datetime | None:
    """Return when the last released review was opened that showed an outside claim."""
    return max(
        (
            review.opened_at
            for review in receivables.reviews(session, receivable_id)
            if review.state == "released"
            and any(check.get("rule") == OUTSIDE_CLAIM for check in review.findings["checks"])
        ),
        default=None,
    )


def claims_of(session: Session, receivable_id: UUID) -> list[ClaimRow]:
    """Return a receivable's claims, under the consortium's present key."""
    rows = session.execute(
        select(ClaimRow).where(ClaimRow.receivable_id == receivable_id).order_by(ClaimRow.claim)
        .execution_options(populate_existing=True)
    )  # fmt: skip
    return list(rows.scalars())


def to_check(session: Session, limit: int) -> list[UUID]:
    """Return receivables whose claims were not worked out yet, longest waiting first."""
    return list(session.execute(
        select(WatchRow.receivable_id).where(WatchRow.claimed_at.is_(None)).order_by(WatchRow.wanted_since).limit(limit)
    ).scalars())  # fmt: skip


def to_ask(session: Session, limit: int) -> list[WatchRow]:
    """Return what is due to be asked of the registry, longest due first."""
    return list(session.execute(
        select(WatchRow)
        .where(WatchRow.next_at.is_not(None), WatchRow.next_at <= func.market_now(), WatchRow.claimed_at.is_not(None))
        .order_by(WatchRow.next_at).limit(limit)
    ).scalars())  # fmt: skip


def registry(session: Session) -> RegistryRow:
    """Return how the registry has been answering."""
    return session.execute(select(RegistryRow).execution_options(populate_existing=True)).scalar_one()


def registry_due(session: Session) -> bool:
    """Say whether the registry may be asked again by now."""
    return bool(session.execute(select(RegistryRow.next_at <= func.market_now())).scalar_one())


def outside(session: Session, claims: Sequence[bytes]) -> list[OutsideClaimRow]:
    """Return what trusted issuers' files say of some claims; released ones and revoked issuers are left out."""
    rows = session.execute(
        select(OutsideClaimRow).join(IssuerRow, IssuerRow.name == OutsideClaimRow.issuer)
        .where(OutsideClaimRow.claim.in_(list(claims)), IssuerRow.revoked_at.is_(None))
        .order_by(OutsideClaimRow.issuer, OutsideClaimRow.claim)
    )  # fmt: skip
    return list(rows.scalars())


def issuers(session: Session) -> list[IssuerRow]:
    """Return the markets whose files are taken, or were, by name."""
    return list(session.execute(select(IssuerRow).order_by(IssuerRow.name)).scalars())


def files(session: Session, limit: int = 20) -> list[FileRow]:
    """Return files of claims that were taken, newest first."""
    return list(session.execute(select(FileRow).order_by(FileRow.at.desc()).limit(limit)).scalars())


def contradictions(session: Session, limit: int = 20) -> list[AnswerRow]:
    """Return what others claim, newest first: for each receivable and source the gravest of its claims' answers."""
    rows = session.execute(
        select(AnswerRow).where(AnswerRow.known, ~AnswerRow.yours).order_by(AnswerRow.at.desc()).limit(4 * limit)
    ).scalars()
    found: dict[tuple[UUID, str], AnswerRow] = {}
    for row in rows:
        before = found.get((row.receivable_id, row.source))
        if before is None or (row.state == "financed") > (before.state == "financed"):
            found[row.receivable_id, row.source] = row
    return list(found.values())[:limit]


def counts(session: Session) -> dict[str, int]:
    """Return how many claims stand how, and how many receivables wait: `unchecked`, `due`."""
    by_state = select(ClaimRow.state, func.count().label("n")).group_by(ClaimRow.state)
    found = {str(state): 0 for state in ClaimState}
    found |= {row.state: row.n for row in session.execute(by_state)}
    found["unchecked"] = session.execute(
        select(func.count()).select_from(WatchRow).where(WatchRow.claimed_at.is_(None))
    ).scalar_one()
    found["due"] = session.execute(
        select(func.count()).select_from(WatchRow).where(WatchRow.next_at <= func.market_now())
    ).scalar_one()
    return found


def lapsing(session: Session, limit: int = 20) -> list[Standing]:
    """Return what holds its claims by a lease that should have been renewed by now, the nearest end first."""
    ends = func.min(ClaimRow.leased_until)
    return _standings(session, ClaimRow.state == S.REGISTERED, limit, having=ends <= func.market_now()
                      + func.make_interval(0, 0, 0, policy().renew_days))  # fmt: skip


def waiting(session: Session, limit: int = 20) -> list[Standing]:
    """Return live receivables that the registry has not answered about, longest waiting first."""
    unasked = or_(WatchRow.claimed_at.is_(None), ClaimRow.state == S.UNASKED)
    missing = and_(WatchRow.wanted != "released", unasked)
    return _standings(session, missing, limit)


def _standings(
    session: Session, where: ColumnElement[bool], limit: int, having: ColumnElement[bool] | None = None
) -> list[Standing]:
    ends = func.min(ClaimRow.leased_until)
    query = (
        select(WatchRow, func.count(ClaimRow.id), func.array_agg(ClaimRow.state.distinct()), ends,
               func.max(ClaimRow.asked_at))
        .outerjoin(ClaimRow, ClaimRow.receivable_id == WatchRow.receivable_id)
        .where(where).group_by(WatchRow.receivable_id)
        .order_by(ends.nulls_first(), WatchRow.wanted_since).limit(limit)
    )  # fmt: skip
    if having is not None:
        query = query.having(having)
    return [
        Standing(watch.receivable_id, watch.wanted, watch.reason, n, tuple(sorted(one for one in states if one)),
                 until, watch.next_at, asked)
        for watch, n, states, until, asked in session.execute(query)
    ]  # fmt: skip


def answer_of(row: AnswerRow) -> Answer:
    """Return what a row says."""
    return Answer(row.known, row.state, row.yours)
