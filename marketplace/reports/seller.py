"""What a seller's pages show: invoices with what each waits for, one invoice's whole life, cost, money."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from marketplace.kernel.policy import Policy
from marketplace.ledger import queries as ledger
from marketplace.parties import queries as parties
from marketplace.parties.queries import Organisation
from marketplace.payments import queries as payments
from marketplace.rating import pricing
from marketplace.rating import queries as ratings
from marketplace.receivables import queries as receivables
from marketplace.receivables.listing import expected_day
from marketplace.receivables.queries import Receivable
from marketplace.receivables.quote import Quote, quote
from marketplace.receivables.schemas import Terms
from marketplace.receivables.walls.considering import Considered
from marketplace.servicing import queries as servicing
from marketplace.servicing.queries import Collection
from marketplace.servicing.waterfall import Step
from marketplace.trading import queries as trading
from marketplace.trading.queries import Lot
from marketplace.trading.rules import terms_of

CASH_CODES = ("seller_advance", "advance_in_transit", "seller_residual", "residual_in_transit", "seller_cash")
UNFINISHED = ("held_for_review", "awaiting_confirmation", "confirmed", "rated", "on_auction", "awarded", "funded")


@dataclass(frozen=True)
class InvoiceLine:
    """One invoice in the seller's list."""

    receivable: Receivable
    debtor: Organisation
    lot: Lot | None
    collection: Collection | None
    past_due_days: int

    @property
    def machine(self) -> tuple[str, str]:
        """Which noun's state says most: the collection's once it is funded and troubled, else the receivable's."""
        troubled = self.collection and str(self.collection.state) in ("overdue", "defaulted", "paid_in_part")
        if troubled and self.collection:
            return "collection", str(self.collection.state)
        return "receivable", self.receivable.state

    @property
    def residual_minor(self) -> int:
        """What is still to come to the seller when the debtor pays."""
        return residual_of(self.collection)


@dataclass(frozen=True)
class Figures:
    """The seller's sums in one currency."""

    currency: str
    financed_minor: int
    on_auction_minor: int
    on_auction: int
    residual_minor: int
    cash_minor: int
    waiting: int


@dataclass(frozen=True)
class Home:
    """The seller's first page."""

    lines: list[InvoiceLine]
    figures: list[Figures]
    to_decide: list[InvoiceLine]


def home(session: Session, seller_id: UUID, today: date) -> Home:
    """Return the seller's invoices, newest first, and the sums by currency."""
    listed = receivables.of_seller(session, seller_id)
    debtors = parties.organisations(session, {one.debtor_id for one in listed})
    lots = latest_lots(session, [one.id for one in listed])
    collections = servicing.collections(session, [one.id for one in listed])
    lines = [
        InvoiceLine(one, debtors[one.debtor_id], lots.get(one.id), collections.get(one.id),
                    collections[one.id].days_past_due(today) if one.id in collections else 0)
        for one in listed
    ]  # fmt: skip
    cash = cash_of(session, seller_id)
    currencies = list(dict.fromkeys([*(one.currency for one in listed), *cash]))
    figures = [_figures(currency, lines, cash.get(currency, 0)) for currency in currencies]
    to_decide = [line for line in lines if line.lot and line.lot.state == "awaiting_seller"]
    return Home(lines, figures, to_decide)


def _figures(currency: str, lines: Sequence[InvoiceLine], cash_minor: int) -> Figures:
    own = [line for line in lines if line.receivable.currency == currency]
    auction = [line.lot for line in own if line.lot and line.lot.state == "open"]
    waiting = [line for line in own if line.receivable.state in ("held_for_review", "awaiting_confirmation")]
    return Figures(
        currency=currency,
        financed_minor=sum(principal_of(line.collection) for line in own),
        on_auction_minor=sum(lot.target_minor for lot in auction),
        on_auction=len(auction),
        residual_minor=sum(line.residual_minor for line in own),
        cash_minor=cash_minor,
        waiting=len(waiting),
    )


def principal_of(collection: Collection | None) -> int:
    """Return the principal that investors have not got back yet."""
    return _outstanding(collection, Step.PRINCIPAL)


def principal_due(collection: Collection | None) -> int:
    """Return what investors paid for it, repaid or not."""
    return sum(due.due_minor for due in collection.dues if due.step == Step.PRINCIPAL) if collection else 0


