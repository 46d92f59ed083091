"""The people of a demonstration: who they are, whom they work for, and how they act."""

from dataclasses import dataclass, replace
from uuid import UUID

from flask import current_app

from marketplace.kernel.actors import Actor, Role
from marketplace.parties.actions import register_organisation, register_user
from marketplace.parties.schemas import RegisterOrganisation, RegisterUser
from marketplace.payments.rules import Rail
from marketplace.perform import perform
from marketplace.servicing.bank_desk import propose_payout_rail
from marketplace.servicing.bank_desk_schemas import ProposePayoutRail
from marketplace.servicing.decision_schemas import DecideMoney
from marketplace.servicing.decisions import decide_money

CONSOLE = Actor.system("demo")


@dataclass(frozen=True)
class Person:
    """Somebody who can sign in to the demonstration."""

    email: str
    name: str
    role: Role
    house: str
    about: str
    country: str = "GB"
    legal_id: str | None = None
    vat_id: str | None = None
    sector: str | None = None
    iban: str | None = None


# IBANs with right check digits at banks that do not exist.
OWN_IBAN = "GB33BUKB20201555555555"
PEOPLE = (
    Person("olga@duebill.example", "Olga Ferrer", Role.OPERATOR, "Duebill Market Operations Ltd", "runs the market"),
    Person("oscar@duebill.example", "Oscar Lindqvist", Role.OPERATOR, "Duebill Market Operations Ltd",
           "the second pair of eyes"),
    Person("rex@conduct.example", "Rex Adeyemi", Role.REGULATOR, "Market Conduct Authority", "reads and proves"),
    Person("bob@harcourt.example", "Bob Harcourt", Role.INVESTOR, "Harcourt Trade Finance LP", "bids and holds",
           legal_id="LP004411", iban="GB98MIDL07009312345678"),
    Person("carol@aldwych.example", "Carol Ng", Role.INVESTOR, "Aldwych Receivables LP", "bids and holds",
           legal_id="LP005127", iban="GB82WEST12345698765432"),
    Person("dana@northfield.example", "Dana Whitlock", Role.INVESTOR, "Northfield Pension Partners LP",
           "bids and holds", legal_id="LP006890", iban="GB29NWBK60161331926819"),
)  # fmt: skip


@dataclass(frozen=True)
class Named:
    """A seller of the demonstration's own documents who signs in under a name of her own."""

    email: str
    name: str
    sector: str

    def __call__(self, person: Person) -> Person:
        """Return the person who lists for that company, so named."""
        return replace(person, email=self.email, name=self.name, sector=self.sector)


SELLERS = {
    "Pennine Precision Castings Ltd": Named("alice@pennine.example", "Alice Hartley", "manufacturing"),
    "Northgate Cold Storage Ltd": Named("noah@northgate.example", "Noah Byrne", "logistics"),
}


def shown() -> list[Person]:
    """Return the people worth signing in as: the sellers with a name of their own, and everybody else's."""
    sellers = [
        Person(named.email, named.name, Role.SELLER, house, "lists invoices", sector=named.sector)
        for house, named in SELLERS.items()
    ]
    return [*sellers, *PEOPLE]


class Cast:
    """Registers organisations and people through the verbs, and hands out their actors."""

    def __init__(self) -> None:
        self._houses: dict[str, UUID] = {}
        self.actors: dict[str, Actor] = {}

    def enter(self, person: Person, *, signs_in: bool = True) -> Actor:
        """Register a person and the house if it is new; return the actor. Extras act, but have no sign-in."""
        if person.email not in self.actors:
            house = self._houses.get(person.house) or self._register_house(person)
            extra = Actor(person.role, None, house, on_behalf_of=person.email)
            self.actors[person.email] = self._register_person(person, house) if signs_in else extra
        return self.actors[person.email]

    def of_role(self, role: Role) -> list[Actor]:
        """Return the actors of a role, in the order they entered."""
        return [actor for actor in self.actors.values() if actor.role == role]

    def open_own_account(self) -> None:
        """Let two operators enter the market's own account at the bank: one alone never does."""
        one, other = self.of_role(Role.OPERATOR)[:2]
        house = one.organisation_id
        assert house is not None
        command = ProposePayoutRail(house, str(Rail.PROVIDER), OWN_IBAN, "The account that the market has opened.")
        decision_id = UUID(perform(propose_payout_rail, command, one)["decision_id"])
        perform(decide_money, DecideMoney(decision_id, True), other)

    def _register_house(self, person: Person) -> UUID:
        command = RegisterOrganisation(
            kind=str(person.role), legal_name=person.house, country=person.country, legal_id=person.legal_id,
            vat_id=person.vat_id, sector=person.sector, iban=person.iban,
        )  # fmt: skip
        house = UUID(perform(register_organisation, command, CONSOLE)["organisation_id"])
        self._houses[person.house] = house
        return house

    def _register_person(self, person: Person, house: UUID) -> Actor:
        command = RegisterUser(house, person.email, person.name, _password())
        user_id = UUID(perform(register_user, command, CONSOLE)["user_id"])
        return Actor(person.role, user_id, house)


def _password() -> str:
    """Return the one password of all: it is shown on the sign-in page, for a demonstration has no secrets."""
    password: str = current_app.extensions["duebill"].settings.demo_password
    return password
