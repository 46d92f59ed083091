"""Bringing an invoice back that left the market unsold: from its own page, or when its file is dropped again."""

from collections.abc import Mapping
from uuid import UUID

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.errors import InvalidInput, MarketplaceError
from marketplace.perform import Result, perform
from marketplace.receivables import queries
from marketplace.receivables.relisting import relist_receivable as bring_back
from marketplace.receivables.relisting_schemas import RelistSchema
from marketplace.receivables.walls.considering import consider
from marketplace.schemas import load
from marketplace.web.forms import say
from marketplace.web.seller_door import blueprint, for_sellers, policy, seller, today
from marketplace.web.seller_invoices import refused
from marketplace.web.seller_listing import draft_refused, own_draft, parsed


@blueprint.post("/invoices/<uuid:receivable_id>/bring-back")
@for_sellers
def relist_receivable(receivable_id: UUID) -> ResponseReturnValue:
    """Offer the same invoice again, on the terms of the form."""
    try:
        done = _bring_back(receivable_id, None, request.form)
    except MarketplaceError as error:
        return refused(receivable_id, error)
    return _told(done)


@blueprint.post("/drafts/<uuid:draft_id>/bring-back")
@for_sellers
def relist_draft(draft_id: UUID) -> ResponseReturnValue:
    """Bring the invoice back whose file was dropped again."""
    draft = own_draft(draft_id)
    earlier = consider(db.session(), draft, {}, today(), policy()).earlier
    if earlier is None:
        raise queries.missing()
    try:
        done = _bring_back(earlier.id, draft_id, request.form)
    except MarketplaceError as error:
        return draft_refused(draft, request.form.to_dict(), error)
    return _told(done)


def _bring_back(receivable_id: UUID, draft_id: UUID | None, given: Mapping[str, str]) -> Result:
    actor, _ = seller()
    values, problems = parsed(given)
    if problems:
        raise InvalidInput.of_fields(problems)
    known = {"receivable_id": str(receivable_id), **({"draft_id": str(draft_id)} if draft_id else {})}
    return perform(bring_back, load(RelistSchema, values, **known), actor)


def _told(done: Result) -> ResponseReturnValue:
    if done["state"] == "held_for_review":
        say(gettext("%(ref)s is back. An operator looks at it before the debtor is asked.", ref=done["ref"]), "info")
    else:
        say(gettext("%(ref)s is back, and the debtor has been sent a link.", ref=done["ref"]))
    return redirect(url_for("seller.receivable", receivable_id=done["receivable_id"]), 303)
