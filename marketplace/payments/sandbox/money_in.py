"""Money coming in: checkout sessions, payment intents, charges, disputes."""

from typing import Any

from marketplace.payments.sandbox.desk import DAY, Desk
from marketplace.payments.sandbox.faults import Refused

Params = dict[str, Any]

# Methods whose money arrives later, as banks send it.
SLOW = {"bacs_debit", "sepa_debit", "customer_balance", "us_bank_account", "acss_debit", "au_becs_debit"}
INQUIRY = "warning_needs_response"  # a dispute in which the payer's bank only asks
DEFAULT_METHODS = ["card", "bacs_debit", "sepa_debit", "customer_balance"]


def create_session(desk: Desk, params: Params) -> Params:
    """POST /v1/checkout/sessions, mode=payment, hosted page."""
    if params.get("mode") != "payment":
        raise Refused(400, "The sandbox knows mode=payment only.", code="parameter_invalid", param="mode")
    if not params.get("success_url"):
        raise Refused(400, "Missing required param: success_url.", code="parameter_missing", param="success_url")
    total, currency, words = _priced(params.get("line_items") or [])
    customer_id = params.get("customer")
    if customer_id:
        desk.load("customer", customer_id)
    session_id = desk.new_id("cs_test")
    session = {
        "id": session_id, "object": "checkout.session", "amount_subtotal": total, "amount_total": total,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "cancel_url": params.get("cancel_url"), "client_reference_id": params.get("client_reference_id"),
        "created": desk.at, "currency": currency, "custom_fields": [],
        "custom_text": {"after_submit": None, "shipping_address": None, "submit": None,
                        "terms_of_service_acceptance": None},
        "customer": customer_id, "customer_email": params.get("customer_email"),
        "expires_at": params.get("expires_at") or desk.at + DAY, "livemode": False,
        "metadata": params.get("metadata") or {}, "mode": "payment", "payment_intent": None,
        "payment_method_types": params.get("allowed_payment_method_types") or DEFAULT_METHODS,
        "payment_status": "unpaid", "shipping_options": [], "status": "open", "success_url": params["success_url"],
        "ui_mode": "hosted_page", "url": f"{desk.base_url}/c/pay/{session_id}",
    }  # fmt: skip
    desk.save(session, {"intent": params.get("payment_intent_data") or {}, "words": words})
    desk.later(session["expires_at"] - desk.at, "expire_session", session_id)
    return session


def _priced(items: list[Params]) -> tuple[int, str, str]:
    if not items:
        raise Refused(400, "Missing required param: line_items.", code="parameter_missing", param="line_items")
    total, currencies, words = 0, set(), []
    for item in items:
        price = item.get("price_data") or {}
        if "unit_amount" not in price:
            raise Refused(400, "The sandbox prices by price_data[unit_amount].", param="line_items[0][price_data]")
        total += int(price["unit_amount"]) * int(item.get("quantity", 1))
        currencies.add(str(price["currency"]).lower())
        words.append(str((price.get("product_data") or {}).get("name", "")))
    if len(currencies) != 1:
        raise Refused(400, "All line items must have the same currency.", param="line_items")
    if total < 1:
        raise Refused(400, "The amount must be positive.", code="amount_too_small", param="line_items")
    return total, currencies.pop(), ", ".join(words)


def pay_session(desk: Desk, session_id: str, outcome: str, *, minor: int | None = None,
                currency: str | None = None, method: str | None = None) -> Params:  # fmt: skip
    """Do what the payer does on the hosted page: `paid`, `later`, `later_fails` or `declined`.

    `minor` and `currency` let a test make the provider receive something other than was asked for.
    """
    session = desk.load("checkout.session", session_id)
    if session["status"] != "open":
        raise Refused(400, f"This Checkout Session is {session['status']}.", code="checkout_session_not_open")
    intent_id = session["payment_intent"]
    asked = minor or session["amount_total"]
    if intent_id:
        intent = desk.load("payment_intent", intent_id)
    else:
        wanted = {**desk.store.hidden(session_id)["intent"], "amount": asked,
                  "currency": currency or session["currency"], "customer": session["customer"],
                  "allowed_payment_method_types": session["payment_method_types"]}  # fmt: skip
        intent = new_intent(desk, wanted)
        session["payment_intent"] = intent["id"]
    slow = next((name for name in session["payment_method_types"] if name in SLOW), "customer_balance")
    chosen = method or (slow if outcome.startswith("later") else "card")
    desk.save(intent, {**desk.store.hidden(intent["id"]), "session": session_id, "fails": outcome == "later_fails"})
    if outcome == "declined":
        desk.save(session)
        fail_intent(desk, intent["id"], "card_declined", "Your card was declined.")
        return session
    session["status"] = "complete"
    session["url"] = None
    desk.save(session)
    if outcome == "paid":
        settle_intent(desk, intent["id"], "succeeded", method=chosen)
    else:
        _process(desk, intent, chosen)
        desk.tell("checkout.session.completed", session)
    return desk.load("checkout.session", session_id)


