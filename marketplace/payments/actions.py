"""What people and other rooms start: fund, pay, withdraw, pay out."""

from uuid import UUID

from marketplace.kernel.errors import Conflict, NotFound, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.rules import require_own, verb
from marketplace.payments.intents import want_checkout, want_transfer
from marketplace.payments.money import book_leaving
from marketplace.payments.rules import PaymentState, PayoutState, Purpose, Rail
from marketplace.payments.schemas import FundAccount, StartDebtorPayment, StartPayout, WithdrawCash
from marketplace.payments.tables import DebtorPaymentRow, FundingRow, PayoutRow
from marketplace.perform import Result, Tx


@verb("fund_account")
def fund_account(tx: Tx, command: FundAccount) -> Result:
    """Write down an investor's or a seller's wish to put money in, and the call that will open the payment page.

    An investor's becomes cash to bid with; a seller's lies apart, to buy back with.

    The page does not exist yet: call `outbox.start_now` after this has committed.

    Raises: RuleBroken("currency_not_traded").
    """
    owner_id = _own_organisation(tx)
    _check_amount(tx, command.amount_minor, command.currency)
    funding_id = new_id()
    row = FundingRow(
        id=funding_id, organisation_id=owner_id, currency=command.currency, amount_minor=command.amount_minor,
        words="Duebill account funding", return_url=command.return_url.replace("{id}", str(funding_id)),
        state=PaymentState.PREPARING,
    )  # fmt: skip
    tx.session.add(row)
    tx.session.flush()
    tx.record("funding", row.id, after={"amount_minor": row.amount_minor, "currency": row.currency, "state": row.state})
    want_checkout(tx, row)
    return {"funding_id": row.id, "pay_url": None}


@verb("start_debtor_payment")
def start_debtor_payment(tx: Tx, command: StartDebtorPayment) -> Result:
    """Write down a debtor's wish to pay, and the call that will open the payment page, as fund_account does.

    Raises: NotFound when the receivable is not this debtor's; RuleBroken("currency_not_traded").
    """
    require_own(tx.actor, command.debtor_id)
    _check_amount(tx, command.amount_minor, command.currency)
    payment_id = new_id()
    row = DebtorPaymentRow(
        id=payment_id, organisation_id=command.debtor_id, receivable_id=command.receivable_id,
        currency=command.currency, amount_minor=command.amount_minor, words=command.words[:200],
        return_url=command.return_url.replace("{id}", str(payment_id)), state=PaymentState.PREPARING,
    )  # fmt: skip
    tx.session.add(row)
    tx.session.flush()
    tx.record("debtor_payment", row.id, after={
        "receivable_id": row.receivable_id, "amount_minor": row.amount_minor, "currency": row.currency,
        "state": row.state,
    })  # fmt: skip
    want_checkout(tx, row)
    return {"payment_id": row.id, "pay_url": None}


@verb("withdraw_cash")
def withdraw_cash(tx: Tx, command: WithdrawCash) -> Result:
    """Send an investor's free cash, or what a seller put in and did not use, to its bank.

    Raises: RuleBroken("no_bank_account"), RuleBroken("insufficient_cash"), RuleBroken("currency_not_traded").
    """
    owner_id = _own_organisation(tx)
    _check_amount(tx, command.amount_minor, command.currency)
    owner = parties.organisation(tx.session, owner_id)
    if owner.iban is None:
        raise RuleBroken("no_bank_account", N_("There is no bank account to pay to yet."))
    subject_id, purpose = new_id(), Purpose.REFUND if owner.kind == "seller" else Purpose.WITHDRAWAL
    payout_id = request_payout(
        tx, owner_id, command.currency, command.amount_minor, purpose, str(purpose), subject_id,
        f"{purpose}:{subject_id}",
    )  # fmt: skip
    return {"payout_id": payout_id}


