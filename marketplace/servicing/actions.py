"""Collection: debtors' money is shared out, lateness is noted step by step, defaults and write-offs are declared."""

from dataclasses import dataclass
from datetime import date
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, insert, text

from marketplace.db import array
from marketplace.kernel.errors import Conflict, IntegrityBreach, NotFound, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.ledger import actions as ledger
from marketplace.ledger.rules import Leg, credit, debit
from marketplace.parties.rules import verb
from marketplace.payments import actions as payments
from marketplace.payments import queries as payments_queries
from marketplace.payments.rules import Rail
from marketplace.perform import Result, Tx
from marketplace.receivables import actions as receivables
from marketplace.receivables import queries as receivables_queries
from marketplace.servicing import decisions, late_claims, queries
from marketplace.servicing.ageing import Ageing, days_past_due, steps_reached
from marketplace.servicing.demands import demand_recourse
from marketplace.servicing.dilution import share_receipt
from marketplace.servicing.dues import dues_on, known_dues, move
from marketplace.servicing.offer_ends import void_offers
from marketplace.servicing.schemas import AgeReceivable, ApplyDebtorPayment, DefaultReceivable, WriteOffReceivable
from marketplace.servicing.states import COLLECTION, CollectionState
from marketplace.servicing.tables import AgeingStepRow, CollectionRow, DistributionRow
from marketplace.servicing.waterfall import TO_INVESTORS, Distribution, Step
from marketplace.title import actions as title

# Dues are found by step and party, a hundred thousand in one statement; nobody's id is nil, so it stands for nobody.
NOBODY = UUID(int=0)
PAY_DUES = """
    WITH given AS MATERIALIZED (
        SELECT due.id, made.minor FROM unnest(CAST(:steps AS text[]), CAST(:parties AS uuid[]),
            CAST(:minors AS bigint[])) AS made (step, party, minor)
        JOIN due ON due.receivable_id = :receivable_id AND due.step = made.step
            AND coalesce(due.party_id, :nobody) = made.party),
    kept AS (
        INSERT INTO share (due_id, distribution_id, minor)
        SELECT id, CAST(:distribution_id AS uuid), minor FROM given)
    UPDATE due SET paid_minor = paid_minor + given.minor FROM given WHERE due.id = given.id"""
BROKEN = (CollectionState.DEFAULTED, CollectionState.RECOVERED, CollectionState.WRITTEN_OFF)
NOTHING_OWED = N_("Nobody has funded this receivable: the payment waits for a person.")
WRONG_CURRENCY = N_("The payment is in %(paid)s, the debt in %(owed)s: it waits for a person.")


@verb("apply_debtor_payment")
def apply_debtor_payment(tx: Tx, command: ApplyDebtorPayment) -> Result:
    """Share one cleared payment by the waterfall, to the penny, and close the collection when nothing is left.

    What comes beyond the debt pays the interest that the law gives for paying late; what is too much even for that goes
    to suspense. What comes after a write-off still goes to those who lost.

    Raises: RuleBroken("nothing_owed") when the receivable was never funded, RuleBroken("wrong_currency"): the money
    stays where it is and the operators are told. Conflict("payment_applied") when it was shared out before.
    """
    payment = payments_queries.lock_debtor_payment(tx.session, command.payment_id)
    row = _owing(tx, payment)
    received_on = cast(date, payment.received_on)  # all money that arrived has its day
    dues = dues_on(tx, row, received_on) if row.closed_at is None else known_dues(tx, row)
    demanded = queries.demanded(tx.session, [row.receivable_id]).get(row.receivable_id, 0)
    given = share_receipt(payment.amount_minor, dues, demanded)
    if received_on < row.late_charged_to and row.closed_at is None:
        dues = late_claims.forgo(tx, row, dues, given, received_on)
        given = share_receipt(payment.amount_minor, dues, demanded)
    dues, given, late_minor = late_claims.take(tx, row, dues, given, received_on)
    entry_id = _post(tx, row, payment.amount_minor, given, payment.rail or Rail.PROVIDER)
    distribution_id = _keep(tx, row, payment.id, payment.amount_minor, given, entry_id)
    late_claims.note(tx, row, distribution_id, late_minor)
    _pay_seller(tx, row, given, distribution_id)
    payments.mark_applied(tx, payment.id, distribution_id)
    void_offers(tx, row.receivable_id, "payment_received")
    left = sum(due.outstanding_minor for due in dues) - (payment.amount_minor - given.excess_minor)
    _move_after_payment(tx, row, left)
    return {"distribution_id": distribution_id, "excess_minor": given.excess_minor,
            "outstanding_minor": max(0, left - demanded)}  # fmt: skip


