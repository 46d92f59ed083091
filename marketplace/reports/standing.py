"""How parties stand: their newest grade, the accounts it comes from, and what the model card says of the model."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from marketplace.rating.serving import serving_card


def parties(session: Session, kind: str | None = None, limit: int = 500) -> Sequence[Row[Any]]:
    """Return sellers and debtors with newest rating and filing, the riskiest first, those without a grade last."""
    return session.execute(
        text(
            "SELECT o.id, o.kind, o.legal_name, o.country, o.legal_id, r.grade, r.pd_ppm, r.challenger_ppm, r.level, "
            "r.missing, r.model_version, r.rated_at, coalesce(rated.period_end, newest.period_end) AS period_end, "
            "newest.filed_at, newest.filed_by_role, newest.attested_reason "
            "FROM organisation o "
            "LEFT JOIN LATERAL (SELECT * FROM party_rating p WHERE p.organisation_id = o.id "
            "ORDER BY p.rated_at DESC, p.id LIMIT 1) AS r ON true "
            "LEFT JOIN filing rated ON rated.id = r.filing_id "
            "LEFT JOIN LATERAL (SELECT period_end, filed_at, filed_by_role, attested_reason FROM filing f "
            "WHERE f.organisation_id = o.id ORDER BY f.period_end DESC, f.filed_at DESC LIMIT 1) AS newest ON true "
            "WHERE o.kind IN ('seller', 'debtor') AND (CAST(:kind AS text) IS NULL OR o.kind = :kind) "
            "ORDER BY r.pd_ppm DESC NULLS LAST, o.legal_name LIMIT :limit"
        ),
        {"kind": kind, "limit": limit},
    ).all()


def model_card(session: Session) -> dict[str, Any]:
    """Return the card of the model in service. Its metrics are shares of one; pages print them, nothing computes."""
    return serving_card(session)
