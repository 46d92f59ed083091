"""The chain of title as a page, the same for whoever may see it; operators and regulators leave a trace by looking."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.kernel.words import N_
from marketplace.perform import perform
from marketplace.receivables import queries as receivables
from marketplace.reports import secondary as report
from marketplace.reports.look_ups import LookUp, look_up
from marketplace.web.frame import server_now
from marketplace.web.operator_door import blueprint as operators
from marketplace.web.regulator import blueprint as regulators
from marketplace.web.session import require_actor, signed_in

CAUSES = {
    "register": N_("Registered"),
    "award": N_("Assigned by the auction"),
    "transfer": N_("Handed over between investors"),
    "buy_back": N_("Bought back by the seller"),
}


def instant_of(text: str, otherwise: datetime) -> datetime:
    """Return an instant typed as 2026-10-02T14:30 (UTC, with or without a zone); the other one when it is none."""
    try:
        found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        return otherwise
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def title_page(
    receivable_id: UUID, crumbs: Sequence[tuple[str, str]], mine: UUID | None = None
) -> ResponseReturnValue:  # fmt: skip
    """Show who owned which units of a receivable when, and at the instant that the address asks for."""
    session, now = db.session(), server_now()
    receivable = receivables.receivable(session, receivable_id)
    at = instant_of(request.args.get("at", ""), now)
    chain = report.chain(session, receivable_id, at, now)
    # An investor knows co-holders of its own receivable by the notice of assignment, which names them all.
    return render_template("shared/title.html", receivable=receivable, chain=chain, crumbs=list(crumbs), at=at,
                           causes=CAUSES, mine=mine, now=now)  # fmt: skip


def _looked(receivable_id: UUID) -> None:
    receivables.receivable(db.session(), receivable_id)
    perform(look_up, LookUp("title", "title", receivable_id, {"at": request.args.get("at", "")}), require_actor())


@operators.get("/receivables/<uuid:receivable_id>/title", endpoint="title")
@signed_in(Role.OPERATOR)
def of_operator(receivable_id: UUID) -> ResponseReturnValue:
    """Show an operator the chain of title."""
    _looked(receivable_id)
    back = (gettext("Receivable"), url_for("operator.receivable", receivable_id=receivable_id))
    return title_page(receivable_id, [back])


@regulators.get("/receivables/<uuid:receivable_id>/title", endpoint="title")
@signed_in(Role.REGULATOR)
def of_regulator(receivable_id: UUID) -> ResponseReturnValue:
    """Show a regulator the chain of title."""
    _looked(receivable_id)
    return title_page(receivable_id, [(gettext("Audit"), url_for("regulator.audit"))])
