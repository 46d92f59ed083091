"""What a credit note does to a sold receivable: weighed first, then taken. Callers decide whether it may be."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import insert

from marketplace.kernel.errors import Conflict, RuleBroken
from marketplace.kernel.words import N_
from marketplace.payments import queries as payments_queries
from marketplace.perform import Result, Tx
from marketplace.receivables import actions as receivables
from marketplace.receivables import credit_notes
from marketplace.receivables import queries as receivables_queries
from marketplace.receivables.debtor.schemas import RecordDilution
from marketplace.receivables.states import ReceivableState
from marketplace.servicing import queries
from marketplace.servicing.buying_back import ARRIVING
from marketplace.servicing.dilution import Parts, lowered, owed_by_debtor, part
from marketplace.servicing.dues import dues_on, known_dues, move, write_dues
from marketplace.servicing.offer_ends import void_offers
from marketplace.servicing.states import CollectionState
from marketplace.servicing.tables import CollectionRow, DilutionEffectRow
from marketplace.servicing.waterfall import Due
from marketplace.title import actions as title

SOLD = (ReceivableState.FUNDED, ReceivableState.WRITTEN_OFF)


@dataclass(frozen=True)
class Weighed:
    """A credit note over a locked, sold receivable: the dues before it, what the debtor owes, and its parts."""

    row: CollectionRow
    facts: RecordDilution
    dues: Sequence[Due]
    owed_minor: int
    parts: Parts


def weigh(tx: Tx, receivable_id: UUID, facts: RecordDilution) -> Weighed:
    """Lock a sold receivable and part a credit note over what is due on it. Nothing changes.

    Raises: NotFound; Conflict("credit_note_known", "payment_arriving"); RuleBroken("wrong_state", "more_than_owed").
    """
    if receivables_queries.receivable(tx.session, receivable_id).state not in SOLD:
        raise RuleBroken("wrong_state", N_("Nothing is owed on it here any more: a credit note changes nothing."))
    row = queries.lock_collection(tx.session, receivable_id)
    if payments_queries.arriving(tx.session, receivable_id):
        raise Conflict("payment_arriving", ARRIVING)
    dues = dues_on(tx, row, tx.today) if row.closed_at is None else known_dues(tx, row)
    owed = owed_by_debtor(dues, queries.demanded(tx.session, [receivable_id]).get(receivable_id, 0))
    credit_notes.require_new(tx, receivables_queries.lock_row(tx.session, receivable_id), facts, owed)
    return Weighed(row, facts, dues, owed, part(facts.amount_minor or 0, dues))


def lower(tx: Tx, weighed: Weighed, said_by: str) -> Result:
    """Let a credit note take effect as it was weighed: `said_by` the seller or an operator.

    Raises: as credit_notes.insert_dilution.
    """
    row, facts, parts = weighed.row, weighed.facts, weighed.parts
    receivable = receivables_queries.lock_row(tx.session, row.receivable_id)
    dilution_id = credit_notes.insert_dilution(tx, receivable, facts, weighed.owed_minor, said_by)
    pay_by = tx.today + timedelta(days=tx.policy.collection.buy_back_days) if parts.demanded_minor else None
    tx.session.execute(
        insert(DilutionEffectRow).values(
            dilution_id=dilution_id, receivable_id=row.receivable_id, residual_minor=parts.residual_minor,
            demanded_minor=parts.demanded_minor, pay_by=pay_by, at=tx.clock(),
        )
    )  # fmt: skip
    write_dues(tx, row, weighed.dues, lowered(weighed.dues, parts.residual_minor))
    void_offers(tx, row.receivable_id, credit_notes.REASON)
    left = weighed.owed_minor - (facts.amount_minor or 0)
    tx.record("collection", row.receivable_id,
              after={"dilution_id": dilution_id, "residual_minor": parts.residual_minor,
                     "demanded_minor": parts.demanded_minor, "pay_by": pay_by, "owed_minor": left})  # fmt: skip
    settle_if_whole(tx, row)
    return {"dilution_id": dilution_id, "receivable_id": row.receivable_id, "state": receivable.state,
            "residual_minor": parts.residual_minor, "demanded_minor": parts.demanded_minor,
            "owed_minor": left}  # fmt: skip


def settle_if_whole(tx: Tx, row: CollectionRow) -> None:
    """Close a collection on which nothing is to come any more, from nobody."""
    left = sum(due.outstanding_minor for due in known_dues(tx, row))
    if left or row.closed_at is not None:
        return
    move(tx, row, CollectionState.SETTLED, reason=credit_notes.REASON)
    title.discharge(tx, row.receivable_id)
    receivables.move(tx, row.receivable_id, "discharged", reason=credit_notes.REASON)
