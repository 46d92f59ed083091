"""Customers and connected accounts."""

from typing import Any

from marketplace.payments.sandbox.desk import Desk
from marketplace.payments.sandbox.faults import Refused

Params = dict[str, Any]


def create_customer(desk: Desk, params: Params) -> Params:
    """POST /v1/customers"""
    customer: Params = {
        "id": desk.new_id("cus"), "object": "customer", "address": None, "balance": 0, "created": desk.at,
        "currency": None, "default_source": None, "delinquent": False, "description": params.get("description"),
        "discount": None, "email": params.get("email"), "invoice_prefix": None,
        "livemode": False, "metadata": params.get("metadata") or {}, "name": params.get("name"),
        "phone": params.get("phone"), "preferred_locales": [], "shipping": None, "tax_exempt": "none",
        "test_clock": None,
    }  # fmt: skip
    desk.save(customer)
    desk.tell("customer.created", customer)
    return customer


def create_account(desk: Desk, params: Params) -> Params:
    """POST /v1/accounts. Accounts are verified at once; a bank number ending in 0000 keeps payouts switched off."""
    if desk.account:
        raise Refused(403, "A connected account cannot create accounts.", code="account_invalid")
    if not params.get("type"):
        raise Refused(400, "Missing required param: type.", code="parameter_missing", param="type")
    account_id = desk.new_id("acct")
    bank = params.get("external_account")
    banks = [_bank_account(desk, account_id, bank)] if isinstance(bank, dict) else []
    ready = bool(banks) and not str(bank["account_number"] if isinstance(bank, dict) else "").endswith("0000")
    company = params.get("company") or {}
    account = {
        "id": account_id, "object": "account", "business_profile": None,
        "business_type": params.get("business_type"), "capabilities": {"transfers": "active"},
        "charges_enabled": False, "company": {"name": company.get("name")} if company else None,
        "country": params.get("country", "GB"), "created": desk.at,
        "default_currency": params.get("default_currency") or (banks[0]["currency"] if banks else "gbp"),
        "details_submitted": True, "email": params.get("email"),
        "external_accounts": {"object": "list", "data": banks, "has_more": False,
                              "url": f"/v1/accounts/{account_id}/external_accounts"},
        "metadata": params.get("metadata") or {}, "payouts_enabled": ready, "type": params["type"],
    }  # fmt: skip
    desk.save(account)
    desk.tell("account.updated", account)
    return account


def _bank_account(desk: Desk, account_id: str, bank: Params) -> Params:
    number = str(bank["account_number"])
    if len(number) < 4:
        raise Refused(400, "That bank account number is too short.", code="account_number_invalid",
                      param="external_account[account_number]")  # fmt: skip
    return {
        "id": desk.new_id("ba"), "object": "bank_account", "account": account_id,
        "account_holder_name": bank.get("account_holder_name"),
        "account_holder_type": bank.get("account_holder_type"), "account_type": None,
        "available_payout_methods": ["standard"], "bank_name": "SANDBOX BANK", "country": bank["country"],
        "currency": str(bank.get("currency", "gbp")).lower(), "default_for_currency": True, "fingerprint": None,
        "last4": number[-4:], "metadata": {}, "routing_number": bank.get("routing_number"), "status": "new",
    }  # fmt: skip


def retrieve_account(desk: Desk, account_id: str) -> Params:
    """GET /v1/accounts/:id"""
    return desk.load("account", account_id)


def retrieve_balance(desk: Desk, _params: Params) -> Params:
    """GET /v1/balance, of the platform or of the account named in the header."""
    held = desk.balance() or {"gbp": 0}
    available = [{"amount": minor, "currency": currency, "source_types": {"card": minor}}
                 for currency, minor in held.items()]  # fmt: skip
    pending = [{"amount": 0, "currency": currency, "source_types": {"card": 0}} for currency in held]
    return {"object": "balance", "available": available, "livemode": False, "pending": pending}
