"""The operators' page of the companies register: how it does, what it says of whom, and asking again."""

from datetime import date
from typing import Any
from uuid import UUID

from flask import redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db, market_now
from marketplace.kernel.errors import MarketplaceError
from marketplace.parties import queries as parties
from marketplace.perform import perform
from marketplace.rating.register import queries
from marketplace.rating.register.actions import ask_register_again
from marketplace.rating.register.schemas import AskRegisterAgain
from marketplace.web import companies_register as words
from marketplace.web.forms import say, status_of
from marketplace.web.operator_door import blueprint, only_operators
from marketplace.web.session import require_actor

ROWS = 200


@blueprint.app_context_processor
def register_words() -> dict[str, Any]:
    """Give templates the words of the companies register."""
    return {
        "register_known": words.known,
        "register_state": words.state_word,
        "register_case": words.case_word,
        "register_date": date.fromisoformat,
        "register_outcome": words.outcome_word,
        "register_trouble": words.trouble_word,
    }


@blueprint.get("/register", endpoint="register")
@only_operators
def register_page() -> ResponseReturnValue:
    """What the companies register said of every party, the worst first."""
    return _page()


def _page(error: MarketplaceError | None = None) -> str:
    session = db.session()
    rows, troubled = queries.told(session, ROWS), queries.troubled(session, ROWS)
    ids = {row.organisation_id for row in rows} | {row.organisation_id for row in troubled}
    line = queries.line(session)
    style, said = words.LINES[line.state]
    return render_template(
        "operator/register.html", rows=rows, troubled=troubled, line=line, line_style=style, line_words=gettext(said),
        parties=parties.organisations(session, ids), asks=queries.settings().asks, most=ROWS, now=market_now(session),
        watches=queries.watches(session, ids), error=error,
    )  # fmt: skip


@blueprint.post("/register/<uuid:organisation_id>/again")
@only_operators
def ask_register(organisation_id: UUID) -> ResponseReturnValue:
    """Ask about a party at the next opportunity."""
    try:
        perform(ask_register_again, AskRegisterAgain(organisation_id), require_actor())
    except MarketplaceError as error:
        return _page(error), status_of(error)
    say(gettext("The companies register is asked again within a minute."))
    return redirect(url_for("operator.register"), 303)
