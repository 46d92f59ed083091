"""Every call the sandbox answers: method, path, Stripe's class of parameters, and what does it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from marketplace.payments.sandbox import money_in, money_out, parties
from marketplace.payments.sandbox.contract import check_reply, check_request
from marketplace.payments.sandbox.desk import PLATFORM, Desk
from marketplace.payments.sandbox.faults import Refused

Params = dict[str, Any]
Do = Callable[..., Params]


@dataclass(frozen=True)
class Route:
    """One call. `do(desk, params, *ids)` runs inside a transaction."""

    method: str
    path: str
    params_class: str
    do: Do


def _retrieve(kind: str) -> Do:
    def do(desk: Desk, params: Params, object_id: str) -> Params:
        found = desk.load(kind, object_id)
        for name in params.get("expand") or []:
            _expand(desk, found, str(name))
        return found

    return do


def _expand(desk: Desk, found: Params, name: str) -> None:
    name, _, further = name.partition(".")
    inner = found.get(name)
    if isinstance(inner, str):
        row = desk.store.rows("SELECT body FROM object WHERE id = ? AND account = ?", inner, desk.account)
        if row:
            found[name] = json.loads(row[0]["body"])
    if further and isinstance(found.get(name), dict):
        _expand(desk, found[name], further)


def _list(kind: str, *filters: str) -> Do:
    def do(desk: Desk, params: Params) -> Params:
        limit = int(params.get("limit", 10))
        if not 1 <= limit <= 100:
            raise Refused(400, "limit must be between 1 and 100", param="limit")
        cursor = params.get("starting_after")
        if cursor:
            desk.load(kind, str(cursor))
        older = desk.store.newest(kind, desk.account, cursor)
        found = list(islice((one for one in older if _chosen(one, params, filters)), limit + 1))
        for name in params.get("expand") or []:
            for one in found[:limit]:
                _expand(desk, one, str(name).removeprefix("data."))
        url = {"checkout.session": "checkout/sessions"}.get(kind, f"{kind}s")
        return {"object": "list", "data": found[:limit], "has_more": len(found) > limit, "url": f"/v1/{url}"}

    return do


def _chosen(one: Params, params: Params, filters: tuple[str, ...]) -> bool:
    created = params.get("created")
    if isinstance(created, int) and one["created"] != created:
        return False
    if isinstance(created, dict):
        tests = {"gt": int.__gt__, "gte": int.__ge__, "lt": int.__lt__, "lte": int.__le__}
        if not all(tests[name](int(one["created"]), int(bound)) for name, bound in created.items()):
            return False
    return all(params.get(name) in (None, one.get(name)) for name in filters)


def _account(desk: Desk, params: Params, account_id: str) -> Params:
    return parties.retrieve_account(desk.of(PLATFORM), account_id)


def _without_ids(do: Callable[[Desk, Params], Params]) -> Do:
    return lambda desk, params: do(desk, params)


def _expire(desk: Desk, params: Params, session_id: str) -> Params:
    if desk.load("checkout.session", session_id)["status"] != "open":
        raise Refused(400, "Only open Checkout Sessions can be expired.", code="checkout_session_not_open")
    money_in.expire_session(desk, session_id)
    return desk.load("checkout.session", session_id)


ROUTES = (
    Route("POST", "/v1/customers", "CustomerCreateParams", parties.create_customer),
    Route("GET", "/v1/customers", "CustomerListParams", _list("customer", "email")),
    Route("GET", "/v1/customers/{}", "CustomerRetrieveParams", _retrieve("customer")),
    Route("POST", "/v1/accounts", "AccountCreateParams", parties.create_account),
    Route("GET", "/v1/accounts", "AccountListParams", _list("account")),
    Route("GET", "/v1/accounts/{}", "AccountRetrieveParams", _account),
    Route("GET", "/v1/balance", "BalanceRetrieveParams", _without_ids(parties.retrieve_balance)),
    Route("GET", "/v1/balance_transactions", "BalanceTransactionListParams",
          _list("balance_transaction", "currency", "source", "type")),
    Route("GET", "/v1/balance_transactions/{}", "BalanceTransactionRetrieveParams", _retrieve("balance_transaction")),
    Route("POST", "/v1/checkout/sessions", "checkout.SessionCreateParams", money_in.create_session),
    Route("GET", "/v1/checkout/sessions", "checkout.SessionListParams",
          _list("checkout.session", "customer", "payment_intent", "status")),
    Route("GET", "/v1/checkout/sessions/{}", "checkout.SessionRetrieveParams", _retrieve("checkout.session")),
    Route("POST", "/v1/checkout/sessions/{}/expire", "checkout.SessionExpireParams", _expire),
    Route("POST", "/v1/payment_intents", "PaymentIntentCreateParams", money_in.create_intent),
    Route("GET", "/v1/payment_intents", "PaymentIntentListParams", _list("payment_intent", "customer")),
    Route("GET", "/v1/payment_intents/{}", "PaymentIntentRetrieveParams", _retrieve("payment_intent")),
    Route("GET", "/v1/charges/{}", "ChargeRetrieveParams", _retrieve("charge")),
    Route("POST", "/v1/transfers", "TransferCreateParams", money_out.create_transfer),
    Route("GET", "/v1/transfers", "TransferListParams", _list("transfer", "destination", "transfer_group")),
    Route("GET", "/v1/transfers/{}", "TransferRetrieveParams", _retrieve("transfer")),
    Route("POST", "/v1/transfers/{}/reversals", "TransferCreateReversalParams", money_out.reverse_transfer),
    Route("POST", "/v1/payouts", "PayoutCreateParams", money_out.create_payout),
    Route("GET", "/v1/payouts", "PayoutListParams", _list("payout", "status")),
    Route("GET", "/v1/payouts/{}", "PayoutRetrieveParams", _retrieve("payout")),
    Route("GET", "/v1/disputes", "DisputeListParams", _list("dispute", "charge", "payment_intent")),
    Route("GET", "/v1/disputes/{}", "DisputeRetrieveParams", _retrieve("dispute")),
    Route("GET", "/v1/events", "EventListParams", _list("event", "type")),
    Route("GET", "/v1/events/{}", "EventRetrieveParams", _retrieve("event")),
)  # fmt: skip
PATTERNS = [(re.compile(re.sub(r"\{\}", r"([A-Za-z0-9_]+)", route.path) + "$"), route) for route in ROUTES]


def find_route(method: str, path: str) -> tuple[Route, tuple[str, ...]]:
    """Return the route of a request and the ids in its path.

    Raises: Refused, 404.
    """
    for pattern, route in PATTERNS:
        match = pattern.match(path)
        if match and route.method == method:
            return route, match.groups()
    raise Refused(404, f"Unrecognized request URL ({method}: {path}).")


def read_params(route: Route, values: Params) -> Params:
    """Return the parameters, typed.

    Raises: Refused, 400, naming the parameter.
    """
    read, faults = check_request(route.params_class, values)
    if faults:
        first = faults[0]
        raise Refused(400, first.words, code=first.code, param=first.path)
    return read


def run(route: Route, desk: Desk, params: Params, ids: tuple[str, ...]) -> Params:
    """Do what a request asks and hold the reply to the contract.

    Raises: Refused; AssertionError when the sandbox itself would break Stripe's contract.
    """
    reply = route.do(desk, params, *ids)
    faults = check_reply(reply)
    if faults:
        raise AssertionError(f"{route.method} {route.path}: " + "; ".join(fault.words for fault in faults))
    return reply
