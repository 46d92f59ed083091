"""Filings by the hundred thousand, no two alike: what a month of the registry's bulk product is like in kind and size.

Micro-entities and small companies, in pounds and in thousands, with and without a year before, from four to ninety
kilobytes; one in a hundred is nothing that can be read.
"""

import random
import zipfile
from datetime import date, timedelta
from pathlib import Path

from bench.figures import Say
from marketplace.demo.accounts_document import ixbrl
from marketplace.demo.accounts_spec import AccountsSpec, Strength, balances

STRENGTHS: tuple[Strength, ...] = ("strong", "middling", "weak")
NEWEST = date(2025, 12, 31)
POLICY = (
    "Turnover is measured at the fair value of the consideration received or receivable, net of discounts and value "
    "added tax, and is recognised when the significant risks and rewards of ownership have passed to the buyer. "
)
UNREADABLE_EACH = 100


def made(index: int) -> tuple[str, bytes]:
    """Return the name, as the registry gives it, and the bytes of one filing. Same index, same bytes."""
    dice = random.Random(index)
    end = NEWEST - timedelta(days=dice.randrange(720))
    number = f"{1_000_000 + index:08d}"
    current, prior = balances(dice.choice(STRENGTHS), dice.randrange(20_000, 9_000_000), index)
    spec = AccountsSpec(f"Company {index} Ltd", number, end, current, prior if index % 7 else None,
                        "FRS-105" if index % 3 else "FRS-102", in_thousands=index % 11 == 0)  # fmt: skip
    content = ixbrl(spec).replace(b"</body>", _notes(dice, index) + b"</body>")
    if index % UNREADABLE_EACH == UNREADABLE_EACH - 1:
        content = content[: len(content) // 2]
    return f"Prod223_{3_000 + index // 5_000}_{number}_{end:%Y%m%d}.html", content


def _notes(dice: random.Random, index: int) -> bytes:
    """Return the notes to the accounts: a page for most, many for some."""
    pages = dice.randrange(30, 300) if index % 20 == 0 else dice.randrange(3, 12)
    said = [
        f'<p><ix:nonNumeric name="core:AccountingPoliciesTextBlock" contextRef="this_year">{page}. {POLICY}'
        f"</ix:nonNumeric></p>"
        for page in range(pages)
    ]
    return "".join(said).encode()


def write_archive(path: Path, count: int, say: Say) -> int:
    """Write a ZIP of so many filings; return the bytes that were packed."""
    size = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for index in range(count):
            name, content = made(index)
            archive.writestr(name, content)
            size += len(content)
            if (index + 1) % 20_000 == 0:
                say(f"{index + 1:,} of {count:,} filings written")
    return size
