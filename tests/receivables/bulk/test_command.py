"""`bin/market bulk upload`, and real e-invoices sent in bulk."""

import json
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from sqlalchemy import text

from marketplace.commands.bulk import command
from marketplace.db import db
from marketplace.embedded_postgres import EmbeddedPostgres
from tests.conftest import APPLICATION
from tests.receivables.bulk.bulks import counts, files_of, papers, rows, why, worked, zipped
from tests.receivables.conftest import People


@pytest.fixture
def environment(people: People, postgres: EmbeddedPostgres, database: str, tmp_path: Path) -> dict[str, str]:
    return {"DATABASE_URL": postgres.url(database, APPLICATION), "DUEBILL_HOME": str(tmp_path / "home"),
            "DUEBILL_PEPPER": "a pepper of the tests", "DUEBILL_SECRET_KEY": "a secret of the tests"}  # fmt: skip


def upload(environment: dict[str, str], *words: str) -> Result:
    return CliRunner(catch_exceptions=False).invoke(command, ["upload", *words], env=environment)


def test_a_folder_is_read_then_listed_and_a_row_is_a_line(
    context: Flask, environment: dict[str, str], today: date, tmp_path: Path
) -> None:
    folder = tmp_path / "june"
    (folder / "in").mkdir(parents=True)
    for name, content in (files_of(papers(3, today)) | {"notes.txt": b"please"}).items():
        (folder / "in" / name).write_bytes(content)
    seller = ("--seller", "Seller.Alice@example.com")
    done = upload(environment, str(folder), *seller)
    assert done.exit_code == 0
    assert "4 files, 4 pieces to send" in done.stderr
    assert "of 4" in done.stderr
    assert done.stdout.count("ready") == 3
    done = upload(environment, str(folder), *seller, "--list", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["outcome"] for line in lines].count("listed") == 3
    assert all(line["ref"].startswith("DB-") for line in lines if line["outcome"] == "listed")
    assert {tuple(line["rules"]) for line in lines if line["outcome"] == "refused"} == {("not_a_document",)}
    done = upload(environment, str(folder), *seller, "--list", "--json")
    assert "already listed as DB-" in json.loads(done.stdout.splitlines()[0])["why"]
    with db.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM receivable")).scalar_one() == 3


@pytest.mark.parametrize("who", ["nobody@example.com", "investor.bob@example.com"])
def test_only_a_sellers_person_can_send(context: Flask, environment: dict[str, str], tmp_path: Path, who: str) -> None:
    (tmp_path / "a.xml").write_bytes(b"<a/>")
    done = upload(environment, str(tmp_path / "a.xml"), "--seller", who)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Invalid value for --seller: no active person of a seller has this e-mail." in done.stderr


def test_without_a_market_it_says_how_to_open_one(environment: dict[str, str], tmp_path: Path) -> None:
    """It finds the market that bin/run opened, as every other command does; DATABASE_URL is for one's own server."""
    (tmp_path / "a.xml").write_bytes(b"<a/>")
    done = upload(environment | {"DATABASE_URL": ""}, str(tmp_path / "a.xml"), "--seller", "a@example.com")
    assert done.exit_code == 1
    assert "There is no market in" in done.stderr


@pytest.mark.slow
def test_real_e_invoices_in_bulk_are_all_told_apart_and_none_is_anothers(
    context: Flask, people: People, shared: Path
) -> None:
    """They are other sellers' invoices: what may not be listed says so, and of what may, the seller is not this one."""
    files = {str(path.relative_to(shared)): path.read_bytes() for path in sorted((shared / "einvoices").rglob("*"))
             if path.suffix.lower() in (".xml", ".pdf")}  # fmt: skip
    assert len(files) > 50
    upload_id = worked(people["seller_alice"].actor, {"real.zip": zipped(files)}, list_as_read=True)
    found = rows(upload_id)
    assert len(found) == len(files)
    assert not set(counts(upload_id)) - {"refused", "known"}
    assert all(why(row) for row in found)
    assert all(row.receivable_id is None for row in found)
