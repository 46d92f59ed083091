"""From accounts on file to a rated receivable, through the one way through, in PostgreSQL."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError

from marketplace.db import db
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import Conflict, InvalidInput, NotFound, NotPermitted, RuleBroken
from marketplace.parties.actions import register_organisation
from marketplace.parties.schemas import RegisterOrganisation
from marketplace.perform import perform
from marketplace.rating import queries
from marketplace.rating.actions import file_accounts, rate_party, rate_receivable
from marketplace.rating.model import load_model, pd_ppm
from marketplace.rating.pricing import price
from marketplace.rating.ratios import Sight
from marketplace.rating.schemas import FileAccounts, FileAccountsSchema, RateParty, RateReceivable
from marketplace.rating.tables import PartyRatingRow
from marketplace.receivables import queries as receivables
from marketplace.receivables.actions import confirm_receivable
from marketplace.receivables.schemas import ConfirmReceivable
from marketplace.schemas import load
from tests.people import PersonOfTheTests
from tests.rating.filings import SOUND, WEAK, accounts
from tests.receivables.conftest import debtor_of, token_for
from tests.receivables.invoices import Paper

People = dict[str, PersonOfTheTests]
Listed = Callable[..., dict[str, Any]]
SYSTEM = Actor.system("tests")
KESTREL = "07714421"


@pytest.fixture
def end(today: date) -> date:
    """The date of fresh accounts: ten months ago."""
    return today - timedelta(days=300)


@pytest.fixture
def confirmed(listed: Listed, invoice: Paper, today: date) -> UUID:
    """Alice's invoice on Kestrel, confirmed by Kestrel."""
    receivable_id = UUID(listed(invoice)["receivable_id"])
    command = ConfirmReceivable(
        token_for(receivable_id), 4_860_000, today + timedelta(days=60), False, answered_by="K. Est"
    )
    perform(confirm_receivable, command, debtor_of(receivable_id))
    return receivable_id


def file(organisation_id: UUID, content: bytes, actor: Actor = SYSTEM, reason: str | None = None) -> dict[str, Any]:
    return perform(file_accounts, FileAccounts(organisation_id, "accounts.html", content, reason), actor)


def debtor_id(receivable_id: UUID) -> UUID:
    found = debtor_of(receivable_id).organisation_id
    assert found is not None
    return found


def refusal(organisation_id: UUID, content: bytes, actor: Actor = SYSTEM, reason: str | None = None) -> set[str]:
    with pytest.raises(InvalidInput) as caught:
        file(organisation_id, content, actor, reason)
    return {problem.rule for problem in caught.value.problems}


def test_two_sets_of_accounts_rate_a_receivable(confirmed: UUID, people: People, end: date, session: Any) -> None:
    alice = people["seller_alice"]
    file(alice.organisation_id, accounts(end, SOUND), alice.actor)
    file(debtor_id(confirmed), accounts(end, WEAK, company_number=KESTREL, name="Kestrel Aerospace UK Ltd"))
    assert queries.to_rate(session, 10) == [confirmed]
    done = perform(rate_receivable, RateReceivable(confirmed), SYSTEM)
    assert done["state"] == "rated"

    found = queries.receivable_rating(session, confirmed)
    assert found is not None
    assert found.seller.organisation_id == alice.organisation_id
    assert found.seller.pd_ppm is not None
    assert found.debtor.pd_ppm is not None
    assert found.seller.pd_ppm < found.debtor.pd_ppm
    assert (
        found.tenor_days
        == (receivables.receivable(session, confirmed).expected_on - date.fromisoformat(found.inputs["rated_on"])).days
    )
    assert 0 < found.expected_loss_recourse_ppm < found.expected_loss_ppm
    assert 8_000 <= found.advance_bps <= 9_000
    assert found.indicative_bps > 650
    assert len(found.debtor.reasons) == 5
    assert found.debtor.reasons[0].words % found.debtor.reasons[0].params == "Liabilities exceed assets by 73 %."
    assert found.debtor.filing is not None
    assert (found.debtor.filing.level, found.debtor.filing.period_end) == ("small-prior", end)
    assert found.debtor.missing == ("No profit and loss account is filed.",)
    assert queries.to_rate(session, 10) == []
    assert queries.party_rating(session, alice.organisation_id) == found.seller


