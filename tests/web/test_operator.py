"""The operators' pages: empty and full, for operators alone; two people decide; nonsense is answered, never a 500."""

import csv
import io
import re
from datetime import timedelta
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from psycopg.types.json import Jsonb
from sqlalchemy import text

from marketplace.db import db
from marketplace.jobs.runner import run_job
from marketplace.jobs.schedule import job
from marketplace.kernel.ids import new_id
from marketplace.ledger.actions import account, post_entry
from marketplace.ledger.rules import credit, debit
from marketplace.parties.actions import register_user
from marketplace.parties.schemas import RegisterUser
from marketplace.payments.alerts import raise_alert
from marketplace.payments.queries import Alert, open_alerts
from marketplace.payments.seen_to import ENDS_ITSELF
from marketplace.perform import Tx, perform
from marketplace.web.alerts import facts_told
from tests import lives
from tests.people import PASSWORD
from tests.support import SYSTEM, do
from tests.trading.world import World

PAGES = (
    "/operator/", "/operator/defaults", "/operator/defaults?by=debtor&currency=GBP", "/operator/defaults?by=sector",
    "/operator/queue", "/operator/suspense", "/operator/reconciliation", "/operator/jobs", "/operator/ratings",
    "/operator/ratings?kind=debtor", "/operator/model", "/operator/defaults/ageing.csv", "/operator/defaults/queue.csv",
)  # fmt: skip
REASON = "Compared with the earlier one, line by line: another delivery."


def visitor(app: Flask, world: World, who: str, of: str = "") -> FlaskClient:
    """Somebody of the world, signed in with a password of his own."""
    email = f"{who}@example.com"
    perform(register_user, RegisterUser(world.id(of or who), email, who.title(), PASSWORD), SYSTEM)
    client = app.test_client()
    assert client.post("/sign-in", data={"email": email, "password": PASSWORD}).status_code == 303
    return client


@pytest.fixture
def olga(app: Flask, world: World) -> FlaskClient:
    return visitor(app, world, "olga")


def held(world: World) -> tuple[UUID, UUID]:
    """A held listing that looks like another one; return its receivable and its review."""
    other = world.receivable()
    receivable_id, review_id = world.receivable(state="held_for_review"), new_id()
    checks = [{"rule": "near_match", "words": "It resembles %(refs)s.", "remedy": "An operator compares the lines.",
               "params": {"refs": "DB-26-0001"}}]  # fmt: skip
    with world.superuser() as owner:
        owner.execute(
            "INSERT INTO review (id, receivable_id, cause, findings, matches, goes_to) "
            "VALUES (%s, %s, 'near_match', %s, %s, 'awaiting_confirmation')",
            (
                review_id, receivable_id, Jsonb({"checks": checks, "changed": []}),
                Jsonb([{"receivable_id": str(other), "ref": "DB-26-0001"}]),
            ),
        )  # fmt: skip
    return receivable_id, review_id


def a_full_market(world: World) -> UUID:
    """Somebody late and in default, money in suspense, a failed job, a held listing, a letter."""
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, 40)
    lives.pays(world, receivable_id, 100_000)
    lives.on_day(world, receivable_id, 95)
    lives.age(receivable_id)
    settled = lives.funded(world, [("dave", 600, 5_000_000)])
    lives.pays(world, settled, 4_860_000 + 777)
    lives.received(world, world.receivable(), 5_000)
    run_job(job("apply_payments"))
    held(world)
    with world.superuser() as owner:
        owner.execute(
            "INSERT INTO outgoing_mail (id, organisation_id, receivable_id, kind, subject, body) VALUES "
            "(gen_random_uuid(), %s, %s, 'confirm', 'Is it right?', 'Here: https://x.example/d/to.ken and <b>')",
            (world.id("kestrel"), receivable_id),
        )
    return receivable_id


@pytest.mark.parametrize("path", PAGES)
def test_an_empty_market_has_all_pages(olga: FlaskClient, path: str) -> None:
    assert olga.get(path).status_code == 200


