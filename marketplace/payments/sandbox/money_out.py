"""Money going out: transfers to connected accounts, their reversals, payouts to banks."""

from typing import Any

from marketplace.payments.sandbox.desk import DAY, PLATFORM, Desk
from marketplace.payments.sandbox.faults import Refused

Params = dict[str, Any]


def create_transfer(desk: Desk, params: Params) -> Params:
    """POST /v1/transfers: from the platform's balance to a connected account's."""
    minor, currency = _amount(params)
    desk.load("account", params["destination"])
    desk.must_have(minor, currency)
    transfer_id = desk.new_id("tr")
    other = desk.of(params["destination"])
    arrived = _arrival(other, minor, currency, transfer_id)
    transfer = {
        "id": transfer_id, "object": "transfer", "amount": minor, "amount_reversed": 0,
        "balance_transaction": desk.book("transfer", transfer_id, -minor, currency), "created": desk.at,
        "currency": currency, "description": params.get("description"), "destination": params["destination"],
        "destination_payment": arrived, "livemode": False, "metadata": params.get("metadata") or {},
        "reversals": {"object": "list", "data": [], "has_more": False, "url": f"/v1/transfers/{transfer_id}/reversals"},
        "reversed": False, "source_transaction": None, "source_type": "card",
        "transfer_group": params.get("transfer_group"),
    }  # fmt: skip
    desk.save(transfer)
    desk.tell("transfer.created", transfer)
    return transfer


def _arrival(other: Desk, minor: int, currency: str, transfer_id: str) -> str:
    charge_id = other.new_id("py")
    charge = {
        "id": charge_id, "object": "charge", "amount": minor, "amount_captured": minor, "amount_refunded": 0,
        "balance_transaction": other.book("payment", charge_id, minor, currency),
        "billing_details": {"address": None, "email": None, "name": None, "phone": None, "tax_id": None},
        "captured": True, "created": other.at, "currency": currency, "customer": None, "description": None,
        "disputed": False, "livemode": False, "metadata": {}, "paid": True, "payment_intent": None,
        "payment_method": None, "refunded": False, "source_transfer": transfer_id, "status": "succeeded",
    }  # fmt: skip
    other.save(charge)
    return charge_id


def reverse_transfer(desk: Desk, params: Params, transfer_id: str) -> Params:
    """POST /v1/transfers/:id/reversals: take back what the connected account still has."""
    transfer = desk.load("transfer", transfer_id)
    minor = int(params.get("amount") or transfer["amount"] - transfer["amount_reversed"])
    if minor < 1 or minor > transfer["amount"] - transfer["amount_reversed"]:
        raise Refused(400, "More than is left of the transfer.", code="transfer_already_reversed", param="amount")
    other = desk.of(transfer["destination"])
    other.must_have(minor, transfer["currency"])
    reversal_id = desk.new_id("trr")
    other.book("payment_refund", reversal_id, -minor, transfer["currency"])
    reversal = {
        "id": reversal_id, "object": "transfer_reversal", "amount": minor,
        "balance_transaction": desk.book("transfer_refund", reversal_id, minor, transfer["currency"]),
        "created": desk.at, "currency": transfer["currency"], "destination_payment_refund": None,
        "metadata": params.get("metadata") or {}, "source_refund": None, "transfer": transfer_id,
    }  # fmt: skip
    desk.save(reversal)
    transfer["amount_reversed"] += minor
    transfer["reversed"] = transfer["amount_reversed"] == transfer["amount"]
    transfer["reversals"]["data"].insert(0, reversal)
    desk.save(transfer)
    desk.tell("transfer.reversed", transfer)
    return reversal


def create_payout(desk: Desk, params: Params) -> Params:
    """POST /v1/payouts, with Stripe-Account: from that account's balance to its bank."""
    minor, currency = _amount(params)
    bank = _bank_of(desk, currency)
    desk.must_have(minor, currency)
    payout_id = desk.new_id("po")
    payout = {
        "id": payout_id, "object": "payout", "amount": minor, "application_fee": None, "application_fee_amount": None,
        "arrival_date": desk.at + DAY, "automatic": False,
        "balance_transaction": desk.book("payout", payout_id, -minor, currency), "created": desk.at,
        "currency": currency, "description": params.get("description"), "destination": bank,
        "failure_balance_transaction": None, "failure_code": None, "failure_message": None, "livemode": False,
        "metadata": params.get("metadata") or {}, "method": "standard", "original_payout": None,
        "payout_method": None, "reconciliation_status": "not_applicable", "reversed_by": None, "source_type": "card",
        "statement_descriptor": params.get("statement_descriptor"), "status": "pending", "trace_id": None,
        "type": "bank_account",
    }  # fmt: skip
    desk.save(payout)
    desk.tell("payout.created", payout)
    desk.later(float(desk.store.setting("payout_seconds", 2)), "settle_payout", payout_id)
    return payout


def settle_payout(desk: Desk, payout_id: str, outcome: str = "") -> Params:
    """Let the bank answer: `paid`, `failed`, or `paid_then_failed`, as when an account turns out to be closed."""
    payout = desk.load("payout", payout_id)
    outcome = outcome or desk.store.setting("payout_outcome", "paid")
    if payout["status"] == "failed" or (payout["status"] == "paid" and outcome != "failed"):
        return payout
    if outcome.startswith("paid"):
        payout["status"] = "paid"
        desk.save(payout)
        desk.tell("payout.paid", payout)
    if outcome.endswith("failed"):
        payout |= {
            "status": "failed", "failure_code": "account_closed", "failure_message": "The bank account is closed.",
            "failure_balance_transaction": desk.book("payout_failure", payout_id, payout["amount"], payout["currency"]),
        }  # fmt: skip
        desk.save(payout)
        desk.tell("payout.failed", payout)
    return payout


def _bank_of(desk: Desk, currency: str) -> str:
    if desk.account == PLATFORM:
        return "ba_platform"
    account = desk.of(PLATFORM).load("account", desk.account)
    if not account["payouts_enabled"]:
        raise Refused(400, "Cannot create payouts: this account has no bank account that works.",
                      code="payouts_not_allowed")  # fmt: skip
    banks = account["external_accounts"]["data"]
    found = next((bank for bank in banks if bank["currency"] == currency), None)
    if found is None:
        raise Refused(400, f"This account has no external account in {currency}.", code="currency_not_supported")
    return str(found["id"])


def _amount(params: Params) -> tuple[int, str]:
    minor = int(params.get("amount") or 0)
    if minor < 1:
        raise Refused(400, "This value must be greater than or equal to 1.", code="parameter_invalid_integer",
                      param="amount")  # fmt: skip
    return minor, str(params["currency"]).lower()
