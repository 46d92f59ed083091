"""The gateway against the sandbox and, with `-m stripe_live` and STRIPE_TEST_KEY, against Stripe itself: one suite."""

import os
from collections.abc import Iterator
from uuid import UUID

import pytest

from marketplace.kernel.errors import InvalidInput
from marketplace.kernel.ids import new_id
from marketplace.payments import wire
from marketplace.payments.gateway import Call, CallFailed, CallKind, Outcome
from marketplace.payments.stripe_gateway import StripeGateway
from tests.payments.playing import SECRET, SandboxProcess, pay

STRIPE = "https://api.stripe.com"


@pytest.fixture(params=["sandbox", pytest.param("stripe", marks=pytest.mark.stripe_live)])
def gateway(request: pytest.FixtureRequest) -> Iterator[StripeGateway]:
    """The gateway, pointed at the sandbox or at Stripe's test mode."""
    if request.param == "sandbox":
        yield StripeGateway("sk_test_1", request.getfixturevalue("sandbox").url, SECRET)
        return
    key = os.environ.get("STRIPE_TEST_KEY", "")
    if not key.startswith(("sk_test_", "rk_test_")):
        pytest.skip("NO STRIPE: set STRIPE_TEST_KEY to a test key to ask Stripe itself.")
    yield StripeGateway(key, STRIPE, SECRET)


def send(gateway: StripeGateway, call: Call, call_id: UUID) -> str:
    """Send a call and return the object's id."""
    return gateway.send(call.to_bytes(), key=str(call_id)).object_id


def a_customer(gateway: StripeGateway) -> str:
    """Make a customer."""
    call_id = new_id()
    return send(gateway, wire.customer(call_id, new_id(), "Fenland Capital LLP"), call_id)


def a_page(call_id: UUID, subject_id: UUID, customer_id: str, minor: int = 12_345) -> Call:
    """Return the call for a payment page in pounds."""
    return wire.checkout(
        call_id, subject_id, customer_id=customer_id, minor=minor, currency="GBP", words="Duebill account funding",
        return_url="https://market.example/back",
    )  # fmt: skip


def test_a_page_opens_over_the_exact_amount_and_carries_our_mark(gateway: StripeGateway) -> None:
    call_id, subject_id = new_id(), new_id()
    sent = gateway.send(a_page(call_id, subject_id, a_customer(gateway)).to_bytes(), key=str(call_id))
    seen = gateway.fetch_checkout(sent.object_id)
    assert (seen.state, seen.minor, seen.currency, seen.subject_id) == ("open", 12_345, "GBP", str(subject_id))
    assert sent.pay_url == seen.pay_url
    assert sent.pay_url is not None


def test_the_same_key_and_bytes_make_one_object(gateway: StripeGateway) -> None:
    call_id = new_id()
    request = a_page(call_id, new_id(), a_customer(gateway)).to_bytes()
    assert gateway.send(request, key=str(call_id)) == gateway.send(request, key=str(call_id))


def test_the_same_key_with_other_bytes_is_unknown_not_refused(gateway: StripeGateway) -> None:
    call_id, customer = new_id(), a_customer(gateway)
    send(gateway, a_page(call_id, new_id(), customer), call_id)
    with pytest.raises(CallFailed) as failed:
        send(gateway, a_page(call_id, new_id(), customer, 1), call_id)
    assert failed.value.outcome == Outcome.UNKNOWN


def test_a_lost_object_is_found_by_its_mark(gateway: StripeGateway) -> None:
    call_id, customer = new_id(), a_customer(gateway)
    call = a_page(call_id, new_id(), customer)
    assert gateway.look_up(call.to_bytes(), key=str(call_id)) is None
    made = send(gateway, call, call_id)
    for _ in range(3):
        other = new_id()
        send(gateway, a_page(other, new_id(), customer), other)
    found = gateway.look_up(call.to_bytes(), key=str(call_id))
    assert found is not None
    assert found.object_id == made


def test_what_is_refused_is_refused_for_good(gateway: StripeGateway) -> None:
    call_id = new_id()
    with pytest.raises(CallFailed) as failed:
        send(gateway, a_page(call_id, new_id(), "cus_nobody"), call_id)
    assert (failed.value.outcome, failed.value.code) == (Outcome.REFUSED, "resource_missing")
    with pytest.raises(CallFailed) as failed:
        gateway.fetch_checkout("cs_test_nothing")
    assert failed.value.outcome == Outcome.REFUSED


