"""The operators' page of the model: which one grades, what the market taught, what waits for two people, what was."""

from uuid import UUID

from flask import current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from sqlalchemy.orm import Session

from marketplace.db import db
from marketplace.kernel.errors import MarketplaceError
from marketplace.kernel.words import N_
from marketplace.perform import perform
from marketplace.rating.candidates import decide_model, withdraw_model
from marketplace.rating.learning import public_file
from marketplace.rating.model import read_card
from marketplace.rating.schemas import DecideModelSchema, WithdrawModelSchema
from marketplace.rating.serving import serving_version
from marketplace.reports import learning, standing
from marketplace.schemas import load
from marketplace.web.forms import reasons, say, status_of
from marketplace.web.navigation import count_with
from marketplace.web.operator_door import blueprint, only_operators, policy, today
from marketplace.web.session import require_actor

STATE_WORDS = {
    "kept": N_("kept: no better than the one in service"),
    "proposed": N_("waits for two people"),
    "serving": N_("in service"),
    "refused": N_("refused"),
    "overtaken": N_("overtaken by a newer one"),
    "replaced": N_("was in service"),
}
VERDICT_WORDS = {
    "too_few": N_("too few outcomes to learn from"),
    "same": N_("nothing new to learn"),
    "kept": N_("a model was fitted and is no better"),
    "proposed": N_("a better model was proposed"),
}
VOICE_WORDS = {"for": N_("for it"), "against": N_("against it"), "out": N_("out of service")}


@blueprint.context_processor
def model_words() -> dict[str, object]:
    """Give the templates the words of learnt models."""
    return {
        "model_word": lambda code: gettext(STATE_WORDS[str(code)]),
        "verdict_word": lambda code: gettext(VERDICT_WORDS[str(code)]),
        "voice_word": lambda code: gettext(VOICE_WORDS[str(code)]),
    }


def waiting(session: Session) -> int:
    """Return how many learnt models wait for people."""
    return sum(one.state == "proposed" for one in learning.models(session))


count_with("operator.model", waiting)


@blueprint.get("/model", endpoint="model")
@only_operators
def model(error: MarketplaceError | None = None, form: str = "") -> ResponseReturnValue:
    """Show the model in service, the outcomes so far, what waits, and the history."""
    session = db.session()
    if error:
        session.rollback()
    found, spoken = learning.models(session), learning.voices(session)
    page = render_template(
        "operator/model.html", card=standing.model_card(session), version=serving_version(session),
        shipped=read_card()["version"], models=found,
        proposed=next((one for one in found if one.state == "proposed"), None),
        serving=next((one for one in found if one.state == "serving"), None),
        voices={one.id: [voice for voice in spoken if voice.model_id == one.id] for one in found},
        counts=learning.outcome_counts(session),
        years=learning.company_year_counts(session, policy().rating.learning_window_days, today()),
        runs=learning.runs(session),
        rated_by=learning.rated_by(session), policy=policy().rating, my_id=require_actor().user_id,
        public=public_file(current_app.extensions["duebill"].settings.rating_data), error=error,
        problems=reasons(error) if error else (), form=form, given=request.form if error else {},
    )  # fmt: skip
    return (page, status_of(error)) if error else page


@blueprint.post("/model/<uuid:model_id>/decide", endpoint="decide_model")
@only_operators
def decide(model_id: UUID) -> ResponseReturnValue:
    """Speak for or against a proposed model."""
    try:
        done = perform(decide_model, load(DecideModelSchema, request.form, model_id=str(model_id)), require_actor())
    except MarketplaceError as error:
        return model(error, "decide")
    words = {
        "proposed": N_("Noted. A second operator decides."),
        "serving": N_("The model is in service. Tonight every party is rated anew with it."),
        "refused": N_("Refused. The model in service stays."),
    }
    told = words[str(done["state"])]
    say(gettext(told))
    return redirect(url_for("operator.model"), 303)


@blueprint.post("/model/<uuid:model_id>/withdraw", endpoint="withdraw_model")
@only_operators
def withdraw(model_id: UUID) -> ResponseReturnValue:
    """Ask for the learnt model to leave service."""
    try:
        done = perform(withdraw_model, load(WithdrawModelSchema, request.form, model_id=str(model_id)),
                       require_actor())  # fmt: skip
    except MarketplaceError as error:
        return model(error, "withdraw")
    say(gettext("Noted. It leaves service when a second operator says so too.") if done["state"] == "serving"
        else gettext("It is out of service. The model that ships with the house grades again."))  # fmt: skip
    return redirect(url_for("operator.model"), 303)
