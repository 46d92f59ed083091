"""To the provider's payment page, from any door: at once where it is ready, else as soon as it is."""

from uuid import UUID

from flask import redirect, request
from flask.typing import ResponseReturnValue

from marketplace.kernel.errors import GatewayFailed
from marketplace.payments.outbox import start_now
from marketplace.payments.queries import Payment


def lead_on(payment_id: UUID, waiting: str) -> ResponseReturnValue:
    """Lead to the provider's page; while that is being prepared, by us or by the worker, to one that goes on to it."""
    try:
        address = start_now(payment_id)
    except GatewayFailed:
        address = None
    return redirect(address or f"{waiting}?go=1", 303)


def page_of(payment: Payment, page: str) -> ResponseReturnValue:
    """Return the page of a payment. It reloads while it waits, and goes on to the provider for who came to pay.

    Who comes back from the provider's page without paying stays here: only addresses with `go` lead on.
    """
    state, came_to_pay = str(payment.state), request.args.get("go") == "1"
    if state == "open" and came_to_pay and payment.pay_url:
        return redirect(payment.pay_url, 303)
    if state == "preparing" and came_to_pay:
        return page, 200, {"Refresh": "2"}
    if state in ("preparing", "open", "processing"):
        return page, 200, {"Refresh": "5"}
    return page
