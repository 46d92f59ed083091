"""Invoices as a market of any size has them: many sellers, few large debtors, series, monthly bills, whole pounds."""

import random
from collections.abc import Iterator
from datetime import date, timedelta
from uuid import UUID

from marketplace.kernel.money import allocate
from marketplace.receivables.matching.fingerprint import identity
from marketplace.receivables.matching.near_match import Claim

FIRST, DAYS = date(2024, 1, 1), 1_000
GOODS = (
    "Castings", "Turbine seal rings", "Site cleaning", "Temporary staff, week", "Hosting", "Pallets, oak",
    "Cold storage", "Freight Felixstowe to Leeds", "Audit of accounts", "Coffee, green", "Fasteners M8",
    "Crane hire", "Print run", "Legal advice", "Steel coil", "Translation", "Catering", "Software licence",
)  # fmt: skip
FORMS = ("INV-{n:05d}", "{y}-{n:04d}", "{n}", "RE{y}{n:05d}", "TPC/{n}", "SI-{n:06d}", "{y}/{m:02d}/{n:03d}")
SYLLABLES = [first + vowel for first in "BCDFGHJKLMNPRSTVWZ" for vowel in "AEIOU"]
# Of ten invoices three are monthly bills over one amount, two bill an order in parts, the rest stand alone.
KINDS = ("monthly",) * 3 + ("order",) * 2 + ("single",) * 5


def claims(count: int, seed: int = 1) -> Iterator[Claim]:
    """Yield so many honest invoices, always the same ones. A seller has a hundred, a debtor from one to thousands."""
    draw = random.Random(seed)
    sellers = max(count // 100, 5)
    debtors = max(count // 60, 10)
    for number in range(count):
        yield _claim(draw, number % sellers, number // sellers, debtors)


def _name(number: int, form: str) -> str:
    """Return a company's name of its own: what a name is compared by must not be a number."""
    words, rest = [], number * 7_919 + 104_729
    for _ in range(2):
        letters = ""
        for _ in range(3):
            rest, place = divmod(rest, len(SYLLABLES))
            letters += SYLLABLES[place]
        words.append(letters.capitalize())
    return f"{' '.join(words)} {form}"


def _claim(draw: random.Random, seller: int, index: int, debtors: int) -> Claim:
    kind = KINDS[(index + seller) % len(KINDS)]
    # Squared: the largest debtors owe thousands of invoices, most owe a handful.
    debtor = int(debtors * draw.random() ** 2) if kind == "single" else (seller * 31 + index % 3) % debtors
    issued = FIRST + timedelta(days=(index * 5 + seller) % DAYS)
    minor = (seller % 97 + 3) * 25_000 if kind == "monthly" else draw.randrange(20_000, 9_000_000)
    if draw.random() < 0.2:
        minor = max(minor // 100_000, 1) * 100_000
    words = FORMS[seller % len(FORMS)].format(n=index + seller % 50, y=issued.year, m=issued.month)
    goods = [GOODS[(seller + step) % len(GOODS)] for step in range(1 + index % 4)]
    parts = allocate(minor, [1 + step for step in range(len(goods))])
    seller_id, debtor_id = str(UUID(int=1_000_000 + seller)), str(UUID(int=9_000_000 + debtor))
    return Claim(
        seller=seller_id, debtor=debtor_id, number=words, document_type="380", currency="GBP", amount_minor=minor,
        issued_on=issued, due_on=issued + timedelta(days=(30, 45, 60)[seller % 3]),
        purchase_order=f"PO-{seller}-{index // 4}" if kind == "order" else None,
        lines=tuple((f"{name}, lot {index}" if kind == "single" else name, part)
                    for name, part in zip(goods, parts, strict=True)),
        seller_who=identity(f"{seller:08d}", None, _name(seller, "Ltd"), "GB"),
        debtor_who=identity(f"{debtor:08d}", None, _name(9_000_000 + debtor, "plc"), "GB"),
        seller_group=seller_id, debtor_group=debtor_id, total_minor=minor,
        document_sha256=f"{seller:032x}{index:032x}",
    )  # fmt: skip
