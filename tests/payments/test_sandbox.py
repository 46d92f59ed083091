"""The sandbox keeps Stripe's word: idempotency, signatures, balances, and its books after a kill."""

import json
import threading
import urllib.error
import urllib.request
from typing import Any

import pytest
import stripe

from tests.payments.playing import SECRET, SandboxProcess, pay


@pytest.fixture
def v1(sandbox: SandboxProcess) -> Any:
    """The real library, speaking to the sandbox."""
    return client(sandbox)


def client(sandbox: SandboxProcess, key: str = "sk_test_1", timeout: float = 60) -> Any:
    """Return the library's v1 services for a sandbox."""
    http = stripe.RequestsClient(timeout=timeout)
    return stripe.StripeClient(key, base_addresses={"api": sandbox.url}, max_network_retries=0, http_client=http).v1


def page(v1: Any, minor: int = 5_000, currency: str = "gbp") -> Any:
    """Open a payment page."""
    price = {"currency": currency, "unit_amount": minor, "product_data": {"name": "Funding"}}
    return v1.checkout.sessions.create(
        {
            "mode": "payment",
            "success_url": "http://x/{CHECKOUT_SESSION_ID}",
            "line_items": [{"quantity": 1, "price_data": price}],
        }
    )


def account(v1: Any, number: str = "GB33BUKB20201555555555") -> Any:
    """Open a connected account."""
    bank = {"object": "bank_account", "country": "GB", "currency": "gbp", "account_number": number}
    return v1.accounts.create({"type": "custom", "country": "GB", "external_account": bank})


# -- idempotency: Stripe's semantics ------------------------------------------------------------------------------


def test_the_same_key_and_body_get_the_same_reply_marked_as_replayed(v1: Any) -> None:
    first = v1.customers.create({"name": "Bob"}, {"idempotency_key": "k"})
    again = v1.customers.create({"name": "Bob"}, {"idempotency_key": "k"})
    assert again.to_dict() == first.to_dict()
    assert "Idempotent-Replayed" not in first.last_response.headers
    assert again.last_response.headers["Idempotent-Replayed"] == "true"


def test_the_same_key_with_another_body_is_refused(v1: Any) -> None:
    v1.customers.create({"name": "Bob"}, {"idempotency_key": "k"})
    with pytest.raises(stripe.IdempotencyError) as refused:
        v1.customers.create({"name": "Carol"}, {"idempotency_key": "k"})
    assert refused.value.http_status == 400
    assert len(v1.customers.list().data) == 1


def test_a_key_in_flight_is_a_conflict(sandbox: SandboxProcess, v1: Any) -> None:
    sandbox.fail("slow", "/v1/customers", seconds=1.5)
    done: list[Any] = []
    thread = threading.Thread(
        target=lambda: done.append(v1.customers.create({"name": "Bob"}, {"idempotency_key": "k"}))
    )
    thread.start()
    threading.Event().wait(0.5)
    with pytest.raises(stripe.APIError) as conflict:
        client(sandbox).customers.create({"name": "Bob"}, {"idempotency_key": "k"})
    thread.join()
    assert conflict.value.http_status == 409
    assert client(sandbox).customers.create({"name": "Bob"}, {"idempotency_key": "k"}).id == done[0].id


@pytest.mark.parametrize(("action", "made"), [("error_500", 0), ("error_500_after", 1)])
def test_a_500_is_remembered_whether_or_not_something_happened(
    sandbox: SandboxProcess, v1: Any, action: str, made: int
) -> None:
    sandbox.fail(action, "/v1/customers")
    for replayed in (None, "true"):
        with pytest.raises(stripe.APIError) as broken:
            v1.customers.create({"name": "Bob"}, {"idempotency_key": "k"})
        assert broken.value.http_status == 500
        assert (broken.value.headers or {}).get("Idempotent-Replayed") == replayed
    assert sandbox.objects("customer") == made


def test_a_refusal_for_lack_of_money_is_remembered_and_a_misspelt_request_is_not(v1: Any) -> None:
    to = account(v1).id
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError, match="insufficient") as refused:
            v1.transfers.create({"amount": 1, "currency": "gbp", "destination": to}, {"idempotency_key": "k"})
    assert refused.value.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.InvalidRequestError, match="unknown parameter"):
        v1.customers.create({"nome": "Bob"}, {"idempotency_key": "m"})
    assert v1.customers.create({"name": "Bob"}, {"idempotency_key": "m"}).name == "Bob"


def test_a_forgotten_key_does_it_again(sandbox: SandboxProcess, v1: Any) -> None:
    v1.customers.create({"name": "Bob"}, {"idempotency_key": "k"})
    sandbox.knob("forget_keys")
    v1.customers.create({"name": "Bob"}, {"idempotency_key": "k"})
    assert sandbox.objects("customer") == 2


