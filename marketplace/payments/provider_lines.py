"""The lines of the provider's balance that were read before: its whole history need not be read every hour.

A comparison reads the provider's last days, and the first one of a business day everything that the provider has. Where
that contradicts what was kept, everything is read each time until they agree again.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from marketplace.kernel.clock import business_date
from marketplace.payments.gateway import BalanceLine
from marketplace.payments.queries import last_reconciliations
from marketplace.payments.tables import ProviderLineRow, ReconciliationRow
from marketplace.perform import Tx

# How far before the newest known line is read again: a list of the provider's may lag behind what it knows.
OVERLAP = timedelta(days=2)
CHANGED, GONE = "line_changed", "line_gone"
FIELDS = tuple(BalanceLine.__dataclass_fields__)
KEEP = text("""
    INSERT INTO provider_line (line_id, kind, minor, fee_minor, currency, made_at, source_id, intent_id)
    SELECT * FROM unnest(CAST(:line_id AS text[]), CAST(:kind AS text[]), CAST(:minor AS bigint[]),
        CAST(:fee_minor AS bigint[]), CAST(:currency AS text[]), CAST(:made_at AS timestamptz[]),
        CAST(:source_id AS text[]), CAST(:intent_id AS text[])) ON CONFLICT (line_id) DO NOTHING""")


def read_from(session: Session, today: date, zone: str) -> datetime | None:
    """Return the instant from which the provider's lines are to be read now; None for its whole history."""
    row, line = ReconciliationRow, ProviderLineRow
    whole_at = session.execute(select(func.max(row.at)).where(row.read_from.is_(None))).scalar_one()
    if whole_at is None or business_date(whole_at, zone) < today or _contradicted(session):
        return None
    newest: datetime | None = session.execute(select(func.max(line.made_at))).scalar_one()
    return newest - OVERLAP if newest else None


def _contradicted(session: Session) -> bool:
    return any(one["kind"] in (CHANGED, GONE) for row in last_reconciliations(session) for one in row.breaks)


def kept(session: Session) -> list[BalanceLine]:
    """Return the lines that were kept, newest first."""
    columns = [getattr(ProviderLineRow, name) for name in FIELDS]
    rows = session.execute(select(*columns).order_by(ProviderLineRow.made_at.desc(), ProviderLineRow.line_id.desc()))
    return [BalanceLine(*row) for row in rows]


def joined(known: Sequence[BalanceLine], read: Sequence[BalanceLine], since: datetime | None) -> list[BalanceLine]:
    """Return every line of the provider's: those that were read, and those kept from before `since`."""
    told = {line.line_id for line in read}
    return [*read, *(line for line in known if since is not None and line.made_at < since and line.line_id not in told)]


def contradictions(
    known: Sequence[BalanceLine], read: Sequence[BalanceLine], since: datetime | None
) -> Iterator[tuple[str, BalanceLine]]:
    """Yield what was kept otherwise than it is told now (CHANGED), and what is told no more (GONE)."""
    told = {line.line_id: line for line in read}
    for line in known:
        now = told.get(line.line_id)
        if now is not None and now != line:
            yield CHANGED, line
        elif now is None and (since is None or line.made_at >= since):
            yield GONE, line


def keep(tx: Tx, lines: Sequence[BalanceLine]) -> None:
    """Keep lines as they are told now; one that was kept before stays as it was."""
    if lines:
        tx.session.execute(KEEP, {name: [getattr(line, name) for line in lines] for name in FIELDS})
