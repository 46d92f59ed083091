"""Reading collections, and the locks that collection needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, exists, func, or_, select, text
from sqlalchemy.orm import Session

from marketplace.kernel.errors import NotFound
from marketplace.kernel.policy import Collection as CollectionPolicy
from marketplace.kernel.words import N_
from marketplace.servicing.ageing import Ageing, days_past_due, first_days
from marketplace.servicing.dilution import owed_by_debtor
from marketplace.servicing.states import OPEN, CollectionState, OfferState
from marketplace.servicing.suspense import SuspenseItem, items
from marketplace.servicing.tables import (
    AgeingStepRow,
    BuyBackRow,
    BuyBackShareRow,
    ClosedPeriodRow,
    CollectionRow,
    DilutionCoverRow,
    DilutionEffectRow,
    DistributionRow,
    DueRow,
    HoldingOfferRow,
    ShareRow,
)
from marketplace.servicing.waterfall import Due, Step


@dataclass(frozen=True)
class Collection:
    """A funded receivable on its way home, with what everybody is due."""

    receivable_id: UUID
    lot_id: UUID
    seller_id: UUID
    debtor_id: UUID
    currency: str
    face_minor: int
    rate_bps: int
    late_rate_bps: int
    due_on: date
    expected_on: date
    late_charged_to: date
    state: CollectionState
    opened_at: datetime
    defaulted_at: datetime | None
    closed_at: datetime | None
    dues: tuple[Due, ...]
    demanded_minor: int = 0

    @property
    def outstanding_minor(self) -> int:
        """What the debtor still owes: all that is to come, less what the seller must make good for credit notes."""
        return owed_by_debtor(self.dues, self.demanded_minor)

    @property
    def open(self) -> bool:
        """Whether money may still come."""
        return self.state in OPEN

    def days_past_due(self, today: date) -> int:
        """Return days past due; zero once nothing is outstanding."""
        return days_past_due(self.due_on, today) if self.open else 0


@dataclass(frozen=True)
class Receipt:
    """One payment as it was shared out."""

    distribution_id: UUID
    payment_id: UUID
    received_minor: int
    excess_minor: int
    recovery: bool
    distributed_at: datetime
    shares: tuple[tuple[Step, UUID | None, int], ...]


@dataclass(frozen=True)
class BuyBack:
    """A buy-back as other rooms see it: demanded, paid or no longer asked. Figures are there once it is paid."""

    id: UUID
    receivable_id: UUID
    seller_id: UUID
    currency: str
    reason: str
    note: str | None
    asked_at: datetime
    asked_by: UUID | None
    pay_by: date | None
    state: str
    ended_at: datetime | None
    priced_on: date | None
    principal_minor: int | None
    discount_minor: int | None
    late_minor: int | None
    fee_minor: int | None
    price_minor: int | None
    entry_id: UUID | None


@dataclass(frozen=True)
class Offer:
    """An offer of a holding as other rooms see it: units [first_unit, beyond_unit) at a fixed price."""

    id: UUID
    receivable_id: UUID
    owner_id: UUID
    first_unit: int
    beyond_unit: int
    currency: str
    price_minor: int
    principal_minor: int
    to_come_minor: int
    fee_bps: int
    offered_at: datetime
    refusal_until: datetime | None
    closes_at: datetime
    state: str
    ended_at: datetime | None
    end_reason: str | None
    buyer_id: UUID | None
    fee_minor: int | None
    acknowledged: tuple[str, ...]
    entry_id: UUID | None

    @property
    def units(self) -> int:
        """How many units are offered."""
        return self.beyond_unit - self.first_unit


def collection(session: Session, receivable_id: UUID) -> Collection:
    """Return the collection of a receivable with its dues.

    Raises: NotFound when the receivable was never funded.
    """
    row = session.get(CollectionRow, receivable_id, populate_existing=True)
    if row is None:
        raise NotFound("not_found", N_("There is no such receivable."))
    dues = _dues(session, [receivable_id]).get(receivable_id, [])
    return _collection(row, dues, demanded(session, [receivable_id]).get(receivable_id, 0))


def collections(session: Session, receivable_ids: Sequence[UUID]) -> dict[UUID, Collection]:
    """Return the collections of those receivables that were funded, in three statements."""
    rows = session.scalars(select(CollectionRow).where(CollectionRow.receivable_id.in_(receivable_ids))).all()
    dues = _dues(session, [row.receivable_id for row in rows])
    asked = demanded(session, [row.receivable_id for row in rows])
    return {
        row.receivable_id: _collection(row, dues.get(row.receivable_id, []), asked.get(row.receivable_id, 0))
        for row in rows
    }


def demanded(session: Session, receivable_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return what sellers must still make good for credit notes, by receivable, where there is any."""
    made_good = exists().where(DilutionCoverRow.dilution_id == DilutionEffectRow.dilution_id)
    rows = session.execute(
        select(DilutionEffectRow.receivable_id, func.sum(DilutionEffectRow.demanded_minor))
        .where(DilutionEffectRow.receivable_id.in_(list(receivable_ids)), ~made_good)
        .group_by(DilutionEffectRow.receivable_id)
    )
    return {receivable_id: int(total) for receivable_id, total in rows if total}