def test_a_full_market_has_all_pages(world: World, olga: FlaskClient) -> None:
    receivable_id = a_full_market(world)
    for path in (*PAGES, f"/operator/receivables/{receivable_id}"):
        page = olga.get(path)
        assert page.status_code == 200, path
    late = olga.get("/operator/defaults").text
    assert "Kestrel Aerospace UK Ltd" in late
    assert "PAR90" in late
    assert "<b>" not in olga.get("/operator/queue").text.split("Is it right?")[1].split("</details>")[0]
    assert "7" in olga.get("/operator/suspense").text
    assert "Nobody has funded this receivable" in olga.get("/operator/jobs").text
    assert "Nobody has funded this receivable" in olga.get("/operator/").text
    page = olga.get(f"/operator/receivables/{receivable_id}").text
    assert page.index("Late charge") < page.index("Platform fee") < page.index("Residual")
    assert "Give up what is outstanding" in page


def test_what_somebody_is_called_about_leads_to_where_it_is_worked_off(world: World, olga: FlaskClient) -> None:
    do(lambda tx: raise_alert(tx, "reconciliation_break", "reconciliation", new_id(), currency="GBP",
                              unexplained_minor=-1_205, breaks=1))  # fmt: skip
    do(lambda tx: raise_alert(tx, "late_rate_unknown", "policy", new_id(), law="GB"))
    (rate,) = alerts("late_rate_unknown")
    page = olga.get("/operator/").text
    assert '<a href="/operator/reconciliation">Reconciliation break</a>' in page
    assert "breaks 1, unexplained −£12.05" in page
    assert f'<a href="/operator/suspense#alert-{rate.id}">Late rate unknown</a>' in page
    assert (
        f'id="alert-{rate.id}">The reference rate of this half year is missing' in olga.get("/operator/suspense").text
    )


def alerts(kind: str) -> list[Alert]:
    return [one for one in open_alerts(db.session()) if one.kind == kind]


@pytest.mark.parametrize(("facts", "told"), [
    ({"dispute_id": "dp_1_x", "minor": 5, "currency": "GBP"}, [("dispute id", "dp_1_x"), ("amount", "£0.05")]),
    ({"suspended": False, "asked_minor": 7, "asked_currency": "EUR"}, [("suspended", "no"), ("asked", "€0.07")]),
    ({"said_on": "2026-11-20", "state": "in_liquidation"}, [("said on", "20 Nov 2026"), ("state", "in liquidation")]),
    ({"currency": "GBP", "what": "told_twice"}, [("currency", "GBP"), ("what", "told twice")]),
    ({"sent_minor": 9, "sent_currency": "XAU", "currency": "GBP"},
     [("sent minor", 9), ("sent currency", "XAU"), ("currency", "GBP")]),
])  # fmt: skip
def test_what_a_call_holds_is_told_as_it_is_read(
    app: Flask, facts: dict[str, object], told: list[tuple[str, str]]
) -> None:
    with app.test_request_context():
        assert facts_told(facts) == told


def test_an_operator_says_what_was_done_about_a_call_and_it_is_gone(world: World, olga: FlaskClient) -> None:
    for minor in (500, 700):
        facts = {"minor": minor, "currency": "GBP", "dispute_id": f"dp_{minor}"}
        do(lambda tx, facts=facts: raise_alert(tx, "chargeback_won", "debtor_payment", new_id(), **facts))
    first, other = alerts("chargeback_won")
    path = f"/operator/suspense/alerts/{first.id}"
    for reason in ("", "short", "x" * 501):
        refused = olga.post(path, data={"reason": reason})
        assert refused.status_code == 422
        assert "Say what was done, in 10 to 500 characters" in refused.text
    assert len(alerts("chargeback_won")) == 2
    done = olga.post(path, data={"reason": "Looked at both: the money is back."}, follow_redirects=True)
    assert "Seen to. The log says what was done, and by whom." in done.text
    assert [one.id for one in alerts("chargeback_won")] == [other.id]
    told = db.session.execute(text("SELECT convert_from(body, 'UTF8')::jsonb FROM event WHERE subject_id = :id "
                                   "ORDER BY line DESC LIMIT 1"), {"id": first.id}).scalar_one()  # fmt: skip
    assert (told["verb"], told["reason"]) == ("close_alert", "Looked at both: the money is back.")
    assert olga.post(path, data={"reason": "Looked at it once more."}).status_code == 409
    assert olga.post(f"/operator/suspense/alerts/{new_id()}", data={"reason": REASON}).status_code == 404


