"""The operators' page of one rated party: its grades, why, how it pays; and the grade that two people change."""

from uuid import UUID

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.errors import MarketplaceError
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.perform import perform
from marketplace.rating import queries as ratings
from marketplace.rating.behaviour import expected_lateness, late_chance_ppm, warnings
from marketplace.rating.grades import GRADES
from marketplace.rating.overriding import decide_override, propose_override
from marketplace.rating.schemas import DecideOverrideSchema, ProposeOverrideSchema
from marketplace.reports import rating_watch
from marketplace.schemas import load
from marketplace.web.forms import reasons, say, status_of
from marketplace.web.names import LEVELS
from marketplace.web.operator_door import blueprint, only_operators, policy
from marketplace.web.session import require_actor

WARNING_WORDS = {
    "defaulted": N_("It has defaulted here"),
    "past_due": N_("It is more than thirty days late now"),
    "pays_late": N_("It usually pays late"),
    "may_pay_very_late": N_("Its next payment may be very late"),
}
OVERRIDE_WORDS = {
    "proposed": N_("waits for a second person"),
    "approved": N_("approved"),
    "refused": N_("refused"),
}


@blueprint.context_processor
def rating_words() -> dict[str, object]:
    """Give the templates the words of warnings and overrides."""
    return {
        "warning_word": lambda code: gettext(WARNING_WORDS[str(code)]),
        "override_word": lambda code: gettext(OVERRIDE_WORDS[str(code)]),
    }


@blueprint.get("/ratings/<uuid:organisation_id>", endpoint="party")
@only_operators
def party(organisation_id: UUID, error: MarketplaceError | None = None, form: str = "") -> ResponseReturnValue:
    """One party: grade and reasons, record of payments, what people changed, and the history."""
    session = db.session()
    if error:
        session.rollback()
    organisation = parties.organisation(session, organisation_id)
    record = ratings.as_record(ratings.newest_record(session, organisation_id))
    usual, late_days = policy().collection.lateness_days, policy().collection.par_days
    rating = ratings.party_rating(session, organisation_id)
    page = render_template(
        "operator/party.html", organisation=organisation, rating=rating, record=record, late_days=late_days,
        history=ratings.rating_history(session, organisation_id), levels=LEVELS,
        lateness=expected_lateness(record, usual, policy().rating),
        late_chance_ppm=late_chance_ppm(record, usual, late_days, policy().rating),
        warnings=warnings(record, usual, late_days, policy().rating),
        overrides=rating_watch.overrides(session, organisation_id), choices=_choices(rating),
        my_id=require_actor().user_id, error=error, problems=reasons(error) if error else (), form=form,
        given=request.form if error else {},
    )  # fmt: skip
    return (page, status_of(error)) if error else page


def _choices(rating: ratings.PartyRating | None) -> list[tuple[str, str]]:
    """Return the grades that an override may give: within the notches, the rating's own left out."""
    if rating is None or rating.grade is None or rating.override_id is not None:
        return []
    place, most = GRADES.index(rating.grade), policy().rating.override_notches_max
    return [(grade, grade) for grade in GRADES[max(0, place - most) : place + most + 1] if grade != rating.grade]


@blueprint.post("/ratings/<uuid:organisation_id>/override", endpoint="propose_override")
@only_operators
def propose(organisation_id: UUID) -> ResponseReturnValue:
    """Propose another grade."""
    try:
        command = load(ProposeOverrideSchema, request.form, organisation_id=str(organisation_id))
        perform(propose_override, command, require_actor())
    except MarketplaceError as error:
        return party(organisation_id, error, "propose")
    say(gettext("Proposed. A second operator decides."))
    return redirect(url_for("operator.party", organisation_id=organisation_id), 303)


@blueprint.post("/ratings/<uuid:organisation_id>/overrides/<uuid:override_id>", endpoint="decide_override")
@only_operators
def decide(organisation_id: UUID, override_id: UUID) -> ResponseReturnValue:
    """Approve or refuse a proposed grade, as the second person."""
    try:
        command = load(DecideOverrideSchema, request.form, override_id=str(override_id))
        done = perform(decide_override, command, require_actor())
    except MarketplaceError as error:
        return party(organisation_id, error, "decide")
    say(gettext("The grade is changed until the next rating.") if done["state"] == "approved"
        else gettext("Refused. The grade stays as the model gave it."))  # fmt: skip
    return redirect(url_for("operator.party", organisation_id=organisation_id), 303)
