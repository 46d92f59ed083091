"""The regulators' door: one blueprint, opened only to regulators, in UTC; every page that is opened is an event."""

from collections.abc import Mapping
from uuid import UUID

from flask import Blueprint, g

from marketplace.kernel.actors import Role
from marketplace.perform import perform
from marketplace.reports.look_ups import LookUp, look_up
from marketplace.web.session import require_actor, signed_in

blueprint = Blueprint("regulator", __name__, url_prefix="/regulator")
for_regulators = signed_in(Role.REGULATOR)
PAGE_ROWS = 50


@blueprint.before_request
def in_utc() -> None:
    """Regulators read UTC."""
    g.zone = "UTC"


def looked(
    page: str, kind: str | None = None, subject: UUID | None = None, filters: Mapping[str, str] | None = None
) -> None:
    """Record that this page was opened. Without a subject it is about the regulator's own organisation."""
    actor = require_actor()
    about = subject or actor.organisation_id or actor.request_id
    perform(look_up, LookUp(page, kind or "organisation", about, filters or {}), actor)