def test_the_page_today_says_how_many_more_calls_there_are(world: World, olga: FlaskClient) -> None:
    for number in range(21):
        do(lambda tx, number=number: raise_alert(tx, "payout_failed", "payout", new_id(), code=f"c{number}"))
    page = olga.get("/operator/").text
    assert (page.count(">Payout failed</a>"), "All 21 calls to a person" in page) == (20, True)
    assert re.search(r'href="/operator/suspense"[^>]*>Suspense\s*<span[^>]*>21', page)


@pytest.mark.parametrize("kind", ENDS_ITSELF)
def test_a_call_that_ends_with_its_trouble_is_not_ended_by_a_word(world: World, olga: FlaskClient, kind: str) -> None:
    do(lambda tx: raise_alert(tx, kind, "bank_entry", new_id(), minor=5, currency="GBP"))
    (one,) = alerts(kind)
    assert f"/operator/suspense/alerts/{one.id}" not in olga.get("/operator/suspense").text
    refused = olga.post(f"/operator/suspense/alerts/{one.id}", data={"reason": "I would rather not see it."})
    assert refused.status_code == 422
    assert "This ends by itself" in refused.text
    assert alerts(kind) == [one]


@pytest.mark.parametrize("path", ["/operator/", "/operator/reconciliation"])
def test_what_the_platform_owes_to_its_clients_money_is_said(world: World, olga: FlaskClient, path: str) -> None:
    assert "clients’ money" not in olga.get(path).text

    def keep(tx: Tx) -> None:
        legs = [debit(account(tx, "processing_costs", None, "GBP"), 290),
                credit(account(tx, "provider_platform", None, "GBP"), 290)]  # fmt: skip
        post_entry(tx, "processing_cost", "reconciliation", new_id(), legs)

    do(keep)
    assert "out of clients’ money: £2.90 is missing there." in olga.get(path).text


@pytest.mark.parametrize("who", ["alice", "bob", "mallory"])
def test_nobody_else_is_let_in(app: Flask, world: World, who: str) -> None:
    receivable_id, review_id = held(world)
    client = visitor(app, world, who)
    for path in (*PAGES, f"/operator/receivables/{receivable_id}"):
        assert client.get(path).status_code == 403, path
    for path in (
        f"/operator/queue/{review_id}/release",
        *(f"/operator/receivables/{receivable_id}/{what}"
          for what in ("reject", "accept-evidence", "link", "default", "write-off")),
    ):  # fmt: skip
        assert client.post(path, data={"reason": REASON}).status_code == 403, path


def test_a_visitor_is_asked_to_sign_in(client: FlaskClient) -> None:
    for path in PAGES:
        assert client.get(path).status_code == 303


def test_a_release_needs_the_second_person(app: Flask, world: World, olga: FlaskClient) -> None:
    _, review_id = held(world)
    oscar = visitor(app, world, "oscar", "olga")
    path = f"/operator/queue/{review_id}/release"
    assert olga.post(path, data={"reason": REASON}).status_code == 303
    page = olga.get("/operator/queue").text
    assert "You proposed it. A second operator decides." in page
    assert "One decision waits for a second person" in olga.get("/operator/").text
    assert olga.post(path, data={"reason": REASON}).status_code == 403
    assert "You did not propose it, so you may decide it" in oscar.get("/operator/defaults").text
    assert oscar.post(path, data={"reason": REASON}).status_code == 303
    assert "Nothing is held" in oscar.get("/operator/queue").text


