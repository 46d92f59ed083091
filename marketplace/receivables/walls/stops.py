"""Why no money may leave for a receivable now."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select, union
from sqlalchemy.orm import Session

from marketplace.receivables.tables import DisputeRow, ReviewRow

UPHELD_DISPUTE = "upheld_dispute"


def stops(session: Session, receivable_id: UUID) -> list[str]:
    """Return why no money may leave for this receivable now: stable codes, empty when nothing stands in the way.

    Asked at listing's end, when an auction closes, and before an award is settled.
    """
    dispute, review = DisputeRow.receivable_id == receivable_id, ReviewRow.receivable_id == receivable_id
    released_since = (
        select(ReviewRow.id).where(review, ReviewRow.state == "released", ReviewRow.decided_at >= DisputeRow.ended_at)
    ).exists()
    against = {
        "open_dispute": select(DisputeRow.id).where(dispute, DisputeRow.state == "open"),
        "open_review": select(ReviewRow.id).where(
            review, ReviewRow.state.in_(("open", "proposed")), ReviewRow.cause != "operators"
        ),
        # The debtor was found right, and no two operators have let it go on since.
        UPHELD_DISPUTE: select(DisputeRow.id).where(dispute, DisputeRow.state == "upheld", ~released_since),
    }
    return [code for code, query in against.items() if session.execute(query.limit(1)).first() is not None]


def perhaps_stopped(session: Session, receivable_ids: Collection[UUID]) -> set[UUID]:
    """Return those of the receivables about which `stops` may have something to say; it is silent about the others."""
    wanted = list(receivable_ids)
    disputed = select(DisputeRow.receivable_id).where(
        DisputeRow.receivable_id.in_(wanted), DisputeRow.state.in_(("open", "upheld"))
    )
    reviewed = select(ReviewRow.receivable_id).where(
        ReviewRow.receivable_id.in_(wanted), ReviewRow.state.in_(("open", "proposed"))
    )
    return set(session.execute(union(disputed, reviewed)).scalars())