def request_payout(
    tx: Tx, organisation_id: UUID, currency: str, amount_minor: int, purpose: str, subject_kind: str,
    subject_id: UUID, business_key: str, *, pay_to: tuple[str, str] | None = None,
) -> UUID:  # fmt: skip
    """Put money on its way to an organisation's bank, inside the caller's transaction; return the payout's id.

    Moves `amount_minor` > 0 from the purpose's account (advance: seller_advance, residual: seller_residual,
    withdrawal: investor_cash, refund: seller_cash) into transit and writes the first call. The worker calls the
    provider later; an organisation that is paid by the bank is paid by the next file of pay-outs. `pay_to` (name,
    IBAN): somebody else than the organisation is paid, by the bank.

    Raises: RuleBroken("insufficient_cash"); Conflict when the business key was used before.
    """
    row = PayoutRow(
        id=new_id(), organisation_id=organisation_id, currency=currency, amount_minor=amount_minor,
        purpose=Purpose(purpose), subject_kind=subject_kind, subject_id=subject_id, business_key=business_key,
        state=PayoutState.REQUESTED, rail=Rail.BANK if pay_to else _rail(tx, organisation_id),
        pay_to_name=pay_to[0] if pay_to else None, pay_to_iban=pay_to[1] if pay_to else None,
    )  # fmt: skip
    if _known_key(tx, business_key):
        raise Conflict("payout_requested", N_("This payout was requested before."))
    tx.session.add(row)
    tx.session.flush()
    tx.record("payout", row.id, verb="request_payout", after={
        "organisation_id": organisation_id, "purpose": str(purpose), "amount_minor": amount_minor,
        "currency": currency, "subject_kind": subject_kind, "subject_id": subject_id, "state": row.state,
        "rail": row.rail,
    })  # fmt: skip
    book_leaving(tx, row)
    want_transfer(tx, row)
    return row.id


@verb("start_payout")
def start_payout(tx: Tx, command: StartPayout) -> Result:
    """Go on with a payout that waited for a bank account.

    Raises: Conflict("nothing_to_do") when it still waits or has gone on.
    """
    row = tx.session.get(PayoutRow, command.payout_id, with_for_update=True)
    if row is None or row.state != PayoutState.REQUESTED:
        raise Conflict("nothing_to_do", N_("There is nothing to do."))
    want_transfer(tx, row)
    if tx.events == 0:
        raise Conflict("nothing_to_do", N_("There is nothing to do."))
    return {"payout_id": row.id}


def mark_applied(tx: Tx, payment_id: UUID, distribution_id: UUID) -> None:
    """Note that a debtor's payment was shared out, once.

    Raises: Conflict("payment_applied") when it was before, or its money is not here.
    """
    row = tx.session.get(DebtorPaymentRow, payment_id, with_for_update=True, populate_existing=True)
    if row is None or row.state != PaymentState.SUCCEEDED or row.applied_at is not None:
        raise Conflict("payment_applied", N_("This payment was shared out before, or has not arrived."))
    row.applied_at, row.distribution_id = tx.clock(), distribution_id
    tx.session.flush()
    tx.record("debtor_payment", row.id, verb="mark_applied", after={"distribution_id": distribution_id})


def _own_organisation(tx: Tx) -> UUID:
    if tx.actor.organisation_id is None:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    return tx.actor.organisation_id


def _check_amount(tx: Tx, minor: int, currency: str) -> None:
    if currency not in tx.policy.currencies:
        raise RuleBroken("currency_not_traded", N_("This market does not trade in %(currency)s."),
                         {"currency": currency})  # fmt: skip
    if minor < 1:
        raise RuleBroken("amount_too_small", N_("Enter an amount above zero."))


def _rail(tx: Tx, organisation_id: UUID) -> Rail:
    return Rail(parties.organisation(tx.session, organisation_id).payout_rail)


def _known_key(tx: Tx, business_key: str) -> bool:
    return tx.session.query(PayoutRow.id).filter(PayoutRow.business_key == business_key).first() is not None