def test_a_refusal_stands_beside_its_form(world: World, olga: FlaskClient) -> None:
    _, review_id = held(world)
    held(world)
    answer = olga.post(f"/operator/queue/{review_id}/release", data={"reason": "x" * 5_000})
    assert answer.status_code == 422
    assert f'id="release-{review_id}-error"' in answer.text
    assert answer.text.count('aria-invalid="true"') == 1
    assert "xxx</textarea>" in answer.text
    receivable_id = lives.funded(world)
    answer = olga.post(f"/operator/receivables/{receivable_id}/default", data={"reason": ""})
    assert answer.status_code == 422
    assert 'id="reason-default-error"' in answer.text


def test_a_default_is_declared_and_two_people_write_off(app: Flask, world: World, olga: FlaskClient) -> None:
    receivable_id = lives.funded(world)
    base = f"/operator/receivables/{receivable_id}"
    assert olga.post(f"{base}/default", data={"reason": REASON}).status_code == 303
    early = olga.post(f"{base}/write-off", data={"reason": REASON})
    assert early.status_code in (409, 422)
    assert "A write-off is reviewed 180 days after the due date, not before." in early.text
    lives.on_day(world, receivable_id, 180)
    assert olga.post("/sign-in", data={"email": "olga@example.com", "password": PASSWORD}).status_code == 303
    oscar = visitor(app, world, "oscar", "olga")
    assert olga.post(f"{base}/write-off", data={"reason": REASON}).status_code == 303
    assert lives.collection(receivable_id).state == "defaulted"
    assert "A second operator decides" in olga.get(base).text
    assert "A second person has to agree." in olga.post(f"{base}/write-off", data={"reason": REASON}).text
    assert oscar.post(f"{base}/write-off", data={"reason": REASON}).status_code == 303
    assert lives.collection(receivable_id).state == "written_off"


def test_what_a_spreadsheet_reads_is_no_formula(world: World, olga: FlaskClient) -> None:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, 5)
    with world.superuser() as owner:
        owner.execute("UPDATE organisation SET legal_name = '=cmd()' WHERE id = %s", (world.id("kestrel"),))
    signed = olga.post("/sign-in", data={"email": "olga@example.com", "password": PASSWORD})
    assert signed.status_code == 303
    queue = list(csv.reader(io.StringIO(olga.get("/operator/defaults/queue.csv?currency=GBP").text.lstrip("\ufeff"))))
    assert queue[1][1] == "'=cmd()"
    assert queue[1][queue[0].index("outstanding")] == "48600.00"
    ageing = list(csv.reader(io.StringIO(olga.get("/operator/defaults/ageing.csv?by=debtor").text.lstrip("\ufeff"))))
    assert ageing[1][0] == "'=cmd()"
    assert ageing[1][ageing[0].index("1_30")] == "48600.00"


@pytest.mark.parametrize(
    "query",
    ["currency=XXX", "by=%00", "by=';--", "currency=%F0%9F%92%B7", "by=grade&by=debtor", "kind=%00", "currency="],
)
def test_nonsense_in_the_address_is_left_out(world: World, olga: FlaskClient, query: str) -> None:
    for path in (
        "/operator/defaults",
        "/operator/defaults/ageing.csv",
        "/operator/defaults/queue.csv",
        "/operator/ratings",
    ):
        assert olga.get(f"{path}?{query}").status_code == 200


@pytest.mark.parametrize(
    "reason", ["", " " * 40, "x" * 501, "\x00" * 20, "\ud7ff\u202e" * 20, "<script>alert(1)</script>"]
)
def test_hostile_reasons_are_answered(world: World, olga: FlaskClient, reason: str) -> None:
    receivable_id, review_id = held(world)
    nobody = new_id()
    for path in (
        f"/operator/queue/{review_id}/release", f"/operator/queue/{nobody}/release",
        f"/operator/receivables/{nobody}/reject", f"/operator/receivables/{nobody}/default",
        f"/operator/receivables/{receivable_id}/default", f"/operator/receivables/{receivable_id}/accept-evidence",
        f"/operator/receivables/{nobody}/link", "/operator/receivables/not-an-id/default",
    ):  # fmt: skip
        answer = olga.post(path, data={"reason": reason, "review_id": "'; DROP TABLE review"})
        assert answer.status_code < 500, path
        assert "<script>alert(1)" not in answer.text
    assert olga.get("/operator/queue").status_code == 200


