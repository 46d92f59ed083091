"""What probes and scrapers are told: alive, ready, figures over all workers; and what log lines never hold."""

import json
import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from config.settings import Settings
from marketplace.app import create_app
from marketplace.db import db
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.jobs.leader import Leadership
from marketplace.kernel import log_lines
from marketplace.kernel.actors import Actor
from marketplace.reports import health

HOUSE = Path(__file__).resolve().parents[2]
MakeApp = Callable[..., Flask]


def test_it_lives_without_a_database_and_is_not_ready(settings: Settings) -> None:
    app = create_app(replace(settings, database_url="postgresql+psycopg://duebill_web:x@127.0.0.1:9/nowhere"))
    client = app.test_client()
    assert (client.get("/healthz").status_code, client.get("/healthz").text) == (200, "ok\n")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json == {
        "ready": False, "database": False, "migrations": False, "clock": False, "leader_silent_seconds": None,
    }  # fmt: skip


def test_it_is_ready_while_somebody_keeps_time(make_app: MakeApp) -> None:
    app = make_app(role="duebill_web")
    client = app.test_client()
    nobody = client.get("/readyz")
    assert (nobody.status_code, (nobody.json or {})["clock"]) == (503, False)
    keeper = make_app(role="duebill_worker")
    with keeper.app_context():
        leadership = Leadership(db.engine)
        assert leadership.seek()
        ready = client.get("/readyz")
        assert (ready.status_code, (ready.json or {})["ready"]) == (200, True)
        with db.engine.begin() as connection:
            connection.execute(text("UPDATE job_leader SET seen_at = seen_at - interval '90 seconds'"))
        late = client.get("/readyz")
        assert late.status_code == 503
        assert 90 <= (late.json or {})["leader_silent_seconds"] < 150
        leadership.resign()


def test_another_schema_than_the_codes_is_not_ready(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "newest_migration", lambda: "9999")
    answer = client.get("/readyz")
    assert (answer.status_code, (answer.json or {})["database"], (answer.json or {})["migrations"]) == (
        503,
        True,
        False,
    )


@pytest.mark.parametrize("given", [None, "", "Bearer ", "Bearer wrong", "Basic dG9rZW4=", "Bearer tökén"])
def test_figures_do_not_exist_without_the_token(make_app: MakeApp, given: str | None) -> None:
    headers = {} if given is None else {"Authorization": given}
    for app in (make_app(metrics_token="a token of the tests"), make_app(metrics_token="")):
        assert app.test_client().get("/metrics", headers=headers).status_code == 404


def test_figures_are_told_to_whoever_holds_it_and_name_nobody(make_app: MakeApp) -> None:
    app = make_app(role="duebill_web", metrics_token="a token of the tests")
    client = app.test_client()
    client.get("/d/a-debtors-secret.link")
    client.get("/no/such/place/alice@example.com")
    answer = client.get("/metrics", headers={"Authorization": "Bearer a token of the tests"})
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")
    for name in health.GAUGES:
        assert f"# HELP {name} " in answer.text
    assert 'duebill_http_requests_total{code="404",method="GET",rule="none"}' in answer.text
    assert "a-debtors-secret" not in answer.text
    assert "alice" not in answer.text


@pytest.mark.slow
def test_figures_are_summed_over_workers(postgres: EmbeddedPostgres, database: str, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "DATABASE_URL": postgres.url(database, "duebill_web"), "DUEBILL_HOME": str(tmp_path),
        "DUEBILL_METRICS_TOKEN": "of the tests", "DUEBILL_WEB_WORKERS": "2", "DUEBILL_SECRET_KEY": "of the tests",
        "TMPDIR": str(tmp_path),
    }  # fmt: skip
    command = [sys.executable, "-m", "marketplace", "web", "--bind", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, cwd=HOUSE, env=environment, stderr=subprocess.DEVNULL) as web:
        try:
            _until_it_answers(port, web)
            for _ in range(30):
                _get(port, "/verify/keys.txt")
            seen = {_sum(_get(port, "/metrics", "of the tests")) for _ in range(8)}
        finally:
            web.terminate()
    assert seen == {30.0}  # whichever worker is asked
    assert list(tmp_path.glob("duebill-figures-*")) == []


def _until_it_answers(port: int, web: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until and web.poll() is None:
        try:
            _get(port, "/healthz")
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail("the web server did not answer")


def _get(port: int, path: str, token: str = "") -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: str = answer.read().decode()
        return found


def _sum(figures: str) -> float:
    lines = [line for line in figures.splitlines() if line.startswith("duebill_http_requests_total")]
    return sum(float(line.rpartition(" ")[2]) for line in lines if 'rule="/verify/keys.txt"' in line)


# -- log lines ----------------------------------------------------------------------------------------------------

PERSONAL = {
    "mail to jane.o'hara+x@thornfield.co.uk bounced": "mail to [e-mail] bounced",
    "paid from GB33BUKB20201555555555 today": "paid from [account] today",
    "paid from DE89 3704 0044 0532 0130 00 today": "paid from [account] today",
    "GET /d/01890a5d-ac96.secret_part failed": "GET /d/[link] failed",
    "with sk_live_abc123 and whsec_Zz9": "with [key] and [key]",
    "postgresql+psycopg://web:secret@db/x": "postgresql+psycopg://web:[key]@db/x",
    "receivable DB-26-0001 for 4860000 GBP": "receivable DB-26-0001 for 4860000 GBP",
}


@pytest.mark.parametrize("said", PERSONAL)
def test_a_line_holds_nothing_personal(said: str) -> None:
    assert log_lines.without_personal_data(said) == PERSONAL[said]


def test_names_tracebacks_and_nested_facts_are_hidden_too(capsys: pytest.CaptureFixture[str]) -> None:
    kept = structlog.get_config()
    log_lines.write_json(logging.INFO)
    try:
        log = structlog.get_logger("tests")
        try:
            raise ValueError("no such person: jane@example.com")
        except ValueError:
            log.exception("failed", email="x", facts={"to": "jane@example.com"}, minor=7)
    finally:
        structlog.configure(**kept)
    said = capsys.readouterr().err
    line = json.loads(said)
    assert (line["email"], line["minor"], line["level"]) == ("[hidden]", 7, "error")
    assert "ValueError: no such person: [e-mail]" in line["exception"]
    assert "jane" not in said


def test_a_run_gives_its_id_to_lines_and_to_what_it_records(capsys: pytest.CaptureFixture[str]) -> None:
    root, kept = logging.getLogger(), structlog.get_config()
    before = root.handlers[:], root.level
    log_lines.write_json(logging.INFO)
    log_lines.capture_standard_library(logging.INFO)
    try:
        with log_lines.running("close_lots") as run_id:
            assert Actor.system("close_lots").request_id == run_id
            logging.getLogger("marketplace.payments.outbox").warning("call %s to %s", 7, "jane@example.com")
            structlog.get_logger("duebill").info("told")
        assert Actor.system("close_lots").request_id != run_id
        logging.getLogger("x").warning("after")
    finally:
        root.handlers[:], root.level = before
        structlog.configure(**kept)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line.get("request_id"), line.get("job")) for line in lines] == [
        (str(run_id), "close_lots"), (str(run_id), "close_lots"), (None, None),
    ]  # fmt: skip
    assert lines[0]["event"] == "call 7 to [e-mail]"
    assert lines[0]["logger"] == "marketplace.payments.outbox"
