"""From the companies register to what is known of a party: asked, kept, fetched, and an operator called."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from config.settings import CompaniesRegister, SettingsError, from_environment, read_companies_register
from marketplace.db import db
from marketplace.jobs.runner import run_job
from marketplace.jobs.schedule import job
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import NotPermitted, RuleBroken
from marketplace.parties.actions import register_organisation
from marketplace.parties.schemas import RegisterOrganisation
from marketplace.payments.queries import open_alerts
from marketplace.perform import perform
from marketplace.rating import queries as ratings
from marketplace.rating.actions import file_accounts, rate_party
from marketplace.rating.register import asking, queries
from marketplace.rating.register.actions import ask_register_again, record_register_answer
from marketplace.rating.register.answers import CompanyAnswer
from marketplace.rating.register.asking import REQUESTS_MAX, WINDOW_SECONDS, run_register
from marketplace.rating.register.schemas import AskRegisterAgain, RecordRegisterAnswer
from marketplace.rating.schemas import FileAccounts, RateParty
from tests.people import PersonOfTheTests, register
from tests.rating.filings import accounts
from tests.rating.register import stand_in as made
from tests.rating.register.stand_in import KEY, StandIn, serving

ALICE = "07100001"
SYSTEM = Actor.system("tests")
ANOTHER = (  # answer like the one that is there, but for its charges and whether it says insolvent
    "INSERT INTO register_answer (id, organisation_id, company_number, source, said_on, accounts_overdue, "
    "charges_total, charges_outstanding, cases, insolvent) "
    "SELECT gen_random_uuid(), organisation_id, company_number, source, said_on, false, "
)


@pytest.fixture
def house() -> Iterator[StandIn]:
    with serving() as running:
        yield running


@pytest.fixture
def asked(make_app: Callable[..., Flask], house: StandIn) -> Iterator[Flask]:
    """An application with a key, and a context of it."""
    app = make_app(companies_register=CompaniesRegister(KEY, house.url, house.url))
    with app.app_context():
        yield app
        db.session.remove()


@pytest.fixture
def alice(asked: Flask) -> PersonOfTheTests:
    return register(asked, "seller_alice")["seller_alice"]


@pytest.fixture
def operator(asked: Flask) -> PersonOfTheTests:
    return register(asked, "operator_olga")["operator_olga"]


def today() -> date:
    found: date = db.session.execute(text("SELECT market_now()::date")).scalar_one()
    return found


@pytest.fixture
def due_now(owner_engine: Engine) -> Callable[[], None]:
    """Let a day go by, by the owner's hand: no role of the application may do so."""

    def passed() -> None:
        with owner_engine.begin() as connection:
            for table in ("register_watch", "register_line"):
                connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
            connection.execute(text("UPDATE register_watch SET next_at = market_now() - interval '1 second'"))
            connection.execute(text("UPDATE register_line SET rests_until = NULL"))
            connection.execute(text("DELETE FROM rate_window"))
            for table in ("register_watch", "register_line"):
                connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))

    return passed


def known(organisation_id: UUID) -> queries.RegisterFacts:
    db.session.rollback()
    return queries.facts(db.session(), [organisation_id])[organisation_id]


def watch(organisation_id: UUID) -> queries.Watch:
    db.session.rollback()
    return queries.watches(db.session(), [organisation_id])[organisation_id]


def line() -> queries.Line:
    db.session.rollback()
    return queries.line(db.session())


def test_a_party_is_asked_about_once_a_day_and_its_newest_accounts_are_filed(
    house: StandIn, alice: PersonOfTheTests, due_now: Callable[[], None]
) -> None:
    end = today() - timedelta(days=200)
    house.knows(ALICE, None, made.accounts_item(end.isoformat()))
    house.holds(accounts(end))
    assert run_register() == 1
    facts = known(alice.organisation_id)
    assert (facts.company_state, facts.source, facts.said_on, facts.insolvent) == ("active", "api", today(), False)
    assert facts.accounts_made_up_to == end
    filed = ratings.newest_filing(db.session(), alice.organisation_id)
    assert filed is not None
    assert (filed.period_end, filed.filed_by_role, filed.attested_reason) == (end, "system", None)
    assert filed.filename == f"{ALICE}_{end:%Y%m%d}.xhtml"
    assert watch(alice.organisation_id).document_outcome == "filed"
    assert line().state == "answering"
    count = len(house.asked)
    assert run_register() == 0
    assert len(house.asked) == count, "the answer is kept for a day"
    due_now()
    assert run_register() == 1
    assert len(house.asked) == count + 2, "the same document is not fetched again"


