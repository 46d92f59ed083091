"""The operators' page of organisations and their people: how somebody new comes into the market."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.kernel.errors import InvalidInput, MarketplaceError
from marketplace.kernel.words import N_
from marketplace.parties import queries
from marketplace.parties.actions import (
    register_organisation,
    register_user,
    reinstate_organisation,
    reinstate_user,
    suspend_organisation,
    suspend_user,
)
from marketplace.parties.api_keys import end_api_key, living_keys
from marketplace.parties.schemas import (
    KINDS,
    EndApiKey,
    EndRelation,
    RegisterOrganisationSchema,
    RegisterUserSchema,
    RelateOrganisationsSchema,
    StandingSchema,
    SuspendUser,
)
from marketplace.perform import perform
from marketplace.schemas import load
from marketplace.trading.relations import end_relation, relate_organisations
from marketplace.web.forms import reasons, say, status_of
from marketplace.web.frame import role_word
from marketplace.web.operator_door import blueprint, only_operators
from marketplace.web.session import require_actor

RELATION_WORDS = {
    "shared_officer": N_("They share an officer"),
    "shared_owner": N_("They share an owner"),
    "ownership": N_("One owns the other"),
}
STANDING_VERBS = {  # by whether it is a person, and whether a suspension ends
    (True, False): suspend_user,
    (True, True): reinstate_user,
    (False, False): suspend_organisation,
    (False, True): reinstate_organisation,
}


@blueprint.get("/people")
@only_operators
def people(error: MarketplaceError | None = None, form: str = "") -> ResponseReturnValue:
    """Every organisation that can sign in, its people, and two forms for new ones."""
    session = db.session()
    if error:
        session.rollback()
    parties = queries.everyone(session)
    houses = [one for kind in KINDS if kind != "debtor" for one in parties if one.kind == kind]
    members: dict[Any, list[queries.User]] = {}
    users = queries.people(session)
    for user in users:
        members.setdefault(user.organisation_id, []).append(user)
    page = render_template(
        "operator/people.html",
        houses=houses,
        members=members,
        kinds=[(kind, role_word(Role(kind))) for kind in KINDS if kind != "debtor"],
        roles={kind: role_word(Role(kind)) for kind in KINDS},
        options=[(house.id, house.legal_name) for house in houses],
        everyone=[(one.id, one.legal_name) for one in parties],
        standing=_standing(users, parties),
        relations=queries.relations(session),
        keys=living_keys(session),
        relation_words={kind: gettext(words) for kind, words in RELATION_WORDS.items()},
        error=error,
        problems=reasons(error) if error else (),
        form=form,
        given=request.form if error else {},
    )
    return (page, status_of(error)) if error else page


@blueprint.post("/people/organisations")
@only_operators
def add_organisation() -> ResponseReturnValue:
    """Make an organisation known."""
    return _register(register_organisation, RegisterOrganisationSchema, "house", gettext("The organisation is known."))


@blueprint.post("/people/users")
@only_operators
def add_user() -> ResponseReturnValue:
    """Give a person an account with a first password."""
    return _register(register_user, RegisterUserSchema, "person", gettext("The person can sign in."))


@blueprint.post("/people/relations")
@only_operators
def relate() -> ResponseReturnValue:
    """Record that two organisations are related: they count as one group from now on."""
    words = gettext("Recorded. The two count as one group from now on.")
    return _register(relate_organisations, RelateOrganisationsSchema, "relation", words)


@blueprint.post("/people/relations/<uuid:relation_id>/end", endpoint="end_relation")
@only_operators
def end(relation_id: UUID) -> ResponseReturnValue:
    """End a relation that is no more."""
    try:
        perform(end_relation, EndRelation(relation_id), require_actor())
    except MarketplaceError as error:
        return people(error)
    say(gettext("The relation has ended."))
    return redirect(url_for("operator.people"), 303)


@blueprint.post("/people/keys/<uuid:key_id>/end", endpoint="end_key")
@only_operators
def end_key(key_id: UUID) -> ResponseReturnValue:
    """End somebody's key for programs, as when it was lost or stolen."""
    try:
        perform(end_api_key, EndApiKey(key_id), require_actor())
    except MarketplaceError as error:
        return people(error)
    say(gettext("The key has ended. Nothing is taken with it any more."))
    return redirect(url_for("operator.people"), 303)


@blueprint.post("/people/standing", endpoint="change_standing")
@only_operators
def change_standing() -> ResponseReturnValue:
    """Suspend a person or an organisation, or end a suspension; at once, and with a reason on record."""
    ends = request.form.get("do") == "end"
    try:
        if request.form.get("do") not in ("suspend", "end"):
            raise InvalidInput("invalid_fields", N_("Say whether it is suspended or taken back."))
        command = load(StandingSchema, request.form)
        person = isinstance(command, SuspendUser)
        perform(STANDING_VERBS[person, ends], command, require_actor())
    except MarketplaceError as error:
        return people(error, "standing")
    say(gettext("The suspension has ended.") if ends else gettext("Suspended, from this moment on."))
    return redirect(url_for("operator.people"), 303)


def _standing(
    users: Sequence[queries.User], parties: Sequence[queries.Organisation]
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return whom an operator may suspend or take back, himself and his own house left out, in two groups."""
    actor, out = require_actor(), gettext("suspended")
    return [
        (gettext("People"), [
            (f"person {one.id}", f"{one.display_name}, {one.organisation_name}" + ("" if one.active else f" ({out})"))
            for one in users if one.id != actor.user_id
        ]),
        (gettext("Organisations"), [
            (f"house {one.id}", one.legal_name + ("" if one.good_standing else f" ({out})"))
            for one in parties if one.id != actor.organisation_id
        ]),
    ]  # fmt: skip


def _register(verb: Any, schema: Any, form: str, words: str) -> ResponseReturnValue:
    try:
        perform(verb, load(schema, request.form), require_actor())
    except MarketplaceError as error:
        return people(error, form)
    say(words)
    return redirect(url_for("operator.people"), 303)
