"""Reading e-invoices: what the 174 published files say, and that nothing is let through that should not be."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from marketplace.kernel.errors import InvalidInput
from marketplace.receivables.einvoice.neutral import ReadInvoice
from marketplace.receivables.einvoice.reading import read_einvoice

pytestmark = pytest.mark.xdist_group("published e-invoices")  # one process reads them all, once

# "Called faulty by its source" is knowledge of where a file came from. Where a real ground exists we give that one;
# the others are held for the reasons that remain.
ORIGIN = "called_faulty_by_its_source"
OWN_GROUNDS = {
    "noNetPriceValidation.xml": "lines_claim_more",
    "ZUGFeRD_2_fully_compliant_complete.pdf": "vat_number_too_long",
}
Answer = tuple[str | None, dict[str, str | None], str, list[str]]


def answer(file: Path) -> Answer:
    try:
        said = read_einvoice(file.read_bytes(), file.name)
    except InvalidInput as refused:
        return refused.params.get("syntax"), {}, "no", [refused.code]  # type: ignore[return-value]
    return said.syntax, dict(said.fields), said.listable, list(said.reasons)


@pytest.fixture(scope="module")
def published(shared: Path) -> list[tuple[str, dict[str, Any], Answer]]:
    folder = shared / "einvoices"
    expected = json.loads((folder / "expected.json").read_text("utf-8"))["files"]
    with ThreadPoolExecutor(2) as readers:
        answers = readers.map(lambda name: answer(folder / name), expected)
    return [(name, entry, found) for (name, entry), found in zip(expected.items(), answers, strict=True)]


def own_reasons(name: str, entry: dict[str, Any]) -> list[str]:
    reasons = [reason for reason in entry["reasons"] if reason != ORIGIN]
    grounds = [ground for ending, ground in OWN_GROUNDS.items() if name.endswith("__" + ending)]
    return sorted(reasons + grounds)


@pytest.mark.slow
class TestPublishedFiles:
    def test_every_file_is_of_the_syntax_it_is_said_to_be(self, published: Any) -> None:
        assert len(published) == 174
        assert {n: found[0] for n, e, found in published if found[0] != e["syntax"]} == {}

    def test_every_field_reads_as_two_other_readers_read_it(self, published: Any) -> None:
        wrong = {
            (name, field): (value, found[1].get(field))
            for name, entry, found in published
            for field, value in entry["fields"].items()
            if found[1].get(field) != value
        }
        assert wrong == {}

    def test_every_verdict_is_the_expected_one(self, published: Any) -> None:
        assert {n: found[2] for n, e, found in published if found[2] != e["listable"]} == {}

    def test_every_reason_is_given_and_no_other(self, published: Any) -> None:
        assert {n: found[3] for n, e, found in published if sorted(found[3]) != own_reasons(n, e)} == {}


RULE = re.compile(r"(BR|UBL|CII)-[A-Z0-9-]+")


@pytest.mark.slow
def test_the_rules_found_broken_are_those_the_official_artefacts_find(shared: Path) -> None:
    folder = shared / "einvoices"
    expected = json.loads((folder / "expected.json").read_text("utf-8"))["files"]
    agreed, differing = 0, {}
    for name, entry in expected.items():
        official, profile = entry["en16931_fatal"], (entry["fields"]["BT-24"] or "").rpartition(":")[2]
        if official is None or profile == "minimum":
            continue  # nothing the artefacts read, or a profile with no place for what they ask for
        try:
            found = read_einvoice((folder / name).read_bytes(), name).faults
        except InvalidInput:
            continue  # two invoices in one PDF: the artefacts were given one of them
        ours = {fault.rule for fault in found if RULE.fullmatch(fault.rule)}
        agreed += len(ours & set(official))
        if ours != set(official):
            differing[name] = sorted(ours ^ set(official))
    assert differing == {}
    assert agreed >= 50


def read_published(shared: Path, name: str) -> ReadInvoice:
    file = shared / "einvoices" / name
    return read_einvoice(file.read_bytes(), file.name)


def test_what_is_sold_is_the_amount_due_and_not_the_total(shared: Path) -> None:
    said = read_published(shared, "ubl/en16931__test__testfiles__BIS_Billing_30-Forskott_slutreglering.xml")
    assert said.total is not None
    assert said.amount_due is not None
    assert (said.total.minor, said.amount_due.minor, said.amount_due.currency) == (47_500_000, 7_500_000, "SEK")


def test_the_parties_lines_and_references_are_read(shared: Path) -> None:
    said = read_published(shared, "ubl/en16931__test__testfiles__Invoice-Max_content.xml")
    assert said.seller.name == "The Global Chain Sweden AB"
    assert said.seller.legal_id is not None
    assert (said.seller.legal_id.text, said.seller.legal_id.scheme) == ("1234567890", "0007")
    assert (said.purchase_order, said.contract) == ("20180117", "2017-123")
    assert said.payee is not None
    assert said.payee.name == "Finansiell Support u.p.a."
    assert said.preceding == (("Preceding invoice no.1", date(2018, 1, 31)), ("Preceding invoice no.2", None))
    assert len(said.accounts) == 4
    assert all(line.net for line in said.lines)