def test_letters_link_in_a_demonstration_only(world: World, olga: FlaskClient, app: Flask) -> None:
    from marketplace.web.operator_door import letter_parts

    body = "Here:\n\nhttp://127.0.0.1:8000/d/ab-C_1.dE-9\n\nUntil Monday."
    with app.test_request_context():
        assert letter_parts(body) == [(body, None)]


def test_letters_of_a_demonstration_lead_to_the_debtors_page(make_app) -> None:  # type: ignore[no-untyped-def]
    from marketplace.web.operator_door import letter_parts

    with make_app(demo=True).test_request_context():
        parts = letter_parts("Here:\n\nhttp://127.0.0.1:8000/d/ab-C_1.dE-9\n\nUntil Monday. http://127.0.0.1/e/x")
    assert [href for _, href in parts] == [None, "/d/ab-C_1.dE-9", None]


def test_half_a_year_of_risk_is_told_from_what_stood_then(world: World, olga: FlaskClient) -> None:
    receivable_id = lives.funded(world)
    lives.on_day(world, receivable_id, 40)
    world.move_clock(timedelta(days=21))
    olga.post("/sign-in", data={"email": "olga@example.com", "password": PASSWORD})
    page = olga.get("/operator/defaults").text
    assert "PAR30 100.0%" in page
    assert "PAR90 0.0%" in page
    rows = page.split("Portfolio at risk by week")[1].split("<tbody>")[1].split("</tbody>")[0]
    assert rows.count("<tr>") >= 9
    assert rows.rindex("0.00%") > rows.index("100.00%")


def test_a_job_is_asked_for_once_from_its_page(app: Flask, world: World, olga: FlaskClient) -> None:
    run_job(job("open_lots"))
    page = olga.get("/operator/jobs").text
    assert "Nobody keeps time yet" in page
    assert "/operator/jobs/open_lots/again" in page
    assert "/operator/jobs/close_lots/again" not in page  # the clock has not told of it yet
    assert olga.post("/operator/jobs/open_lots/again").status_code == 303
    assert "runs in a moment" in olga.get("/operator/jobs").text
    assert "asked for" in olga.get("/operator/jobs").text
    olga.post("/operator/jobs/open_lots/again")
    assert "It was asked for already" in olga.get("/operator/jobs").text
    assert olga.post("/operator/jobs/make_coffee/again").status_code == 404
    bob = visitor(app, world, "bob")
    assert bob.post("/operator/jobs/open_lots/again").status_code == 403


def test_the_jobs_page_tells_next_runs_days_made_up_for_and_a_silent_clock(world: World, olga: FlaskClient) -> None:
    with world.superuser() as owner:
        owner.execute(
            "UPDATE job_leader SET token = 3, holder = 'box:7', seen_at = clock_timestamp();"
            "INSERT INTO job_state (job, token, started_at, every_seconds, next_at) VALUES "
            "('age_receivables', 3, market_now(), 3600, '2099-06-02 23:00Z'), "
            "('close_lots', 3, market_now(), 1, now());"
            "INSERT INTO job_run (job, business_on, token, finished_at, covered_by) VALUES "
            "('age_receivables', '2031-06-01', 3, market_now(), NULL), "
            "('age_receivables', '2031-05-31', 3, market_now(), '2031-06-01')"
        )
    page = olga.get("/operator/jobs").text
    assert "3 Jun 2099, 00:00" in page
    assert "every second" in page
    assert "did 1 day on which nobody kept time as well" in page
    assert "Nobody has kept time" not in page
    with world.superuser() as owner:
        owner.execute("UPDATE job_leader SET seen_at = seen_at - interval '5 minutes'")
    page = olga.get("/operator/jobs").text
    assert "Nobody has kept time for 30" in page
    assert "3 Jun 2099" not in page
