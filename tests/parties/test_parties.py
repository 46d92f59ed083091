"""Organisations and people: known once, by one number, with one role."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, scoped_session

from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.errors import Conflict, InvalidInput, NotFound, NotPermitted, RuleBroken
from marketplace.parties import queries
from marketplace.parties.actions import (
    ensure_debtor,
    register_organisation,
    register_user,
    suspend_organisation,
    suspend_user,
)
from marketplace.parties.rules import MAY, require_own, verb
from marketplace.parties.schemas import (
    RegisterOrganisation,
    RegisterOrganisationSchema,
    RegisterUser,
    SuspendOrganisation,
    SuspendUser,
    plain_number,
)
from marketplace.perform import perform
from marketplace.schemas import load
from tests.people import PASSWORD, PersonOfTheTests, paid_on, register, sign_in
from tests.support import do

SYSTEM = Actor.system("tests")
Reading = scoped_session[Session]


@pytest.fixture
def people(app: Flask) -> Iterator[dict[str, PersonOfTheTests]]:
    return register(app)


def debtor(number: str | None, name: str = "Kestrel Ltd", vat: str | None = None) -> UUID:
    return UUID(str(do(lambda tx: str(ensure_debtor(tx, name, number, vat, "GB")))))


# -- organisations ------------------------------------------------------------------------------------------------


def test_a_debtor_is_known_once_however_the_number_is_written(context: Flask) -> None:
    assert debtor("07714421") == debtor(" 7714421 ") == debtor("07714421", name="KESTREL LIMITED")


def test_a_debtor_without_numbers_is_known_by_name(context: Flask) -> None:
    assert debtor(None, "Castellane SAS") == debtor(None, " castellane sas ")
    assert debtor(None, "Castellane SAS") != debtor(None, "Castellane SA")


def test_companies_of_one_vat_group_stay_apart(context: Flask) -> None:
    first, second = debtor("07714421", vat="GB123456789"), debtor("07714422", vat="GB 123 456 789")
    assert first != second
    assert debtor(None, "Whoever", "GB123456789") not in {first, second}


def test_two_listings_at_once_make_one_debtor(context: Flask) -> None:
    start = threading.Barrier(4)

    def make() -> UUID:
        with context.app_context():
            start.wait()
            return debtor("07714421")

    with ThreadPoolExecutor(4) as pool:
        ids = {future.result() for future in [pool.submit(make) for _ in range(4)]}
    assert len(ids) == 1


def test_a_debtor_may_become_a_seller_and_keeps_its_identity(session: Reading) -> None:
    known = debtor("07714421")
    made = perform(register_organisation, RegisterOrganisation("seller", "Kestrel Ltd", "GB", "7714421"), SYSTEM)
    assert UUID(made["organisation_id"]) == known
    assert queries.organisation(session(), known).kind == "seller"


def test_a_second_registration_is_refused(context: Flask) -> None:
    command = RegisterOrganisation("seller", "Kestrel Ltd", "GB", "07714421")
    perform(register_organisation, command, SYSTEM)
    with pytest.raises(Conflict) as refused:
        perform(register_organisation, command, SYSTEM)
    assert refused.value.problems[0].field == "legal_id"


def test_groups_make_companies_related(session: Reading) -> None:
    parent, other = uuid4(), debtor("07000009", "Other Ltd")
    ids = [
        UUID(
            perform(
                register_organisation,
                RegisterOrganisation("investor", f"F{n}", "GB", f"0700000{n}", group_id=parent),
                SYSTEM,
            )["organisation_id"]
        )
        for n in (1, 2)
    ]
    assert queries.related(session(), ids[0], ids[1])
    assert queries.related(session(), other, other)
    assert not queries.related(session(), ids[0], other)


def test_the_form_refuses_a_wrong_iban_and_names_it() -> None:
    values = {"kind": "seller", "legal_name": "X", "country": "GB", "iban": "GB33BUKB20201555555556"}
    with pytest.raises(InvalidInput) as refused:
        load(RegisterOrganisationSchema, values)
    assert [p.field for p in refused.value.problems] == ["iban"]


def test_numbers_are_written_plainly() -> None:
    assert plain_number(" sc 123-456 ", "GB") == "SC123456"
    assert plain_number("714421", "GB") == "00714421"
    assert plain_number("  ") is None


def test_the_database_refuses_what_the_rules_forbid(people: dict[str, PersonOfTheTests], session: Reading) -> None:
    alice = people["seller_alice"]
    for wrong in (
        "UPDATE user_account SET role = 'operator' WHERE id = :user",
        "UPDATE user_account SET organisation_id = :other WHERE id = :user",
        "UPDATE organisation SET kind = 'king' WHERE id = :own",
        "UPDATE organisation SET country = 'gb' WHERE id = :own",
        "DELETE FROM user_account WHERE id = :user",
        "UPDATE user_account SET email = 'Upper@Example.com' WHERE id = :user",
    ):
        with pytest.raises(DBAPIError):
            session.execute(
                text(wrong),
                {
                    "user": alice.actor.user_id,
                    "own": alice.organisation_id,
                    "other": people["investor_bob"].organisation_id,
                },
            )
        session.rollback()


def test_no_party_changes_without_an_event(people: dict[str, PersonOfTheTests], session: Reading) -> None:
    session.execute(text("UPDATE organisation SET good_standing = false"))
    with pytest.raises(DBAPIError, match="needs an audit event"):
        session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))


# -- people -------------------------------------------------------------------------------------------------------


def test_a_user_has_the_role_of_the_organisation(people: dict[str, PersonOfTheTests], session: Reading) -> None:
    user = queries.find_user(session(), "Seller.Alice@Example.com ")
    assert user is not None
    assert (user.role, user.organisation_name) == (Role.SELLER, "Thornfield Castings Ltd")


def test_an_address_has_one_account(people: dict[str, PersonOfTheTests], context: Flask) -> None:
    command = RegisterUser(people["investor_bob"].organisation_id, "SELLER.alice@example.com", "Again", PASSWORD)
    with pytest.raises(Conflict) as refused:
        perform(register_user, command, SYSTEM)
    assert refused.value.problems[0].field == "email"


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaaa", "x" * 201])
def test_weak_passwords_are_refused(people: dict[str, PersonOfTheTests], context: Flask, password: str) -> None:
    with pytest.raises(InvalidInput):
        perform(
            register_user, RegisterUser(people["investor_bob"].organisation_id, "n@example.com", "N", password), SYSTEM
        )


def test_a_suspended_person_is_out_at_once(people: dict[str, PersonOfTheTests], app: Flask, context: Flask) -> None:
    client = sign_in(app.test_client(), people["seller_alice"])
    user_id = people["seller_alice"].actor.user_id
    assert user_id is not None
    perform(suspend_user, SuspendUser(user_id, "left"), people["operator_olga"].actor)
    assert "Alice Hart" not in client.get("/grades").text
    answer = client.post("/sign-in", data={"email": people["seller_alice"].email, "password": PASSWORD})
    assert answer.status_code == 401


def test_only_the_desk_suspends(people: dict[str, PersonOfTheTests], context: Flask, session: Reading) -> None:
    command = SuspendOrganisation(people["investor_bob"].organisation_id, "no licence")
    with pytest.raises(NotPermitted):
        perform(suspend_organisation, command, people["seller_alice"].actor)
    perform(suspend_organisation, command, people["operator_olga"].actor)
    assert not queries.organisation(session(), people["investor_bob"].organisation_id).good_standing


def test_one_person_enters_neither_the_markets_own_account_nor_another_one(
    app: Flask, people: dict[str, PersonOfTheTests]
) -> None:
    debtor = RegisterOrganisation("debtor", "Kestrel Foods Ltd", "GB", "07200001", iban="GB33BUKB20201555555555")
    with app.app_context():
        perform(register_organisation, debtor, SYSTEM)
        other = replace(debtor, kind="seller", iban="DE89370400440532013000")
        own = RegisterOrganisation("operator", "Second Market Ltd", "GB", "07200002", iban="GB33BUKB20201555555555")
        for command in (other, own):
            with pytest.raises(RuleBroken, match="account_by_two") as refused:
                perform(register_organisation, command, people["operator_olga"].actor)
            assert [problem.field for problem in refused.value.problems] == ["iban"]
        perform(register_organisation, replace(other, iban=None), SYSTEM)


# -- what the audit trail and the reader may see ------------------------------------------------------------------


def test_the_trail_holds_no_personal_data(people: dict[str, PersonOfTheTests], app: Flask, session: Reading) -> None:
    client = app.test_client()
    sign_in(client, people["seller_alice"])
    client.post("/sign-in", data={"email": "unknown.person@example.com", "password": "whatever it is"})
    with app.app_context():
        paid_on(people, people["seller_alice"].organisation_id, "GB33BUKB20201555555555")
    bodies = b"".join(session.scalars(text("SELECT body FROM event")))
    for personal in (b"example.com", b"Alice", b"BUKB", PASSWORD.encode(), b"argon2"):
        assert personal not in bodies
    verbs = set(session.scalars(text("SELECT verb FROM event")))
    assert {"register_organisation", "register_user", "sign_in", "refuse_sign_in", "set_payout_rail"} <= verbs


def test_the_reader_sees_no_secret(people: dict[str, PersonOfTheTests], postgres: object, database: str) -> None:
    reader = create_engine(postgres.url(database, "duebill_reader"), poolclass=NullPool)  # type: ignore[attr-defined]
    with reader.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM user_account")).scalar_one() == len(people)
        for table in ("user_secret", "web_session", "rate_window"):
            connection.rollback()
            with pytest.raises(DBAPIError, match="permission denied"):
                connection.execute(text(f"SELECT * FROM {table}"))


def test_hashes_are_argon2id_and_tokens_are_not_kept(
    people: dict[str, PersonOfTheTests], app: Flask, session: Reading
) -> None:
    client = sign_in(app.test_client(), people["seller_alice"])
    assert all(h.startswith("$argon2id$") for h in session.scalars(text("SELECT password_hash FROM user_secret")))
    cookie = client.get_cookie("duebill")
    kept = session.scalars(text("SELECT token_hash FROM web_session")).one()
    assert cookie is not None
    assert len(kept) == 32
    assert kept not in cookie.value.encode()


# -- who may ------------------------------------------------------------------------------------------------------


def test_a_verb_that_nobody_named_cannot_be_made() -> None:
    with pytest.raises(KeyError):
        verb("print_money")


def test_every_verb_belongs_to_somebody_and_money_never_to_the_regulator() -> None:
    assert all(MAY.values())
    assert {name for name, roles in MAY.items() if Role.REGULATOR in roles} == {
        "sign_out",
        "look_up",
        "export_bundle",
        "replay_auction",
    }


def test_what_is_not_yours_looks_absent(people: dict[str, PersonOfTheTests]) -> None:
    own = people["seller_alice"].organisation_id
    require_own(people["seller_alice"].actor, own)
    require_own(people["operator_olga"].actor, own)
    for name in ("stranger_mallory", "investor_bob", "regulator_rex"):
        with pytest.raises(NotFound):
            require_own(people[name].actor, own)
    with pytest.raises(NotFound):
        require_own(people["seller_alice"].actor, None)
