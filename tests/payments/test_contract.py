"""The sandbox's replies are Stripe's shapes, and the checker that says so finds what is wrong."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from marketplace.payments.sandbox.contract import check_reply, check_request
from marketplace.payments.sandbox.routes import ROUTES
from marketplace.payments.sandbox.shapes import module_shapes, object_classes
from tests.payments.playing import SandboxProcess, pay
from tests.payments.test_sandbox import account, client, page


@pytest.fixture
def everything(sandbox: SandboxProcess) -> list[dict[str, Any]]:
    """One object of every kind the sandbox knows, as it came over the wire, and every event."""
    v1 = client(sandbox)
    customer = v1.customers.create({"name": "Bob"})
    session = page(v1)
    pay(session.url)
    pay(page(v1).url, "later")
    sandbox.knob("advance")
    to = account(v1)
    transfer = v1.transfers.create({"amount": 1_000, "currency": "gbp", "destination": to.id})
    payout = v1.payouts.create({"amount": 400, "currency": "gbp"}, {"stripe_account": to.id})
    sandbox.knob("payout", payout=payout.id, outcome="paid_then_failed")
    reversal = v1.transfers.reversals.create(transfer.id, {"amount": 600})
    intent = v1.checkout.sessions.retrieve(session.id).payment_intent
    sandbox.knob("dispute", intent=intent)
    found = [
        customer,
        to,
        reversal,
        v1.balance.retrieve(),
        v1.transfers.retrieve(transfer.id),
        v1.payouts.retrieve(payout.id, {}, {"stripe_account": to.id}),
        v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]}),
        *v1.payment_intents.list().data,
        *v1.balance_transactions.list().data,
        *v1.disputes.list().data,
    ]
    found += [v1.charges.retrieve(one.source) for one in v1.balance_transactions.list() if one.type == "charge"]
    events = list(v1.events.list({"limit": 100}).auto_paging_iter())
    return [one.to_dict() for one in [*found, *events]]


def test_every_reply_and_every_event_keeps_the_contract(everything: list[dict[str, Any]]) -> None:
    kinds = {one["object"] for one in everything}
    assert kinds >= {"account", "balance", "balance_transaction", "charge", "checkout.session", "customer", "dispute",
                     "event", "payment_intent", "payout", "transfer", "transfer_reversal"}  # fmt: skip
    assert [fault for one in everything for fault in check_reply(one)] == []


def test_the_checker_finds_missing_null_mistyped_and_unknown_fields(everything: list[dict[str, Any]]) -> None:
    tried = 0
    for one in everything:
        path, cls = object_classes()[one["object"]]
        shape = module_shapes(path)[cls]
        for name in set(shape.fields) - shape.optional:
            for harm in ("missing", "null", "wrong_type"):
                hurt = copy.deepcopy(one)
                if harm == "missing":
                    del hurt[name]
                else:
                    hurt[name] = None if harm == "null" else object()
                if name != "object" and shape.fields[name].kind != "any":
                    assert check_reply(hurt), f"{one['object']}.{name} {harm}"
                    tried += 1
        assert check_reply({**one, "surprise": 1})
    assert tried > 500


def test_every_route_names_parameters_the_library_knows() -> None:
    for route in ROUTES:
        check_request(route.params_class, {})
        assert check_request(route.params_class, {"no_such_parameter": "1"})[1][0].code == "parameter_unknown"


def test_stripes_own_published_examples_agree(shared: Path, everything: list[dict[str, Any]]) -> None:
    """Every field we give out is one that Stripe's examples have, of the same kind, or one they leave out as null."""
    place = shared / "stripe" / "fixtures3.json"
    if not place.is_file():
        pytest.skip(f"NO STRIPE FIXTURES: {place.name} is absent; replies were held to the library's types only.")
    resources = json.loads(place.read_text(encoding="utf-8"))["resources"]
    published = {one["object"]: one for one in resources.values() if isinstance(one, dict) and "object" in one}
    faults = []
    for one in everything:
        example = published.get(one["object"])
        for name, value in one.items() if example else ():
            shown = example.get(name)
            if value is not None and shown is not None and type(value) is not type(shown):
                faults.append(f"{one['object']}.{name}: {value!r}, not like {shown!r}")
    assert faults == []
