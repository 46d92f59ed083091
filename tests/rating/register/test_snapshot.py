"""The register's monthly file: the columns as they stand in it, a row at a time, and what becomes of our parties."""

import zipfile
from datetime import date
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask

from marketplace.db import db
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import Conflict, InvalidInput
from marketplace.perform import perform
from marketplace.rating.register import queries
from marketplace.rating.register.actions import record_register_answer
from marketplace.rating.register.schemas import RecordRegisterAnswer
from marketplace.rating.register.snapshot import companies, day_of, state_of
from tests.people import register
from tests.rating.register.monthly_file import HEAD, row

DAY = date(2026, 2, 1)


def written(folder: Path, *rows: str, head: str = HEAD) -> Path:
    path = folder / "BasicCompanyDataAsOneFile-2026-02-01.csv"
    path.write_text("\r\n".join((head, *rows)) + "\r\n", encoding="utf-8")
    return path


def test_every_row_is_read_with_the_names_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, row('THORNFIELD, ""CASTINGS"" LTD', "07100001", charges="5,2,1,2"),
                   row("", "07100009"), row("NO NUMBER LTD", "X"),
                   row("KESTREL LTD", "SC123456", "Liquidation", "31/01/2026"))  # fmt: skip
    assert day_of(path) == DAY
    first, second = (one.answer for one in companies(path, DAY))
    assert first.profile is not None
    assert second.profile is not None
    assert (first.number, first.profile.name, first.profile.state) == (
        "07100001", 'THORNFIELD, "CASTINGS" LTD', "active"
    )  # fmt: skip
    assert (first.profile.incorporated_on, first.profile.accounts_made_up_to) == (date(2010, 2, 11), date(2024, 12, 31))
    assert (first.charges.total, first.charges.outstanding, first.profile.accounts_overdue) == (5, 3, False)
    assert (second.insolvent, second.profile.accounts_overdue) == (True, True)
    packed = tmp_path / "BasicCompanyDataAsOneFile-2026-02-01.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, path.name)
    assert [one.answer for one in companies(packed, DAY)] == [first, second]


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ("Active", "active"),
        ("Active - Proposal to Strike off", "active"),
        ("Liquidation", "liquidation"),
        ("In Administration", "administration"),
        ("ADMINISTRATION ORDER", "administration"),
        ("RECEIVERSHIP", "receivership"),
        ("Live but Receiver Manager on at least one charge", "receivership"),
        ("Voluntary Arrangement", "voluntary-arrangement"),
        ("Converted/closed company", "converted-closed"),
        ("Something of 2031", "something-of-2031"),
    ],
)
def test_the_file_s_words_become_the_api_s_states(words: str, state: str) -> None:
    assert state_of(words) == state


@pytest.mark.parametrize(
    ("head", "rows", "rule"),
    [
        ("CompanyName,CompanyNumber", (), "columns"),
        ("", (), "columns"),
        (HEAD, ("one,two",), "row"),
        (HEAD, ('"' + "x" * 200_000,), "row"),
    ],
)
def test_another_file_is_refused_with_the_reason(tmp_path: Path, head: str, rows: tuple[str, ...], rule: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        list(companies(written(tmp_path, *rows, head=head), DAY))
    assert caught.value.problems[0].rule == rule


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "BasicCompanyDataAsOneFile-2026-02-01.zip"
    path.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InvalidInput) as caught:
        list(companies(path, DAY))
    assert caught.value.problems[0].rule == "archive"


def test_an_older_file_does_not_replace_what_is_known(app: Flask, tmp_path: Path) -> None:
    with app.app_context():
        alice = register(app, "seller_alice")["seller_alice"].organisation_id
        (company,) = companies(written(tmp_path, row("THORNFIELD CASTINGS LTD", "07100001", "Liquidation")), DAY)

        def keep(organisation_id: UUID, day: date) -> None:
            told = RecordRegisterAnswer(organisation_id, company.answer, "snapshot", day)
            perform(record_register_answer, told, Actor.system("tests"))

        keep(alice, DAY)
        known = queries.facts(db.session(), [alice])[alice]
        assert (known.source, known.said_on, known.insolvent) == ("snapshot", DAY, True)
        assert queries.watches(db.session(), [alice]) == {}
        for day in (DAY, date(2026, 1, 1)):
            with pytest.raises(Conflict):
                keep(alice, day)
        db.session.rollback()
        db.session.remove()
