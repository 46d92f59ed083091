"""Every route × every role × one's own, another's and no object. Generated from the URL map: a new route is judged by
its guard, and one without a guard fails until somebody names it here."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from marketplace.db import db
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.kernel.actors import Actor, Role
from marketplace.parties.actions import register_user
from marketplace.parties.schemas import RegisterUser
from marketplace.payments.actions import fund_account
from marketplace.payments.schemas import FundAccount
from marketplace.perform import perform
from marketplace.receivables.actions import draft_receivable
from marketplace.receivables.schemas import DraftReceivable
from marketplace.trading.actions import place_bid
from marketplace.trading.mandates import create_mandate
from marketplace.trading.schemas import CreateMandate, PlaceBid
from tests.people import PASSWORD, PersonOfTheTests, register, sign_in
from tests.receivables.bulk.bulks import begin
from tests.receivables.invoices import paper, ubl
from tests.trading.world import World

# Open to everybody, on purpose.
PUBLIC = {
    "static", "bootstrap.static",
    "public.landing", "public.sign_in", "public.open_session", "public.sign_out", "public.language", "public.grades",
    "public.verify", "public.verify_keys", "public.verify_checkpoint", "public.verifier", "public.healthz",
    "public.readyz",
}  # fmt: skip
# Guarded by a secret in the address or a signature, not by a session: whoever has it not is refused.
BY_TOKEN = ("debtor.",)
BY_SIGNATURE = ("webhooks.", "metrics.")
BY_KEY = ("api", "v1")

# What belongs to one organisation alone, by the name of the address's argument; the rest is for a whole role.
OF_SELLERS = {"receivable_id", "draft_id", "document_id", "lot_id", "bulk_id"}
OF_INVESTORS = {"bid_id", "funding_id", "mandate_id"}

# What there is only once a lot is awarded, or a receivable funded.
LATER = {"investor.transcript", "seller.buy_back"}

REFUSED = {400, 403, 404, 409, 415, 422}


@dataclass(frozen=True)
class Stage:
    """A market with a lot on auction and a bid on it, the people, and where things are."""

    app: Flask
    people: dict[str, PersonOfTheTests]
    objects: dict[str, UUID]

    def visitor(self, name: str) -> FlaskClient:
        """A client, signed in as a person; `nobody` is not."""
        client = self.app.test_client()
        return client if name == "nobody" else sign_in(client, self.people[name])


@pytest.fixture
def stage(app: Flask, postgres: EmbeddedPostgres, database: str) -> Stage:
    with app.app_context():
        world = World(postgres, database)
        people = register(app, "regulator_rex", "stranger_mallory")
        for name, house in (("seller_alice", "alice"), ("investor_bob", "bob"), ("investor_carol", "carol"),
                            ("operator_olga", "olga")):  # fmt: skip
            people[name] = _user_of(world, name, house)
        lot_id = world.lot()
        world.fund("bob", 5_000_000)
        bid = perform(place_bid, PlaceBid(lot_id, 700, 1_000_000, 0), people["investor_bob"].actor)
        funding = perform(fund_account, FundAccount(5_000, "GBP", "/{id}"), people["investor_bob"].actor)
        terms = CreateMandate("Good debtors", "GBP", 0, "B", 1_000_000, 5_000_000, 30)
        mandate = perform(create_mandate, terms, people["investor_bob"].actor)
        invoice = DraftReceivable("invoice.xml", ubl(paper(date.today())))
        draft = perform(draft_receivable, invoice, people["seller_alice"].actor)
        bulk_id = begin(people["seller_alice"].actor, {"a.xml": b"<a/>"})["upload_id"]
        with db.engine.connect() as connection:
            receivable_id = connection.execute(text("SELECT receivable_id FROM lot")).scalar_one()
            document_id = connection.execute(text("SELECT id FROM document")).scalar_one()
    objects = {
        "receivable_id": receivable_id,
        "draft_id": UUID(draft["draft_id"]),
        "document_id": document_id,
        "lot_id": lot_id,
        "bulk_id": UUID(bulk_id),
        "bid_id": UUID(bid["bid_id"]),
        "funding_id": UUID(funding["funding_id"]),
        "mandate_id": UUID(mandate["mandate_id"]),
    }
    return Stage(app, people, objects)


def _user_of(world: World, name: str, house: str) -> PersonOfTheTests:
    email = f"{name.replace('_', '.')}@example.com"
    command = RegisterUser(world.id(house), email, name, PASSWORD)
    user_id = UUID(perform(register_user, command, Actor.system("tests"))["user_id"])
    role = world.actors[house].role
    return PersonOfTheTests(name, email, Actor(role, user_id, world.id(house)), world.id(house))


# -- the map ------------------------------------------------------------------------------------------------------


def guard_of(app: Flask, rule: Rule) -> frozenset[Role] | None:
    """Return the roles that a route's guard lets in; None where it has no such guard."""
    roles: frozenset[Role] | None = getattr(app.view_functions[rule.endpoint], "roles", None)
    return roles


def routes(app: Flask) -> Iterator[tuple[Rule, str]]:
    """Yield every route with each method it takes."""
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule, method


def guarded(app: Flask) -> Iterator[tuple[Rule, str, frozenset[Role]]]:
    """Yield the routes that a session's role guards."""
    for rule, method in routes(app):
        roles = guard_of(app, rule)
        if roles is not None:
            yield rule, method, roles


