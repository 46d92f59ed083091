"""Two invoices side by side, pure: every field and every line, and where exactly they differ."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any, Literal

from rapidfuzz import fuzz

from marketplace.kernel.words import N_
from marketplace.receivables.facts import InvoiceFacts, Line

Mark = Literal["same", "changed", "added", "removed"]
# (text, whether it differs from the other side)
Piece = tuple[str, bool]

ALIKE_MIN = 60  # of a hundred: lines less alike than this are not the same line changed
LINES_MAX = 200


@dataclass(frozen=True)
class Side:
    """One of the two: its facts, and what the market calls its parties. Money is in minor units."""

    ref: str
    facts: InvoiceFacts
    seller: str
    seller_number: str | None
    debtor: str
    debtor_number: str | None
    sha256: str | None = None


@dataclass(frozen=True)
class Field:
    """One fact on both sides. `kind` is text, money or day; pieces tell texts apart sign by sign."""

    label: str
    kind: str
    mine: Any
    theirs: Any
    mark: Mark
    mine_pieces: tuple[Piece, ...] = ()
    theirs_pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True)
class LinePair:
    """A line of goods on both sides, or on one alone. Which of words, quantity, price and amount differ is named."""

    mark: Mark
    mine: Line | None
    theirs: Line | None
    differs: tuple[str, ...] = ()
    mine_pieces: tuple[Piece, ...] = ()
    theirs_pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Two invoices laid side by side; `added` is only on this one, `removed` only on the other."""

    groups: tuple[tuple[str, tuple[Field, ...]], ...]
    lines: tuple[LinePair, ...]
    counts: dict[str, int] = field(default_factory=dict)


NUMBERS, DAYS, SUMS, PARTIES, TEXTS = N_("Numbers"), N_("Dates"), N_("Amounts"), N_("Parties"), N_("Words and file")
FACTS = (
    (NUMBERS, N_("Invoice number"), "text", "number"),
    (NUMBERS, N_("Document type"), "text", "document_type"),
    (NUMBERS, N_("Purchase order"), "text", "purchase_order"),
    (NUMBERS, N_("Contract"), "text", "contract"),
    (DAYS, N_("Issued"), "day", "issued_on"),
    (DAYS, N_("Due"), "day", "due_on"),
    (SUMS, N_("Amount due"), "money", "face_minor"),
    (SUMS, N_("Total with VAT"), "money", "total_minor"),
    (SUMS, N_("Paid before"), "money", "prepaid_minor"),
    (SUMS, N_("Lines together"), "money", "net_minor"),
    (PARTIES, N_("Payee"), "text", "payee_name"),
    (PARTIES, N_("Account"), "text", "iban"),
    (TEXTS, N_("Notes"), "text", "notes"),
)  # fmt: skip
WHO = (
    (PARTIES, N_("Seller"), "seller"), (PARTIES, N_("Seller’s number"), "seller_number"),
    (PARTIES, N_("Debtor"), "debtor"), (PARTIES, N_("Debtor’s number"), "debtor_number"),
)  # fmt: skip


def compare_sides(mine: Side, theirs: Side) -> Comparison:
    """Lay two invoices side by side, field by field and line by line. What neither has is left out."""
    found: dict[str, list[Field]] = {group: [] for group in (NUMBERS, DAYS, SUMS, PARTIES, TEXTS)}
    for group, label, name in WHO:
        found[group].append(_field(label, "text", getattr(mine, name), getattr(theirs, name)))
    for group, label, kind, name in FACTS:
        found[group].append(_field(label, kind, getattr(mine.facts, name), getattr(theirs.facts, name)))
    if mine.facts.currency != theirs.facts.currency:
        found[SUMS].insert(0, _field(N_("Currency"), "text", mine.facts.currency, theirs.facts.currency))
    found[TEXTS].append(_field(N_("SHA-256 of the file"), "text", mine.sha256, theirs.sha256))
    shown = {group: tuple(one for one in fields if one.mine is not None or one.theirs is not None)
             for group, fields in found.items()}  # fmt: skip
    lines = pair_lines(mine.facts.lines[:LINES_MAX], theirs.facts.lines[:LINES_MAX])
    marks = [one.mark for fields in shown.values() for one in fields] + [pair.mark for pair in lines]
    counts = {mark: marks.count(mark) for mark in ("same", "changed", "added", "removed")}
    return Comparison(tuple((group, fields) for group, fields in shown.items() if fields), tuple(lines), counts)


def _field(label: str, kind: str, mine: Any, theirs: Any) -> Field:
    if mine == theirs:
        return Field(label, kind, mine, theirs, "same")
    if mine is None or theirs is None:
        return Field(label, kind, mine, theirs, "added" if theirs is None else "removed")
    if kind != "text":
        return Field(label, kind, mine, theirs, "changed")
    return Field(label, kind, mine, theirs, "changed", *pieces(str(mine), str(theirs)))


def pieces(mine: str, theirs: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Cut two texts where they differ: in runs of signs, each with whether the other lacks it."""
    left: list[Piece] = []
    right: list[Piece] = []
    for how, a, b, c, d in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        for text, into in ((mine[a:b], left), (theirs[c:d], right)):
            if text:
                into.append((text, how != "equal"))
    return tuple(left), tuple(right)


def pair_lines(mine: Sequence[Line], theirs: Sequence[Line]) -> list[LinePair]:
    """Bring lines together that are the same, then those most alike; what is left stands alone.

    In the order of the first list; what only the second has follows.
    """
    free = list(range(len(theirs)))
    taken: dict[int, int] = {}
    for index, line in enumerate(mine):
        twin = next((other for other in free if theirs[other] == line), None)
        if twin is not None:
            taken[index] = twin
            free.remove(twin)
    close = sorted(
        ((_alike(mine[index], theirs[other]), -index, -other)
         for index in range(len(mine)) if index not in taken for other in free), reverse=True,
    )  # fmt: skip
    for likeness, index, other in close:
        if likeness >= ALIKE_MIN and -index not in taken and -other in free:
            taken[-index] = -other
            free.remove(-other)
    pairs = [_pair(line, theirs[taken[index]]) if index in taken else LinePair("added", line, None)
             for index, line in enumerate(mine)]  # fmt: skip
    return pairs + [LinePair("removed", None, theirs[other]) for other in free]


def _alike(one: Line, other: Line) -> float:
    """Return 0 to 100: by the words, raised where the amount is the same."""
    same_sum = one.amount_minor is not None and one.amount_minor == other.amount_minor
    return float(fuzz.token_sort_ratio(one.words.casefold(), other.words.casefold())) + 30 * same_sum


def _pair(mine: Line, theirs: Line) -> LinePair:
    names = ("words", "quantity", "price", "amount_minor")
    differs = tuple(name for name in names if getattr(mine, name) != getattr(theirs, name))
    cut = pieces(mine.words, theirs.words) if "words" in differs else ((), ())
    return LinePair("changed" if differs else "same", mine, theirs, differs, *cut)