def test_only_keys_from_before_a_moment_are_forgotten(sandbox: SandboxProcess, v1: Any) -> None:
    v1.customers.create({"name": "Bob"}, {"idempotency_key": "k"})
    moment = v1.customers.create({"name": "Carol"}, {"idempotency_key": "n"}).created - 1
    assert sandbox.knob("forget_keys", before=moment) == {"forgotten": 0}
    v1.customers.create({"name": "Bob"}, {"idempotency_key": "k"})
    assert sandbox.objects("customer") == 2


def test_a_key_belongs_to_its_account(sandbox: SandboxProcess, v1: Any) -> None:
    one, two = account(v1).id, account(v1).id
    made = {
        v1.customers.create({"name": "Bob"}, {"idempotency_key": "k", "stripe_account": who}).id for who in (one, two)
    }
    assert len(made) == 2


@pytest.mark.parametrize("action", ["timeout_after", "reset_mid_body", "reset_before"])
def test_after_a_broken_line_the_same_key_makes_one_object(sandbox: SandboxProcess, v1: Any, action: str) -> None:
    sandbox.fail(action, "/v1/customers", seconds=5)
    with pytest.raises(stripe.APIConnectionError):
        client(sandbox, timeout=0.5).customers.create({"name": "Bob"}, {"idempotency_key": "k"})
    v1.customers.create({"name": "Bob"}, {"idempotency_key": "k"})
    assert sandbox.objects("customer") == 1


def test_what_was_answered_survives_a_kill(sandbox: SandboxProcess, v1: Any) -> None:
    made = v1.customers.create({"name": "Bob"}, {"idempotency_key": "k"})
    sandbox.kill()
    sandbox.start()
    assert client(sandbox).customers.create({"name": "Bob"}, {"idempotency_key": "k"}).id == made.id
    assert sandbox.objects("customer") == 1