def residual_of(collection: Collection | None) -> int:
    """Return the residual that is still to come."""
    return _outstanding(collection, Step.RESIDUAL)


def _outstanding(collection: Collection | None, step: Step) -> int:
    return sum(due.outstanding_minor for due in collection.dues if due.step == step) if collection else 0


def cash_of(session: Session, seller_id: UUID) -> dict[str, int]:
    """Return by currency what the market owes the seller now: arrived for it, or on its way to its bank."""
    found: dict[str, int] = {}
    for (_, currency), balance in ledger.balances(session, seller_id, CASH_CODES).items():
        found[currency] = found.get(currency, 0) + balance.posted_minor
    return {currency: minor for currency, minor in found.items() if minor}


def latest_lots(session: Session, receivable_ids: Sequence[UUID]) -> dict[UUID, Lot]:
    """Return the newest lot of each receivable that has one."""
    rows = session.execute(
        text("SELECT DISTINCT ON (receivable_id) * FROM lot WHERE receivable_id = ANY (:ids) "
             "ORDER BY receivable_id, number DESC"),
        {"ids": list(receivable_ids)},
    ).mappings()  # fmt: skip
    return {row["receivable_id"]: Lot(**{name: row[name] for name in Lot.__dataclass_fields__}) for row in rows}


# -- one invoice ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InvoicePage:
    """One invoice with everything its seller may know."""

    receivable: Receivable
    debtor: Organisation
    documents: list[receivables.Document]
    confirmations: list[Any]
    letters: list[Any]
    review: Any
    dispute: Any
    notices: list[Any]
    rating: Any
    lot: Lot | None
    cover_minor: int
    award: Any
    fills: list[Any]
    accept_quote: Quote | None
    collection: Collection | None
    past_due_days: int
    receipts: list[servicing.Receipt]
    payments: list[Any]
    payouts: list[Any]


def invoice(session: Session, receivable_id: UUID, today: date, policy: Policy) -> InvoicePage:
    """Return one invoice.

    Raises: NotFound.
    """
    found = receivables.receivable(session, receivable_id)
    lot = trading.lot_of(session, found.id)
    closed = lot is not None and lot.state != "open"
    award = trading.award(session, lot.id) if lot and closed else None
    collection = servicing.collections(session, [found.id]).get(found.id)
    payouts = [*payments.payouts_about(session, found.id), *(payments.payouts_about(session, lot.id) if lot else [])]
    return InvoicePage(
        receivable=found,
        debtor=parties.organisation(session, found.debtor_id),
        documents=receivables.documents(session, found.id),
        confirmations=receivables.confirmations(session, found.id),
        letters=receivables.outgoing_mail(session, found.id),
        review=receivables.open_review(session, found.id),
        dispute=receivables.open_dispute(session, found.id),
        notices=receivables.notices(session, found.id),
        rating=ratings.receivable_rating(session, found.id),
        lot=lot,
        cover_minor=trading.cover_minor(session, [lot.id]).get(lot.id, 0) if lot and lot.state == "open" else 0,
        award=award,
        fills=trading.fills(session, lot.id) if lot and closed else [],
        accept_quote=_awarded(lot, award) if lot and award else None,
        collection=collection,
        past_due_days=collection.days_past_due(today) if collection else 0,
        receipts=servicing.receipts(session, found.id) if collection else [],
        payments=payments.payments_of(session, found.id),
        payouts=payouts,
    )


def _awarded(lot: Lot, award: Any) -> Quote | None:
    """Return the award in money: what comes now, what it costs, what comes later."""
    if not award.awarded_minor:
        return None
    fee = lot.face_minor * lot.fee_bps // 10_000
    later = max(lot.face_minor - award.awarded_minor - award.discount_minor - fee, 0)
    return Quote(lot.face_minor, award.awarded_minor, award.discount_minor, fee, later, award.stop_out_bps or 0,
                 lot.tenor_days)  # fmt: skip


# -- cost of a draft ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """A draft's cost at a rate, and where the rate comes from. Grades are None where nobody is rated yet."""

    quote: Quote
    indicative: bool
    indicative_bps: int
    debtor_grade: str | None
    seller_grade: str | None
    funded_on: date
    expected_on: date


