"""Where a claim's look-alikes are looked for: whatever would be held is found, and a look-up fetches a handful."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import pytest

from marketplace.receivables.matching.blocking import blocking_keys, share_a_key
from marketplace.receivables.matching.claim import Claim
from marketplace.receivables.matching.fingerprint import identity
from marketplace.receivables.matching.near_match import compare

SELLERS, DEBTORS, GOODS = 2_000, 500, 40
FIRST = date(2025, 1, 1)
NAMES = (
    "amber birch cedar delta ember falcon garnet harbour iris jasper kestrel linden maple nectar orchid pebble quartz "
    "raven saffron thistle umber violet willow yarrow zephyr"
)
WORDS = NAMES.split()


def name_of(place: int, kind: str) -> str:
    return f"{WORDS[place % 25]}{WORDS[place // 25 % 25]}{place // 625 or ''} {kind} Ltd"


def population(count: int, seed: int) -> Iterator[Claim]:
    """Invoices of a market: a few large sellers and many small, a retailer that owes every seventh invoice, round
    prices, regular bills, sellers that number from one, and orders that are called off for months."""
    rng = random.Random(seed)
    counters: Counter[int] = Counter()
    sellers = [seller for seller in range(SELLERS) for _ in range(1 + 2_000 // (seller + 20))]
    debtors = [debtor for debtor in range(DEBTORS) for _ in range(1 + 1_000 // (debtor + 20))]
    for _ in range(count):
        seller = sellers[rng.randrange(len(sellers))]
        debtor = 0 if rng.random() < 0.14 else rng.choice(debtors)
        counters[seller] += 1
        issued = FIRST + timedelta(days=rng.randrange(730))
        amount = (
            rng.choice((50_000, 100_000, 250_000, 500_000)) if rng.random() < 0.2 else int(rng.lognormvariate(13, 1))
        )
        styles = (f"INV-{counters[seller]:05d}", f"{issued.year}/{counters[seller]}", f"{counters[seller]}")
        goods = (seller * 7 + rng.randrange(5)) % GOODS
        order = f"PO-{rng.randrange(10**6):06d}" if rng.random() < 0.7 else f"FW-{seller}-{debtor}"
        yield Claim(
            f"s{seller}", f"d{debtor}", styles[seller % 3], "380", "GBP", amount, issued, issued + timedelta(days=30),
            order, ((f"{WORDS[goods % 25]} goods type {rng.randrange(100)}", amount * 5 // 6),),
            seller_who=identity(None, None, name_of(seller, "Trading"), "GB"),
            debtor_who=identity(None, None, name_of(debtor, "Retail"), "GB"), total_minor=amount,
        )  # fmt: skip


@pytest.mark.long  # bench/duplicates.py asks among ten million
def test_a_look_up_among_a_hundred_thousand_fetches_a_handful() -> None:
    bearers: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, claim in enumerate(population(100_000, 1)):
        for key in blocking_keys(claim):
            bearers[key].append(place)
    fetched = []
    for claim in population(1_000, 2):
        found = {place for key in blocking_keys(claim) for place in bearers.get(key, ())}
        fetched.append(len(found))
    assert sum(fetched) / len(fetched) <= 10
    assert max(fetched) <= 400


def a_claim() -> Claim:
    return Claim(
        "seller", "debtor", "INV-20418", "380", "GBP", 4_860_137, date(2026, 10, 1), date(2026, 11, 30), "PO-7741",
        (("Cartons, double wall", 3_000_000, 100, 30_000), ("Pallets, heat treated", 1_050_114, 6, 175_019)),
        seller_who=identity("01234567", "GB123456789", "Harrow Joinery Ltd", "GB"),
        debtor_who=identity("07654321", "GB987654321", "Kestrel Retail plc", "GB"), total_minor=4_860_137,
    )  # fmt: skip


CHANGES = {
    "another number": {"number": "INV-20425"},
    "another number and a penny": {"number": "INV-20425", "amount_minor": 4_860_138, "total_minor": 4_860_138},
    "another number, no order": {"number": "INV-20425", "purchase_order": None},
    "another number, other days": {"number": "INV-20425", "issued_on": date(2026, 10, 9), "due_on": date(2026, 12, 8)},
    "a sister company": {"number": "H/17", "seller": "sister",
                         "seller_who": identity("09999999", None, "Harrow Windows Ltd", "GB")},
    "an alias of the debtor": {"number": "INV-20425", "debtor": "alias",
                               "debtor_who": identity(None, None, "Kestrel Retail Stores", "GB")},
    "half of it": {"number": "INV-20425", "amount_minor": 2_430_068, "total_minor": 2_430_068,
                   "lines": (("Cartons, double wall", 1_500_000), ("Pallets, heat treated", 525_057))},
    "another currency": {"number": "INV-20418", "currency": "EUR"},
    "a number that reads alike": {"number": "INV-2O418", "lines": (), "purchase_order": None},
    "the number in the notes, months later": {"number": "INV-20425", "purchase_order": None, "lines": (),
                                              "notes": "Cancelled: INV-20418", "issued_on": date(2027, 1, 9)},
    "an order in the notes": {"number": "INV-20425", "purchase_order": None, "notes": "Your order PO-7741"},
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_would_be_held_is_found(change: dict[str, object]) -> None:
    old = a_claim()
    new = replace(old, **change)  # type: ignore[arg-type]
    assert compare(new, old).verdict == "hold"
    assert share_a_key(new, old)
    assert share_a_key(old, new)


def test_keys_never_name_a_debtor_alone_nor_a_debtor_and_a_sum_alone() -> None:
    one = a_claim()
    other = replace(
        one, seller="other", seller_who=identity(None, None, "Zephyr Foods Ltd", "GB"), number="Z-9",
        purchase_order=None, issued_on=date(2025, 3, 3), due_on=date(2025, 4, 2), lines=(("Flour", 4_860_137),),
    )  # fmt: skip
    assert not share_a_key(one, other)


def test_a_claim_of_which_nothing_is_known_has_no_key() -> None:
    assert blocking_keys(Claim("", "", "", "380", "", None)) == frozenset()


def test_a_market_s_own_identities_find_each_other_whatever_the_papers_call_them() -> None:
    old = a_claim()
    new = replace(old, number="INV-20425", seller_who=None, debtor_who=None)
    assert share_a_key(new, old)
