"""Compute past ratings again from what was kept beside them: ratios, level, rates, model's version, price's inputs.

What the model said is compared for every rating. What payment record, lateness of accounts and grade bounds made of it
hangs on policy too: that is compared where the rating's policy is the one in force. A grade that people changed is
compared in what the model said.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from marketplace.kernel.errors import IntegrityBreach
from marketplace.kernel.policy import Policy, Rating
from marketplace.rating.grades import grade_of
from marketplace.rating.model import challenger_ppm, pd_ppm
from marketplace.rating.pricing import price
from marketplace.rating.queries import as_record
from marketplace.rating.ratios import Sight
from marketplace.rating.rules import pd_of_all
from marketplace.rating.serving import model_of
from marketplace.rating.tables import PartyRatingRow, PaymentRecordRow, ReceivableRatingRow

CHUNK = 1_000
PRICED = ("tenor_days", "pd_tenor_ppm", "expected_loss_ppm", "expected_loss_recourse_ppm", "indicative_bps",
          "advance_bps")  # fmt: skip


@dataclass(frozen=True)
class Again:
    """One rating beside itself: `kind` party or receivable; `differs` names what came out otherwise; `why` if nothing
    could be computed. `whole`: policy's part was compared too.
    """

    kind: str
    rating_id: UUID
    model_version: str
    whole: bool
    kept: Mapping[str, object]
    again: Mapping[str, object]
    why: str | None = None

    @property
    def differs(self) -> tuple[str, ...]:
        """The names of the figures that are not what was kept."""
        return tuple(name for name, value in self.again.items() if value != self.kept[name])

    @property
    def same(self) -> bool:
        """Whether everything that was computed is what was kept."""
        return self.why is None and not self.differs


def recompute(session: Session, policy: Policy) -> Iterator[Again]:
    """Yield every rating of a party, then of a receivable, oldest first, each computed again."""
    rows = session.execute(
        select(PartyRatingRow, PaymentRecordRow)
        .outerjoin(PaymentRecordRow, PaymentRecordRow.id == PartyRatingRow.payment_record_id)
        .order_by(PartyRatingRow.rated_at, PartyRatingRow.id)
        .execution_options(yield_per=CHUNK)
    )
    for row, record in rows:
        yield _party(session, row, record, policy)
    priced = session.execute(
        select(ReceivableRatingRow).order_by(ReceivableRatingRow.rated_at, ReceivableRatingRow.id)
        .execution_options(yield_per=CHUNK)
    ).scalars()  # fmt: skip
    for one in priced:
        yield _receivable(session, one, policy.rating)


def _party(session: Session, row: PartyRatingRow, record: PaymentRecordRow | None, policy: Policy) -> Again:
    whole = row.policy_version == policy.version and row.override_id is None
    kept: dict[str, object] = {"model_pd_ppm": row.model_pd_ppm, "challenger_ppm": row.challenger_ppm,
                               "pd_ppm": row.pd_ppm, "grade": row.grade}  # fmt: skip
    sight = Sight(row.level, {name: float(value) for name, value in row.ratios.items()})
    try:
        model = model_of(session, row.model_version)
    except IntegrityBreach as missing:
        return Again("party", row.id, row.model_version, whole, kept, {}, missing.said())
    of_accounts = pd_ppm(model, sight, row.prior_ppm, row.floor_ppm)
    again: dict[str, object] = {"challenger_ppm": challenger_ppm(model, sight, row.prior_ppm, row.floor_ppm)}
    # Ratings of the first days kept one PD only.
    again["pd_ppm" if row.model_pd_ppm is None else "model_pd_ppm"] = of_accounts
    if whole and row.model_pd_ppm is not None:
        pd = pd_of_all(of_accounts, row.overdue, as_record(record), policy.rating)
        again |= {"pd_ppm": pd, "grade": grade_of(pd, policy.rating.grade_bounds_ppm)}
    return Again("party", row.id, row.model_version, whole, kept, again)


def _receivable(session: Session, row: ReceivableRatingRow, now: Rating) -> Again:
    kept: dict[str, object] = {name: getattr(row, name) for name in PRICED}
    then: Mapping[str, Any] = row.inputs.get("policy", {})
    if not then:
        return Again("receivable", row.id, row.model_version, False, kept, {}, "its inputs were not kept")
    policy = replace(now, **{name: value for name, value in then.items() if name in now.__dataclass_fields__})
    ids = [row.debtor_rating_id, *([row.seller_rating_id] if row.seller_rating_id else [])]
    pds = {
        one.id: one.pd_ppm
        for one in session.execute(select(PartyRatingRow.id, PartyRatingRow.pd_ppm).where(PartyRatingRow.id.in_(ids)))
    }
    counted = row.seller_rating_id if row.inputs.get("recourse") != "none" else None
    priced = price(pds[row.debtor_rating_id], pds[counted] if counted else None, row.tenor_days, policy)
    found = asdict(priced)
    return Again("receivable", row.id, row.model_version, True, kept, {name: found[name] for name in PRICED})