def test_a_seller_s_own_newer_accounts_stand(house: StandIn, alice: PersonOfTheTests) -> None:
    end = today() - timedelta(days=100)
    perform(file_accounts, FileAccounts(alice.organisation_id, "mine.html", accounts(end)), alice.actor)
    house.knows(ALICE, None, made.accounts_item((end - timedelta(days=365)).isoformat()))
    assert run_register() == 1
    assert not any("/document/" in path for path in house.asked)


@pytest.mark.parametrize(
    ("content", "kinds", "outcome"),
    [
        (b"%PDF", ("application/pdf",), "not_digital"),
        (b"<html><p></html>", ("application/xhtml+xml",), "refused"),
        (accounts(date(2025, 3, 31), company_number="07999999"), ("application/xhtml+xml",), "refused"),
    ],
)
def test_what_cannot_be_filed_is_said_and_not_tried_again(
    house: StandIn,
    alice: PersonOfTheTests,
    content: bytes,
    kinds: tuple[str, ...],
    outcome: str,
    due_now: Callable[[], None],
) -> None:
    house.knows(ALICE, None, made.accounts_item("2025-03-31"))
    house.holds(content, *kinds)
    assert run_register() == 1
    seen = watch(alice.organisation_id)
    assert (seen.document_outcome, bool(seen.document_words)) == (outcome, outcome == "refused")
    assert ratings.newest_filing(db.session(), alice.organisation_id) is None
    due_now()
    run_register()
    assert sum("/content" in path for path in house.asked) <= 1


def test_insolvency_calls_an_operator_once_and_ends_the_rating(
    house: StandIn, alice: PersonOfTheTests, due_now: Callable[[], None]
) -> None:
    end = today() - timedelta(days=200)
    perform(file_accounts, FileAccounts(alice.organisation_id, "mine.html", accounts(end)), alice.actor)
    house.knows(ALICE, made.profile(ALICE, company_status="administration", has_insolvency_history=True))
    house.pages[f"/company/{ALICE}/insolvency"] = made.insolvency("in-administration")
    assert ratings.parties_to_rate(db.session()) == [alice.organisation_id]
    run_register()
    due_now()
    run_register()
    db.session.rollback()
    alerts = [one for one in open_alerts(db.session()) if one.kind == "register_insolvency"]
    assert [one.subject_id for one in alerts] == [alice.organisation_id]
    assert alerts[0].facts["state"] == "administration"
    with pytest.raises(RuleBroken) as caught:
        perform(rate_party, RateParty(alice.organisation_id), SYSTEM)
    assert "insolvent" in caught.value.said()
    db.session.rollback()
    assert ratings.parties_to_rate(db.session()) == [], "the job does not try in vain"
    house.knows(ALICE)
    due_now()
    run_register()
    assert perform(rate_party, RateParty(alice.organisation_id), SYSTEM)["grade"]


def test_a_refused_key_silence_and_a_429_leave_the_register_alone_and_say_so(
    house: StandIn, alice: PersonOfTheTests, due_now: Callable[[], None]
) -> None:
    house.knows(ALICE)
    for mood, state in (({"key": "another"}, "refusing"), ({"code": 500}, "silent"), ({"limit": 0}, "busy")):
        house.key, house.code, house.limit = KEY, None, None
        for name, value in mood.items():
            setattr(house, name, value)
        due_now()
        assert run_register() == 0
        assert line().state == state
        count = len(house.asked)
        assert run_register() == 0
        assert len(house.asked) == count, "it is left alone"
    assert watch(alice.organisation_id).failures == 2, "a 429 is not the party's fault"
    house.limit = None
    due_now()
    assert run_register() == 1
    assert (line().state, watch(alice.organisation_id).failures) == ("answering", 0)


def test_one_company_s_nonsense_does_not_hold_up_the_others(house: StandIn, alice: PersonOfTheTests) -> None:
    house.pages[f"/company/{ALICE}"] = b"nonsense"
    other = perform(register_organisation, RegisterOrganisation("debtor", "Kestrel Ltd", "GB", "07714421"), SYSTEM)
    third = perform(register_organisation, RegisterOrganisation("debtor", "A Club", "GB", "A CLUB"), SYSTEM)
    perform(register_organisation, RegisterOrganisation("debtor", "Usine SA", "FR", "732829320"), SYSTEM)
    house.knows("07714421")
    assert run_register() == 1
    assert known(UUID(other["organisation_id"])).company_state == "active"
    assert watch(alice.organisation_id).trouble == "nonsense"
    assert watch(UUID(third["organisation_id"])).trouble == "not_a_number"
    assert len(house.asked) == 3


