"""A judged set of pairs of listings: is the second the first again, or does it only look like it?

Each line of the file is `{"a": listing, "b": listing, "same": bool, "kind": str}`. The kinds tell what was done:

- `exact_…`        the key is the same (seller, debtor, number, type, currency): to be blocked, every one;
- `near_…`         one trick: to be blocked or held;
- `composed_…`     two to four edits at once: to be blocked or held;
- `full_rewrite_…` nothing left but the parties and about the amount: reported apart, and told by this prefix;
- `honest_…`       two receivables (`same` is false): never to be blocked, and rarely held.

The set is made up from a seed: the same seed gives the same file, byte for byte. No company in it exists.

    python -m tests.receivables.matching.pairs.judged_set pairs.jsonl --seed 3 --fraud 4000 --honest 12000
"""

import argparse
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from tests.receivables.matching.pairs import anything, composed, exact, honest_neighbours, honest_series, near
from tests.receivables.matching.pairs.exact import Make
from tests.receivables.matching.pairs.exact import Pair as Listings
from tests.receivables.matching.pairs.listings import Listing

FRAUD: dict[str, Make] = exact.KINDS | near.KINDS | composed.KINDS | anything.KINDS
HONEST: dict[str, Make] = honest_series.KINDS | honest_neighbours.KINDS
REWRITE = "full_rewrite"

Pair = dict[str, Any]


def pairs(seed: int, fraud: int = 4_000, honest: int = 12_000) -> Iterator[Pair]:
    """Give so many pairs of each sort, the kinds in turn, so that every kind has about as many."""
    for kinds, count, same in ((FRAUD, fraud, True), (HONEST, honest, False)):
        names = sorted(kinds)
        for at in range(count):
            kind = names[at % len(names)]
            # Each pair has a stream of chance of its own: adding a kind leaves the pairs of the others as they were.
            rng = Random(f"{seed} {kind} {at // len(names)}")
            a, b = _two(rng, kinds[kind], same)
            yield {"a": a, "b": b, "same": same, "kind": kind}


def _two(rng: Random, make: Make, same: bool) -> Listings:
    """Two listings of a kind; honest ones never share a key, which a seller's own books forbid."""
    while True:
        a, b = make(rng)
        if same or bare_key(a) != bare_key(b):
            return a, b


def bare_key(listing: Listing) -> tuple[str, ...]:
    """The key as roughly as can be: letters and digits of the number, and the parties as named."""
    letters = unicodedata.normalize("NFKC", listing["invoice_number"]).upper()
    number = re.sub(r"^(INV|RE|RG|FAC|FA|FT|CN|GS)?0*", "", re.sub(r"[^A-Z0-9]", "", letters))
    parties = [listing.get(f"{role}_legal_id") or listing[f"{role}_name"] for role in ("seller", "debtor")]
    return (*parties, number, "credit" if listing.get("document_type") == "381" else "claim", listing["currency"])


def write(path: Path, seed: int, fraud: int = 4_000, honest: int = 12_000) -> None:
    """Write a judged set, a line a pair."""
    with path.open("w", encoding="utf-8") as file:
        for pair in pairs(seed, fraud, honest):
            file.write(json.dumps(pair, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description="Write a judged set of pairs of listings.")
    asked.add_argument("path", type=Path)
    asked.add_argument("--seed", type=int, default=3)
    asked.add_argument("--fraud", type=int, default=4_000)
    asked.add_argument("--honest", type=int, default=12_000)
    given = asked.parse_args()
    write(given.path, given.seed, given.fraud, given.honest)