def ask(client: FlaskClient, rule: Rule, method: str, known: dict[str, UUID] | None = None) -> TestResponse:
    """Ask for a route; arguments not among the known things name nothing that exists."""
    values = {name: (known or {}).get(name) or _absent(rule, name) for name in rule.arguments}
    if method == "POST":  # so many in a minute are refused, and there are more routes than that
        with client.application.app_context(), db.engine.begin() as connection:
            connection.execute(text("DELETE FROM rate_window"))
    adapter = client.application.url_map.bind("localhost")
    answer = client.open(adapter.build(rule.endpoint, values, method=method), method=method)
    answer.close()
    return answer


def _absent(rule: Rule, name: str) -> object:
    kind = type(rule._converters[name]).__name__
    return {"UUIDConverter": uuid4(), "IntegerConverter": 999_999_999}.get(kind, "nothing-of-that-name")


PEOPLE = ["seller_alice", "investor_bob", "operator_olga", "regulator_rex", "stranger_mallory"]


def test_no_route_is_open_by_oversight(app: Flask) -> None:
    apart = BY_TOKEN + BY_SIGNATURE + BY_KEY
    unguarded = {
        rule.endpoint
        for rule, _ in routes(app)
        if not guard_of(app, rule) and rule.endpoint not in PUBLIC and not rule.endpoint.startswith(apart)
    }
    assert unguarded == set()


def test_nothing_is_listed_as_public_that_does_not_exist(app: Flask) -> None:
    assert not PUBLIC - {rule.endpoint for rule in app.url_map.iter_rules()}


def test_a_visitor_is_sent_to_sign_in(stage: Stage) -> None:
    nobody = stage.visitor("nobody")
    for rule, method, _ in guarded(stage.app):
        answer = ask(nobody, rule, method, stage.objects)
        assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (303, "/sign-in"), (rule.rule, method)


@pytest.mark.parametrize("name", PEOPLE)
def test_another_role_is_refused_whatever_it_names(stage: Stage, name: str) -> None:
    visitor, role = stage.visitor(name), stage.people[name].actor.role
    for rule, method, roles in guarded(stage.app):
        if role not in roles:
            for known in (stage.objects, {}):
                assert ask(visitor, rule, method, known).status_code == 403, (rule.rule, method)


@pytest.mark.parametrize("name", PEOPLE)
def test_what_is_absent_is_refused_and_nothing_breaks(stage: Stage, name: str) -> None:
    visitor, role = stage.visitor(name), stage.people[name].actor.role
    for rule, method, roles in guarded(stage.app):
        if role in roles and rule.arguments:
            status = ask(visitor, rule, method).status_code
            assert status == 404 if method == "GET" else status in REFUSED, (rule.rule, method, status)


@pytest.mark.parametrize(
    ("owner", "other", "owned"),
    [("seller_alice", "stranger_mallory", OF_SELLERS), ("investor_bob", "investor_carol", OF_INVESTORS)],
)
def test_another_s_thing_reads_like_no_thing(stage: Stage, owner: str, other: str, owned: set[str]) -> None:
    stranger, role = stage.visitor(other), stage.people[other].actor.role
    before = _events(stage.app)
    for rule, method, roles in guarded(stage.app):
        if role in roles and rule.arguments & owned:
            theirs, absent = ask(stranger, rule, method, stage.objects), ask(stranger, rule, method)
            assert theirs.status_code == absent.status_code, (rule.rule, method)
            assert theirs.status_code == 404 if method == "GET" else theirs.status_code in REFUSED, (rule.rule, method)
    assert _events(stage.app) == before, "a refused request changed something"


@pytest.mark.parametrize(("name", "owned"), [("seller_alice", OF_SELLERS), ("investor_bob", OF_INVESTORS | {"lot_id"})])
def test_one_s_own_thing_opens(stage: Stage, name: str, owned: set[str]) -> None:
    visitor, role = stage.visitor(name), stage.people[name].actor.role
    for rule, method, roles in guarded(stage.app):
        opens = method == "GET" and rule.arguments and rule.arguments <= owned and rule.endpoint not in LATER
        if role in roles and opens:
            assert ask(visitor, rule, method, stage.objects).status_code in {200, 303, 302}, rule.rule


@pytest.mark.parametrize("name", PEOPLE)
def test_one_s_own_pages_open(stage: Stage, name: str) -> None:
    visitor, role = stage.visitor(name), stage.people[name].actor.role
    for rule, method, roles in guarded(stage.app):
        if role in roles and method == "GET" and not rule.arguments:
            assert ask(visitor, rule, method).status_code in {200, 303}, rule.rule


def test_without_its_token_or_signature_nothing_opens(stage: Stage) -> None:
    nobody = stage.visitor("nobody")
    for rule, method in routes(stage.app):
        if rule.endpoint == "debtor.renew_debtor_link":  # the same answer to every token, so that it tells nothing
            continue
        if rule.endpoint.startswith(BY_TOKEN + BY_SIGNATURE):
            status = ask(nobody, rule, method, stage.objects).status_code
            assert status in REFUSED | {401, 410}, (rule.rule, method, status)


@pytest.mark.parametrize("name", PEOPLE)
def test_an_empty_form_is_no_fault_of_ours(stage: Stage, name: str) -> None:
    visitor, role = stage.visitor(name), stage.people[name].actor.role
    for rule, method, roles in guarded(stage.app):
        if role in roles and method != "GET":
            assert ask(visitor, rule, method, stage.objects).status_code < 500, (rule.rule, method)


def _events(app: Flask) -> int:
    with app.app_context(), db.engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM event")).scalar_one())