def test_a_company_that_the_register_does_not_know_is_kept_as_such(house: StandIn, alice: PersonOfTheTests) -> None:
    assert run_register() == 1
    assert known(alice.organisation_id).company_state is None


def test_several_workers_share_one_limit(asked: Flask) -> None:
    def worker(_: int) -> int:
        with asked.app_context():
            return sum(asking.leave() == 0 for _ in range(20))

    began = time.monotonic()
    with ThreadPoolExecutor(4) as workers:
        granted = sum(workers.map(worker, range(4)))
    windows = int((time.monotonic() - began) // WINDOW_SECONDS) + 2
    assert REQUESTS_MAX <= granted <= REQUESTS_MAX * windows
    assert REQUESTS_MAX * 31 < 600


def test_without_a_key_nothing_is_asked(app: Flask, house: StandIn) -> None:
    with app.app_context():
        register(app, "seller_alice")
        assert run_register() == 0
        run_job(job("ask_companies_register"))
        db.session.remove()
    assert house.asked == []


def test_an_operator_may_ask_again_and_nobody_else(
    house: StandIn, alice: PersonOfTheTests, operator: PersonOfTheTests
) -> None:
    house.knows(ALICE)
    run_register()
    with pytest.raises(NotPermitted):
        perform(ask_register_again, AskRegisterAgain(alice.organisation_id), alice.actor)
    perform(ask_register_again, AskRegisterAgain(alice.organisation_id), operator.actor)
    with pytest.raises(RuleBroken):
        perform(ask_register_again, AskRegisterAgain(_abroad()), operator.actor)
    assert run_register() == 1


def _abroad() -> UUID:
    made_up = RegisterOrganisation("debtor", "Usine SA", "FR", "732829320")
    return UUID(perform(register_organisation, made_up, SYSTEM)["organisation_id"])


def test_an_answer_about_another_company_is_not_kept(alice: PersonOfTheTests) -> None:
    with pytest.raises(RuleBroken):
        perform(record_register_answer, RecordRegisterAnswer(alice.organisation_id, CompanyAnswer("07999999", None)),
                SYSTEM)  # fmt: skip


def test_the_database_keeps_answers_as_they_were(house: StandIn, alice: PersonOfTheTests, owner_engine: Engine) -> None:
    house.knows(ALICE)
    run_register()
    for statement, name in (
        ("UPDATE register_answer SET insolvent = true", "append"),
        ("DELETE FROM register_answer", "append"),
        ("DELETE FROM register_watch", "append"),
        (ANOTHER + "0, 0, '[]', true FROM register_answer", "ck_register_answer_insolvent"),
        (ANOTHER + "1, 2, '[]', false FROM register_answer", "ck_register_answer_charges"),
        ("UPDATE register_watch SET failures = 1", "ck_register_watch_trouble"),
        ("UPDATE register_line SET state = 'asleep'", "ck_register_line_state"),
    ):  # fmt: skip
        with pytest.raises(DBAPIError) as caught, owner_engine.begin() as connection:
            connection.execute(text(statement))
        assert name == "append" or name in str(caught.value)


def test_settings_name_the_variable_that_is_wrong(tmp_path: Any) -> None:
    assert not read_companies_register({}).asks
    chosen = read_companies_register({"REGISTRY_API_KEY": " abc ", "REGISTRY_API_BASE": "http://127.0.0.1:1/"})
    assert (chosen.key, chosen.base, chosen.asks) == ("abc", "http://127.0.0.1:1", True)
    assert "abc" not in repr(chosen)
    for name, value in (("REGISTRY_API_KEY", "a:b"), ("REGISTRY_API_KEY", "a\nb"), ("REGISTRY_API_BASE", "ftp://x")):
        with pytest.raises(SettingsError, match=name):
            read_companies_register({"REGISTRY_API_KEY": "k", name: value})
    whole = from_environment({"DATABASE_URL": "postgresql://x/y", "DUEBILL_HOME": str(tmp_path),
                              "REGISTRY_API_KEY": "k"})  # fmt: skip
    assert whole.companies_register.asks
