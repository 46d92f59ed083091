"""Reading accounts and ratings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, undefer

from marketplace.kernel.errors import NotFound, Problem
from marketplace.kernel.policy import Policy
from marketplace.kernel.words import N_
from marketplace.rating.behaviour import PaymentRecord
from marketplace.rating.explain import Reason
from marketplace.rating.register.queries import insolvent_ids
from marketplace.rating.rules import OBSTACLES
from marketplace.rating.tables import (
    FilingRow,
    PartyRatingRow,
    PaymentRecordRow,
    RatingObstacleRow,
    ReceivableRatingRow,
)
from marketplace.receivables import queries as receivables


@dataclass(frozen=True)
class FiledAccounts:
    """A filing without its bytes. `read` is the JSON of `Filing`; `filed_by_role` says who handed it in."""

    id: UUID
    organisation_id: UUID
    filename: str
    sha256: str
    company_number: str | None
    company_name: str | None
    period_end: date
    prior_period_end: date | None
    dormant: bool
    read: Mapping[str, Any]
    faults: tuple[Problem, ...]
    attested_reason: str | None
    filed_by_role: str
    filed_at: datetime


@dataclass(frozen=True)
class RatedFiling:
    """The filing a rating comes from: what to show beside a grade."""

    id: UUID
    period_end: date
    sha256: str
    level: str
    faults: tuple[Problem, ...]
    filed_by_role: str
    filed_at: datetime


@dataclass(frozen=True)
class PartyRating:
    """A party's rating. Not rated: grade, PD, filing and version are None and `unrated_reason` says why, in words."""

    organisation_id: UUID
    grade: str | None
    pd_ppm: int | None
    reasons: tuple[Reason, ...]
    filing: RatedFiling | None
    missing: tuple[str, ...]
    model_version: str | None
    rated_at: datetime | None = None
    challenger_ppm: int | None = None
    z_milli: int | None = None
    id: UUID | None = None
    unrated_reason: str | None = None
    level: str | None = None
    ratios: Mapping[str, str] = field(default_factory=dict)
    model_pd_ppm: int | None = None
    overdue: bool = False
    payment_record_id: UUID | None = None
    override_id: UUID | None = None


@dataclass(frozen=True)
class ReceivableRating:
    """A receivable's figures: PD and losses over the tenor in ppm, rate and advance in bp."""

    receivable_id: UUID
    debtor: PartyRating
    seller: PartyRating
    tenor_days: int
    pd_tenor_ppm: int
    expected_loss_ppm: int
    expected_loss_recourse_ppm: int
    indicative_bps: int
    advance_bps: int
    inputs: Mapping[str, Any]
    model_version: str
    policy_version: str
    rated_at: datetime


@dataclass(frozen=True)
class Unrated:
    """A confirmed receivable that cannot be rated: whose accounts are missing, why (code and words), since when."""

    receivable_id: UUID
    ref: str
    organisation_id: UUID
    reason: str
    words: str
    since: datetime


def receivable_rating(session: Session, receivable_id: UUID) -> ReceivableRating | None:
    """Return the newest rating of a receivable, or None."""
    return receivable_ratings(session, [receivable_id]).get(receivable_id)


def receivable_ratings(session: Session, ids: Sequence[UUID]) -> dict[UUID, ReceivableRating]:
    """Return the newest rating of each receivable that has one."""
    rows = session.scalars(
        select(ReceivableRatingRow)
        .ext(distinct_on(ReceivableRatingRow.receivable_id))
        .where(ReceivableRatingRow.receivable_id.in_(list(ids)))
        .order_by(ReceivableRatingRow.receivable_id, ReceivableRatingRow.rated_at.desc(), ReceivableRatingRow.id)
    ).all()
    parts = [part for row in rows for part in (row.debtor_rating_id, row.seller_rating_id) if part]
    parties = _parties(session, parts)
    return {row.receivable_id: _receivable_rating(row, parties) for row in rows}


