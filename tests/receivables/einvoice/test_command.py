"""`bin/market einvoice read`: one line a file, folders walked, wrong use told."""

import json
from datetime import date
from pathlib import Path

from click.testing import CliRunner

from marketplace.commands.einvoice import command
from marketplace.demo.companies import debtors, sellers
from marketplace.demo.documents import invoice, invoice_spec

SPEC = invoice_spec(sellers()[0], debtors()[0], date(2026, 10, 1), seed=1)


def test_a_folder_gives_a_line_a_document_and_names_what_it_left_out(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.xml").write_bytes(invoice(SPEC, "ubl"))
    (tmp_path / "deep" / "b.PDF").write_bytes(invoice(SPEC, "facturx"))
    (tmp_path / "c.xml").write_bytes(b"<no")
    (tmp_path / "notes.txt").write_text("hello")
    result = CliRunner().invoke(command, ["read", str(tmp_path), "--json"])
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(line["file"]).name for line in lines] == ["a.xml", "c.xml", "b.PDF"]
    assert [line["listable"] for line in lines] == ["yes", "no", "yes"]
    assert lines[0]["fields"]["BT-1"] == SPEC.number
    assert lines[1]["reasons"] == ["not_well_formed"]
    assert lines[1]["faults"][0]["rule"] == "not_well_formed"
    assert "line 1" in lines[1]["faults"][0]["words"]
    assert "notes.txt" in result.stderr


def test_what_cannot_be_opened_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(invoice(SPEC, "ubl"))
    result = CliRunner().invoke(command, ["read", "/proc/self/mem", str(tmp_path / "a.xml"), "--json"])
    assert result.exit_code == 1
    assert [json.loads(line)["listable"] for line in result.stdout.splitlines()] == ["yes"]
    assert "/proc/self/mem" in result.stderr


def test_people_are_told_in_words(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    file.write_bytes(invoice(SPEC, "ubl").replace(b">380<", b">393<"))
    result = CliRunner().invoke(command, ["read", str(file)])
    assert "already assigned" in result.stdout


def test_wrong_use_exits_2(tmp_path: Path) -> None:
    assert CliRunner().invoke(command, ["read"]).exit_code == 2
    assert CliRunner().invoke(command, ["read", str(tmp_path / "absent.xml")]).exit_code == 2
