"""A changed file is read or refused in words, quickly; and what may be listed claims one thing only.

More of them in one run: `DUEBILL_MUTANTS=20000 pytest tests/receivables/einvoice/test_mutants.py`.
"""

import os
import resource
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from marketplace.demo.companies import debtors, sellers
from marketplace.demo.documents import invoice, invoice_spec
from marketplace.demo.invoice_specs import credit_note_for
from marketplace.kernel.errors import InvalidInput
from marketplace.receivables.einvoice.pdf_attachment import attached_invoice
from marketplace.receivables.einvoice.reading import read_einvoice
from tests.receivables.einvoice.mutants import CLAIM, adds_up, claims, mutants

COUNT = int(os.environ.get("DUEBILL_MUTANTS", "1000"))
SECONDS_MAX = 2.0
pytestmark = pytest.mark.timeout(max(300, COUNT // 5))
MEMORY_MAX = 200 * 1024  # kilobytes that all the mutants together may add to what the process has


def own_files() -> list[bytes]:
    today = date(2026, 10, 1)
    made = [invoice_spec(sellers()[n], debtors()[n], today, seed=n) for n in range(4)]
    made.append(replace(made[0], payee=sellers()[3], prepaid_minor=1_000))
    made.append(credit_note_for(made[1], "CN-1", today))
    return [invoice(spec, syntax) for spec in made for syntax in ("ubl", "cii")]


def published(shared: Path) -> list[bytes]:
    folder = shared / "einvoices"
    return [
        file.read_bytes() for kind in ("ubl", "cii", "credit_notes") for file in sorted((folder / kind).glob("*.xml"))
    ]


def hold(files: list[bytes], count: int, first_seed: int) -> dict[str, int]:
    """Read mutants; return how many had which verdict. Fails on an exception, a slow one or an ambiguous claim."""
    verdicts = {"yes": 0, "review": 0, "no": 0, "refused": 0}
    for mutant in mutants(files, count, first_seed):
        started = time.process_time()
        try:
            said = read_einvoice(mutant.content, "mutant.xml")
        except InvalidInput as refused:
            verdicts["refused" if refused.words else "speechless"] += 1
            continue
        finally:
            assert time.process_time() - started < SECONDS_MAX, mutant.seed
        verdicts[said.listable] += 1
        assert said.listable == "yes" or said.reasons, mutant.seed
        if said.listable == "yes":
            told = claims(said.invoice_xml)
            assert all(told[term] == ({said.fields.get(term)} - {None}) for term in CLAIM), mutant.seed
            assert adds_up(told), mutant.seed
            assert said.amount_due is not None, mutant.seed
    return verdicts


def test_mutants_of_our_own_files_are_read_or_refused_in_words() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    verdicts = hold(own_files(), COUNT, 0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY_MAX
    assert min(verdicts.values()) > 0


@pytest.mark.slow
def test_mutants_of_the_published_files_are_read_or_refused_in_words(shared: Path) -> None:
    verdicts = hold(published(shared), COUNT, 1_000_000)
    assert min(verdicts.values()) > 0


def test_mutants_of_a_pdf_give_up_an_invoice_or_a_refusal() -> None:
    spec = invoice_spec(sellers()[0], debtors()[0], date(2026, 10, 1), seed=1)
    found = refused = 0
    for mutant in mutants([invoice(spec, "facturx")], max(COUNT // 5, 50), 2_000_000):
        started = time.process_time()
        try:
            found += bool(attached_invoice(mutant.content)["xml"])
        except InvalidInput:
            refused += 1
        assert time.process_time() - started < SECONDS_MAX, mutant.seed
    assert found
    assert refused