def _owing(tx: Tx, payment: payments_queries.Payment) -> CollectionRow:
    """Return the collection that a payment is for, locked."""
    if payment.applied_at is not None:
        raise Conflict("payment_applied", N_("This payment was shared out before, or has not arrived."))
    receivable_id = cast(UUID, payment.receivable_id)  # every debtor's payment has one
    try:
        receivables_queries.lock_receivable(tx.session, receivable_id)
        row = queries.lock_collection(tx.session, receivable_id)
    except NotFound as error:
        raise RuleBroken("nothing_owed", NOTHING_OWED) from error
    if payment.currency != row.currency:
        raise RuleBroken("wrong_currency", WRONG_CURRENCY, {"paid": payment.currency, "owed": row.currency})
    return row


@dataclass(frozen=True)
class _Pools:
    """The accounts a receipt passes through."""

    receipts: UUID
    borrower: UUID
    lender: UUID
    platform: UUID


def _post(tx: Tx, row: CollectionRow, received: int, given: Distribution, rail: str) -> UUID:
    """Write one entry. Pools never cross: money moves between them where it lies, with the provider or at the bank."""
    currency = row.currency
    pools = _Pools(
        ledger.account(tx, "debtor_receipts", row.debtor_id, currency),
        *(ledger.account(tx, f"{rail}_{pool}", None, currency) for pool in ("borrower", "lender", "platform")),
    )
    legs: list[Leg] = [debit(pools.receipts, received)]
    to_holders = [(share.party, share.minor) for share in given.shares if share.party and share.step in TO_INVESTORS]
    cash = ledger.accounts(tx, "investor_cash", {party for party, _ in to_holders}, currency) if to_holders else {}
    legs += [credit(cash[party], minor) for party, minor in to_holders]
    legs += _across(pools.borrower, pools.lender, sum(minor for _, minor in to_holders))
    for share in given.shares:
        if share.step == Step.RESIDUAL:
            legs.append(credit(ledger.account(tx, "seller_residual", share.party, currency), share.minor))
        elif not (share.party and share.step in TO_INVESTORS):
            legs += _across(pools.borrower, pools.platform, share.minor)
            legs.append(credit(ledger.account(tx, "platform_fees", None, currency), share.minor))
    legs.append(credit(ledger.account(tx, "suspense", None, currency), given.excess_minor))
    return ledger.post_entry(tx, "distribute", "receivable", row.receivable_id, legs)


def _across(from_pool: UUID, to_pool: UUID, minor: int) -> list[Leg]:
    return [credit(from_pool, minor), debit(to_pool, minor)]


def _keep(tx: Tx, row: CollectionRow, payment_id: UUID, received: int, given: Distribution, entry_id: UUID) -> UUID:
    distribution_id = new_id()
    recovery = row.state in BROKEN
    tx.session.execute(
        insert(DistributionRow).values(
            id=distribution_id, receivable_id=row.receivable_id, payment_id=payment_id, entry_id=entry_id,
            received_minor=received, excess_minor=given.excess_minor, recovery=recovery,
        )
    )  # fmt: skip
    told = [[str(share.step), str(share.party) if share.party else None, share.minor] for share in given.shares]
    _pay_dues(tx, row, told, distribution_id)
    tx.record(
        "receivable", row.receivable_id,
        after={"distribution_id": distribution_id, "payment_id": payment_id, "received_minor": received,
               "excess_minor": given.excess_minor, "recovery": recovery, "entry_id": entry_id, "shares": told},
    )  # fmt: skip
    return distribution_id


def _pay_dues(tx: Tx, row: CollectionRow, shares: list[list[Any]], distribution_id: UUID) -> None:
    """Write shares, each [step, party, minor], and what of each due is paid by now."""
    paid = cast(CursorResult[Any], tx.session.execute(
        text(PAY_DUES),
        {"steps": array(step for step, _, _ in shares), "parties": array(party or NOBODY for _, party, _ in shares),
         "minors": array(minor for _, _, minor in shares), "nobody": NOBODY,
         "receivable_id": row.receivable_id, "distribution_id": distribution_id},
    ))  # fmt: skip
    if paid.rowcount != len(shares):
        raise IntegrityBreach("no_such_due", "A share is for a due that is not there.")


