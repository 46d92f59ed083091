"""How files come in: through the folder, each once and moved aside, and through the operators' page."""

import os
from io import BytesIO
from pathlib import Path

import pytest
from flask import Flask

from marketplace.banking import folder as taking
from marketplace.banking.actions import TakeBankFile
from marketplace.banking.folder import take_folder
from marketplace.kernel.actors import Actor
from marketplace.perform import Result, Verb
from tests import lives
from tests.banking.files import IBAN, balance, camt, entry
from tests.banking.test_taking import held, rf
from tests.trading.world import World
from tests.web.test_operator import visitor


def put(folder: Path, name: str, raw: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(raw)
    os.utime(folder / name, (1, 1))


def test_files_in_the_folder_are_taken_once_and_moved(bank: World, tmp_path: Path) -> None:
    folder = tmp_path / "bank" / "in"
    assert take_folder(folder) == 0
    put(folder, "a.xml", camt(entry("A1", "1.00")))
    put(folder, "b.xml", camt(entry("A1", "1.00")))  # the same again
    put(folder, "c.xml", b"<nonsense/>")
    put(folder, "d.xml", camt(entry("A2", "2.00")))  # another under the same id
    (folder / "e.xml").write_bytes(b"still being writ")
    (folder / "f.xml").symlink_to("/etc/passwd")
    assert take_folder(folder) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["e.xml", "f.xml"]
    assert sorted(path.name for path in (tmp_path / "bank" / "done").iterdir()) == ["a.xml", "b.xml", "b.xml.txt"]
    refused = tmp_path / "bank" / "refused"
    assert sorted(path.name for path in refused.iterdir()) == ["c.xml", "c.xml.txt", "d.xml", "d.xml.txt"]
    assert (refused / "c.xml.txt").read_text().startswith("not_a_bank_file: ")
    put(folder, "a.xml", camt(entry("A3", "3.00"), message="M-9"))
    assert take_folder(folder) == 1
    assert (tmp_path / "bank" / "done" / "a.2.xml").exists()  # nothing is written over
    assert held("bank_borrower") == 400


def test_a_file_that_fails_does_not_keep_the_others_waiting(
    bank: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.xml", "b.xml"):
        (folder / name).write_bytes(camt(entry(name, "10.00"), message=name))
        os.utime(folder / name, (1_000, 1_000))
    perform = taking.perform

    def fails(verb: Verb, command: TakeBankFile, actor: Actor) -> Result:
        if command.name == "a.xml":
            raise OSError("no room")
        return perform(verb, command, actor)

    monkeypatch.setattr(taking, "perform", fails)
    with pytest.raises(OSError, match="no room"):
        take_folder(folder)
    assert [path.name for path in folder.iterdir()] == ["a.xml"]
    assert held("suspense") == 1_000


def test_the_page_takes_a_file_and_shows_what_became_of_it(bank: World, app: Flask) -> None:
    receivable_id = lives.funded(bank)
    olga = visitor(app, bank, "olga")
    assert "No file was taken yet" in olga.get("/operator/bank").text
    raw = camt(entry("A1", "486.00", rf=rf(receivable_id)), entry("A2", "5.00", text="&lt;b&gt;x"),
               balances=balance("OPBD", "0.00") + balance("CLBD", "491.00"))  # fmt: skip
    for content, name, status, words in (
        (raw, "statement.xml", 303, ""),
        (raw, "statement.xml", 409, "2 entries were booked"),
        (raw, "statement.xml", 409, "This file was taken before: M-1."),
        (b"nonsense", "x.xml", 422, "is-invalid"),
        (b"", "", 422, "Choose a file"),
    ):
        answer = olga.post("/operator/bank", data={"document": (BytesIO(content), name)})
        assert (answer.status_code, words in answer.text) == (status, True), answer.text[-900:]
    page = olga.get("/operator/bank").text
    for words in ("£491", "a debtor’s payment", "in suspense", "&lt;b&gt;x", IBAN[-4:]):
        assert words in page, words
    assert visitor(app, bank, "bob").get("/operator/bank").status_code == 403