def test_a_past_rating_is_computed_again_from_what_was_kept(
    confirmed: UUID, people: People, end: date, context: Flask
) -> None:
    file(people["seller_alice"].organisation_id, accounts(end))
    file(debtor_id(confirmed), accounts(end, WEAK, company_number=KESTREL))
    perform(rate_receivable, RateReceivable(confirmed), SYSTEM)
    model, policy = load_model(), context.extensions["duebill"].policy.rating
    for row in db.session.scalars(select(PartyRatingRow)):
        seen = Sight(row.level, {name: float(value) for name, value in row.ratios.items()})
        assert row.model_version == model.version
        assert pd_ppm(model, seen, row.prior_ppm, row.floor_ppm) == row.pd_ppm
    found = queries.receivable_rating(db.session(), confirmed)
    assert found is not None
    again = price(found.debtor.pd_ppm or 0, found.seller.pd_ppm, found.tenor_days, policy)
    assert (again.expected_loss_ppm, again.expected_loss_recourse_ppm, again.indicative_bps, again.advance_bps) == (
        found.expected_loss_ppm, found.expected_loss_recourse_ppm, found.indicative_bps, found.advance_bps)  # fmt: skip


def test_a_debtor_without_accounts_leaves_it_confirmed_with_the_reason(
    confirmed: UUID, end: date, session: Any
) -> None:
    done = perform(rate_receivable, RateReceivable(confirmed), SYSTEM)
    assert (done["state"], done["not_rated"]) == ("confirmed", "no_accounts")
    waiting = queries.unrated(session)
    assert [(item.receivable_id, item.reason) for item in waiting] == [(confirmed, "no_accounts")]
    assert queries.to_rate(session) == [], "not tried again and again"
    file(debtor_id(confirmed), accounts(end, company_number=KESTREL))
    session.rollback()
    assert queries.to_rate(session) == [confirmed], "new accounts make it worth another try"
    assert perform(rate_receivable, RateReceivable(confirmed), SYSTEM)["state"] == "rated"
    session.rollback()
    assert queries.unrated(session) == []


def test_a_seller_without_accounts_is_not_rated_and_his_recourse_is_worth_nothing(
    confirmed: UUID, end: date, session: Any
) -> None:
    file(debtor_id(confirmed), accounts(end, company_number=KESTREL))
    done = perform(rate_receivable, RateReceivable(confirmed), SYSTEM)
    assert done["seller_grade"] is None
    found = queries.receivable_rating(session, confirmed)
    assert found is not None
    assert (found.seller.grade, found.seller.unrated_reason) == (None, "No accounts are on file.")
    assert found.expected_loss_recourse_ppm == found.expected_loss_ppm


def test_accounts_that_are_too_old_are_kept_but_rate_nobody(confirmed: UUID, today: date, session: Any) -> None:
    old = today - timedelta(days=700)
    done = file(debtor_id(confirmed), accounts(old, company_number=KESTREL))
    assert done["faults"] == ["The accounts are older than 22 months."]
    assert perform(rate_receivable, RateReceivable(confirmed), SYSTEM)["not_rated"] == "accounts_stale"
    with pytest.raises(RuleBroken, match="too old"):
        perform(rate_party, RateParty(debtor_id(confirmed)), SYSTEM)


def test_only_a_confirmed_receivable_is_rated(listed: Listed, invoice: Paper) -> None:
    receivable_id = UUID(listed(invoice)["receivable_id"])
    with pytest.raises(RuleBroken) as caught:
        perform(rate_receivable, RateReceivable(receivable_id), SYSTEM)
    assert caught.value.code == "wrong_state"


def test_a_party_is_rated_once_a_filing_model_and_policy(people: People, end: date, session: Any) -> None:
    alice = people["seller_alice"].organisation_id
    file(alice, accounts(end - timedelta(days=365), WEAK))
    assert queries.parties_to_rate(session) == [alice]
    first = perform(rate_party, RateParty(alice), SYSTEM)
    assert perform(rate_party, RateParty(alice), SYSTEM)["rating_id"] == first["rating_id"]
    session.rollback()
    assert queries.parties_to_rate(session) == []
    file(alice, accounts(end, SOUND))
    second = perform(rate_party, RateParty(alice), SYSTEM)
    assert second["pd_ppm"] < first["pd_ppm"]
    session.rollback()
    assert [rating.pd_ppm for rating in queries.rating_history(session, alice)] == [second["pd_ppm"], first["pd_ppm"]]
    newest = queries.newest_filing(session, alice)
    assert newest is not None
    assert queries.filing_content(session, newest.id) == accounts(end, SOUND)


