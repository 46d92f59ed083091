"""Stripe behind the Gateway Protocol. The only file that imports `stripe`."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import stripe
from flask import current_app

from marketplace.kernel import failpoints
from marketplace.kernel.errors import InvalidInput
from marketplace.kernel.words import N_
from marketplace.payments.gateway import (
    BalanceLine,
    BankPayout,
    CallFailed,
    CallKind,
    Chargeback,
    Checkout,
    Gateway,
    Notice,
    Outcome,
    Sent,
    bad_signature,
)
from marketplace.payments.wire import CHARGED_ON_ARRIVAL, KEY, SUBJECT

P = ParamSpec("P")
R = TypeVar("R")
TIMEOUT_SECONDS = 30
TOLERANCE_SECONDS = 300
PAGES_MAX = 50
CHECKOUT_STATES = {"processing": "processing", "requires_action": "processing", "requires_confirmation": "processing",
                   "succeeded": "succeeded", "requires_payment_method": "failed", "canceled": "failed"}  # fmt: skip
PAYOUT_STATES = {"pending": "in_transit", "in_transit": "in_transit", "paid": "paid", "failed": "failed",
                 "canceled": "failed"}  # fmt: skip
# An inquiry, and a dispute that was prevented, took nothing. An appeal is made when the money is gone already.
DISPUTE_STATES = {"needs_response": "open", "under_review": "open", "appeal_needs_response": "open",
                  "appeal_under_review": "open", "won": "won", "lost": "lost", "warning_needs_response": None,
                  "warning_under_review": None, "warning_closed": None, "prevented": None}  # fmt: skip


def current_gateway() -> Gateway:
    """Return the gateway of the running application, made once from its settings."""
    known = current_app.extensions.get("duebill_gateway")
    if known is None:
        settings = current_app.extensions["duebill"].settings
        known = StripeGateway(settings.stripe_api_key, settings.stripe_api_base, settings.stripe_webhook_secret)
        current_app.extensions["duebill_gateway"] = known
    return cast(Gateway, known)


def _classified(ask: Callable[P, R]) -> Callable[P, R]:
    """Turn every error of the library into a CallFailed that says what may have happened."""

    @wraps(ask)
    def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return ask(*args, **kwargs)
        except stripe.StripeError as error:
            raise classify(error) from error

    return asked


def classify(error: stripe.StripeError) -> CallFailed:
    """Return what an error of the library means for the call that met it."""
    status = error.http_status
    replayed = (error.headers or {}).get("Idempotent-Replayed") == "true"
    code = str(error.code or type(error).__name__)
    if isinstance(error, stripe.RateLimitError):
        outcome = Outcome.LIMITED
    elif isinstance(error, stripe.IdempotencyError):
        # The key was used with other words: what they did is not known here.
        outcome = Outcome.UNKNOWN
    elif status == 409 or isinstance(error, stripe.AuthenticationError):
        outcome = Outcome.RETRY
    elif status is not None and 400 <= status < 500:
        outcome = Outcome.REFUSED
    else:
        outcome = Outcome.UNKNOWN
    return CallFailed(outcome, code, str(error.user_message or error)[:500], replayed=replayed)


class _Client(stripe.RequestsClient):
    """The library's own HTTP client, with the place between the provider's doing and our knowing of it."""

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **more: Any) -> Any:
        answer = super().request(method, url, headers, post_data, **more)
        failpoints.reach(failpoints.Place.ACCEPTED, method.upper())
        return answer


class StripeGateway:
    """Stripe, or the sandbox: the same code speaks to both."""

    name = "stripe"

    def __init__(
        self, secret: str, address: str, webhook_secrets: str = "", *, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        """`webhook_secrets`: one, or several joined by commas while a secret is being rotated."""
        self._v1 = stripe.StripeClient(
            secret,
            base_addresses={"api": address},
            max_network_retries=0,
            http_client=_Client(timeout=timeout),
        ).v1
        self._webhook_secrets = [one for one in webhook_secrets.split(",") if one]

    @_classified
    def send(self, request: bytes, *, key: str) -> Sent:
        """Make a call, see Gateway."""
        call = json.loads(request)
        made = self._create(call, {"idempotency_key": key} | _for_account(call["account"]))
        return Sent(made.id, getattr(made, "url", None) if call["kind"] == CallKind.CHECKOUT else None)

    def _create(self, call: Mapping[str, Any], options: Any) -> Any:
        v1, params = self._v1, call["params"]
        match CallKind(call["kind"]):
            case CallKind.CUSTOMER:
                return v1.customers.create(params, options)
            case CallKind.ACCOUNT:
                return v1.accounts.create(params, options)
            case CallKind.CHECKOUT:
                return v1.checkout.sessions.create(params, options)
            case CallKind.TRANSFER:
                return v1.transfers.create(params, options)
            case CallKind.PAYOUT:
                return v1.payouts.create(params, options)
            case CallKind.REVERSAL:
                return v1.transfers.reversals.create(call["object_id"], params, options)

    @_classified
    def look_up(self, request: bytes, *, key: str) -> Sent | None:
        """Find an earlier call's object by its metadata, see Gateway."""
        call = json.loads(request)
        for number, found in enumerate(self._candidates(call)):
            known = found.to_dict()
            if (known.get("metadata") or {}).get(KEY) == key:
                return Sent(known["id"], known.get("url"))
            if number >= PAGES_MAX * 100:
                raise CallFailed(Outcome.UNKNOWN, "too_many_candidates", "too many objects to look through")
        return None

    def _candidates(self, call: Mapping[str, Any]) -> Iterator[Any]:
        v1, params, options = self._v1, call["params"], _for_account(call["account"])
        page: dict[str, Any] = {"limit": 100}
        match CallKind(call["kind"]):
            case CallKind.CUSTOMER:
                return v1.customers.list(cast(Any, page), options).auto_paging_iter()
            case CallKind.ACCOUNT:
                return v1.accounts.list(cast(Any, page), options).auto_paging_iter()
            case CallKind.CHECKOUT:
                page["customer"] = params["customer"]
                return v1.checkout.sessions.list(cast(Any, page), options).auto_paging_iter()
            case CallKind.TRANSFER:
                page["transfer_group"] = params["transfer_group"]
                return v1.transfers.list(cast(Any, page), options).auto_paging_iter()
            case CallKind.PAYOUT:
                return v1.payouts.list(cast(Any, page), options).auto_paging_iter()
            case CallKind.REVERSAL:
                transfer = v1.transfers.retrieve(call["object_id"], {}, options)
                return iter(transfer.reversals.data)

    @_classified
    def fetch_checkout(self, session_id: str) -> Checkout:
        """Return a hosted payment, see Gateway."""
        whole: Any = {"expand": ["payment_intent.latest_charge"]}
        session = self._v1.checkout.sessions.retrieve(session_id, whole).to_dict()
        intent = session.get("payment_intent") or {}
        state = str(session["status"])
        if state == "complete":
            state = "succeeded" if session["payment_status"] == "paid" else CHECKOUT_STATES[intent["status"]]
        arrived = state == "succeeded" and intent
        return Checkout(
            session_id=session["id"],
            state=state,
            minor=int(intent["amount_received"] if arrived else session["amount_total"] or 0),
            currency=str(intent["currency"] if arrived else session["currency"] or "").upper(),
            intent_id=intent.get("id"),
            subject_id=(session.get("metadata") or {}).get(SUBJECT),
            pay_url=session.get("url"),
            arrived_at=_arrived_at(intent) if arrived else None,
        )

    @_classified
    def fetch_payout(self, payout_id: str, account: str) -> BankPayout:
        """Return a payout, see Gateway."""
        found = self._v1.payouts.retrieve(payout_id, {}, _for_account(account)).to_dict()
        return BankPayout(
            payout_id=found["id"],
            state=PAYOUT_STATES[found["status"]],
            minor=found["amount"],
            currency=found["currency"].upper(),
            subject_id=(found.get("metadata") or {}).get(SUBJECT),
            failure_code=found.get("failure_code"),
        )

    @_classified
    def fetch_chargeback(self, dispute_id: str) -> Chargeback | None:
        """Return a chargeback, see Gateway."""
        found = self._v1.disputes.retrieve(dispute_id).to_dict()
        state = DISPUTE_STATES[found["status"]]
        if state is None:
            return None
        return Chargeback(found["id"], state, found["amount"], found["currency"].upper(), found.get("payment_intent"))

    @_classified
    def balance_lines(self, account: str | None = None, since: datetime | None = None) -> Iterator[BalanceLine]:
        """Yield a balance's lines, see Gateway. Pages are read ahead so that an error comes as CallFailed."""
        params: Any = {"limit": 100, "expand": ["data.source"]}
        if since is not None:
            params["created"] = {"gte": int(since.timestamp())}
        lines = self._v1.balance_transactions.list(params, _for_account(account)).auto_paging_iter()
        return iter([_line(line.to_dict()) for line in lines])

    @_classified
    def balance(self, account: str | None = None) -> dict[str, int]:
        """Return a balance, see Gateway."""
        found = self._v1.balance.retrieve({}, _for_account(account)).to_dict()
        held: dict[str, int] = {}
        for part in [*found["available"], *found["pending"]]:
            currency = str(part["currency"]).upper()
            held[currency] = held.get(currency, 0) + int(part["amount"])
        return held

    def read_event(self, raw: bytes, signature: str) -> Notice:
        """Check a webhook, see Gateway."""
        if not any(self._holds(raw, signature, secret) for secret in self._webhook_secrets):
            raise bad_signature()
        try:
            event = json.loads(raw)
            inner = event["data"]["object"]
            told = event.get("created")
            return Notice(str(event["id"]), str(event["type"]), str(inner["object"]), str(inner.get("id", "")),
                          event.get("account"), told and datetime.fromtimestamp(told, UTC))  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError) as error:
            raise InvalidInput("bad_event", N_("This is not an event.")) from error

    @staticmethod
    def _holds(raw: bytes, signature: str, secret: str) -> bool:
        try:
            stripe.WebhookSignature.verify_header(raw, signature, secret, TOLERANCE_SECONDS)
        except (stripe.SignatureVerificationError, ValueError):
            return False
        return True


def _arrived_at(intent: Mapping[str, Any]) -> datetime | None:
    charge = intent.get("latest_charge") or {}
    method = (charge.get("payment_method_details") or {}).get("type")
    return datetime.fromtimestamp(charge["created"], UTC) if method in CHARGED_ON_ARRIVAL else None


def _line(line: dict[str, Any]) -> BalanceLine:
    source = line["source"] if isinstance(line["source"], dict) else {"id": line["source"]}
    return BalanceLine(
        line["id"], line["type"], line["amount"], line["fee"], line["currency"].upper(),
        datetime.fromtimestamp(line["created"], UTC), source.get("id"), source.get("payment_intent"),
    )  # fmt: skip


def _for_account(account: str | None) -> Any:
    return {"stripe_account": account} if account else {}
