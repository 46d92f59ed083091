"""The operators' page of ratings: who stands how, who could not be rated and why, and what the model is worth."""

from flask import render_template, request
from flask.typing import ResponseReturnValue

from marketplace.db import db
from marketplace.parties import queries as parties
from marketplace.rating import queries as ratings
from marketplace.reports import rating_watch, standing
from marketplace.web.names import LEVELS
from marketplace.web.operator_door import blueprint, only_operators, policy, today
from marketplace.web.operator_model import waiting


@blueprint.get("/ratings", endpoint="ratings")
@only_operators
def ratings_page() -> ResponseReturnValue:
    """Parties with grade, PD and filing; what waits for accounts; the model card's figures."""
    session = db.session()
    kind = request.args.get("kind")
    rows = standing.parties(session, kind if kind in ("seller", "debtor") else None)
    stuck = ratings.unrated(session)
    return render_template(
        "operator/ratings.html", rows=rows, kind=kind, stuck=stuck, levels=LEVELS, card=standing.model_card(session),
        names={key: one.legal_name for key, one in
               parties.organisations(session, {row.organisation_id for row in stuck}).items()},
        watch=rating_watch.latest(session), falls=rating_watch.falls(session, policy().rating.fall_notches),
        watched=rating_watch.watched(session, policy()),
        proposed=[one for one in rating_watch.overrides(session) if one.state == "proposed"],
        model_waits=waiting(session), today=today(), months_max=policy().rating.filing_months_max,
    )  # fmt: skip
