"""Words of assignment in many languages, and words that only sound like them."""

import pytest

from marketplace.receivables.einvoice.assignment_words import assignment_wording

SAY = (
    "This invoice has been assigned to Quick Factors Ltd",
    "All rights under this account were sold and transferred to Harbour Bank",
    "We have assigned this receivable.",
    "NOTICE OF ASSIGNMENT: pay Bibby only",
    "Our receivables are factored",
    "Our factor is Quick Factors Ltd",
    "Absolute assignment of the debt",
    "Die Forderung ist an die Musterbank verkauft",
    "Die Forderung wurde abgetreten",
    "Zahlung mit schuldbefreiender Wirkung nur an ABC; schuldbefreiend",
    "Cession de créances professionnelles (loi Dailly)",
    "Affacturage : règlement à l'ordre de Factor SA",
    "Subrogation au profit de Factor SA",
    "Cessione del credito pro soluto",
    "Crédito cedido a Banco Uno",
    "Vordering verpand aan de bank",
    "Cesja wierzytelności",
    "应收账款已转让给某银行",
)  # fmt: skip
DO_NOT_SAY = (
    None, "", "Thank you for your order",
    "The consultant was assigned to project 12",
    "The machine was sold to you under retention of title",
    "This debt may not be assigned to anyone",
    "No part of this claim is assigned to a third party",
    "Abtretungsverbot nach AGB", "Die Abtretung ist ausgeschlossen", "Eine Abtretung ist nicht zulässig",
    "Sans cession de créance", "Amounts to be transferred to our account", "Refactoring of the module",
    "Goods stay our property until all sums are paid", "Payment within 30 days by bank transfer",
)  # fmt: skip


@pytest.mark.parametrize("note", SAY)
def test_words_of_assignment_are_seen(note: str) -> None:
    assert assignment_wording(f"Delivery note 12.\n{note}\nKind regards")


@pytest.mark.parametrize("note", DO_NOT_SAY)
def test_words_that_only_sound_alike_are_not(note: str | None) -> None:
    assert assignment_wording(note) is None


def test_the_words_are_quoted_and_short() -> None:
    said = assignment_wording("This invoice " + "and more " * 3 + "has been ASSIGNED to X")
    assert said is not None
    assert "ASSIGNED TO" in said
    assert len(said) <= 80


def test_a_long_note_takes_no_long_time() -> None:
    assert assignment_wording("invoice " * 20_000) is None
