"""How good is the matcher? It judges pairs of listings, and is counted up against what they are known to be."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.receivables.matching.blocking import share_a_key
from marketplace.receivables.matching.claim import Claim, ClaimLine
from marketplace.receivables.matching.fingerprint import identity
from marketplace.receivables.matching.near_match import compare

Verdict = Literal["blocked", "held", "passed"]
PAIR_BYTES_MAX = 4_000_000
LINES_MAX = 10_000
KINDS_MAX = 10_000
KIND_SIGNS_MAX = 200
NAME_SIGNS_MAX, TEXT_SIGNS_MAX = 1_000, 20_000
MINOR_MAX = 2**63 - 1
REWRITE = "rewrite"


@dataclass(frozen=True)
class Pair:
    """Two listings, whether the second is the first again, and what was done to it."""

    one: Claim
    other: Claim
    same: bool
    kind: str


@dataclass
class Tally:
    """How many pairs of a kind there were, and how many of them were blocked or held."""

    n: int = 0
    blocked: int = 0
    held: int = 0

    def add(self, verdict: Verdict) -> None:
        """Count one more pair."""
        self.n += 1
        self.blocked += verdict == "blocked"
        self.held += verdict == "held"


@dataclass
class Score:
    """The count of a set of pairs. Shares are of one, None where there is nothing to take a share of."""

    same: Tally = field(default_factory=Tally)
    rewritten: Tally = field(default_factory=Tally)
    honest: Tally = field(default_factory=Tally)
    by_kind: dict[str, Tally] = field(default_factory=dict)

    def add(self, pair: Pair, verdict: Verdict) -> None:
        """Count one pair.

        Raises: InvalidInput("too_many_kinds").
        """
        if pair.kind not in self.by_kind and len(self.by_kind) >= KINDS_MAX:
            raise InvalidInput("too_many_kinds", "More than %(most)s kinds of pairs.", {"most": KINDS_MAX})
        (self.same if pair.same else self.honest).add(verdict)
        if pair.same and REWRITE in pair.kind:
            self.rewritten.add(verdict)
        self.by_kind.setdefault(pair.kind, Tally()).add(verdict)

    def report(self) -> dict[str, Any]:
        """Return the figures, in the order in which they are printed."""
        same, honest, rewritten = self.same, self.honest, self.rewritten
        pairs = same.n + honest.n
        blocked, held = same.blocked + honest.blocked, same.held + honest.held
        found = same.blocked + same.held
        return {
            "pairs": pairs,
            "blocked": blocked,
            "held": held,
            "passed": pairs - blocked - held,
            "recall_blocked": _share(same.blocked, same.n),
            "recall_blocked_or_held": _share(found, same.n),
            "recall_without_full_rewrite": _share(found - rewritten.blocked - rewritten.held, same.n - rewritten.n),
            "honest_blocked": honest.blocked,
            "honest_held_rate": _share(honest.held, honest.n),
            "by_kind": {kind: {"n": tally.n, "blocked": tally.blocked, "held": tally.held}
                        for kind, tally in sorted(self.by_kind.items())},
        }  # fmt: skip


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def judge(one: Claim, other: Claim) -> Verdict:
    """Return what the market would do with `other` when `one` is registered: as it does, by the same rules.

    Whoever shares no blocking key with a claim is never compared with it, however alike they are: it passes.
    The exact key alone is found by its own index.
    """
    match = compare(other, one)
    if match.verdict == "apart":
        return "passed"
    if match.exact:
        return "blocked"
    if not share_a_key(one, other):
        return "passed"
    return "blocked" if match.verdict == "same" else "held"


# -- reading a set of pairs


def read_pair(raw: bytes, row: int) -> Pair:
    """Return the pair that one line of a file holds; `row` counts from 1.

    Raises: InvalidInput("pair_invalid") that names the line, the field and the rule.
    """
    if len(raw) > PAIR_BYTES_MAX:
        raise _wrong(row, "", "is longer than four million bytes")
    try:
        found = json.loads(raw.decode())
    except (ValueError, RecursionError):
        raise _wrong(row, "", "is not JSON") from None
    if not isinstance(found, dict):
        raise _wrong(row, "", "is not an object with a, b, same and kind")
    same, kind = found.get("same"), found.get("kind")
    if not isinstance(same, bool):
        raise _wrong(row, "same", "is not true or false")
    if not isinstance(kind, str) or not 0 < len(kind) <= KIND_SIGNS_MAX:
        raise _wrong(row, "kind", "is not a text of 1 to 200 signs")
    return Pair(_claim(found.get("a"), "a", row), _claim(found.get("b"), "b", row), same, kind)


def _wrong(row: int, name: str, rule: str) -> InvalidInput:
    place = f"line {row}" + (f", {name}" if name else "")
    words = "%(place)s %(rule)s."
    return InvalidInput("pair_invalid", words, {"place": place, "rule": rule}, [Problem(place, "pair_invalid", rule)])


def _claim(said: object, side: str, row: int) -> Claim:
    if not isinstance(said, dict):
        raise _wrong(row, side, "is not an object")
    values: dict[str, Any] = dict.fromkeys(READERS)
    for name, value in said.items():
        if value is not None and value != "" and name in READERS:
            read, rule = READERS[name]
            try:
                values[name] = read(value)
            except UNREADABLE:
                raise _wrong(row, f"{side}.{name}", rule) from None
    lines = said.get("lines")
    due, total, prepaid = values["amount_due_minor"], values["total_minor"], values["prepaid_minor"]
    return Claim(
        seller="",
        debtor="",
        number=values["invoice_number"] or "",
        document_type=values["document_type"] or "380",
        currency=values["currency"] or "",
        amount_minor=due if due is not None or total is None else total - (prepaid or 0),
        issued_on=values["issue_date"],
        due_on=values["due_date"],
        purchase_order=values["purchase_order"],
        lines=_lines(lines, side, row) if lines else (),
        document_sha256=values["document_sha256"],
        seller_who=identity(values["seller_legal_id"], values["seller_vat"], values["seller_name"], None),
        debtor_who=identity(values["debtor_legal_id"], values["debtor_vat"], values["debtor_name"], None),
        total_minor=total,
        prepaid_minor=prepaid,
        contract=values["contract"],
        payee=values["payee_name"],
        iban=values["payee_iban"],
        notes=values["notes"],
    )


def _lines(said: object, side: str, row: int) -> tuple[ClaimLine, ...]:
    if not isinstance(said, list) or len(said) > LINES_MAX:
        raise _wrong(row, f"{side}.lines", "is not a list of at most 10,000 lines")
    found: list[ClaimLine] = []
    for place, line in enumerate(said):
        if not isinstance(line, dict):
            raise _wrong(row, f"{side}.lines[{place}]", "is not an object")
        values: list[Any] = []
        for name, (read, rule) in LINE_READERS.items():
            value = line.get(name)
            try:
                values.append(None if value is None or value == "" else read(value))
            except UNREADABLE:
                raise _wrong(row, f"{side}.lines[{place}].{name}", rule) from None
        found.append((values[0] or "", values[1], values[2], values[3]))
    return tuple(found)


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > TEXT_SIGNS_MAX:
        raise ValueError
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or len(value) > NAME_SIGNS_MAX:
        raise ValueError
    return value


def _minor(value: object) -> int:
    if isinstance(value, float) and value.is_integer():  # JSON knows one kind of number: 480.0 is 480
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MINOR_MAX:
        raise ValueError
    return value


def _day(value: object) -> date:
    if not isinstance(value, str) or len(value) != 10:
        raise ValueError
    return date.fromisoformat(value)


def _quantity(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    if isinstance(value, int) and abs(value) <= MINOR_MAX:
        return value
    number = Decimal(str(value))
    if not number.is_finite() or abs(number) > MINOR_MAX:
        raise ValueError
    return float(number)


UNREADABLE = (ValueError, TypeError, OverflowError, InvalidOperation)
_NAME = (_name, "is not a text of at most 1,000 signs")
_TEXT = (_text, "is not a text of at most 20,000 signs")
_MINOR = (_minor, "is not a whole number of minor units")
_DAY = (_day, "is not a date written as 2026-10-01")
READERS: dict[str, tuple[Callable[[object], Any], str]] = {
    **dict.fromkeys(("seller_name", "seller_legal_id", "seller_vat", "debtor_name", "debtor_legal_id", "debtor_vat",
                     "invoice_number", "document_type", "currency", "purchase_order", "contract", "payee_name",
                     "payee_iban", "document_sha256"), _NAME),
    **dict.fromkeys(("issue_date", "due_date"), _DAY),
    **dict.fromkeys(("total_minor", "prepaid_minor", "amount_due_minor"), _MINOR),
    "notes": _TEXT,
}  # fmt: skip
LINE_READERS: dict[str, tuple[Callable[[object], Any], str]] = {
    "description": _TEXT,
    "amount_minor": _MINOR,
    "quantity": (_quantity, "is not a number"),
    "unit_price_minor": _MINOR,
}