def cost_of(session: Session, considered: Considered, terms: Terms, today: date, policy: Policy) -> Cost | None:
    """Return what the draft would bring now and later: at the indicative rate, or at a stated example's.

    It seeks what its lot will seek. Nobody may bid above the reserve: where that is the lower rate, it is quoted.
    None while amount or due date is missing or has passed.
    """
    facts = considered.facts
    if not facts.face_minor or facts.face_minor <= 0 or facts.due_on is None or facts.currency is None:
        return None
    country = considered.debtor.country if considered.debtor else facts.debtor_country or policy.country
    funded_on = today + timedelta(days=max(1, policy.auction.open_minutes // 1_440))
    expected_on = expected_day(facts.due_on, policy, country)
    days = (expected_on - funded_on).days
    if days < 1:
        return None
    debtor = ratings.party_rating(session, considered.debtor.id) if considered.debtor else None
    seller = ratings.party_rating(session, considered.seller.id)
    known = debtor.pd_ppm if debtor else None
    priced = pricing.price(known or policy.rating.pd_prior_ppm, seller.pd_ppm if seller else None, days, policy.rating)
    sought = terms_of(policy, facts.face_minor, terms.deal_type, priced.advance_bps, priced.indicative_bps,
                      terms.reserve_bps, funded_on, expected_on)  # fmt: skip
    made = quote(facts.face_minor, sought.target_minor, min(priced.indicative_bps, sought.reserve_bps), days,
                 policy.fees.platform_bps)  # fmt: skip
    return Cost(made, known is not None, priced.indicative_bps, debtor.grade if debtor else None,
                seller.grade if seller else None, funded_on, expected_on)  # fmt: skip


# -- money ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MoneyLine:
    """One sum on its way to the seller's bank, or arrived."""

    payout: payments.Payout
    receivable: Receivable | None


@dataclass(frozen=True)
class MoneyPage:
    """What was paid, what is on its way, what is still to come."""

    lines: list[MoneyLine]
    residuals: list[InvoiceLine]
    paid: dict[str, int]
    on_its_way: dict[str, int]
    to_come: dict[str, int]
    iban: str | None


def money(session: Session, seller_id: UUID, today: date) -> MoneyPage:
    """Return the seller's payouts, newest first, and the residuals still to come."""
    paid_out = payments.payouts_of(session, seller_id)
    about = _receivables_of(session, [one.subject_id for one in paid_out])
    lines = [MoneyLine(one, about.get(one.subject_id)) for one in paid_out]
    residuals = [line for line in home(session, seller_id, today).lines if line.residual_minor]
    return MoneyPage(
        lines=lines,
        residuals=residuals,
        paid=_sums(one for one in paid_out if str(one.state) == "paid"),
        on_its_way=cash_of(session, seller_id),
        to_come=_add((line.receivable.currency, line.residual_minor) for line in residuals),
        iban=parties.organisation(session, seller_id).iban,
    )


def _receivables_of(session: Session, subject_ids: Sequence[UUID]) -> dict[UUID, Receivable]:
    """Return the receivable behind each payout's subject: a lot, a receivable, or a distribution."""
    rows = session.execute(
        text("SELECT id AS subject, receivable_id FROM lot WHERE id = ANY (:ids) UNION ALL "
             "SELECT id, receivable_id FROM distribution WHERE id = ANY (:ids) UNION ALL "
             "SELECT id, id FROM receivable WHERE id = ANY (:ids)"),
        {"ids": list(subject_ids)},
    ).all()  # fmt: skip
    found = receivables.receivables(session, [row.receivable_id for row in rows])
    return {row.subject: found[row.receivable_id] for row in rows if row.receivable_id in found}


def _sums(paid_out: Any) -> dict[str, int]:
    return _add((one.currency, one.amount_minor) for one in paid_out)


def _add(pairs: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for currency, minor in pairs:
        found[currency] = found.get(currency, 0) + minor
    return found


def waiting_decisions(session: Session, seller_id: UUID, now: datetime) -> int:
    """Return how many awards wait for this seller's word."""
    return int(
        session.execute(
            text(
                "SELECT count(*) FROM lot WHERE seller_id = :seller AND state = 'awaiting_seller' AND decide_by > :now"
            ),
            {"seller": seller_id, "now": now},
        ).scalar_one()
    )