def test_a_balance_is_the_sum_of_its_lines(gateway: StripeGateway) -> None:
    held, lines = gateway.balance(), list(gateway.balance_lines())
    for currency, minor in held.items():
        assert minor == sum(line.minor - line.fee_minor for line in lines if line.currency == currency)


def test_a_wrong_key_may_be_tried_again_once_it_is_put_right(sandbox: SandboxProcess) -> None:
    with pytest.raises(CallFailed) as failed:
        a_customer(StripeGateway("sk_live_never", sandbox.url))
    assert failed.value.outcome == Outcome.RETRY


@pytest.mark.parametrize(
    ("action", "outcome"),
    [("error_500", "unknown"), ("conflict_409", "retry"), ("rate_429", "limited"), ("reset_before", "unknown"),
     ("reset_mid_body", "unknown"), ("refuse", "refused")],
)  # fmt: skip
def test_every_misfortune_has_its_class(sandbox: SandboxProcess, action: str, outcome: str) -> None:
    sandbox.fail(action, "/v1/customers")
    with pytest.raises(CallFailed) as failed:
        a_customer(StripeGateway("sk_test_1", sandbox.url))
    assert failed.value.outcome == outcome


def test_a_provider_that_is_not_there_is_unknown() -> None:
    with pytest.raises(CallFailed) as failed:
        a_customer(StripeGateway("sk_test_1", "http://127.0.0.1:9"))
    assert failed.value.outcome == Outcome.UNKNOWN


def test_money_goes_out_and_comes_back_through_the_gateway(sandbox: SandboxProcess) -> None:
    gateway = StripeGateway("sk_test_1", sandbox.url)
    page_id, owner = new_id(), new_id()
    session = gateway.send(a_page(page_id, owner, a_customer(gateway)).to_bytes(), key=str(page_id))
    pay(str(session.pay_url))
    assert gateway.fetch_checkout(session.object_id).state == "succeeded"
    ids = {kind: new_id() for kind in CallKind}
    made = wire.account(
        ids[CallKind.ACCOUNT], owner, name="Bob", country="GB", iban="GB33BUKB20201555555555", currency="GBP"
    )
    account = send(gateway, made, ids[CallKind.ACCOUNT])
    payout_id = new_id()
    moved = wire.transfer(ids[CallKind.TRANSFER], payout_id, account_id=account, minor=12_345, currency="GBP")
    transfer = send(gateway, moved, ids[CallKind.TRANSFER])
    paid = wire.payout(
        ids[CallKind.PAYOUT], payout_id, account_id=account, minor=12_345, currency="GBP", words="DUEBILL 1"
    )
    payout = send(gateway, paid, ids[CallKind.PAYOUT])
    assert gateway.fetch_payout(payout, account).state == "in_transit"
    sandbox.knob("payout", payout=payout, outcome="failed")
    seen = gateway.fetch_payout(payout, account)
    assert (seen.state, seen.subject_id, seen.failure_code) == ("failed", str(payout_id), "account_closed")
    back = wire.reversal(ids[CallKind.REVERSAL], payout_id, transfer_id=transfer, minor=12_345)
    send(gateway, back, ids[CallKind.REVERSAL])
    for kind, call in (
        (CallKind.ACCOUNT, made),
        (CallKind.TRANSFER, moved),
        (CallKind.PAYOUT, paid),
        (CallKind.REVERSAL, back),
    ):
        assert gateway.look_up(call.to_bytes(), key=str(ids[kind])) is not None, kind
    assert (gateway.balance()["GBP"], gateway.balance(account)["GBP"]) == (12_345, 0)


def test_several_webhook_secrets_hold_while_one_is_being_changed(sandbox: SandboxProcess) -> None:
    import time

    from marketplace.payments.sandbox.clock import sign

    raw = b'{"id": "evt_1", "type": "x", "data": {"object": {"object": "payout", "id": "po_1"}}, "account": "acct_1"}'
    gateway = StripeGateway("sk_test_1", sandbox.url, "whsec_new,whsec_old")
    for secret in ("whsec_new", "whsec_old"):
        assert gateway.read_event(raw, sign(secret, raw, int(time.time()))).account == "acct_1"
    with pytest.raises(InvalidInput, match="bad_signature"):
        gateway.read_event(raw, sign("whsec_older", raw, int(time.time())))
