"""What one operator proposes about money at the bank: a file of pay-outs, a rail, an order refused, suspense."""

from datetime import timedelta

from marketplace.banking import orders
from marketplace.kernel.errors import InvalidInput, Problem, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.rules import verb
from marketplace.payments import queries as payments
from marketplace.payments.rules import PayoutState, Rail
from marketplace.perform import Result, Tx
from marketplace.receivables import queries as receivables
from marketplace.servicing import bank_suspense, suspense
from marketplace.servicing.bank_desk_schemas import (
    OWN,
    ProposeBankSuspense,
    ProposePayoutFile,
    ProposePayoutRail,
    ProposePayoutRefused,
)
from marketplace.servicing.decisions import propose

AHEAD_DAYS_MAX = 30
WRONG_DAY = N_("Choose today or a day within the next %(days)s.")
NO_IBAN = N_("Who is paid by the bank needs an IBAN.")
OWN_RAIL = N_("The market itself is not paid: only its account is kept.")
OWNER_NEEDED = N_("Name the investor or seller who put it in, and only then.")
NOTHING_NEW = N_("It is paid so already: nothing would change.")
KEPT_THERE = N_("The payment provider keeps its account: it changes it there, or is paid by the bank.")
SENDER_UNKNOWN = N_("The bank told no account of the sender: apply it to a receivable, or ask the bank.")


@verb("propose_payout_file")
def propose_payout_file(tx: Tx, command: ProposePayoutFile) -> Result:
    """Propose a file of pay-outs for the bank. The file's message id is settled here and stays.

    Raises: RuleBroken as `orders.draft` says; InvalidInput for a day that is over or far ahead.
    """
    if not tx.today <= command.execute_on <= tx.today + timedelta(days=AHEAD_DAYS_MAX):
        problem = Problem("execute_on", "day", WRONG_DAY, {"days": AHEAD_DAYS_MAX})
        raise InvalidInput("invalid_fields", WRONG_DAY, {"days": AHEAD_DAYS_MAX}, (problem,))
    wanted = orders.draft(tx.session, command.currency, command.payout_ids)
    payload = {
        "currency": wanted.currency, "minor": wanted.total_minor, "orders": len(wanted.orders),
        "execute_on": command.execute_on, "sha256": wanted.sha256, "payout_ids": [one.id for one in wanted.orders],
    }  # fmt: skip
    return propose(tx, "payout_file", new_id(), payload, command.reason)


@verb("propose_payout_rail")
def propose_payout_rail(tx: Tx, command: ProposePayoutRail) -> Result:
    """Propose by which rail, and on which account, an organisation is paid.

    Raises: NotFound; RuleBroken("no_iban"), RuleBroken("own_rail"), RuleBroken("kept_there"),
        RuleBroken("nothing_new").
    """
    known = parties.organisation(tx.session, command.organisation_id)
    if command.rail == Rail.BANK and not (command.iban or known.iban):
        raise RuleBroken.about("iban", "no_iban", NO_IBAN)
    if known.kind == "operator" and command.rail != Rail.PROVIDER:
        raise RuleBroken.about("rail", "own_rail", OWN_RAIL)
    if command.rail == Rail.PROVIDER and command.iban and payments.known_at_provider(tx.session, known.id):
        raise RuleBroken.about("iban", "kept_there", KEPT_THERE)
    iban = command.iban or known.iban  # what will be, not what changes: that is what the second person agrees to
    if (command.rail, iban) == (known.payout_rail, known.iban):
        raise RuleBroken("nothing_new", NOTHING_NEW)
    payload = {"organisation": known.legal_name, "rail": command.rail, "iban": iban, "iban_before": known.iban}
    told = {"rail": command.rail, "iban_ends": (iban or "")[-4:]}
    return propose(tx, "payout_rail", known.id, payload, command.reason, told)


@verb("propose_payout_refused")
def propose_payout_refused(tx: Tx, command: ProposePayoutRefused) -> Result:
    """Propose to take back the money of an order that the bank did not carry out.

    Raises: NotFound; RuleBroken("payout_not_on_its_way").
    """
    known = payments.payout(tx.session, command.payout_id)
    if known.rail != Rail.BANK or known.state != PayoutState.IN_TRANSIT:
        raise RuleBroken("payout_not_on_its_way", N_("This pay-out is not on its way by a bank file."))
    told = {"minor": known.amount_minor, "currency": known.currency}
    ordered = orders.order_of(tx.session, known.id)
    payload = {**told, "purpose": known.purpose, "payee": ordered.name, "iban": ordered.iban,
               "message_id": ordered.message_id}  # fmt: skip
    return propose(tx, "payout_refused", known.id, payload, command.reason, told)


@verb("propose_bank_suspense")
def propose_bank_suspense(tx: Tx, command: ProposeBankSuspense) -> Result:
    """Propose what becomes of money that came by the bank and matched nothing.

    Raises: NotFound; RuleBroken("more_than_left"), RuleBroken("sender_unknown"), RuleBroken("not_owed_here"),
    RuleBroken("no_cash_account").
    """
    item = bank_suspense.item(tx.session, command.bank_entry_id, command.minor)
    if (command.decision == "apply") != (command.receivable_id is not None):
        raise InvalidInput.about("ref", "receivable_needed", suspense.NAME_IT)
    if (command.decision == "fund") != (command.organisation_id is not None):
        raise InvalidInput.about("organisation_id", "owner_needed", OWNER_NEEDED, rule="owner")
    if command.organisation_id is not None:
        bank_suspense.cash_of(tx.session, command.organisation_id)
    if command.receivable_id is not None:
        bank_suspense.target(tx.session, command.receivable_id, item.currency)
    elif command.decision == "return" and item.sender_iban is None:
        raise RuleBroken("sender_unknown", SENDER_UNKNOWN)
    pool = OWN.get(command.decision)
    target, owner = command.receivable_id, command.organisation_id
    told = {"minor": command.minor, "currency": item.currency, "receivable_id": target, "pool": pool,
            "organisation_id": owner}  # fmt: skip
    payload = told | {
        "receivable": target and receivables.receivable(tx.session, target).ref,
        "organisation": owner and parties.organisation(tx.session, owner).legal_name,
        "sender": item.sender_name, "sender_iban": item.sender_iban, "words": item.words or None,
        "reference": item.reference, "booked_on": item.booked_on, "bank_ref": item.bank_ref,
    }  # fmt: skip
    what = "own" if pool else "apply" if command.decision == "fund" else command.decision
    kind = f"bank_suspense_{what}"
    return propose(tx, kind, item.bank_entry_id, payload, command.reason, told)
