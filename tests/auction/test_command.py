"""`bin/market auction replay FILE` exits 0 when the award reproduces, 1 with the first difference, 2 when misused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
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
    told = CliRunner().invoke(command, ["clear", a_file(tmp_path, BOOK), "--transcript"])
    file = a_file(tmp_path, json.loads(told.output))
    assert CliRunner().invoke(command, ["replay", file]).exit_code == 0


# --- books as people write them ------------------------------------------------------------------------


def a_written_book(**lot: object) -> dict:
    terms = {
        "id": "lot-7", "face_minor": 1_000_000, "target_minor": 850_000, "lot_size_minor": 10_000,
        "minimum_bid_minor": 50_000, "reserve_bps": 800, "seller_minimum_bps": 8_000, "group_cap_bps": 10_000,
        "price": "uniform", "tenor_days": 73, "related_groups": ["kin"],
    }  # fmt: skip
    bids = [
        ("b2", "g2", 600_000, 0, 700, 1), ("b1", "g1", 500_000, 0, 600, 2), ("b3", "kin", 500_001, 0, 900, 3),
        ("b4", "g4", 600_000, 400_000, 700, 4),
    ]  # fmt: skip
    keys = ("id", "group", "cash_minor", "min_fill_minor", "rate_bps", "sequence")
    return {
        "lot": {**terms, **lot},
        "bids": [{**dict(zip(keys, bid, strict=True)), "investor": f"i-{bid[0]}"} for bid in bids],
    }


def clear(tmp_path, *books: object) -> list[dict]:
    files = []
    for number, book in enumerate(books):
        files.append(str(tmp_path / f"book-{number}.json"))
        raw = book if isinstance(book, str) else json.dumps(book)
        (tmp_path / f"book-{number}.json").write_text(raw, encoding="utf-8")
    told = CliRunner().invoke(command, ["clear", *files, "--json"])
    assert told.exit_code == 0, told.output
    return [json.loads(line) for line in told.output.splitlines()]


def test_a_written_book_is_cleared_as_asked(tmp_path):
    (told,) = clear(tmp_path, a_written_book())
    assert len(told.pop("transcript_sha256")) == 64
    assert told == {
        "book": str(tmp_path / "book-0.json"),
        "lot": "lot-7",
        "outcome": "cleared",
        "stop_out_bps": 700,
        "funded_minor": 850_000,
        "fills": [
            {"bid": "b1", "cash_minor": 500_000, "rate_bps": 700, "discount_minor": 7_000},
            {"bid": "b2", "cash_minor": 350_000, "rate_bps": 700, "discount_minor": 4_900},
        ],
        "refused": [{"bid": "b3", "reasons": ["above_reserve", "not_lot_multiple", "related_party"]}],
        "passed_over": ["b4"],
        "faults": [],
    }


def test_many_books_are_told_one_a_line_and_a_bad_one_stops_nobody(tmp_path):
    doubled = a_written_book()
    doubled["bids"] += [{**doubled["bids"][0]}, {**doubled["bids"][1], "id": "b9", "cash_minor": 1.5, "sequence": -1}]
    told = clear(
        tmp_path, doubled, a_written_book(id="lot-8"), "{", a_written_book(price="dutch", face_minor=-1), {"bids": []}
    )
    assert [one["outcome"] for one in told] == ["invalid", "cleared", "invalid", "invalid", "invalid"]
    assert told[0]["faults"] == [
        {"path": "bids[5].cash_minor", "rule": "not_an_integer"},
        {"path": "bids[5].sequence", "rule": "under_0"},
        {"path": "bids[4].id", "rule": "repeated"},
        {"path": "bids[4].sequence", "rule": "repeated"},
    ]
    assert told[2]["faults"][0]["rule"] == "unreadable"
    assert {"path": "lot.face_minor", "rule": "under_1"} in told[3]["faults"]
    assert {"path": "lot.price", "rule": "unknown"} in told[3]["faults"]
    assert told[4]["faults"] == [{"path": "lot", "rule": "missing"}]
    assert all(one["fills"] == [] and one["transcript_sha256"] is None for one in told if one["outcome"] == "invalid")


@pytest.mark.parametrize("key", ["minimum_bid_minor", "seller_minimum_bps", "price", "id", "related_groups"])
def test_a_missing_term_is_named_as_the_file_has_it(tmp_path, key):
    book = a_written_book()
    del book["lot"][key]
    (told,) = clear(tmp_path, book)
    assert told["faults"] == [{"path": f"lot.{key}", "rule": "missing"}]


def test_the_hash_does_not_depend_on_the_order_of_the_bids(tmp_path):
    book = a_written_book()
    one, other = clear(tmp_path, book, {**book, "bids": book["bids"][::-1]})
    assert one["transcript_sha256"] == other["transcript_sha256"]


def test_pay_as_bid_may_be_written_with_hyphens(tmp_path):
    one, other = clear(tmp_path, a_written_book(price="pay-as-bid"), a_written_book(price="pay_as_bid"))
    assert one["transcript_sha256"] == other["transcript_sha256"]
    assert [fill["rate_bps"] for fill in one["fills"]] == [600, 700]


# --- audit bundles -------------------------------------------------------------------------------------


def a_bundle(tmp_path, tampered: bool = False) -> Path:
    lines = []
    for number in (1, 2):
        transcript = run(Book.parse({**BOOK, "lot": f"lot-{number}"})).transcript
        hashed = sha256(transcript)
        if tampered and number == 2:
            transcript["result"]["stop_out_bps"] = 1
        lines.append({"lot_id": f"lot-{number}", "round": 1, "sha256": hashed,
                      "transcript": canonical(transcript).decode()})  # fmt: skip
    place = tmp_path / "unpacked" / "packs" / "auctions"
    place.mkdir(parents=True)
    (place / "award.jsonl").write_bytes(b"".join(canonical(line) + b"\n" for line in lines))
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as packed:
        packed.write(place / "award.jsonl", "packs/auctions/award.jsonl")
    return tmp_path


def test_every_award_of_a_bundle_is_replayed_packed_or_not(tmp_path):
    place = a_bundle(tmp_path)
    for bundle in (place / "bundle.zip", place / "unpacked"):
        told = CliRunner().invoke(command, ["replay", str(bundle), "--json"])
        assert told.exit_code == 0
        rows = [json.loads(line) for line in told.output.splitlines()]
        assert [(row["lot"], row["round"], row["reproduces"]) for row in rows] == [
            ("lot-1", 1, True),
            ("lot-2", 1, True),
        ]
    told = CliRunner().invoke(command, ["replay", str(place / "bundle.zip"), "--lot", "lot-2"])
    assert "Lot lot-2, round 1: the award reproduces." in told.output


def test_a_tampered_award_in_a_bundle_is_found_and_the_others_still_told(tmp_path):
    place = a_bundle(tmp_path, tampered=True)
    told = CliRunner().invoke(command, ["replay", str(place / "bundle.zip"), "--json"])
    assert told.exit_code == 1
    rows = [json.loads(line) for line in told.output.splitlines()]
    assert [row["reproduces"] for row in rows] == [True, False]
    assert rows[1]["difference"] == "result.stop_out_bps: states 1, computed 700"


def test_an_award_with_another_hash_on_record_is_found(tmp_path):
    place = a_bundle(tmp_path)
    pack = place / "unpacked" / "packs" / "auctions" / "award.jsonl"
    row = json.loads(pack.read_bytes().splitlines()[0])
    pack.write_bytes(canonical({**row, "sha256": "00" * 32}) + b"\n")
    told = CliRunner().invoke(command, ["replay", str(place / "unpacked"), "--json"])
    assert told.exit_code == 1
    assert json.loads(told.output)["difference"].startswith("sha256: on record '0000")


def test_what_is_no_bundle_is_said_so(tmp_path):
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as packed:
        packed.writestr("a", "b")
    for place in ("empty", "other.zip"):
        told = CliRunner().invoke(command, ["replay", str(tmp_path / place)])
        assert told.exit_code == 1
        assert "not an audit bundle" in told.output
