"""What the debtor's pages share: the blueprint, who stands behind a link, addresses that stay within it."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Blueprint, current_app, render_template, url_for
from flask.typing import ResponseReturnValue

from marketplace.db import db
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.clock import business_date
from marketplace.kernel.errors import MarketplaceError, RuleBroken
from marketplace.kernel.words import N_
from marketplace.receivables.debtor import links
from marketplace.reports import debtor as reports
from marketplace.web.frame import server_now
from marketplace.web.session import request_id

blueprint = Blueprint("debtor", __name__, url_prefix="/d")


def open_link(token: str) -> links.Link:
    """Return the link of a token while it works.

    Raises: NotFound("unknown_link"), RuleBroken("link_expired").
    """
    link = links.find(db.session(), token)
    if links.expired(link, server_now()):
        raise RuleBroken("link_expired", N_("This link has run out. Ask for a new one."))
    return link


def open_slip(token: str, receivable_id: UUID | None = None) -> reports.Slip:
    """Return one receivable as its link shows it.

    Raises: NotFound, RuleBroken("link_expired").
    """
    return reports.slip(db.session(), open_link(token), receivable_id)


def actor_of(link: links.Link, debtor_id: UUID) -> Actor:
    """Return the debtor behind a link."""
    return Actor(Role.DEBTOR, None, debtor_id, f"debtor link {link.id}", request_id())


def closed(error: MarketplaceError, token: str) -> ResponseReturnValue:
    """Say that a link does not work: forged, replaced and unknown ones look alike, and all may ask for a new one."""
    expired = error.code == "link_expired"
    return render_template("debtor/no_link.html", expired=expired, token=token, asked=False), 410 if expired else 404


def within(token: str, receivable_id: UUID | None) -> Callable[..., str]:
    """Return what makes addresses within a link: `to('answer')`; for one of many the receivable is in them."""

    def to(endpoint: str, **more: Any) -> str:
        return url_for(f"debtor.{endpoint}", token=token, receivable_id=receivable_id, **more)

    return to


def today() -> Any:
    """Return the market's business date."""
    return business_date(server_now(), current_app.extensions["duebill"].policy.zone)
