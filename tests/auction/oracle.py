"""UPM-1 once more, written naively from the text with fractions: slow, independent, for tests only.

It shares no code with the engine: a book comes in as a plain dict, the result goes out as a plain dict.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor


def clear(book: dict) -> dict:
    """Clear a book given as parsed JSON, in the words of the market rules."""
    target = book["target_minor"]
    wanted = book.get("accepted_minor", target)
    refused: dict[str, list[str]] = {}
    for bid in book["bids"]:
        reasons = []
        if bid["rate_bps"] > book["reserve_bps"]:
            reasons.append("above_reserve")
        if bid["cash_minor"] < book["minimum_minor"]:
            reasons.append("below_minimum")
        if bid["cash_minor"] % book["lot_size_minor"] != 0:
            reasons.append("not_lot_multiple")
        if bid["group"] in book["related_groups"]:
            reasons.append("related_party")
        if reasons:
            refused[bid["id"]] = reasons

    cap = floor(Fraction(book["group_cap_bps"], 10_000) * target)
    live: list[dict] = []
    cuts: dict[str, int] = {}
    for bid in sorted(book["bids"], key=lambda b: (b["rate_bps"], b["seq"])):
        if bid["id"] in refused:
            continue
        used = sum(b["q"] for b in live if b["group"] == bid["group"])
        q = min(bid["cash_minor"], cap - used)
        if q == 0 or q < bid["min_fill_minor"]:
            refused[bid["id"]] = ["over_group_cap"]
            continue
        if q != bid["cash_minor"]:
            cuts[bid["id"]] = q
        live.append({**bid, "q": q})

    passed_over: list[str] = []
    while True:
        outcome, stop_out, awarded, fills = _once(
            live, wanted, 10_000 if "accepted_minor" in book else book["min_share_bps"], target
        )
        if outcome != "full":
            break
        short = [b for b in live if b["rate_bps"] == stop_out and 0 < fills.get(b["id"], 0) < b["min_fill_minor"]]
        if not short:
            break
        victim = max(short, key=lambda b: (b["min_fill_minor"], b["seq"]))
        live = [b for b in live if b["id"] != victim["id"]]
        passed_over.append(victim["id"])

    fills = {bid_id: x for bid_id, x in fills.items() if x > 0}
    rates = {b["id"]: b["rate_bps"] for b in live}
    days = book["tenor_days"]
    if book["price_rule"] == "pay_as_bid":
        discounts = {i: floor(Fraction(x * rates[i] * days, 10_000 * 365)) for i, x in fills.items()}
        paid = rates
    else:
        whole = floor(Fraction(awarded * (stop_out or 0) * days, 10_000 * 365))
        discounts = _largest_remainder(whole, [b for b in live if b["id"] in fills], fills)
        paid = dict.fromkeys(fills, stop_out)
    return {
        "outcome": outcome,
        "stop_out_bps": stop_out,
        "awarded_minor": awarded,
        "discount_minor": sum(discounts.values()),
        "standing_minor": sum(b["q"] for b in live),
        "fills": [
            {"id": i, "cash_minor": fills[i], "discount_minor": discounts[i], "rate_bps": paid[i]}
            for i in sorted(fills)
        ],
        "cuts": [{"id": i, "cash_minor": cuts[i]} for i in sorted(cuts)],
        "refusals": [{"id": i, "reasons": refused[i]} for i in sorted(refused)],
        "passed_over": passed_over,
    }


def _once(
    live: list[dict], wanted: int, min_share_bps: int, target: int
) -> tuple[str, int | None, int, dict[str, int]]:
    for rate in sorted({b["rate_bps"] for b in live}):
        if sum(b["q"] for b in live if b["rate_bps"] <= rate) >= wanted:
            fills = {b["id"]: b["q"] for b in live if b["rate_bps"] < rate}
            margin = [b for b in live if b["rate_bps"] == rate]
            rest = wanted - sum(fills.values())
            fills.update(_largest_remainder(rest, margin, {b["id"]: b["q"] for b in margin}))
            return "full", rate, wanted, fills
    supply = sum(b["q"] for b in live)
    if supply > 0 and supply >= (wanted if wanted != target else ceil(Fraction(min_share_bps, 10_000) * target)):
        return "partial", max(b["rate_bps"] for b in live), supply, {b["id"]: b["q"] for b in live}
    return "failed", None, 0, {}


def _largest_remainder(total: int, bids: list[dict], weights: dict[str, int]) -> dict[str, int]:
    whole = sum(weights[b["id"]] for b in bids)
    quotas = {b["id"]: Fraction(total * weights[b["id"]], whole) for b in bids}
    parts = {i: floor(quota) for i, quota in quotas.items()}
    order = sorted(bids, key=lambda b: (-(quotas[b["id"]] - parts[b["id"]]), b["seq"], b["id"]))
    for bid in order[: total - sum(parts.values())]:
        parts[bid["id"]] += 1
    return parts
