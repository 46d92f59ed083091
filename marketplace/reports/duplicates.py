"""What operators see of listings that look alike: the pairs that wait, those decided, and two invoices side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from marketplace.kernel.errors import NotFound
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.queries import Organisation
from marketplace.receivables import queries as receivables
from marketplace.receivables.matching.comparing import Comparison, Side, compare_sides
from marketplace.receivables.queries import Receivable
from marketplace.trading import queries as trading
from marketplace.trading.queries import Lot

REVIEW = """
    SELECT v.id, v.receivable_id, v.cause, v.findings, v.matches, v.goes_to, v.state, v.opened_at, v.maker_id,
           v.maker_reason, v.proposed_at, v.approver_id, v.approver_reason, v.decided_at,
           maker.display_name AS maker, approver.display_name AS approver, r.ref, r.state AS receivable_state,
           r.currency, r.face_minor, seller.legal_name AS seller, debtor.legal_name AS debtor
    FROM review v JOIN receivable r ON r.id = v.receivable_id
    JOIN organisation seller ON seller.id = r.seller_id JOIN organisation debtor ON debtor.id = r.debtor_id
    LEFT JOIN user_account maker ON maker.id = v.maker_id
    LEFT JOIN user_account approver ON approver.id = v.approver_id"""


@dataclass(frozen=True)
class Beside:
    """Another listing that the held one resembles: what speaks for one debt, what for two, and the two laid out."""

    other: Receivable
    side: Side
    score: int
    alike: list[dict[str, Any]]
    apart: list[dict[str, Any]]
    comparison: Comparison


@dataclass(frozen=True)
class ReviewPage:
    """A held listing with everything that two operators decide by."""

    review: Row[Any]
    receivable: Receivable
    side: Side
    seller: Organisation
    debtor: Organisation
    beside: list[Beside]
    earlier: list[Row[Any]]
    lot: Lot | None


def review_page(session: Session, review_id: UUID) -> ReviewPage:
    """Return a review with its look-alikes laid beside it.

    Raises: NotFound("not_found").
    """
    row = session.execute(text(f"{REVIEW} WHERE v.id = :id"), {"id": review_id}).one_or_none()
    if row is None:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    matches = {UUID(match["receivable_id"]): match for match in row.matches}
    found = receivables.receivables(session, [row.receivable_id, *matches])
    houses = parties.organisations(session, {who for one in found.values() for who in (one.seller_id, one.debtor_id)})
    hashes = _hashes(session, found.values())
    sides = {one.id: _side(one, houses, hashes) for one in found.values()}
    mine = found[row.receivable_id]
    earlier = session.execute(
        text(f"{REVIEW} WHERE v.receivable_id = :receivable AND v.id <> :id AND v.decided_at IS NOT NULL "
             "ORDER BY v.decided_at DESC LIMIT 10"),
        {"receivable": mine.id, "id": review_id},
    ).all()  # fmt: skip
    return ReviewPage(
        review=row, receivable=mine, side=sides[mine.id], seller=houses[mine.seller_id], debtor=houses[mine.debtor_id],
        beside=[_beside(found[other], sides[mine.id], sides[other], match)
                for other, match in matches.items() if other in found],
        earlier=list(earlier), lot=trading.lot_of(session, mine.id),
    )  # fmt: skip


def _hashes(session: Session, found: Any) -> dict[UUID, str]:
    ids = [one.document_id for one in found if one.document_id]
    rows = session.execute(text("SELECT id, sha256 FROM document WHERE id = ANY (:ids)"), {"ids": ids})
    return {row.id: row.sha256 for row in rows}


def _side(one: Receivable, houses: dict[UUID, Organisation], hashes: dict[UUID, str]) -> Side:
    seller, debtor = houses[one.seller_id], houses[one.debtor_id]
    return Side(
        one.ref, one.facts, seller.legal_name, seller.legal_id, debtor.legal_name, debtor.legal_id or debtor.vat_id,
        hashes.get(one.document_id) if one.document_id else None,
    )  # fmt: skip


def _beside(other: Receivable, mine: Side, theirs: Side, match: dict[str, Any]) -> Beside:
    told = match.get("findings", [])
    alike = sorted((one for one in told if one["weight"] > 0), key=lambda one: -one["weight"])
    apart = sorted((one for one in told if one["weight"] < 0), key=lambda one: one["weight"])
    return Beside(other, theirs, match["score"], alike, apart, compare_sides(mine, theirs))


@dataclass(frozen=True)
class PairLine:
    """One pair of listings that resembled each other, as a list shows it."""

    review_id: UUID
    ref: str
    other: str
    score: int
    words: str
    params: dict[str, Any]
    seller: str
    debtor: str
    currency: str
    face_minor: int
    state: str
    at: datetime


def pairs(session: Session, decided: bool, limit: int = 100) -> list[PairLine]:
    """Return pairs that wait, oldest first, or that were decided, newest first; each with its strongest reason."""
    order = "v.decided_at DESC" if decided else "v.opened_at"
    rows = session.execute(
        text(f"{REVIEW} WHERE v.matches <> '[]' AND v.state <> 'closed' "
             f"AND (v.decided_at IS NOT NULL) = :decided ORDER BY {order} LIMIT :limit"),
        {"decided": decided, "limit": limit},
    ).all()  # fmt: skip
    return [line for row in rows for line in _lines(row)]


def _lines(row: Row[Any]) -> list[PairLine]:
    found = []
    for match in row.matches:
        told: Sequence[dict[str, Any]] = match.get("findings", [])
        best: dict[str, Any] = max(told, key=lambda one: one["weight"], default={"words": "", "params": {}})
        found.append(PairLine(row.id, row.ref, match.get("ref", "–"), match["score"], best["words"], best["params"],
                              row.seller, row.debtor, row.currency, row.face_minor, row.state,
                              row.decided_at or row.opened_at))  # fmt: skip
    return found