def party_rating(session: Session, organisation_id: UUID) -> PartyRating | None:
    """Return the newest rating of an organisation, or None when it was never rated."""
    return party_ratings(session, [organisation_id]).get(organisation_id)


def party_ratings(session: Session, ids: Sequence[UUID]) -> dict[UUID, PartyRating]:
    """Return the newest rating of each organisation that has one."""
    newest = session.execute(
        select(PartyRatingRow.organisation_id, PartyRatingRow.id)
        .ext(distinct_on(PartyRatingRow.organisation_id))
        .where(PartyRatingRow.organisation_id.in_(list(ids)))
        .order_by(PartyRatingRow.organisation_id, PartyRatingRow.rated_at.desc(), PartyRatingRow.id.desc())
    ).all()
    parties = _parties(session, [row.id for row in newest])
    return {row.organisation_id: parties[row.id] for row in newest}


def rating_history(session: Session, organisation_id: UUID, limit: int = 20) -> list[PartyRating]:
    """Return an organisation's ratings, newest first."""
    ids = session.scalars(
        select(PartyRatingRow.id)
        .where(PartyRatingRow.organisation_id == organisation_id)
        .order_by(PartyRatingRow.rated_at.desc(), PartyRatingRow.id.desc())
        .limit(limit)
    ).all()
    parties = _parties(session, ids)
    return [parties[found] for found in ids]


def filings(session: Session, organisation_id: UUID, limit: int = 20) -> list[FiledAccounts]:
    """Return an organisation's accounts on file, the newest balance sheet first, of one date the last handed in."""
    rows = session.scalars(
        select(FilingRow)
        .where(FilingRow.organisation_id == organisation_id)
        .order_by(FilingRow.period_end.desc(), FilingRow.filed_at.desc(), FilingRow.id)
        .limit(limit)
    )
    return [_filing(row) for row in rows]


def newest_filing(session: Session, organisation_id: UUID) -> FiledAccounts | None:
    """Return the accounts an organisation is rated from, or None."""
    return next(iter(filings(session, organisation_id, 1)), None)


def filing_content(session: Session, filing_id: UUID) -> bytes:
    """Return the bytes of a filing as they were handed in.

    Raises: NotFound("not_found").
    """
    row = session.get(FilingRow, filing_id, options=[undefer(FilingRow.content)])
    if row is None:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    return row.content


def unrated(session: Session, limit: int = 100) -> list[Unrated]:
    """Return confirmed receivables that cannot be rated yet, the longest waiting first."""
    confirmed = {found.id: found for found in receivables.in_state(session, "confirmed", 10_000)}
    rows = _obstacles(session, list(confirmed))
    found = [
        Unrated(row.receivable_id, confirmed[row.receivable_id].ref, row.organisation_id, row.reason,
                OBSTACLES[row.reason], row.met_at)
        for row in rows.values()
    ]  # fmt: skip
    return sorted(found, key=lambda item: (item.since, item.ref))[:limit]


def to_rate(session: Session, limit: int = 100) -> list[UUID]:
    """Return confirmed receivables worth trying: not those whose debtor has filed nothing since the last try."""
    confirmed = receivables.in_state(session, "confirmed", 10_000)
    stuck = _obstacles(session, [found.id for found in confirmed])
    filed = {
        row.organisation_id: row.at
        for row in session.execute(
            select(FilingRow.organisation_id, func.max(FilingRow.filed_at).label("at"))
            .where(FilingRow.organisation_id.in_({row.organisation_id for row in stuck.values()}))
            .group_by(FilingRow.organisation_id)
        )
    }

    def worth(receivable_id: UUID) -> bool:
        last = stuck.get(receivable_id)
        return last is None or (last.organisation_id in filed and filed[last.organisation_id] > last.met_at)

    return [found.id for found in confirmed if worth(found.id)][:limit]


