"""`bin/market first-operator`: the person with whom an empty market begins."""

import secrets
from uuid import UUID

import click
from sqlalchemy import text

from config.settings import from_environment
from marketplace.app import create_app
from marketplace.commands.output import as_json_option, emit
from marketplace.db import db
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import Conflict
from marketplace.kernel.words import N_
from marketplace.parties.actions import register_organisation, register_user
from marketplace.parties.schemas import RegisterOrganisation, RegisterUser
from marketplace.perform import perform


@click.command("first-operator")
@click.option("--email", default="operator@duebill.example", show_default=True, help="Who signs in.")
@click.option("--name", default="Market operator", show_default=True, help="The person's name.")
@click.option("--house", default="Market operator", show_default=True, help="The operating company's legal name.")
@click.option("--country", default="GB", show_default=True, help="Its country.")
@as_json_option
def command(email: str, name: str, house: str, country: str, as_json: bool) -> None:
    """Register an operator in the market of $DATABASE_URL that has nobody yet, and print a password once."""
    app = create_app(from_environment())
    password = secrets.token_urlsafe(15)
    with app.app_context():
        if db.session.execute(text("SELECT 1 FROM user_account LIMIT 1")).first():
            raise Conflict("not_empty", N_("This market has people already; an operator registers further ones."))
        console = Actor.system("console")
        made = perform(register_organisation, RegisterOrganisation("operator", house, country), console)
        perform(register_user, RegisterUser(UUID(made["organisation_id"]), email, name, password), console)
    emit([{"email": email, "password": password}], as_json, ["email", "password"])