# -- requests -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"amount": 1, "currency": "gbp"}, "parameter_missing", "destination"),
        ({"amount": 1, "currency": "gbp", "destination": "acct_1", "amont": 2}, "parameter_unknown", "amont"),
        ({"amount": "many", "currency": "gbp", "destination": "acct_1"}, "parameter_invalid", "amount"),
        (
            {"amount": 1, "currency": "gbp", "destination": "acct_1", "source_type": "gold"},
            "parameter_invalid",
            "source_type",
        ),
        ({"amount": 1, "currency": "gbp", "destination": "acct_none"}, "resource_missing", "id"),
    ],
)
def test_a_wrong_request_is_refused_by_name(v1: Any, params: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        v1.transfers.create(params)
    assert (refused.value.code, refused.value.param) == (code, param)


def test_a_missing_parameter_is_found_deep_inside(v1: Any) -> None:
    price = {"currency": "gbp", "unit_amount": 1, "product_data": {"description": "x"}}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        v1.checkout.sessions.create(
            {"mode": "payment", "success_url": "http://x", "line_items": [{"quantity": 1, "price_data": price}]}
        )
    assert refused.value.param == "line_items[0][price_data][product_data][name]"


@pytest.mark.parametrize("key", ["sk_live_1", "rk_live_1", "whatever"])
def test_only_test_keys_are_let_in(sandbox: SandboxProcess, key: str) -> None:
    with pytest.raises(stripe.AuthenticationError):
        client(sandbox, key).customers.list()


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Host": "evil.example"}, b"{}", 403),
        ({"Content-Type": "text/plain"}, b"{}", 415),
        ({"Content-Type": "application/json"}, b"[", 500),
        ({"Content-Type": "application/json"}, b"[]", 400),
        ({"Content-Type": "application/json", "Content-Length": "9999999"}, b"", 413),
    ],
)
def test_other_peoples_pages_and_odd_bodies_are_kept_out(
    sandbox: SandboxProcess, headers: dict[str, str], body: bytes, status: int
) -> None:
    request = urllib.request.Request(f"{sandbox.url}/sandbox/summary", body, headers, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    with refused.value:
        assert refused.value.code == status


# -- money --------------------------------------------------------------------------------------------------------


def test_money_moves_from_payer_to_platform_to_account_to_bank_and_back(sandbox: SandboxProcess, v1: Any) -> None:
    session = page(v1)
    assert pay(session.url) == f"http://x/{session.id}"
    assert sandbox.balance() == 5_000
    to = account(v1).id
    transfer = v1.transfers.create({"amount": 4_000, "currency": "gbp", "destination": to})
    payout = v1.payouts.create({"amount": 4_000, "currency": "gbp"}, {"stripe_account": to})
    assert (sandbox.balance(), sandbox.balance(to), payout.status) == (1_000, 0, "pending")
    assert sandbox.knob("payout", payout=payout.id, outcome="paid_then_failed")["status"] == "failed"
    assert sandbox.balance(to) == 4_000
    v1.transfers.reversals.create(transfer.id, {"amount": 4_000})
    assert (sandbox.balance(), sandbox.balance(to)) == (5_000, 0)
    kinds = [line.type for line in v1.balance_transactions.list()]
    assert kinds == ["transfer_refund", "transfer", "charge"]
    with pytest.raises(stripe.InvalidRequestError, match="More than is left"):
        v1.transfers.reversals.create(transfer.id, {"amount": 1})


def test_currencies_do_not_mix(sandbox: SandboxProcess, v1: Any) -> None:
    pay(page(v1, 5_000, "eur").url)
    to = account(v1).id
    with pytest.raises(stripe.InvalidRequestError, match="insufficient"):
        v1.transfers.create({"amount": 1, "currency": "gbp", "destination": to})
    v1.transfers.create({"amount": 5_000, "currency": "eur", "destination": to})
    with pytest.raises(stripe.InvalidRequestError, match="no external account in eur"):
        v1.payouts.create({"amount": 1, "currency": "eur"}, {"stripe_account": to})


def test_an_account_without_a_working_bank_cannot_pay_out(v1: Any) -> None:
    pay(page(v1).url)
    to = account(v1, "GB33BUKB20201555550000").id
    v1.transfers.create({"amount": 100, "currency": "gbp", "destination": to})
    with pytest.raises(stripe.InvalidRequestError, match="no bank account"):
        v1.payouts.create({"amount": 100, "currency": "gbp"}, {"stripe_account": to})


def test_a_chargeback_takes_the_money_back_until_it_is_won(sandbox: SandboxProcess, v1: Any) -> None:
    session = page(v1)
    pay(session.url)
    intent = v1.checkout.sessions.retrieve(session.id).payment_intent
    dispute = sandbox.knob("dispute", intent=intent, minor=2_000)
    assert sandbox.balance() == 3_000
    assert v1.disputes.retrieve(dispute["id"]).status == "needs_response"
    sandbox.knob("close_dispute", dispute=dispute["id"], won=True)
    assert sandbox.balance() == 5_000


def test_a_payment_intent_by_bank_waits_and_by_card_does_not(sandbox: SandboxProcess, v1: Any) -> None:
    slow = v1.payment_intents.create({"amount": 10, "currency": "eur", "confirm": True, "payment_method": "pm_sepa"})
    fast = v1.payment_intents.create(
        {"amount": 10, "currency": "eur", "confirm": True, "payment_method": "pm_card_visa"}
    )
    assert (slow.status, fast.status) == ("processing", "succeeded")
    sandbox.knob("settle", intent=slow.id, outcome="failed")
    assert v1.payment_intents.retrieve(slow.id).status == "requires_payment_method"


def test_the_page_says_what_is_paid_and_what_became_of_it(sandbox: SandboxProcess, v1: Any) -> None:
    session = page(v1, 123_450)
    with urllib.request.urlopen(session.url, timeout=60) as answer:
        html = answer.read().decode()
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "£1,234.50" in html
    assert "<script" not in html
    assert pay(session.url, "declined") == "status 402"
    assert pay(session.url, "nonsense") == "status 400"
    pay(session.url)
    assert pay(session.url) == "status 400"
    with urllib.request.urlopen(session.url, timeout=60) as answer:
        assert "This payment has been made." in answer.read().decode()


# -- events -------------------------------------------------------------------------------------------------------


def test_lists_go_page_by_page_newest_first(v1: Any) -> None:
    made = [v1.customers.create({"name": str(n)}).id for n in range(5)]
    first = v1.customers.list({"limit": 2})
    assert [one.id for one in first.data] == made[:2:-1]
    assert first.has_more
    assert [one.id for one in v1.customers.list({"limit": 2}).auto_paging_iter()] == made[::-1]


def test_a_signature_is_one_the_real_library_believes(sandbox: SandboxProcess, v1: Any) -> None:
    from marketplace.payments.sandbox.clock import sign

    v1.customers.create({"name": "Bob"})
    event = json.dumps(sandbox.knob("event", type="customer.created")).encode()
    at = int(__import__("time").time())
    assert stripe.Webhook.construct_event(event, sign(SECRET, event, at), SECRET).type == "customer.created"
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(event + b" ", sign(SECRET, event, at), SECRET)


def test_it_stays_small(sandbox: SandboxProcess, v1: Any) -> None:
    for _ in range(20):
        pay(page(v1).url)
    assert sandbox.process is not None
    with open(f"/proc/{sandbox.process.pid}/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak < 70_000, f"{peak} kB"