def expire_session(desk: Desk, session_id: str) -> None:
    """Close a session nobody paid."""
    session = desk.load("checkout.session", session_id)
    if session["status"] == "open":
        session["status"] = "expired"
        session["url"] = None
        desk.save(session)
        desk.tell("checkout.session.expired", session)


def new_intent(desk: Desk, params: Params) -> Params:
    """Write a payment intent that waits for a payment method."""
    intent_id = desk.new_id("pi")
    intent = {
        "id": intent_id, "object": "payment_intent", "amount": params["amount"], "amount_capturable": 0,
        "amount_received": 0, "canceled_at": None, "cancellation_reason": None, "capture_method": "automatic",
        "client_secret": f"{intent_id}_secret_sandbox", "confirmation_method": "automatic", "created": desk.at,
        "currency": str(params["currency"]).lower(), "customer": params.get("customer"),
        "description": params.get("description"), "last_payment_error": None, "latest_charge": None,
        "livemode": False, "metadata": params.get("metadata") or {}, "next_action": None, "payment_method": None,
        "payment_method_types": params.get("allowed_payment_method_types") or DEFAULT_METHODS,
        "status": "requires_payment_method", "transfer_group": params.get("transfer_group"),
    }  # fmt: skip
    desk.save(intent, {})
    desk.tell("payment_intent.created", intent)
    return intent


def create_intent(desk: Desk, params: Params) -> Params:
    """POST /v1/payment_intents. Confirmed with a bank method it is processing; with a card it succeeds at once."""
    if int(params["amount"]) < 1:
        raise Refused(400, "The amount must be positive.", code="amount_too_small", param="amount")
    intent = new_intent(desk, params)
    if params.get("confirm"):
        method = str(params.get("payment_method") or "")
        if "card" in method or method.startswith("pm_card"):
            settle_intent(desk, intent["id"], "succeeded", method="card")
        else:
            _process(desk, intent, next((m for m in intent["payment_method_types"] if m in SLOW), "customer_balance"))
    return desk.load("payment_intent", intent["id"])


def _process(desk: Desk, intent: Params, method: str) -> None:
    intent["status"] = "processing"
    desk.save(intent, {**desk.store.hidden(intent["id"]), "method": method, "sent_at": desk.at})
    desk.tell("payment_intent.processing", intent)
    desk.later(float(desk.store.setting("debit_seconds", 5)), "settle_intent", intent["id"])


def settle_intent(desk: Desk, intent_id: str, outcome: str = "", *, method: str | None = None) -> Params:
    """Let the bank answer: the money came, or it did not."""
    intent = desk.load("payment_intent", intent_id)
    if intent["status"] in {"succeeded", "canceled"}:
        return intent
    hidden = desk.store.hidden(intent_id)
    was_slow = intent["status"] == "processing"
    if (outcome or ("failed" if hidden.get("fails") else "succeeded")) == "failed":
        return fail_intent(desk, intent_id, "payment_method_provider_decline", "The bank refused the payment.")
    method = method or hidden.get("method") or "customer_balance"
    at = desk.at if method == "customer_balance" else int(hidden.get("sent_at", desk.at))
    charge = _new_charge(desk, intent, method, at)
    intent |= {"status": "succeeded", "amount_received": intent["amount"], "latest_charge": charge["id"]}
    desk.save(intent)
    desk.tell("charge.succeeded", charge)
    desk.tell("payment_intent.succeeded", intent)
    _tell_session(desk, hidden, was_slow, paid=True)
    return intent


def fail_intent(desk: Desk, intent_id: str, code: str, words: str) -> Params:
    """Refuse the payment; the intent waits for another try."""
    intent = desk.load("payment_intent", intent_id)
    was_slow = intent["status"] == "processing"
    intent["status"] = "requires_payment_method"
    intent["last_payment_error"] = {"code": code, "message": words, "type": "card_error"}
    desk.save(intent)
    desk.tell("payment_intent.payment_failed", intent)
    if was_slow:
        _tell_session(desk, desk.store.hidden(intent_id), was_slow, paid=False)
    return intent


def _tell_session(desk: Desk, hidden: Params, was_slow: bool, *, paid: bool) -> None:
    if "session" not in hidden:
        return
    session = desk.load("checkout.session", hidden["session"])
    session["payment_status"] = "paid" if paid else "unpaid"
    desk.save(session)
    if was_slow:
        desk.tell("checkout.session.async_payment_" + ("succeeded" if paid else "failed"), session)
    else:
        desk.tell("checkout.session.completed", session)


