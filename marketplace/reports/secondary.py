"""Holdings that change hands: what is on offer, one holding with all that happened to it, the chain of title."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from marketplace.rating.grades import GRADES
from marketplace.servicing.offer_rules import flags_of
from marketplace.title import queries as title
from marketplace.title.rules import Holding, instants

PAGE = 50
SORTS = {
    "price": "price_minor", "days": "days_left", "yield": "yield_bps", "closes": "closes_at",
    "grade": "array_position(CAST(:grades AS text[]), grade)", "debtor": "lower(debtor_name)",
}  # fmt: skip

OFFERS = """
    SELECT offer.id, offer.receivable_id, receivable.ref, collection.lot_id, debtor.legal_name AS debtor_name,
           debtor.sector, seller.legal_name AS seller_name, offer.owner_id, offer.currency, collection.face_minor,
           upper(offer.units) - lower(offer.units) AS units, offer.price_minor, offer.principal_minor,
           offer.to_come_minor, offer.refusal_until, offer.offered_at, offer.closes_at, offer.state,
           collection.due_on, collection.expected_on, collection.state AS collection_state, lot.recourse,
           lot.debtor_grade, coalesce(rated.grade, lot.debtor_grade) AS grade, lot.expected_loss_ppm,
           CASE WHEN rated.grade <> lot.debtor_grade THEN rated.pd_ppm END AS moved_ppm, lot.tenor_days,
           greatest(collection.expected_on - CAST(:today AS date), 0) AS days_left,
           greatest(CAST(:today AS date) - collection.due_on, 0) AS days_past_due,
           CASE WHEN collection.expected_on > CAST(:today AS date)
                THEN CAST(div(CAST(offer.to_come_minor - offer.price_minor AS numeric) * 3650000,
                              offer.price_minor * (collection.expected_on - CAST(:today AS date))) AS bigint)
                END AS yield_bps,
           EXISTS (SELECT FROM dispute WHERE dispute.receivable_id = offer.receivable_id AND dispute.state = 'open')
               AS disputed,
           EXISTS (SELECT FROM holding WHERE holding.receivable_id = offer.receivable_id
                   AND holding.owner_id = :investor_id AND upper_inf(holding.held_during)) AS mine_too,
           CAST(:group_id AS uuid) = ANY (lot.related_groups) AS related
    FROM holding_offer AS offer
    JOIN collection ON collection.receivable_id = offer.receivable_id
    JOIN receivable ON receivable.id = offer.receivable_id
    JOIN lot ON lot.id = collection.lot_id
    JOIN organisation AS debtor ON debtor.id = collection.debtor_id
    JOIN organisation AS seller ON seller.id = collection.seller_id
    LEFT JOIN LATERAL (SELECT grade, pd_ppm FROM party_rating WHERE organisation_id = collection.debtor_id
                       ORDER BY rated_at DESC LIMIT 1) AS rated ON true
"""

OPEN = f"""
    FROM ({OFFERS} WHERE offer.state = 'open' AND offer.closes_at > :now) AS line
    WHERE (:currency = '' OR currency = :currency)
      AND (:grade = '' OR array_position(CAST(:grades AS text[]), grade)
                          <= array_position(CAST(:grades AS text[]), :grade))
      AND (CAST(:days AS int) IS NULL OR days_left <= :days)
      AND (CAST(:least AS int) IS NULL OR coalesce(yield_bps, 0) >= :least)
      AND NOT (:sound AND (days_past_due > 0 OR disputed OR collection_state IN ('defaulted', 'recovered')))
