"""What credit notes did to a receivable, for whoever may see it: one line each. Read only."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from marketplace.receivables.debtor import queries as debtor_queries
from marketplace.receivables.debtor.queries import Dilution
from marketplace.servicing.diluting import Effect, effects, open_effects


@dataclass(frozen=True)
class Line:
    """A credit note and, once the receivable was sold, what it took and from whom."""

    note: Dilution
    effect: Effect | None

    @property
    def open_minor(self) -> int:
        """What the seller has still to make good."""
        return self.effect.open_minor if self.effect else 0


def dilutions(session: Session, receivable_id: UUID) -> list[Line]:
    """Return a receivable's credit notes, oldest first."""
    known = effects(session, receivable_id)
    return [Line(one, known.get(one.id)) for one in debtor_queries.dilutions(session, receivable_id)]


def demands(session: Session, seller_id: UUID | None = None) -> list[Line]:
    """Return the credit notes that a seller, or every seller, has still to make good: the earliest day first."""
    asked = open_effects(session, seller_id)
    found = debtor_queries.dilutions(session, *{one.receivable_id for one in asked})
    notes = {note.id: note for note in found}
    return [Line(notes[one.dilution_id], one) for one in asked]
