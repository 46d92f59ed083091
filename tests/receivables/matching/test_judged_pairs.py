"""`bin/market duplicates evaluate`: what it counts and what it refuses. How good it is: `test_duplicates_targets`."""

import json
import random
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from marketplace.commands.duplicates import command
from marketplace.kernel.errors import InvalidInput
from marketplace.receivables.matching.judged_pairs import judge, read_pair
from tests.receivables.matching.pairs.judged_set import pairs

LISTING = {
    "seller_name": "Harrow Joinery Ltd", "seller_legal_id": "01234567", "debtor_name": "Kestrel Retail plc",
    "debtor_vat": "GB987654321", "invoice_number": "INV-20418", "document_type": "380", "issue_date": "2026-10-01",
    "due_date": "2026-11-30", "currency": "GBP", "total_minor": 4_860_137, "amount_due_minor": 4_860_137,
    "purchase_order": "PO-7741", "lines": [{"description": "Cartons", "quantity": 100, "amount_minor": 4_050_114}],
}  # fmt: skip
KEYS = ["pairs", "blocked", "held", "passed", "recall_blocked", "recall_blocked_or_held", "recall_without_full_rewrite",
        "honest_blocked", "honest_held_rate", "by_kind", "seconds"]  # fmt: skip


def pair(same: bool = True, kind: str = "k", **changes: Any) -> dict[str, Any]:
    return {"a": LISTING, "b": {**LISTING, **changes}, "same": same, "kind": kind}


def evaluate(tmp_path: Path, lines: Iterable[object], *options: str) -> Result:
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return CliRunner().invoke(command, ["evaluate", str(path), *options], standalone_mode=False)


SOME = [
    pair(kind="exact", invoice_number="inv 20418"),
    pair(kind="renumbered", invoice_number="INV-20425"),
    pair(kind="full_rewrite", invoice_number="X-9", purchase_order="8", lines=[], amount_due_minor=9, total_minor=9),
    pair(False, "next month", invoice_number="INV-20419", issue_date="2026-11-01", due_date="2026-12-31"),
    pair(False, "not so honest", invoice_number="INV-20419"),
]


def test_it_counts_what_is_blocked_held_and_passed(tmp_path: Path) -> None:
    report = json.loads(evaluate(tmp_path, SOME, "--json").output)
    assert list(report) == KEYS
    assert [report[key] for key in KEYS[:-2]] == [5, 1, 2, 2, 0.333333, 0.666667, 1.0, 0, 0.5]
    assert report["by_kind"]["renumbered"] == {"n": 1, "blocked": 0, "held": 1}


def test_it_tells_people_in_a_table(tmp_path: Path) -> None:
    told = evaluate(tmp_path, SOME).output
    assert "recall_without_full_rewrite  1.0" in told
    assert "renumbered" in told


def test_shares_of_nothing_are_nothing(tmp_path: Path) -> None:
    report = json.loads(evaluate(tmp_path, [""], "--json").output)
    assert (report["pairs"], report["recall_blocked"], report["honest_held_rate"]) == (0, None, None)


def test_it_reads_standard_input() -> None:
    found = CliRunner().invoke(command, ["evaluate", "-", "--json"], input=json.dumps(SOME[0]), standalone_mode=False)
    assert json.loads(found.output)["blocked"] == 1


WRONG: list[tuple[object, str]] = [
    ("{", "line 2 is not JSON"),
    ("[]", "line 2 is not an object"),
    ("[" * 100_000, "line 2 is not JSON"),
    ({**SOME[0], "same": 1}, "line 2, same is not true or false"),
    ({**SOME[0], "kind": ""}, "line 2, kind is not a text"),
    ({**SOME[0], "a": None}, "line 2, a is not an object"),
    (pair(total_minor=1.5), "line 2, b.total_minor is not a whole number"),
    (pair(total_minor=10**30), "line 2, b.total_minor is not a whole number"),
    (pair(total_minor=True), "line 2, b.total_minor is not a whole number"),
    (pair(issue_date="2026-13-01"), "line 2, b.issue_date is not a date"),
    (pair(invoice_number=7), "line 2, b.invoice_number is not a text"),
    (pair(seller_name="x" * 2_000), "line 2, b.seller_name is not a text of at most"),
    (pair(lines={}) | {"a": {"lines": 1}}, "line 2, a.lines is not a list"),
    (pair(lines=[1]), "line 2, b.lines[0] is not an object"),
    (pair(lines=[{}, {"quantity": "many"}]), "line 2, b.lines[1].quantity is not a number"),
    (pair(lines=[{"quantity": float("inf")}]), "line 2, b.lines[0].quantity is not a number"),
    (pair(notes="\x00" * 5_000_000), "line 2 is longer than"),
]


@pytest.mark.parametrize(("line", "words"), WRONG)
def test_a_malformed_line_is_named_with_its_field(tmp_path: Path, line: object, words: str) -> None:
    refused = evaluate(tmp_path, [SOME[0], line]).exception
    assert isinstance(refused, InvalidInput)
    assert words in refused.said()


def test_a_whole_number_may_be_written_as_a_fraction(tmp_path: Path) -> None:
    report = json.loads(evaluate(tmp_path, [pair(total_minor=4_860_137.0)], "--json").output)
    assert (report["pairs"], report["blocked"]) == (1, 1)


def test_any_field_may_be_absent() -> None:
    rng = random.Random(5)
    for one in islice(pairs(9, 400, 400), 800):
        for side in ("a", "b"):
            one[side] = {name: value for name, value in one[side].items() if rng.random() < 0.6}
        read = read_pair(json.dumps(one).encode(), 1)
        assert judge(read.one, read.other) in ("blocked", "held", "passed")
    empty = read_pair(b'{"a": {}, "b": {}, "same": true, "kind": "nothing"}', 1)
    assert judge(empty.one, empty.other) == "passed"