def _new_charge(desk: Desk, intent: Params, method: str, at: int) -> Params:
    """Write what was paid. Of a debit it dates from the debit's sending, of anything else from the money's arrival."""
    charge_id = desk.new_id("ch" if method == "card" else "py")
    fee = intent["amount"] * int(desk.store.setting("fee_bps", 0)) // 10_000
    charge = {
        "id": charge_id, "object": "charge", "amount": intent["amount"], "amount_captured": intent["amount"],
        "amount_refunded": 0, "balance_transaction": None,
        "billing_details": {"address": None, "email": None, "name": None, "phone": None, "tax_id": None},
        "captured": True, "created": at, "currency": intent["currency"], "customer": intent["customer"],
        "description": intent["description"], "disputed": False, "livemode": False, "metadata": intent["metadata"],
        "paid": True, "payment_intent": intent["id"], "payment_method": None,
        "payment_method_details": {"type": method}, "refunded": False,
        "status": "succeeded", "transfer_group": intent["transfer_group"],
    }  # fmt: skip
    kind = "charge" if method == "card" else "payment"
    charge["balance_transaction"] = desk.book(kind, charge_id, intent["amount"], intent["currency"], fee=fee)
    desk.save(charge)
    return charge


EVIDENCE = tuple(
    """access_activity_log billing_address cancellation_policy cancellation_policy_disclosure cancellation_rebuttal
    customer_communication customer_email_address customer_name customer_purchase_ip customer_signature
    duplicate_charge_documentation duplicate_charge_explanation duplicate_charge_id product_description receipt
    refund_policy refund_policy_disclosure refund_refusal_explanation service_date service_documentation
    shipping_address shipping_carrier shipping_date shipping_documentation shipping_tracking_number
    uncategorized_file uncategorized_text""".split()  # noqa: SIM905
)


def open_dispute(
    desk: Desk, intent_id: str, minor: int | None = None, reason: str = "general", inquiry: bool = False
) -> Params:  # fmt: skip
    """Let the payer's bank take the money back, in whole or in part; an inquiry only asks, and takes nothing yet."""
    intent = desk.load("payment_intent", intent_id)
    if not intent["latest_charge"]:
        raise Refused(400, "Nothing was paid.", code="charge_missing")
    charge = desk.load("charge", intent["latest_charge"])
    if charge["disputed"]:
        raise Refused(400, "This payment is disputed already.", code="charge_already_disputed")
    dispute_id = desk.new_id("du")
    taken = minor or charge["amount"]
    charge["disputed"] = True
    desk.save(charge)
    dispute = {
        "id": dispute_id, "object": "dispute", "amount": taken,
        "balance_transactions": [], "charge": charge["id"],
        "created": desk.at, "currency": charge["currency"], "enhanced_eligibility_types": [],
        "evidence": dict.fromkeys(EVIDENCE) | {"enhanced_evidence": {}},
        "evidence_details": {"due_by": desk.at + 7 * DAY, "enhanced_eligibility": {}, "has_evidence": False,
                             "past_due": False, "submission_count": 0, "submission_method": "not_submitted"},
        "is_charge_refundable": False, "livemode": False, "metadata": {}, "network_reason_code": None,
        "payment_intent": intent_id, "reason": reason, "status": INQUIRY,
    }  # fmt: skip
    if not inquiry:
        _withdraw(desk, dispute)
    return _told(desk, dispute, "charge.dispute.created")


def escalate_dispute(desk: Desk, dispute_id: str) -> Params:
    """Let an inquiry become a chargeback: now the money is taken."""
    dispute = desk.load("dispute", dispute_id)
    if dispute["status"] != INQUIRY:
        raise Refused(400, "Only an inquiry becomes a chargeback.", code="dispute_not_an_inquiry")
    _withdraw(desk, dispute)
    return _told(desk, dispute, "charge.dispute.updated")


def _withdraw(desk: Desk, dispute: Params) -> None:
    words = f"Chargeback for {dispute['charge']}"
    line = desk.book("adjustment", dispute["id"], -dispute["amount"], dispute["currency"], words=words)
    dispute["balance_transactions"].append(desk.load("balance_transaction", line))
    dispute["status"] = "needs_response"


def _told(desk: Desk, dispute: Params, event: str) -> Params:
    desk.save(dispute)
    desk.tell(event, dispute)
    if dispute["balance_transactions"]:
        desk.tell("charge.dispute.funds_withdrawn", dispute)
    return dispute


def close_dispute(desk: Desk, dispute_id: str, won: bool) -> Params:
    """Decide a dispute; when won the money comes back. An inquiry took none, and only ends."""
    dispute = desk.load("dispute", dispute_id)
    taken = dispute["status"] != INQUIRY
    dispute["status"] = ("won" if won else "lost") if taken else "warning_closed"
    if won and taken:
        line = desk.book("adjustment", dispute_id, dispute["amount"], dispute["currency"], words="Chargeback reversed")
        dispute["balance_transactions"].append(desk.load("balance_transaction", line))
        desk.tell("charge.dispute.funds_reinstated", dispute)
    desk.save(dispute)
    desk.tell("charge.dispute.closed", dispute)
    return dispute