def _pay_seller(tx: Tx, row: CollectionRow, given: Distribution, distribution_id: UUID) -> None:
    residual = sum(share.minor for share in given.shares if share.step == Step.RESIDUAL)
    if residual:
        payments.request_payout(tx, row.seller_id, row.currency, residual, "residual", "receivable",
                                row.receivable_id, f"residual:{distribution_id}")  # fmt: skip


def _move_after_payment(tx: Tx, row: CollectionRow, left: int) -> None:
    if row.state == CollectionState.CHARGED_BACK and left == 0:
        move(tx, row, CollectionState.SETTLED, reason="paid_again")
    if row.closed_at is not None:
        return
    if left == 0:
        move(tx, row, CollectionState.SETTLED)
        title.discharge(tx, row.receivable_id)
        receivables.move(tx, row.receivable_id, "discharged")
    elif row.state == CollectionState.DEFAULTED:
        move(tx, row, CollectionState.RECOVERED)
    elif row.state == CollectionState.DUE:
        move(tx, row, CollectionState.PAID_IN_PART)


@verb("age_receivable")
def age_receivable(tx: Tx, command: AgeReceivable) -> Result:
    """Take every step of collection that the business date has reached and that was not yet taken."""
    row = queries.lock_collection(tx.session, command.receivable_id)
    taken = queries.steps_taken(tx.session, row.receivable_id)
    reached = steps_reached(row.due_on, tx.today, tx.policy.collection) if row.closed_at is None else []
    new = [step for step in reached if step not in taken]
    if new:
        tx.session.execute(insert(AgeingStepRow), [{"receivable_id": row.receivable_id, "step": step} for step in new])
    if Ageing.OVERDUE in reached:
        late_claims.open_claim(tx, row)
    if Ageing.OVERDUE in reached and row.state in (CollectionState.DUE, CollectionState.PAID_IN_PART):
        move(tx, row, CollectionState.OVERDUE)
    if Ageing.DEFAULT in reached and row.state == CollectionState.OVERDUE:
        move(tx, row, CollectionState.DEFAULTED, reason="ninety_days_past_due")
    if Ageing.RECOURSE_DEMAND in new and row.state != CollectionState.BOUGHT_BACK:
        demand_recourse(tx, row)
    told = [str(step) for step in new]
    tx.record("collection", row.receivable_id,
              after={"days_past_due": days_past_due(row.due_on, tx.today), "steps": told})  # fmt: skip
    return {"steps": told, "state": row.state}


@verb("default_receivable")
def default_receivable(tx: Tx, command: DefaultReceivable) -> Result:
    """Declare a default at once: insolvency of the debtor or the seller, or a refusal to pay.

    Raises: RuleBroken("wrong_state").
    """
    row = queries.lock_collection(tx.session, command.receivable_id)
    move(tx, row, CollectionState.DEFAULTED, reason=command.reason)
    return {"state": row.state}


@verb("write_off_receivable")
def write_off_receivable(tx: Tx, command: WriteOffReceivable) -> Result:
    """Propose to give up what is still outstanding or, as a second person, do it: title ends, the loss stands.

    Raises: RuleBroken("wrong_state"), RuleBroken("too_early") before the review day, RuleBroken("four_eyes").
    """
    receivables_queries.lock_receivable(tx.session, command.receivable_id)  # before the collection, as everywhere
    row = queries.lock_collection(tx.session, command.receivable_id)
    if days_past_due(row.due_on, tx.today) < tx.policy.collection.write_off_days:
        raise RuleBroken("too_early", N_("A write-off is reviewed %(days)s days after the due date, not before."),
                         {"days": tx.policy.collection.write_off_days})  # fmt: skip
    COLLECTION.check(row.state, CollectionState.WRITTEN_OFF)
    proposal = decisions.open_proposal(tx, "write_off", row.receivable_id)
    if proposal is None:
        proposed = decisions.propose(tx, "write_off", row.receivable_id, {}, command.reason)
        return {"state": row.state, "decision_id": proposed["decision_id"], "loss_minor": None}
    decisions.decide(tx, proposal, True, lambda *_: None)
    move(tx, row, CollectionState.WRITTEN_OFF, reason=command.reason)
    void_offers(tx, row.receivable_id, "written_off")
    title.write_off(tx, row.receivable_id)
    receivables.move(tx, row.receivable_id, "written_off", reason=command.reason)
    return {"state": row.state, "loss_minor": sum(due.outstanding_minor for due in known_dues(tx, row))}