def parties_to_rate(session: Session, limit: int = 100) -> list[UUID]:
    """Return organisations whose newest accounts are usable and were never rated: who files soon sees a grade."""
    newest = (
        select(FilingRow.organisation_id, FilingRow.id, FilingRow.filed_at, FilingRow.faults)
        .ext(distinct_on(FilingRow.organisation_id))
        .order_by(FilingRow.organisation_id, FilingRow.period_end.desc(), FilingRow.filed_at.desc(), FilingRow.id)
    ).subquery()
    tried = select(PartyRatingRow.id).where(PartyRatingRow.filing_id == newest.c.id).exists()
    unusable = [newest.c.faults.contains([{"rule": rule}]) for rule in ("stale", "thin")]
    solvent = newest.c.organisation_id.not_in(insolvent_ids())
    query = select(newest.c.organisation_id).where(~tried, *[~fault for fault in unusable], solvent)
    return list(session.scalars(query.order_by(newest.c.filed_at).limit(limit)))


def rating_of(
    session: Session, organisation_id: UUID, filing_id: UUID, record_id: UUID | None, overdue: bool,
    versions: tuple[str, str],
) -> PartyRatingRow | None:  # fmt: skip
    """Return a party's newest rating if it was made from this filing and record under these versions of model and
    policy. An older one like it does not count: what came between would stand as the newest.
    """
    newest = session.scalars(
        select(PartyRatingRow)
        .where(PartyRatingRow.organisation_id == organisation_id)
        .order_by(PartyRatingRow.rated_at.desc(), PartyRatingRow.id.desc())
        .limit(1)
    ).one_or_none()
    wanted = (filing_id, record_id, overdue, *versions)
    if newest is None or wanted != (newest.filing_id, newest.payment_record_id, newest.overdue, newest.model_version,
                                    newest.policy_version):  # fmt: skip
        return None
    return newest


def newest_record(session: Session, organisation_id: UUID) -> PaymentRecordRow | None:
    """Return how a debtor has paid, as counted last; None when nothing was ever counted."""
    return session.scalars(
        select(PaymentRecordRow)
        .where(PaymentRecordRow.organisation_id == organisation_id)
        .order_by(PaymentRecordRow.noted_at.desc(), PaymentRecordRow.id.desc())
        .limit(1)
    ).one_or_none()


def as_record(row: PaymentRecordRow | None) -> PaymentRecord:
    """Return the record of a row; of none, that of a debtor of whom nothing is known."""
    return PaymentRecord(*(getattr(row, one.name) for one in fields(PaymentRecord))) if row else PaymentRecord()


def parties_to_rerate(session: Session, model_version: str, policy: Policy, limit: int = 200) -> list[UUID]:
    """Return solvent rated parties whose newest rating is of another model or policy, or was made when their accounts
    were not overdue and are now, or the other way round; the oldest rating first. Too old accounts rate nobody.
    """
    rows = session.execute(
        text("""
            SELECT newest.organisation_id
            FROM (SELECT DISTINCT ON (organisation_id) * FROM party_rating
                  ORDER BY organisation_id, rated_at DESC, id DESC) AS newest
            JOIN filing ON filing.id = newest.filing_id
            LEFT JOIN (SELECT DISTINCT ON (organisation_id) organisation_id, accounts_overdue, accounts_made_up_to,
                              insolvent
                       FROM register_answer ORDER BY organisation_id, asked_at DESC, id DESC) AS said
              ON said.organisation_id = newest.organisation_id
            CROSS JOIN (SELECT (market_now() AT TIME ZONE :zone)::date AS today) AS clock
            WHERE NOT coalesce(said.insolvent, false)
              AND clock.today <= filing.period_end + make_interval(months => :most)
              AND (newest.model_version <> :model OR newest.policy_version <> :policy
                   OR newest.overdue <> (clock.today > filing.period_end + make_interval(months => :due)
                                         OR coalesce(said.accounts_overdue, false)
                                            AND filing.period_end <= coalesce(said.accounts_made_up_to, 'infinity')))
            ORDER BY newest.rated_at, newest.organisation_id LIMIT :limit"""),
        {"zone": policy.zone, "most": policy.rating.filing_months_max, "due": policy.rating.accounts_due_months,
         "model": model_version, "policy": policy.version, "limit": limit},
    )  # fmt: skip
    return list(rows.scalars())


