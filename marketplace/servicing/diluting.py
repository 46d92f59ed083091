"""Credit notes take effect: an unsold listing ends; a sold one loses residual, and the seller makes the rest good."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from marketplace.kernel.errors import Conflict, NotFound, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties.rules import require_own, verb
from marketplace.payments import queries as payments_queries
from marketplace.perform import Result, Tx
from marketplace.receivables import credit_notes
from marketplace.receivables import queries as receivables_queries
from marketplace.receivables.debtor.schemas import RecordDilution
from marketplace.receivables.queries import Receivable
from marketplace.receivables.states import ReceivableState
from marketplace.servicing import queries
from marketplace.servicing.buying_back import ARRIVING
from marketplace.servicing.dilution import cover_shares, covered
from marketplace.servicing.dues import known_dues, write_dues
from marketplace.servicing.lowering import settle_if_whole
from marketplace.servicing.offer_ends import void_offers
from marketplace.servicing.schemas import CoverDilution
from marketplace.servicing.second_voice import lower_or_ask
from marketplace.servicing.seller_money import pay_out
from marketplace.servicing.states import CollectionState
from marketplace.servicing.tables import (
    CollectionRow,
    DilutionCoverRow,
    DilutionCoverShareRow,
    DilutionEffectRow,
)
from marketplace.trading import queries as trading
from marketplace.trading.actions import cancel_lot
from marketplace.trading.schemas import CancelLot

S = ReceivableState
IN_AUCTION = (S.ON_AUCTION, S.AWARDED)


@dataclass(frozen=True)
class Effect:
    """What a credit note took and asks for, in minor units; `covered_at` once the seller has made it good."""

    dilution_id: UUID
    receivable_id: UUID
    residual_minor: int
    demanded_minor: int
    pay_by: date | None
    covered_at: datetime | None

    @property
    def open_minor(self) -> int:
        """What the seller has still to make good."""
        return 0 if self.covered_at else self.demanded_minor


def effects(session: Session, receivable_id: UUID) -> dict[UUID, Effect]:
    """Return what each credit note did to a sold receivable, by the credit note's id."""
    rows = session.execute(
        select(DilutionEffectRow, DilutionCoverRow.at)
        .join(DilutionCoverRow, DilutionCoverRow.dilution_id == DilutionEffectRow.dilution_id, isouter=True)
        .where(DilutionEffectRow.receivable_id == receivable_id)
        .order_by(DilutionEffectRow.at)
    )
    return {row.dilution_id: Effect(row.dilution_id, row.receivable_id, row.residual_minor, row.demanded_minor,
                                    row.pay_by, at) for row, at in rows}  # fmt: skip


def open_effects(session: Session, seller_id: UUID | None = None) -> list[Effect]:
    """Return what a seller, or every seller, has still to make good for credit notes: the earliest day first."""
    query = queries.unmet_effects().order_by(DilutionEffectRow.pay_by, DilutionEffectRow.dilution_id)
    if seller_id is not None:
        query = query.where(CollectionRow.seller_id == seller_id)
    return [Effect(row.dilution_id, row.receivable_id, row.residual_minor, row.demanded_minor, row.pay_by, None)
            for row in session.scalars(query)]  # fmt: skip


@verb("record_dilution")
def record_dilution(tx: Tx, command: RecordDilution) -> Result:
    """Take a credit note against a listed receivable.

    Before it is sold, the listing ends as withdrawn, its lot is cancelled and holds are freed: what is sold is the
    face, the face never changes, and it is not owed any more. Once sold, the credit note lowers the residual, and what
    that cannot bear is demanded of the seller, whatever recourse was agreed: that the debt exists is a warranty. Only
    the seller's word about its own residual counts at once; else the result is a proposal that waits (second_voice).

    Raises: NotFound; Conflict("credit_note_known", "credit_note_waits", "payment_arriving", "changed_meanwhile");
    RuleBroken("wrong_state", "more_than_owed", "other_credit_note") with every reason.
    """
    before = receivables_queries.receivable(tx.session, command.receivable_id)
    require_own(tx.actor, before.seller_id)
    if before.state in IN_AUCTION:
        _end_auction(tx, before)
    row = receivables_queries.lock_row(tx.session, before.id)
    facts = credit_notes.facts_for(tx, row, command)
    if row.state in credit_notes.UNSOLD:
        owed = credit_notes.unsold_owed_minor(tx, row)
        dilution_id = credit_notes.insert_dilution(tx, row, facts, owed, str(tx.actor.role))
        credit_notes.end_for_credit_note(tx, row)
        return {"dilution_id": dilution_id, "receivable_id": row.id, "state": row.state}
    if row.state in IN_AUCTION:
        raise Conflict("changed_meanwhile", N_("It has just come up for auction. Try again."))
    return lower_or_ask(tx, row.id, facts)


def _end_auction(tx: Tx, found: Receivable) -> None:
    """Cancel the lot before the receivable is locked: locks come lot, receivable, accounts."""
    lot = trading.lot_of(tx.session, found.id)
    if lot is None:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    cancel_lot.run(tx, CancelLot(lot.id, credit_notes.REASON))


@verb("cover_dilution")
def cover_dilution(tx: Tx, command: CoverDilution) -> Result:
    """Make good, out of the seller's own money, what a credit note took beyond the residual: holders first.

    Raises: NotFound; RuleBroken("nothing_demanded", "insufficient_cash", "price_changed"); Conflict("covered").
    """
    found = tx.session.get(DilutionEffectRow, command.dilution_id)
    if found is None:
        raise receivables_queries.missing()
    receivable = receivables_queries.lock_receivable(tx.session, found.receivable_id)
    require_own(tx.actor, receivable.seller_id)
    row = queries.lock_collection(tx.session, receivable.id)
    effect = effects(tx.session, receivable.id)[command.dilution_id]
    if effect.covered_at is not None:
        raise Conflict("covered", N_("This was paid already."))
    if not effect.demanded_minor or row.state == CollectionState.BOUGHT_BACK:
        raise RuleBroken("nothing_demanded", N_("Nothing is asked of you for this credit note."))
    if payments_queries.arriving(tx.session, receivable.id):
        raise Conflict("payment_arriving", ARRIVING)
    dues = known_dues(tx, row)
    shares = cover_shares(effect.demanded_minor, dues)
    entry_id = pay_out(tx, row, shares, "cover_dilution", "dilution_id")
    tx.session.execute(
        insert(DilutionCoverRow).values(dilution_id=effect.dilution_id, receivable_id=row.receivable_id,
                                        covered_minor=effect.demanded_minor, entry_id=entry_id, at=tx.clock())
    )  # fmt: skip
    tx.session.execute(
        insert(DilutionCoverShareRow),
        [{"id": new_id(), "dilution_id": effect.dilution_id, "step": share.step, "party_id": share.party,
          "minor": share.minor} for share in shares],
    )  # fmt: skip
    write_dues(tx, row, dues, covered(dues, shares))
    void_offers(tx, row.receivable_id, credit_notes.REASON)
    tx.record("collection", row.receivable_id,
              after={"dilution_id": effect.dilution_id, "covered_minor": effect.demanded_minor, "entry_id": entry_id,
                     "shares": [[str(share.step), share.party, share.minor] for share in shares]})  # fmt: skip
    settle_if_whole(tx, row)
    return {"dilution_id": effect.dilution_id, "covered_minor": effect.demanded_minor, "entry_id": entry_id}
