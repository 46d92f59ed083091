"""What must be true once everything is at rest: nothing acknowledged is lost, nothing happened twice, all agrees."""

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any
from uuid import UUID

from marketplace.payments.wire import SUBJECT
from marketplace.simulator.acts import LEFT
from marketplace.simulator.children import Child
from marketplace.simulator.place import Place

if TYPE_CHECKING:
    from marketplace.simulator.run import Tally

# Differences that have a name and a person who was told; at rest there is no other.
NAMED_BREAKS = {"receipt_parked"}
# What still waits though nothing is in its way: kind and count.
WAITING = (
    "SELECT 'call ' || kind, count(*) FROM outgoing_call WHERE state NOT IN ('succeeded', 'failed') GROUP BY 1",
    "SELECT 'event ' || kind, count(*) FROM incoming_event WHERE state = 'received' GROUP BY 1",
    "SELECT 'payout ' || state, count(*) FROM payout WHERE state IN ('transferred', 'in_transit') GROUP BY 1",
    """SELECT 'payment not shared out', count(*) FROM debtor_payment JOIN collection USING (receivable_id)
       WHERE debtor_payment.state = 'succeeded' AND applied_at IS NULL HAVING count(*) > 0""",
)
LIFE = (
    "SELECT 'lot ' || state, count(*) FROM lot GROUP BY 1",
    "SELECT 'collection ' || state, count(*) FROM collection GROUP BY 1",
    "SELECT 'payout ' || purpose || ' ' || state, count(*) FROM payout GROUP BY 1",
    "SELECT 'funding ' || state, count(*) FROM funding GROUP BY 1",
    "SELECT 'debtor payment ' || state, count(*) FROM debtor_payment GROUP BY 1",
    "SELECT 'alert ' || kind, count(*) FROM payment_alert GROUP BY 1",
)


def life(looker: Child) -> list[str]:
    """Return in words what became of everybody: a life in which nothing happened proves nothing."""
    return [f"{words}: {count}" for sql in LIFE for words, count in looker.ask("rows", f"{sql} ORDER BY 1")]


def at_rest(place: Place, looker: Child, worker: Child, tally: "Tally") -> None:
    """Fill the tally in: lost, doubled, and what the provider's own books say to ours."""
    tally.lost = sum(_lost(looker, verb, key, sql, tally) for verb, (key, sql) in LEFT.items())
    books = place.sandbox.books()
    doubled = twice(books) + _payouts_twice(books, looker)
    tally.doubled = len(doubled)
    tally.wrong += [f"done twice: {one}" for one in doubled[:5]]
    worker.ask("tick", ["reconcile"])
    rows = looker.ask(
        "rows", "SELECT DISTINCT ON (currency) currency, unexplained_minor, breaks FROM reconciliation "
        "ORDER BY currency, at DESC",
    )  # fmt: skip
    tally.invariants["clearing_is_explained"] = bool(rows) and all(minor == 0 for _, minor, _ in rows)
    unnamed = [one for _, _, breaks in rows for one in breaks if one["kind"] not in NAMED_BREAKS]
    tally.invariants["no_break_at_rest"] = not unnamed
    tally.wrong += [f"clearing: {row}" for row in rows if row[1]] + [f"break: {one}" for one in unnamed[:5]]
    _on_the_way(looker, tally)


def _lost(looker: Child, verb: str, key: str, sql: str, tally: "Tally") -> int:
    ids = [UUID(result[key]) for name, result in tally.acknowledged if name == verb]
    if not ids:
        return 0
    lost = len(set(ids)) - int(looker.ask("rows", sql, {"ids": ids})[0][0])
    twice_told = len(ids) - len(set(ids))
    if lost or twice_told:
        tally.wrong.append(f"{verb}: {lost} acknowledged and lost, {twice_told} acknowledged as one and the same")
    return lost + twice_told


def twice(books: list[dict[str, Any]]) -> list[str]:
    """Return what stands twice in the provider's books for one wish of ours."""
    found: Counter[tuple[str, ...]] = Counter()
    for one in books:
        subject = (one.get("metadata") or {}).get(SUBJECT)
        kind = one["object"]
        if subject is None or kind == "payment_intent":  # a page makes its own
            continue
        if (kind == "transfer" and one["reversed"]) or (kind == "payout" and one["status"] == "failed"):
            continue
        found[kind, subject, str(one.get("default_currency") or "")] += 1
    return [" ".join(key) for key, count in found.items() if count > 1]


def _payouts_twice(books: list[dict[str, Any]], looker: Child) -> list[str]:
    """Compare, payout by payout, the money that reached a bank outside with what our books say of it."""
    paid: dict[str, int] = defaultdict(int)
    for one in books:
        if one["object"] == "payout" and one["status"] in ("paid", "pending", "in_transit"):
            paid[str((one.get("metadata") or {}).get(SUBJECT))] += one["amount"]
    rows = looker.ask("rows", "SELECT id::text, state, amount_minor FROM payout")
    states = {"paid", "in_transit", "transferred"}
    wrong = [
        f"payout {payout_id}: {state} here over {minor}, {paid.get(payout_id, 0)} there"
        for payout_id, state, minor in rows
        if paid.get(payout_id, 0) != (minor if state in states else 0)
    ]
    return wrong + [f"payout {one}: unknown here" for one in paid.keys() - {row[0] for row in rows}]


def _on_the_way(looker: Child, tally: "Tally") -> None:
    left = [row for sql in WAITING for row in looker.ask("rows", sql)]
    tally.invariants["nothing_left_on_the_way"] = not left
    tally.wrong += [f"left on the way: {words} × {count}" for words, count in left]
