"""The operators' page of organisations and their people: how somebody new comes into the market."""

from typing import Any

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.kernel.errors import MarketplaceError
from marketplace.parties import queries
from marketplace.parties.actions import register_organisation, register_user
from marketplace.parties.schemas import KINDS, RegisterOrganisationSchema, RegisterUserSchema
from marketplace.perform import perform
from marketplace.schemas import load
from marketplace.web.forms import reasons, say, status_of
from marketplace.web.frame import role_word
from marketplace.web.operator_door import blueprint, only_operators
from marketplace.web.session import require_actor


@blueprint.get("/people")
@only_operators
def people(error: MarketplaceError | None = None, form: str = "") -> ResponseReturnValue:
    """Every organisation that can sign in, its people, and two forms for new ones."""
    session = db.session()
    if error:
        session.rollback()
    houses = [house for kind in KINDS for house in queries.of_kind(session, kind) if kind != "debtor"]
    members: dict[Any, list[queries.User]] = {}
    for user in queries.everybody(session):
        members.setdefault(user.organisation_id, []).append(user)
    page = render_template(
        "operator/people.html",
        houses=houses,
        members=members,
        kinds=[(kind, role_word(Role(kind))) for kind in KINDS if kind != "debtor"],
        roles={kind: role_word(Role(kind)) for kind in KINDS},
        options=[(house.id, house.legal_name) for house in houses],
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


def _register(verb: Any, schema: Any, form: str, words: str) -> ResponseReturnValue:
    try:
        perform(verb, load(schema, request.form), require_actor())
    except MarketplaceError as error:
        return people(error, form)
    say(words)
    return redirect(url_for("operator.people"), 303)
