"""The words and drawings of the regulator's pages: codes of the trail as a person reads them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext

from marketplace.audit.queries import EventLine
from marketplace.kernel.words import N_
from marketplace.reports.supervision import Replayed
from marketplace.web.format import basis_points, money_short, money_text
from marketplace.web.names import named

PAGES = {
    "audit": N_("Opened the audit page"),
    "bundle": N_("Downloaded a bundle"),
    "events": N_("Searched the log"),
    "event": N_("Read one event"),
    "replay": N_("Looked through awards"),
    "transcript": N_("Downloaded a transcript"),
    "outcomes": N_("Opened the outcome statement"),
    "defaults": N_("Opened the default table"),
    "look_ups": N_("Opened the list of look-ups"),
    "exchange": N_("Opened the list of questions about claims"),
    "export": N_("Exported a bundle at the console"),
}
VERBS = {"export_bundle": N_("Ordered a bundle"), "replay_auction": N_("Computed an award again")}
WHY = {
    "better": N_("better than the stop-out"),
    "above": N_("above the stop-out"),
    "capped": N_("cut to what its group’s cap left"),
    "margin": N_("share at the margin"),
    "margin_nothing": N_("nothing left at the margin"),
    "passed_over": N_("passed over: below its least fill"),
    "not_covered": N_("the lot was not covered"),
    "above_reserve": N_("above the reserve"),
    "below_minimum": N_("below the smallest bid"),
    "not_lot_multiple": N_("not a whole number of steps"),
    "related_party": N_("related party"),
    "over_group_cap": N_("over its group’s cap"),
}
CHECKS = {
    "signatures": (N_("Signatures"), N_("Ed25519 on every checkpoint, rotations signed by both keys")),
    "root": (N_("Root"), N_("The leaf hashes give the root of every checkpoint")),
    "consistency": (N_("Consistency"), N_("The earlier checkpoint is the beginning of this log")),
    "sequence": (N_("Sequence"), N_("Dense, no gap and nothing in between")),
    "bodies": (N_("Bodies"), N_("Each stored byte string hashes to its leaf")),
    "ledger": (N_("Ledger"), N_("Entries balance; no client balance below zero")),
    "title": (N_("Title"), N_("Units sum to face at every move")),
    "awards": (N_("Awards"), N_("Each award recomputes from its book, the book from the bids placed")),
    "packs": (N_("Packs"), N_("Tables say what the events say; CSV and JSON lines agree")),
    "manifest": (N_("Manifest"), N_("Every file has the SHA-256 that is listed")),
}


def check_words(name: str) -> tuple[str, str]:
    """Return a check's name and what it proves, in the reader's language."""
    known = CHECKS.get(name)
    return (gettext(known[0]), gettext(known[1])) if known else (name, "")


def why(codes: tuple[str, ...]) -> str:
    """Return the reasons of a bid's fate as one phrase."""
    return ", ".join(gettext(WHY[code]) if code in WHY else code for code in codes)


def did(line: EventLine, facts: Mapping[str, Any]) -> str:
    """Return what a look-up was, in words."""
    if line.verb in VERBS:
        return str(gettext(VERBS[line.verb]))
    page = (facts.get("after") or {}).get("page", "")
    return str(gettext(PAGES[page])) if page in PAGES else named(line.verb)


def verb_words(name: str) -> str:
    """Return a verb of the log as words; the stored bytes keep its one name."""
    return named(name)


@dataclass(frozen=True)
class SupplyChart:
    """The drawing of a book: cumulative cash by rate, in a box of 480 × 250, with words for those who do not see it."""

    points: str
    steps: list[tuple[str, str]]
    y_ticks: list[tuple[float, str]]
    x_ticks: list[tuple[float, str]]
    sought_y: float
    sought: str
    stop_x: float | None
    stop: str
    reserve_x: float
    reserve: str
    said: str


LEFT, RIGHT, TOP, BOTTOM = 46.0, 470.0, 12.0, 212.0


def supply_chart(found: Replayed) -> SupplyChart:
    """Draw the book of an award."""
    currency, curve = found.lot.currency, found.curve
    target, reserve = found.book["target_minor"], found.book["reserve_bps"]
    low: int = min([rate for rate, _ in curve] + [reserve]) - 20
    high: int = max([rate for rate, _ in curve] + [reserve]) + 20
    most: int = max([cash for _, cash in curve] + [target]) * 11 // 10

    def x(rate: int) -> float:
        return round(LEFT + (RIGHT - LEFT) * (rate - low) / (high - low), 1)

    def y(cash: int) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * cash / most, 1)

    points, level = [(LEFT, BOTTOM)], BOTTOM
    for rate, cash in curve:
        points += [(x(rate), level), (x(rate), y(cash))]
        level = y(cash)
    points.append((RIGHT, level))
    stop = found.award.stop_out_bps
    across, up = _round_step((high - low) // 4), _round_step(most // 4)
    said = gettext("Cumulative bids by rate: %(total)s in all, %(target)s sought", target=money_text(target, currency),
                   total=money_text(curve[-1][1] if curve else 0, currency))  # fmt: skip
    return SupplyChart(
        points=" ".join(f"{a},{b}" for a, b in points),
        steps=[(basis_points(rate), money_text(cash, currency)) for rate, cash in curve],
        y_ticks=[(y(cash), money_short(cash, currency)) for cash in range(up, most, up)],
        x_ticks=[(x(rate), str(rate)) for rate in range(-(-low // across) * across, high, across)],
        sought_y=y(target),
        sought=gettext("sought %(amount)s", amount=money_short(target, currency)),
        stop_x=x(stop) if stop is not None else None,
        stop=gettext("clears at %(rate)s", rate=basis_points(stop)) if stop is not None else "",
        reserve_x=x(reserve),
        reserve=gettext("reserve %(rate)s", rate=basis_points(reserve)),
        said=said,
    )


def _round_step(rough: int) -> int:
    """Return the nearest of 1, 2, 5, 10, 20, 50 … that is not below."""
    power = int(10 ** (len(str(max(rough, 1))) - 1))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough)