def _obstacles(session: Session, ids: Sequence[UUID]) -> dict[UUID, RatingObstacleRow]:
    rows = session.scalars(
        select(RatingObstacleRow)
        .ext(distinct_on(RatingObstacleRow.receivable_id))
        .where(RatingObstacleRow.receivable_id.in_(ids))
        .order_by(RatingObstacleRow.receivable_id, RatingObstacleRow.met_at.desc())
    )
    return {row.receivable_id: row for row in rows}


def _parties(session: Session, ids: Sequence[UUID]) -> dict[UUID, PartyRating]:
    rows = session.execute(
        select(PartyRatingRow, FilingRow)
        .join(FilingRow, FilingRow.id == PartyRatingRow.filing_id)
        .where(PartyRatingRow.id.in_(list(ids)))
    )
    return {row.PartyRatingRow.id: as_party_rating(row.PartyRatingRow, _filing(row.FilingRow)) for row in rows}


def as_party_rating(row: PartyRatingRow, filed: FiledAccounts) -> PartyRating:
    """Return a rating with the filing it comes from."""
    return PartyRating(
        organisation_id=row.organisation_id,
        grade=row.grade,
        pd_ppm=row.pd_ppm,
        reasons=tuple(Reason(**reason) for reason in row.reasons),
        filing=RatedFiling(filed.id, filed.period_end, filed.sha256, row.level, filed.faults, filed.filed_by_role,
                           filed.filed_at),
        missing=tuple(row.missing),
        model_version=row.model_version,
        rated_at=row.rated_at,
        challenger_ppm=row.challenger_ppm,
        z_milli=row.z_milli,
        id=row.id,
        level=row.level,
        ratios=row.ratios,
        model_pd_ppm=row.model_pd_ppm,
        overdue=row.overdue,
        payment_record_id=row.payment_record_id,
        override_id=row.override_id,
    )  # fmt: skip


def _receivable_rating(row: ReceivableRatingRow, parties: Mapping[UUID, PartyRating]) -> ReceivableRating:
    seller = parties[row.seller_rating_id] if row.seller_rating_id else unrated_party(row.seller_id, row.inputs)
    return ReceivableRating(
        receivable_id=row.receivable_id,
        debtor=parties[row.debtor_rating_id],
        seller=seller,
        tenor_days=row.tenor_days,
        pd_tenor_ppm=row.pd_tenor_ppm,
        expected_loss_ppm=row.expected_loss_ppm,
        expected_loss_recourse_ppm=row.expected_loss_recourse_ppm,
        indicative_bps=row.indicative_bps,
        advance_bps=row.advance_bps,
        inputs=row.inputs,
        model_version=row.model_version,
        policy_version=row.policy_version,
        rated_at=row.rated_at,
    )


def unrated_party(organisation_id: UUID, inputs: Mapping[str, Any]) -> PartyRating:
    """Return the rating of a party that has none, with the reason in words."""
    words = OBSTACLES.get(inputs.get("seller_obstacle", ""), OBSTACLES["no_accounts"])
    return PartyRating(organisation_id, None, None, (), None, (), None, unrated_reason=words)


def _filing(row: FilingRow) -> FiledAccounts:
    plain = {name: getattr(row, name) for name in FiledAccounts.__dataclass_fields__ if name != "faults"}
    return FiledAccounts(**plain, faults=tuple(Problem(**fault) for fault in row.faults))
