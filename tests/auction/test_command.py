"""`bin/market auction replay FILE` exits 0 when the award reproduces, 1 with the first difference, 2 when misused."""

from __future__ import annotations

import json

from click.testing import CliRunner

from auction.book import Book
from auction.replay import canonical, run, sha256
from marketplace.commands.auction import command
from tests.auction.books import a_bid, a_book

BOOK = a_book(a_bid("a", 600, 2_000_000, seq=1), a_bid("b", 700, 3_000_000, seq=2))


def a_file(tmp_path, value):
    file = tmp_path / "transcript.json"
    file.write_bytes(canonical(value))
    return str(file)


def test_a_true_transcript_exits_zero_and_tells_the_hash(tmp_path):
    transcript = run(Book.parse(BOOK)).transcript
    file = a_file(tmp_path, {**transcript, "sha256": sha256(transcript)})
    told = CliRunner().invoke(command, ["replay", file, "--json"])
    assert told.exit_code == 0
    assert json.loads(told.output) == {
        "reproduces": True,
        "stated_sha256": sha256(transcript),
        "computed_sha256": sha256(transcript),
        "difference": None,
    }


def test_a_tampered_transcript_exits_one_and_names_the_first_difference(tmp_path):
    transcript = run(Book.parse(BOOK)).transcript
    transcript["result"]["fills"][1]["cash_minor"] += 1
    told = CliRunner().invoke(command, ["replay", a_file(tmp_path, transcript)])
    assert told.exit_code == 1
    assert "result.fills[1].cash_minor: states 2131001, computed 2131000" in told.output


def test_a_broken_book_exits_one_with_every_fault(tmp_path):
    file = a_file(tmp_path, {"rule": "UPM-1", "rule_version": "1.0", "book": {**BOOK, "lot": "", "tenor_days": 0}})
    told = CliRunner().invoke(command, ["replay", file, "--json"])
    assert told.exit_code == 1
    assert [fault["path"] for fault in json.loads(told.output)["faults"]] == ["lot", "tenor_days"]


def test_a_file_that_is_not_there_is_wrong_use():
    assert CliRunner().invoke(command, ["replay", "nowhere.json"]).exit_code == 2


def test_clearing_a_book_prints_a_transcript_that_replays(tmp_path):
    told = CliRunner().invoke(command, ["clear", a_file(tmp_path, BOOK), "--json"])
    file = a_file(tmp_path, json.loads(told.output))
    assert CliRunner().invoke(command, ["replay", file]).exit_code == 0
