"""What surrounds every page: headers, cookies, forms, refusals, languages, the last checkpoint."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from marketplace.db import db
from marketplace.kernel.errors import (
    Conflict,
    GatewayFailed,
    IntegrityBreach,
    InvalidInput,
    MarketplaceError,
    NotFound,
    NotPermitted,
    Problem,
    RuleBroken,
)
from marketplace.parties.windows import hit
from tests.people import PASSWORD, register, sign_in

MakeApp = Callable[..., Flask]
HOUSE = Path(__file__).resolve().parents[2]


# -- headers and cookies ------------------------------------------------------------------------------------------


def test_every_answer_tells_the_browser_what_to_refuse(client: FlaskClient) -> None:
    headers = client.get("/").headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert re.fullmatch(r"[0-9a-f-]{36}", headers["X-Request-ID"])
    assert "Strict-Transport-Security" not in headers


def test_the_nonce_is_on_every_script_and_new_each_time(client: FlaskClient) -> None:
    first, second = client.get("/"), client.get("/")
    nonces = [re.findall(r"'nonce-([^']+)'", page.headers["Content-Security-Policy"])[0] for page in (first, second)]
    assert nonces[0] != nonces[1]
    scripts = re.findall(r"<script[^>]*>", first.text)
    assert scripts
    assert all(f'nonce="{nonces[0]}"' in script and "src=" in script for script in scripts)
    assert not re.search(r'\sstyle="|\son\w+="', first.text)


def test_over_https_the_cookie_is_bound_to_the_host(make_app: MakeApp) -> None:
    app = make_app(base_url="https://market.example")
    people = register(app, "seller_alice")
    data = {"email": people["seller_alice"].email, "password": PASSWORD}
    answer = app.test_client().post("/sign-in", data=data, base_url="https://market.example")
    cookie = next(line for line in answer.headers.getlist("Set-Cookie") if line.startswith("__Host-duebill="))
    for attribute in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert attribute in cookie
    assert "Domain" not in cookie
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")


def test_no_form_is_taken_without_its_token(make_app: MakeApp) -> None:
    app = make_app(testing=False)
    client = app.test_client()
    answer = client.post("/sign-in", data={"email": "a@example.com", "password": "x"})
    assert answer.status_code == 400
    assert "This form is too old" in answer.text


def test_every_form_of_our_pages_carries_the_token(client: FlaskClient, app: Flask) -> None:
    people = register(app, "seller_alice")
    pages = [client.get("/sign-in").text, sign_in(client, people["seller_alice"]).get("/grades").text]
    for page in pages:
        forms = re.findall(r"<form[^>]*method=\"post\".*?</form>", page, re.DOTALL)
        assert forms
        assert all('name="csrf_token"' in form for form in forms)


# -- limits -------------------------------------------------------------------------------------------------------


def test_posts_are_counted_over_all_workers(make_app: MakeApp) -> None:
    one, other = make_app(), make_app()
    most = one.extensions["duebill"].policy.session.posts_per_minute_max
    with one.app_context():
        for _ in range(most):
            hit(db.engine, "post address 127.0.0.1", most, 60)
    answer = other.test_client().post("/sign-out")
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) <= 60
    assert "Too many at once" in answer.text


def test_a_file_that_is_too_large_is_told_the_limit(make_app: MakeApp) -> None:
    app = make_app()
    app.config["MAX_CONTENT_LENGTH"] = 1_000_000
    answer = app.test_client().post("/sign-in", data={"email": "x" * 1_000_001})
    assert answer.status_code == 413
    assert "At most 1 MB" in answer.text


# -- refusals -----------------------------------------------------------------------------------------------------

REFUSED: list[tuple[MarketplaceError, int]] = [
    (InvalidInput("x", "Wrong form."), 422),
    (NotPermitted("x", "Not you."), 403),
    (NotPermitted("not_signed_in", "Sign in."), 401),
    (NotFound("x", "Nothing."), 404),
    (Conflict("x", "Taken."), 409),
    (RuleBroken("x", "Against a rule of %(n)s.", {"n": 3}), 422),
    (GatewayFailed("x", "No answer."), 502),
    (IntegrityBreach("x", "Books differ."), 500),
]


def refusing(make_app: MakeApp, error: Exception, address: str = "/refuse") -> TestResponse:
    app = make_app(testing=False)

    def refuse() -> str:
        raise error

    app.add_url_rule(address, view_func=refuse)
    return app.test_client().get(address)


@pytest.mark.parametrize(("error", "status"), REFUSED)
def test_a_refusal_is_a_page_with_its_status(make_app: MakeApp, error: MarketplaceError, status: int) -> None:
    answer = refusing(make_app, error)
    assert answer.status_code == status
    assert "Reference" in answer.text
    assert answer.headers["X-Request-ID"] in answer.text


@pytest.mark.parametrize(("error", "status"), REFUSED)
def test_the_api_words_it_as_a_problem(make_app: MakeApp, error: MarketplaceError, status: int) -> None:
    answer = refusing(make_app, error, "/api/v1/refuse")
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    told = json.loads(answer.text)
    assert (told["status"], told["code"], told["title"]) == (status, error.code, error.said())


def test_a_problem_names_field_and_rule(make_app: MakeApp) -> None:
    error = InvalidInput("x", "Wrong.", problems=[Problem("cash", "maximum", "At most %(most)s.", {"most": 5})])
    told = json.loads(refusing(make_app, error, "/api/v1/refuse").text)
    assert told["errors"] == [{"field": "cash", "rule": "maximum", "words": "At most 5."}]


def test_a_fault_of_ours_shows_no_trace(make_app: MakeApp) -> None:
    answer = refusing(make_app, KeyError("a secret detail"))
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert "Something failed here" in answer.text


def test_without_a_database_the_page_says_so(make_app: MakeApp) -> None:
    app = make_app(testing=False)
    app.config["SQLALCHEMY_DATABASE_URI"] = "unused"
    from sqlalchemy.exc import OperationalError

    def down() -> str:
        raise OperationalError("SELECT 1", {}, Exception("connection refused"))

    app.add_url_rule("/down", view_func=down)
    answer = app.test_client().get("/down")
    assert answer.status_code == 503
    assert "The market is not reachable" in answer.text


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [("get", "/nothing", 404), ("delete", "/grades", 405), ("get", "/api/nothing", 404)],
)
def test_wrong_addresses(client: FlaskClient, method: str, address: str, status: int) -> None:
    answer = getattr(client, method)(address)
    assert answer.status_code == status
    assert (answer.mimetype == "application/problem+json") is address.startswith("/api/")


@pytest.mark.parametrize(
    ("address", "above"),
    [
        ("/d/abc/answers", "/d/abc"),
        ("/d/abc/invoices/00000000-0000-0000-0000-000000000001/answer",
         "/d/abc/invoices/00000000-0000-0000-0000-000000000001"),
        ("/investor/offers/00000000-0000-0000-0000-000000000001/accept",
         "/investor/offers/00000000-0000-0000-0000-000000000001"),
        ("/operator/buy-backs/00000000-0000-0000-0000-000000000001/withdraw", "/operator/buy-backs"),
        ("/sign-out", "/"),
    ],
)  # fmt: skip
def test_a_forms_address_opened_as_a_page_shows_the_page_above(client: FlaskClient, address: str, above: str) -> None:
    """Where a refused form was shown again, its address stands in the bar: loading it anew is no mistake."""
    answer = client.get(address)
    assert (answer.status_code, answer.headers["Location"]) == (303, above)


# -- languages, navigation, foot ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "lang"),
    [
        ("zh-HK,zh;q=0.9", "zh-Hant"),
        ("zh-TW", "zh-Hant"),
        ("zh-CN,en;q=0.5", "zh-Hans"),
        ("zh", "zh-Hans"),
        ("fr,en;q=0.5", "en-GB"),
        ("", "en-GB"),
    ],
)
def test_the_browser_s_language_is_spoken(client: FlaskClient, accepted: str, lang: str) -> None:
    assert f'<html lang="{lang}"' in client.get("/", headers={"Accept-Language": accepted}).text


def test_the_chosen_language_stays(client: FlaskClient) -> None:
    answer = client.get("/language/zh_Hant?next=/grades")
    assert answer.headers["Location"] == "/grades"
    page = client.get("/grades", headers={"Accept-Language": "en"}).text
    assert '<html lang="zh-Hant"' in page
    assert client.get("/language/xx").status_code == 404


def test_the_bar_links_only_pages_that_exist(app: Flask, client: FlaskClient) -> None:
    people = register(app)
    for person in people.values():
        visitor = app.test_client()
        page = sign_in(visitor, person).get("/grades").text
        bar = re.search(r'<nav class="nav-main".*?</nav>', page, re.DOTALL)
        for href in re.findall(r'<a href="([^"]+)"', bar.group() if bar else ""):
            assert visitor.get(href).status_code == 200, (person.name, href)


def test_the_foot_shows_the_last_checkpoint(app: Flask, client: FlaskClient, postgres: object, database: str) -> None:
    assert "No audit checkpoint has been signed yet" in client.get("/").text
    with postgres.connect(database) as connection:  # type: ignore[attr-defined]
        connection.execute(
            "INSERT INTO checkpoint (size, root, note, key_id) VALUES (218441, %s, 'note', 'abcd')", [b"\x7c" * 32]
        )
    page = client.get("/").text
    assert "Audit checkpoint 218,441, signed" in page
    assert "7c7c 7c7c 7c7c … 7c7c" in page
    assert client.get("/verify/checkpoint.txt").text == "note"


def test_a_web_worker_loads_no_model() -> None:
    code = (
        "import sys; from pathlib import Path; from config.settings import Settings, read_policy\n"
        "from marketplace.app import create_app\n"
        "create_app(Settings(home=Path('x'), database_url='postgresql+psycopg://x/x', secret_key='x', pepper=b'x',"
        " policy_table=read_policy(), testing=True))\n"
        "print([name for name in ('sklearn', 'scipy', 'pandas', 'pyarrow', 'ortools') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=HOUSE, capture_output=True, text=True, timeout=240)
    assert ran.stdout.strip() == "[]", ran.stderr


def test_the_log_tells_rules_not_addresses(make_app: MakeApp, capsys: pytest.CaptureFixture[str]) -> None:
    app = make_app(testing=False)
    app.test_client().get("/language/zh_Hant?next=/private-place")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    told = next(line for line in lines if line["event"] == "request")
    assert (told["rule"], told["status"]) == ("/language/<code>", 303)
    assert "private-place" not in json.dumps(lines)
    assert "request_id" in told


def test_health_is_told_in_a_word(client: FlaskClient) -> None:
    assert client.get("/healthz").text == "ok\n"


def test_the_web_role_alone_is_enough_for_the_frame(make_app: MakeApp) -> None:
    people = register(make_app(), "seller_alice")
    client = sign_in(make_app(role="duebill_web").test_client(), people["seller_alice"])
    for address in ("/", "/grades", "/verify", "/healthz"):
        assert client.get(address).status_code == 200
    assert client.post("/sign-out").status_code == 303


def test_a_failed_statement_is_logged_without_its_values(make_app: MakeApp, capsys: pytest.CaptureFixture[str]) -> None:
    app = make_app(testing=False)

    def fail() -> str:
        db.session.execute(text("SELECT CAST(:email AS integer)"), {"email": "alice@example.com"})
        return ""

    app.add_url_rule("/fail", view_func=fail)
    assert app.test_client().get("/fail").status_code == 500
    told = capsys.readouterr().err
    assert "failed" in told
    assert "SQL parameters hidden" in told
