"""A credit note that others than its teller bear waits for a second voice: the debtor's, or two operators'.

What the residual bears costs the seller alone, so the seller's word is enough. What goes beyond it turns the holders'
claim on the debtor into one on the seller: a payment of the debtor's would then be excess, and the holders would lose
it if the seller cannot pay. That a file says so changes nothing, for the seller wrote the file too. What an operator
says the seller bears, so it takes a second operator; the debtor, who would owe less, is no second voice against it.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from marketplace.kernel.actors import Role
from marketplace.kernel.errors import Conflict, NotPermitted, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.rules import require_own, verb
from marketplace.perform import Result, Tx
from marketplace.receivables import credit_notes
from marketplace.receivables import queries as receivables_queries
from marketplace.receivables.debtor import links, mail
from marketplace.receivables.debtor.confirmation import answering
from marketplace.receivables.debtor.schemas import RecordDilution
from marketplace.receivables.matching.fingerprint import canonical_number
from marketplace.servicing import queries
from marketplace.servicing.dilution import counts_alone
from marketplace.servicing.lowering import Weighed, lower, weigh
from marketplace.servicing.schemas import ApproveDilution, ConfirmDilution, RefuseDilution
from marketplace.servicing.states import PROPOSAL, ProposalState
from marketplace.servicing.tables import DilutionProposalRow

S = ProposalState
OPEN = (S.WAITING, S.PROPOSED)
SELLER = str(Role.SELLER)
ENDED = N_("This credit note does not wait any more.")


def waiting(session: Session, receivable_id: UUID | None = None) -> Sequence[DilutionProposalRow]:
    """Return the credit notes that wait for a second voice, of one receivable or of all: the oldest first."""
    query = select(DilutionProposalRow).where(DilutionProposalRow.state.in_([str(state) for state in OPEN]))
    if receivable_id is not None:
        query = query.where(DilutionProposalRow.receivable_id == receivable_id)
    return session.scalars(query.order_by(DilutionProposalRow.said_at, DilutionProposalRow.number_key)).all()


def waiting_count(session: Session) -> int:
    """Return how many credit notes wait for a second voice."""
    waits = DilutionProposalRow.state.in_([str(state) for state in OPEN])
    return session.execute(select(func.count()).select_from(DilutionProposalRow).where(waits)).scalar_one()


def lower_or_ask(tx: Tx, receivable_id: UUID, facts: RecordDilution) -> Result:
    """Let a credit note against a sold receivable take effect if its teller bears it; else keep it for a second voice.

    Where the debtor has disputed the invoice over this very credit note by its link, for at least as much, that is
    the second voice.

    Raises: as weigh; Conflict("credit_note_waits").
    """
    weighed, said_by = weigh(tx, receivable_id, facts), str(tx.actor.role)
    if counts_alone(said_by, weighed.parts):
        return lower(tx, weighed, said_by)
    proposal = _ask(tx, weighed, said_by)
    dispute = credit_notes.dispute_about(tx.session, receivable_id, proposal.number)
    if said_by == SELLER and dispute is not None and dispute.link_id and dispute.amount_minor >= proposal.amount_minor:
        proposal.link_id, proposal.answered_by = dispute.link_id, dispute.answered_by or "debtor"
        return _take(tx, proposal, weighed)
    if said_by == SELLER:
        row = receivables_queries.lock_row(tx.session, receivable_id)
        seller = parties.organisation(tx.session, row.seller_id)
        mail.queue_credit_note(tx, row, seller.legal_name, proposal.number, proposal.amount_minor)
    return {"proposal_id": proposal.id, "receivable_id": receivable_id, "proposal_state": proposal.state}


def _ask(tx: Tx, weighed: Weighed, said_by: str) -> DilutionProposalRow:
    facts, receivable_id = weighed.facts, weighed.row.receivable_id
    key = canonical_number(facts.number or "")
    if any(one.number_key == key for one in waiting(tx.session, receivable_id)):
        raise Conflict.about("number", "credit_note_waits", N_("This credit note waits already."))
    made = DilutionProposalRow(
        id=new_id(), receivable_id=receivable_id, number=facts.number, number_key=key, issued_on=facts.issued_on,
        currency=weighed.row.currency, amount_minor=facts.amount_minor, document_id=facts.document_id,
        words=facts.words, said_by=said_by, said_at=tx.clock(), state=str(S.WAITING),
    )  # fmt: skip
    if said_by != SELLER:
        _propose(tx, made, facts.words)
    tx.session.add(made)
    credit_notes.attach(tx, receivable_id, facts.document_id)
    tx.session.flush()
    tx.record("dilution_proposal", made.id, verb="record_dilution",
              after={"receivable_id": receivable_id, "amount_minor": made.amount_minor, "currency": made.currency,
                     "document_id": made.document_id, "said_by": said_by, "state": made.state,
                     "demanded_minor": weighed.parts.demanded_minor})  # fmt: skip
    return made


def _propose(tx: Tx, proposal: DilutionProposalRow, reason: str | None) -> None:
    proposal.state, proposal.proposed_at = str(S.PROPOSED), tx.now
    proposal.maker_id, proposal.maker_reason = tx.actor.user_id, reason


def _lock(tx: Tx, proposal_id: UUID) -> DilutionProposalRow:
    """Lock what a proposal is about, then the proposal itself, while it waits.

    Raises: NotFound; Conflict("proposal_ended").
    """
    found = tx.session.get(DilutionProposalRow, proposal_id)
    if found is None:
        raise receivables_queries.missing()
    receivable = receivables_queries.lock_row(tx.session, found.receivable_id)
    queries.lock_collection(tx.session, found.receivable_id)
    if tx.actor.role == Role.SELLER:
        require_own(tx.actor, receivable.seller_id)
    row = tx.session.scalars(
        select(DilutionProposalRow).where(DilutionProposalRow.id == proposal_id).with_for_update()
        .execution_options(populate_existing=True)
    ).one()  # fmt: skip
    if row.state not in OPEN:
        raise Conflict("proposal_ended", ENDED)
    return row


def _take(tx: Tx, proposal: DilutionProposalRow, weighed: Weighed | None = None) -> Result:
    """Let it take effect as things stand now: the debtor or the seller may have paid since it was told."""
    facts = RecordDilution(proposal.receivable_id, proposal.document_id, proposal.number, proposal.amount_minor,
                           proposal.issued_on, proposal.words)  # fmt: skip
    made = lower(tx, weighed or weigh(tx, proposal.receivable_id, facts), proposal.said_by)
    _decide(tx, proposal, S.TAKEN, UUID(str(made["dilution_id"])))
    return {**made, "proposal_id": proposal.id, "proposal_state": proposal.state}


def _decide(tx: Tx, proposal: DilutionProposalRow, state: ProposalState, dilution_id: UUID | None = None) -> None:
    before = proposal.state
    PROPOSAL.check(before, state)
    proposal.state, proposal.decided_at, proposal.dilution_id = str(state), tx.now, dilution_id
    _tell(tx, proposal, before)


def _tell(tx: Tx, proposal: DilutionProposalRow, before: str) -> None:
    tx.session.flush()
    tx.record("dilution_proposal", proposal.id, before={"state": before},
              after={"state": proposal.state, "receivable_id": proposal.receivable_id, "maker_id": proposal.maker_id,
                     "approver_id": proposal.approver_id, "link_id": proposal.link_id,
                     "refused_by": proposal.refused_by, "dilution_id": proposal.dilution_id},
              reason=proposal.refusal or proposal.approver_reason or proposal.maker_reason)  # fmt: skip


@verb("confirm_dilution")
def confirm_dilution(tx: Tx, command: ConfirmDilution) -> Result:
    """Take the debtor's yes to a credit note that its seller told of: it takes effect.

    Raises: NotFound; Conflict("proposal_ended", "payment_arriving"); RuleBroken("link_expired", "more_than_owed",
    "wrong_state").
    """
    proposal = _lock(tx, command.proposal_id)
    proposal.link_id = _debtors_link(tx, proposal, command.token)
    proposal.answered_by = command.answered_by
    return _take(tx, proposal)


def _debtors_link(tx: Tx, proposal: DilutionProposalRow, token: str) -> UUID:
    """Return the link by which the debtor speaks; what operators told of is not asked of it.

    Raises: NotFound; RuleBroken("link_expired", "link_purpose").
    """
    _, link = answering(tx, token, links.ACCOUNT, links.DEBTS, receivable_id=proposal.receivable_id)
    if proposal.said_by != SELLER:
        raise receivables_queries.missing()
    link.used_at = link.used_at or tx.clock()
    return link.id


@verb("approve_dilution")
def approve_dilution(tx: Tx, command: ApproveDilution) -> Result:
    """Take an operator's yes: the first proposes, a second one lets the credit note take effect.

    Raises: NotFound; NotPermitted("second_person"); Conflict("proposal_ended", "payment_arriving");
    RuleBroken("more_than_owed", "wrong_state").
    """
    proposal = _lock(tx, command.proposal_id)
    if proposal.state == S.WAITING:
        PROPOSAL.check(proposal.state, S.PROPOSED)
        _propose(tx, proposal, command.reason)
        _tell(tx, proposal, str(S.WAITING))
        return {"proposal_id": proposal.id, "proposal_state": proposal.state, "receivable_id": proposal.receivable_id}
    if proposal.maker_id == tx.actor.user_id:
        raise NotPermitted("second_person", N_("You proposed it yourself. A second operator must decide."))
    proposal.approver_id, proposal.approver_reason = tx.actor.user_id, command.reason
    return _take(tx, proposal)


@verb("refuse_dilution")
def refuse_dilution(tx: Tx, command: RefuseDilution) -> Result:
    """Take a no: the seller's to what it told itself, the debtor's to that too, an operator's to any. Nothing changes.

    Raises: NotFound; Conflict("proposal_ended"); RuleBroken("link_expired", "not_yours").
    """
    proposal = _lock(tx, command.proposal_id)
    if tx.actor.role == Role.DEBTOR:
        proposal.link_id = _debtors_link(tx, proposal, command.token or "")
        proposal.answered_by = command.answered_by
    elif tx.actor.role == Role.SELLER and proposal.said_by != SELLER:
        raise RuleBroken("not_yours", N_("Operators told of this credit note: they decide."))
    proposal.refused_by, proposal.refusal = str(tx.actor.role), command.reason
    _decide(tx, proposal, S.REFUSED)
    return {"proposal_id": proposal.id, "proposal_state": proposal.state, "receivable_id": proposal.receivable_id}