def lock_collection(session: Session, receivable_id: UUID) -> CollectionRow:
    """Return the collection's row, locked until the transaction ends.

    Raises: NotFound.
    """
    row = session.scalars(
        select(CollectionRow).where(CollectionRow.receivable_id == receivable_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound("not_found", N_("There is no such receivable."))
    return row


def due_ids(session: Session, receivable_id: UUID) -> dict[tuple[str, UUID | None], UUID]:
    """Return the ids of the dues by step and party."""
    rows = session.execute(
        select(DueRow.step, DueRow.party_id, DueRow.id).where(DueRow.receivable_id == receivable_id)
    ).all()
    return {(step, party): due_id for step, party, due_id in rows}


def receipts(session: Session, receivable_id: UUID) -> list[Receipt]:
    """Return every payment that was shared out, oldest first."""
    rows = session.execute(
        select(DistributionRow, DueRow.step, DueRow.party_id, ShareRow.minor)
        .join(ShareRow, ShareRow.distribution_id == DistributionRow.id, isouter=True)
        .join(DueRow, DueRow.id == ShareRow.due_id, isouter=True)
        .where(DistributionRow.receivable_id == receivable_id)
        .order_by(DistributionRow.distributed_at, DueRow.position)
    ).all()
    grouped: dict[UUID, list[Any]] = {}
    for row in rows:
        grouped.setdefault(row[0].id, []).append(row)
    return [_receipt(group) for group in grouped.values()]


def to_age(session: Session, today: date, policy: CollectionPolicy, limit: int = 100_000) -> list[UUID]:
    """Return open collections that a step is due for and was not yet taken, oldest due date first."""
    reached = [
        (CollectionRow.due_on + first <= today) & ~exists().where(
            AgeingStepRow.receivable_id == CollectionRow.receivable_id, AgeingStepRow.step == step
        )
        for step, first in first_days(policy).items()
    ]  # fmt: skip
    return list(
        session.scalars(
            select(CollectionRow.receivable_id)
            .where(CollectionRow.closed_at.is_(None), CollectionRow.due_on - policy.reminder_days_before <= today)
            .where(or_(*reached))
            .order_by(CollectionRow.due_on, CollectionRow.receivable_id)
            .limit(limit)
        )
    )


def steps_taken(session: Session, receivable_id: UUID) -> dict[Ageing, datetime]:
    """Return which steps of collection were taken, and when."""
    rows = session.execute(
        select(AgeingStepRow.step, AgeingStepRow.taken_at)
        .where(AgeingStepRow.receivable_id == receivable_id)
        .order_by(AgeingStepRow.taken_at)
    )
    return {Ageing(step): taken_at for step, taken_at in rows}


def buy_back_of(session: Session, receivable_id: UUID) -> BuyBack | None:
    """Return the buy-back of a receivable that is demanded or was paid, if there is one."""
    row = session.scalars(
        select(BuyBackRow).where(BuyBackRow.receivable_id == receivable_id, BuyBackRow.state != "withdrawn")
        .execution_options(populate_existing=True)
    ).one_or_none()  # fmt: skip
    return _buy_back(row) if row else None


def buy_backs_of(session: Session, seller_id: UUID | None = None, limit: int = 200) -> list[BuyBack]:
    """Return a seller's buy-backs, or everybody's: those asked first, by the day to pay by, then the newest ended."""
    query = select(BuyBackRow).order_by(BuyBackRow.ended_at.desc().nulls_first(), BuyBackRow.pay_by, BuyBackRow.id)
    if seller_id is not None:
        query = query.where(BuyBackRow.seller_id == seller_id)
    return [_buy_back(row) for row in session.scalars(query.limit(limit))]


def demands_open(session: Session, seller_id: UUID | None = None) -> int:
    """Return how much is asked of a seller, or of all: buy-backs, and credit notes to make good. One statement."""
    asked, notes = select(BuyBackRow.id).where(BuyBackRow.state == "asked"), unmet_effects()
    if seller_id is not None:
        asked = asked.where(BuyBackRow.seller_id == seller_id)
        notes = notes.where(CollectionRow.seller_id == seller_id)
    counts = [select(func.count()).select_from(one.subquery()).scalar_subquery() for one in (asked, notes)]
    return int(session.scalars(select(counts[0] + counts[1])).one())


def unmet_effects() -> Select[DilutionEffectRow]:
    """Select what sellers must still make good for credit notes on receivables that they have not bought back."""
    return (
        select(DilutionEffectRow)
        .join(CollectionRow, CollectionRow.receivable_id == DilutionEffectRow.receivable_id)
        .join(DilutionCoverRow, DilutionCoverRow.dilution_id == DilutionEffectRow.dilution_id, isouter=True)
        .where(DilutionEffectRow.demanded_minor > 0, DilutionCoverRow.dilution_id.is_(None),
               CollectionRow.state != str(CollectionState.BOUGHT_BACK))
    )  # fmt: skip


def buy_back_shares(session: Session, buy_back_id: UUID) -> list[tuple[Step, UUID | None, int]]:
    """Return what a paid buy-back gave to whom, by step in the waterfall's order."""
    rows = session.execute(
        select(BuyBackShareRow.step, BuyBackShareRow.party_id, BuyBackShareRow.minor)
        .where(BuyBackShareRow.buy_back_id == buy_back_id).order_by(BuyBackShareRow.id)
    )  # fmt: skip
    return [(Step(step), party, minor) for step, party, minor in rows]


def offer(session: Session, offer_id: UUID) -> Offer:
    """Return one offer.

    Raises: NotFound.
    """
    row = session.get(HoldingOfferRow, offer_id, populate_existing=True)
    if row is None:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    return _offer(row)


def offers_of(session: Session, receivable_id: UUID, owner_id: UUID | None = None) -> list[Offer]:
    """Return the offers of a receivable's holdings, of one owner when named, newest first."""
    query = select(HoldingOfferRow).where(HoldingOfferRow.receivable_id == receivable_id)
    if owner_id is not None:
        query = query.where(HoldingOfferRow.owner_id == owner_id)
    query = query.order_by(HoldingOfferRow.offered_at.desc(), HoldingOfferRow.id)
    return [_offer(row) for row in session.scalars(query.execution_options(populate_existing=True))]


def upheld_disputes(session: Session, limit: int = 100) -> list[UUID]:
    """Return open collections with recourse whose debtor was found right in a dispute and no buy-back was asked yet."""
    rows = session.execute(
        text(
            "SELECT collection.receivable_id FROM collection JOIN lot ON lot.id = collection.lot_id "
            "WHERE collection.closed_at IS NULL AND lot.recourse IN ('full', 'limited') "
            "AND EXISTS (SELECT FROM dispute WHERE dispute.receivable_id = collection.receivable_id "
            "  AND dispute.state = 'upheld') "
            "AND NOT EXISTS (SELECT FROM buy_back WHERE buy_back.receivable_id = collection.receivable_id) "
            "ORDER BY collection.receivable_id LIMIT :limit"
        ),
        {"limit": limit},
    )
    return list(rows.scalars())


def offers_over(session: Session, now: datetime, limit: int = 100) -> list[UUID]:
    """Return open offers whose time is over, longest over first."""
    return list(session.scalars(
        select(HoldingOfferRow.id)
        .where(HoldingOfferRow.state == OfferState.OPEN, HoldingOfferRow.closes_at <= now)
        .order_by(HoldingOfferRow.closes_at, HoldingOfferRow.id).limit(limit)
    ))  # fmt: skip


def suspended(session: Session, payment_id: UUID | None = None) -> list[SuspenseItem]:
    """Return what is left in suspense, longest there first; of one payment when named."""
    return items(session, payment_id)


def decisions(session: Session, decided: bool, limit: int = 100) -> Sequence[Row[Any]]:
    """Return what two people decide about money, with their names: what waits, or what was decided; newest first."""
    return session.execute(
        text(
            "SELECT m.*, p.display_name AS proposer, d.display_name AS decider FROM money_decision m "
            "JOIN user_account p ON p.id = m.proposed_by LEFT JOIN user_account d ON d.id = m.decided_by "
            "WHERE (m.state <> 'proposed') = :decided ORDER BY coalesce(m.decided_at, m.proposed_at) DESC LIMIT :limit"
        ),
        {"decided": decided, "limit": limit},
    ).all()


def closed_through(session: Session) -> date | None:
    """Return the last day of the last closed period."""
    return session.scalar(select(func.max(ClosedPeriodRow.through_on)))


def _buy_back(row: BuyBackRow) -> BuyBack:
    return BuyBack(**{name: getattr(row, name) for name in BuyBack.__dataclass_fields__})


def _offer(row: HoldingOfferRow) -> Offer:
    plain = {name: getattr(row, name) for name in Offer.__dataclass_fields__ if hasattr(row, name)}
    units = dict(zip(("first_unit", "beyond_unit"), row.piece, strict=True))
    return Offer(**plain | units | {"acknowledged": tuple(row.acknowledged)})


def _dues(session: Session, receivable_ids: Sequence[UUID]) -> dict[UUID, list[Due]]:
    found: dict[UUID, list[Due]] = {}
    steps = {str(step): step for step in Step}
    rows = session.execute(  # a receivable may have a hundred thousand of them: columns, no row objects
        select(DueRow.receivable_id, DueRow.step, DueRow.party_id, DueRow.due_minor, DueRow.paid_minor)
        .where(DueRow.receivable_id.in_(receivable_ids))
        .order_by(DueRow.position, DueRow.id)
    ).all()
    for receivable_id, step, party, due_minor, paid_minor in rows:
        found.setdefault(receivable_id, []).append(Due(steps[step], party, due_minor, paid_minor))
    return found


def _collection(row: CollectionRow, dues: Sequence[Due], demanded_minor: int) -> Collection:
    return Collection(
        row.receivable_id, row.lot_id, row.seller_id, row.debtor_id, row.currency, row.face_minor, row.rate_bps,
        row.late_rate_bps, row.due_on, row.expected_on, row.late_charged_to, CollectionState(row.state), row.opened_at,
        row.defaulted_at, row.closed_at, tuple(dues), demanded_minor,
    )  # fmt: skip


def _receipt(group: list[Any]) -> Receipt:
    row = group[0][0]
    shares = tuple((Step(step), party, minor) for _, step, party, minor in group if step is not None)
    return Receipt(row.id, row.payment_id, row.received_minor, row.excess_minor, row.recovery,
                   row.distributed_at, shares)  # fmt: skip
