"""The people of the tests: known by name everywhere, registered through the doors of their room."""

from dataclasses import dataclass
from uuid import UUID

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from marketplace.db import db
from marketplace.kernel.actors import Actor, Role
from marketplace.parties.actions import register_organisation, register_user
from marketplace.parties.schemas import RegisterOrganisation, RegisterUser
from marketplace.perform import perform
from marketplace.servicing.bank_desk import propose_payout_rail
from marketplace.servicing.bank_desk_schemas import ProposePayoutRail
from marketplace.servicing.decision_schemas import DecideMoney
from marketplace.servicing.decisions import decide_money

PASSWORD = "correct horse battery"

# name: (kind of organisation, legal name, number, display name)
CAST = {
    "seller_alice": ("seller", "Thornfield Castings Ltd", "07100001", "Alice Hart"),
    "investor_bob": ("investor", "Fenland Capital LLP", "07100002", "Bob Ash"),
    "investor_carol": ("investor", "Aldgate Receivables LP", "07100003", "Carol Ng"),
    "operator_olga": ("operator", "Market Operations Ltd", "07100004", "Olga Brand"),
    "operator_oscar": ("operator", "Market Operations Ltd", "07100004", "Oscar Lind"),
    "regulator_rex": ("regulator", "Office of Supervision", "07100005", "Rex Aldous"),
    "stranger_mallory": ("seller", "Mallory Trading Ltd", "07100006", "Mallory Voss"),
}


@dataclass(frozen=True)
class PersonOfTheTests:
    """Somebody who can act and sign in."""

    name: str
    email: str
    actor: Actor
    organisation_id: UUID


KEPT: dict[str, PersonOfTheTests] = {}  # the cast in the database that tests with `people` get a copy of


def register(app: Flask, *names: str) -> dict[str, PersonOfTheTests]:
    """Register the named people (all by default) with their organisations; return them by name.

    Where the database is a copy of one in which all of them are registered, they are looked up.
    """
    if not names and KEPT and _are_there(app):
        return dict(KEPT)
    houses: dict[str, UUID] = {}
    people = {}
    with app.app_context():
        for name in names or CAST:
            kind, legal_name, number, display = CAST[name]
            system = Actor.system("tests")
            if number not in houses:
                made = perform(register_organisation, RegisterOrganisation(kind, legal_name, "GB", number), system)
                houses[number] = UUID(made["organisation_id"])
            email = f"{name.replace('_', '.')}@example.com"
            made = perform(register_user, RegisterUser(houses[number], email, display, PASSWORD), system)
            actor = Actor(Role(kind), UUID(made["user_id"]), houses[number])
            people[name] = PersonOfTheTests(name, email, actor, houses[number])
    return people


def _are_there(app: Flask) -> bool:
    with app.app_context():
        found = set(db.session.execute(text("SELECT id FROM user_account")).scalars())
        db.session.rollback()
    return found >= {person.actor.user_id for person in KEPT.values()}


def sign_in(client: FlaskClient, person: PersonOfTheTests) -> FlaskClient:
    """Sign a person in through the form and return the same client."""
    answer = client.post("/sign-in", data={"email": person.email, "password": PASSWORD})
    assert answer.status_code == 303, answer.status_code
    return client


def paid_on(people: dict[str, PersonOfTheTests], organisation_id: UUID, iban: str) -> None:
    """Let two operators settle on which account an organisation is paid."""
    command = ProposePayoutRail(organisation_id, "provider", iban, "As the seller wrote on Monday.")
    made = perform(propose_payout_rail, command, people["operator_olga"].actor)
    perform(decide_money, DecideMoney(UUID(made["decision_id"]), True), people["operator_oscar"].actor)
