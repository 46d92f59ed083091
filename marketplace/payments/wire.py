"""The calls in the provider's words (Stripe's API), pure: what is committed, and later sent, word for word."""

from typing import Any
from uuid import UUID

from marketplace.payments.gateway import Call, CallKind

# Bank methods first; which of them a payer sees is the provider's business, by currency and country.
METHODS = {
    "GBP": ["bacs_debit", "customer_balance"],
    "EUR": ["sepa_debit", "customer_balance"],
    "USD": ["us_bank_account", "customer_balance"],
}
METHODS_ELSEWHERE = ["card"]
# Of these a charge is made when the money is there. Of a debit it is made when the debit is sent to the payer's bank;
# that it was paid, days later, is told by this event and by nothing that can be asked for afterwards.
CHARGED_ON_ARRIVAL = ("card", "customer_balance")
ARRIVED_LATER = "checkout.session.async_payment_succeeded"
KEY = "duebill_call"
SUBJECT = "duebill_subject"


def _marks(call_id: UUID, subject_id: UUID) -> dict[str, str]:
    return {KEY: str(call_id), SUBJECT: str(subject_id)}


def customer(call_id: UUID, organisation_id: UUID, name: str) -> Call:
    """Return the call that makes an organisation known as a payer."""
    return Call(CallKind.CUSTOMER, {"name": name, "metadata": _marks(call_id, organisation_id)})


def account(call_id: UUID, organisation_id: UUID, *, name: str, country: str, iban: str, currency: str) -> Call:
    """Return the call that opens a connected account: verified company, transfers only, paid out when we say."""
    return Call(
        CallKind.ACCOUNT,
        {
            "type": "custom",
            "country": country,
            "business_type": "company",
            "company": {"name": name},
            "capabilities": {"transfers": {"requested": True}},
            "default_currency": currency.lower(),
            "external_account": {
                "object": "bank_account", "country": iban[:2], "currency": currency.lower(), "account_number": iban,
                "account_holder_name": name, "account_holder_type": "company",
            },
            "settings": {"payouts": {"schedule": {"interval": "manual"}}},
            "metadata": _marks(call_id, organisation_id),
        },
    )  # fmt: skip


def checkout(
    call_id: UUID, subject_id: UUID, *, customer_id: str, minor: int, currency: str, words: str, return_url: str
) -> Call:
    """Return the call that opens a hosted payment page over exactly `minor`."""
    marks = _marks(call_id, subject_id)
    price: dict[str, Any] = {"currency": currency.lower(), "unit_amount": minor, "product_data": {"name": words}}
    params: dict[str, Any] = {
        "mode": "payment",
        "customer": customer_id,
        "client_reference_id": str(subject_id),
        "line_items": [{"quantity": 1, "price_data": price}],
        "allowed_payment_method_types": METHODS.get(currency, METHODS_ELSEWHERE),
        "success_url": return_url,
        "cancel_url": return_url,
        "metadata": marks,
        "payment_intent_data": {"description": words, "metadata": marks},
    }
    if "customer_balance" in params["allowed_payment_method_types"]:
        params["payment_method_options"] = {"customer_balance": _bank_transfer(currency)}
    return Call(CallKind.CHECKOUT, params)


def _bank_transfer(currency: str) -> dict[str, Any]:
    transfer: dict[str, Any] = {"type": {"GBP": "gb", "EUR": "eu", "USD": "us"}[currency] + "_bank_transfer"}
    if currency == "EUR":
        transfer["eu_bank_transfer"] = {"country": "IE"}
    return {"funding_type": "bank_transfer", "bank_transfer": transfer}


def transfer(call_id: UUID, payout_id: UUID, *, account_id: str, minor: int, currency: str) -> Call:
    """Return the call that moves money from the platform's balance to a connected account's."""
    return Call(
        CallKind.TRANSFER,
        {"amount": minor, "currency": currency.lower(), "destination": account_id, "transfer_group": str(call_id),
         "metadata": _marks(call_id, payout_id)},
    )  # fmt: skip


def payout(call_id: UUID, payout_id: UUID, *, account_id: str, minor: int, currency: str, words: str) -> Call:
    """Return the call that sends a connected account's money to its bank. `words`: at most 22 plain characters."""
    return Call(
        CallKind.PAYOUT,
        {"amount": minor, "currency": currency.lower(), "statement_descriptor": words,
         "metadata": _marks(call_id, payout_id)},
        account=account_id,
    )  # fmt: skip


def reversal(call_id: UUID, payout_id: UUID, *, transfer_id: str, minor: int) -> Call:
    """Return the call that takes a transfer back."""
    return Call(CallKind.REVERSAL, {"amount": minor, "metadata": _marks(call_id, payout_id)}, object_id=transfer_id)
