"""Call sessions as operators open and watch them."""

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.kernel.errors import Conflict, InvalidInput, MarketplaceError, RuleBroken
from marketplace.kernel.words import N_
from marketplace.perform import perform
from marketplace.trading import session_queries as queries
from marketplace.trading.schemas import OpenSession
from marketplace.trading.sessions import open_session as verb
from marketplace.web.forms import reasons, say, status_of
from marketplace.web.operator_door import blueprint, policy
from marketplace.web.session import require_actor, signed_in


@blueprint.get("/sessions")
@signed_in(Role.OPERATOR)
def sessions() -> ResponseReturnValue:
    """Show the sessions, and the form that opens one."""
    return _page()


@blueprint.post("/sessions")
@signed_in(Role.OPERATOR)
def open_session() -> ResponseReturnValue:
    """Open a session."""
    try:
        minutes = request.form.get("open_minutes", "").strip()
        if not (minutes.isascii() and minutes.isdigit() and len(minutes) < 7):
            raise InvalidInput.about("open_minutes", "invalid_fields", N_("Enter whole minutes."), rule="number")
        perform(verb, OpenSession(request.form.get("currency", ""), int(minutes)), require_actor())
    except (InvalidInput, RuleBroken, Conflict) as refusal:
        return _page(refusal), status_of(refusal)
    say(gettext("The session is open. Lots of its currency that open from now on clear together."))
    return redirect(url_for("operator.sessions"), 303)


def _page(refusal: MarketplaceError | None = None) -> str:
    return render_template(
        "operator/sessions.html", found=queries.sessions(db.session()), refusal=refusal,
        problems=reasons(refusal) if refusal else (), typed=request.form if refusal else {"open_minutes": "240"},
        currency_pairs=[(code, code) for code in policy().currencies],
    )  # fmt: skip
