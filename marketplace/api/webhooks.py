"""The door of the payment provider: check the signature, keep the bytes, answer. The work is done later."""

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from marketplace.kernel import failpoints
from marketplace.kernel.errors import InvalidInput
from marketplace.payments import inbox

webhooks = Blueprint("webhooks", __name__, url_prefix="/api/webhooks")
BODY_MAX = 1_000_000


@webhooks.post("/stripe")
def stripe() -> ResponseReturnValue:
    """Take one event in. 200 when it is kept, also when it was before; 400 when its signature does not hold."""
    request.max_content_length = BODY_MAX
    raw = request.get_data(cache=False)
    try:
        fresh = inbox.keep(raw, request.headers.get("Stripe-Signature", ""))
    except InvalidInput as error:
        return jsonify(code=error.code), 400
    failpoints.reach(failpoints.Place.RECORDED, "webhook")
    return jsonify(kept=True, fresh=fresh)