"""  # the flags of servicing.offer_rules.flags_of


@dataclass(frozen=True)
class OfferLine:
    """An offer as a list shows it. `yield_bps` is None when no day is left to run."""

    id: UUID
    receivable_id: UUID
    ref: str
    lot_id: UUID
    debtor_name: str
    sector: str | None
    seller_name: str
    owner_id: UUID
    currency: str
    face_minor: int
    units: int
    price_minor: int
    principal_minor: int
    to_come_minor: int
    refusal_until: datetime | None
    offered_at: datetime
    closes_at: datetime
    state: str
    due_on: date
    expected_on: date
    collection_state: str
    recourse: str
    debtor_grade: str
    grade: str
    expected_loss_ppm: int
    moved_ppm: int | None
    tenor_days: int
    disputed: bool
    mine_too: bool
    related: bool
    days_left: int
    days_past_due: int
    yield_bps: int | None
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """What a list of offers is filtered and sorted by; empty means no filter. A grade means this one or better."""

    currency: str = ""
    grade: str = ""
    days: int | None = None
    least_yield_bps: int | None = None
    sound: bool = False
    sort: str = "closes"
    page: int = 1


@dataclass(frozen=True)
class Offers:
    """One page of the offers that are asked for, and how many there are."""

    lines: Sequence[OfferLine]
    total: int
    page: int

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(1, -(-self.total // PAGE))


def offers(session: Session, investor_id: UUID, group_id: UUID, now: datetime, today: date, wanted: Wanted) -> Offers:
    """Return a page of the open offers that are asked for, soonest over first unless sorted otherwise."""
    asked = {"investor_id": investor_id, "group_id": group_id, "now": now, "today": today, "grades": list(GRADES),
             "currency": wanted.currency, "grade": wanted.grade if wanted.grade in GRADES else "",
             "days": wanted.days, "least": wanted.least_yield_bps, "sound": wanted.sound}  # fmt: skip
    total = session.execute(text(f"SELECT count(*) {OPEN}"), asked).scalar_one()
    page = min(max(wanted.page, 1), max(1, -(-total // PAGE)))
    column, down = SORTS.get(wanted.sort.removeprefix("-"), "closes_at"), wanted.sort.startswith("-")
    rows = session.execute(
        text(f"SELECT line.* {OPEN} ORDER BY {column} {'DESC' if down else 'ASC'} NULLS LAST, closes_at, id "
             "LIMIT :most OFFSET :skipped"),
        asked | {"most": PAGE, "skipped": (page - 1) * PAGE},
    )  # fmt: skip
    return Offers([_line(row) for row in rows.mappings()], total, page)


def offer(session: Session, offer_id: UUID, investor_id: UUID, group_id: UUID, today: date) -> OfferLine | None:
    """Return one offer, whatever its state; None when there is none."""
    row = session.execute(
        text(f"{OFFERS} WHERE offer.id = :id"),
        {"investor_id": investor_id, "group_id": group_id, "id": offer_id, "today": today},
    ).mappings().one_or_none()  # fmt: skip
    return _line(row) if row else None


def _line(row: RowMapping) -> OfferLine:
    return OfferLine(**row, flags=tuple(flags_of(row["days_past_due"], row["collection_state"], row["disputed"])))


@dataclass(frozen=True)
class CashLine:
    """One movement of an investor's cash because of a receivable: `minor` > 0 came in."""

    at: datetime
    kind: str
    minor: int


def cash_lines(session: Session, investor_id: UUID, receivable_id: UUID) -> list[CashLine]:
    """Return what an investor paid for a receivable and got from it, oldest first."""
    rows = session.execute(
        text(
            "SELECT entry.posted_at AS at, entry.kind, (posting.minor * posting.side)::bigint AS minor FROM entry "
            "JOIN posting ON posting.entry_id = entry.id JOIN account ON account.id = posting.account_id "
            "WHERE entry.subject_id = :receivable_id AND account.organisation_id = :investor_id "
            "AND account.code = 'investor_cash' ORDER BY entry.posted_at, entry.id"
        ),
        {"investor_id": investor_id, "receivable_id": receivable_id},
    )
    return [CashLine(row.at, row.kind, row.minor) for row in rows]


def ever_held(session: Session, investor_id: UUID, receivable_id: UUID) -> bool:
    """Say whether an organisation owns part of a receivable, or ever did."""
    return any(one.owner_id == investor_id for one in title.chain(session, receivable_id))


@dataclass(frozen=True)
class Bar:
    """A holding as the drawing of a chain shows it: a rectangle of time across and units down, in parts of 1,000."""

    holding: Holding
    name: str
    x: int
    y: int
    width: int
    height: int
    tone: int


@dataclass(frozen=True)
class Chain:
    """Everything that ever happened to a title, as lines, as bars and as what was held at an instant."""

    face_minor: int
    holdings: Sequence[Holding]
    names: dict[UUID, str]
    bars: Sequence[Bar]
    moves: Sequence[datetime]
    at: datetime
    held_then: Sequence[Holding]
    left: Sequence[tuple[datetime, str, bool]]


def chain(session: Session, receivable_id: UUID, at: datetime, now: datetime) -> Chain:
    """Return the chain of title of a receivable and who held what at an instant."""
    holdings = title.chain(session, receivable_id)
    face = max((one.beyond_unit for one in holdings), default=0)
    owners = list(dict.fromkeys(one.owner_id for one in holdings))  # as they appear, in the key as in the drawing
    names = _names(session, owners)
    moves = instants(holdings)
    edges = [*moves, max(now, moves[-1])] if moves else [now]
    tones = {owner: place % 4 + 1 for place, owner in enumerate(owners)}
    bars = [_bar(one, edges, face, names[one.owner_id], tones[one.owner_id]) for one in holdings]
    held_then = title.owners_at(session, receivable_id, at)
    return Chain(face, holdings, names, bars, moves, at, held_then, title.tombstones(session, receivable_id))


def _bar(one: Holding, edges: Sequence[datetime], face: int, name: str, tone: int) -> Bar:
    """Place a holding: every stretch between two moves is equally wide, for moves are what a chain is about."""
    steps = max(len(edges) - 1, 1)
    first = edges.index(one.since)
    beyond = edges.index(one.until) if one.until is not None else steps
    y, end = one.first_unit * 1_000 // face, one.beyond_unit * 1_000 // face
    x = first * 1_000 // steps
    return Bar(one, name, x, y, beyond * 1_000 // steps - x, max(end - y, 1), tone)


def _names(session: Session, ids: Sequence[UUID]) -> dict[UUID, str]:
    rows = session.execute(text("SELECT id, legal_name FROM organisation WHERE id = ANY (:ids)"), {"ids": list(ids)})
    known = {row.id: row.legal_name for row in rows}
    return {one: known.get(one, str(one)) for one in ids}