def test_a_wrong_filing_is_refused_in_words_and_changes_nothing(
    people: People, end: date, today: date, session: Any
) -> None:
    alice, olga = people["seller_alice"], people["operator_olga"]
    own = alice.organisation_id
    assert refusal(own, accounts(end, company_number="07100002"), alice.actor) == {"other_company"}
    assert refusal(own, accounts(end, company_number="07100002"), olga.actor, "We know them well") == {"other_company"}
    assert refusal(own, accounts(today + timedelta(days=9)), alice.actor) == {"future"}
    assert refusal(own, b"%PDF-1.4", alice.actor) == {"kind"}
    assert refusal(own, b"<html/>", alice.actor) == {"no_balance_sheet"}
    assert refusal(own, b'<!DOCTYPE p [<!ENTITY a "b">]><p/>', alice.actor) == {"doctype"}
    with pytest.raises(InvalidInput) as caught:
        load(FileAccountsSchema, {"organisation_id": str(own), "filename": "a.html"}, content=b"x" * (2**24 + 1))
    assert {problem.field for problem in caught.value.problems} == {"content"}
    assert queries.filings(session, own) == []


def test_a_missing_number_needs_an_operator_s_word(people: People, end: date, session: Any) -> None:
    alice, olga = people["seller_alice"], people["operator_olga"]
    nameless = accounts(end, company_number=None)
    assert refusal(alice.organisation_id, nameless, alice.actor, "They are mine, I swear") == {"unknown_number"}
    assert refusal(alice.organisation_id, nameless, olga.actor) == {"unknown_number"}
    file(alice.organisation_id, nameless, olga.actor, "Compared with the signed paper accounts")
    filed = queries.newest_filing(session, alice.organisation_id)
    assert filed is not None
    assert filed.attested_reason == "Compared with the signed paper accounts"
    assert filed.filed_by_role == "operator"


def test_the_same_accounts_are_taken_once(people: People, end: date) -> None:
    alice = people["seller_alice"]
    file(alice.organisation_id, accounts(end), alice.actor)
    with pytest.raises(Conflict) as caught:
        file(alice.organisation_id, accounts(end), alice.actor)
    assert caught.value.code == "already_filed"


def test_strangers_file_nothing_for_others_and_investors_nothing_at_all(people: People, end: date) -> None:
    alice = people["seller_alice"]
    with pytest.raises(NotFound):
        file(alice.organisation_id, accounts(end), people["stranger_mallory"].actor)
    with pytest.raises(NotPermitted):
        file(alice.organisation_id, accounts(end), people["investor_bob"].actor)
    with pytest.raises(NotPermitted):
        perform(rate_party, RateParty(alice.organisation_id), alice.actor)


def test_a_company_of_another_country_is_attested(context: Flask, end: date) -> None:
    made = perform(register_organisation, RegisterOrganisation("seller", "Vega SL", "ES", "B12345678"), SYSTEM)
    own = UUID(made["organisation_id"])
    assert refusal(own, accounts(end)) == {"unknown_number"}
    assert file(own, accounts(end), SYSTEM, "A UK branch's accounts, seen by us")["faults"] == []


@pytest.mark.parametrize("table", ["filing", "party_rating", "receivable_rating", "rating_obstacle"])
def test_nothing_that_was_rated_can_be_changed(table: str, owner_engine: Engine) -> None:
    with owner_engine.begin() as connection:
        names = connection.execute(
            text("SELECT tgname FROM pg_trigger WHERE tgrelid = CAST(:table AS regclass) AND NOT tgisinternal"),
            {"table": table},
        ).scalars()
        assert {f"{table}_append_only", f"{table}_no_truncate", f"{table}_event"} <= set(names)
    with owner_engine.connect() as connection, pytest.raises(DBAPIError):
        connection.execute(text(f"TRUNCATE {table} CASCADE"))


def test_a_filing_cannot_be_altered_even_by_the_owner(people: People, end: date, owner_engine: Engine) -> None:
    file(people["seller_alice"].organisation_id, accounts(end))
    for change in ("UPDATE filing SET period_end = period_end + 1", "DELETE FROM filing"):
        with owner_engine.connect() as connection, pytest.raises(DBAPIError):
            connection.execute(text(change))


def test_the_database_refuses_bytes_that_are_not_those_of_the_hash(
    people: People, end: date, owner_engine: Engine
) -> None:
    file(people["seller_alice"].organisation_id, accounts(end))
    change = '{"id": "01890a5d-ac96-774b-bcce-b302099a8057", "content": "\\\\x00", "size_bytes": 1}'
    copy = text("INSERT INTO filing SELECT (jsonb_populate_record(f, CAST(:change AS jsonb))).* FROM filing f")
    with owner_engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(copy, {"change": change})
    assert "ck_filing_sha256" in str(caught.value)
