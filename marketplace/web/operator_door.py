"""The operators' door: one blueprint, opened only to operators; the words and the strip that its pages share."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, current_app
from flask_babel import gettext

from marketplace.db import db, market_now
from marketplace.kernel.actors import Role
from marketplace.kernel.clock import business_date
from marketplace.kernel.policy import Policy
from marketplace.kernel.words import N_
from marketplace.reports import arrears
from marketplace.reports.arrears import Week
from marketplace.web.session import signed_in

blueprint = Blueprint("operator", __name__, url_prefix="/operator")
only_operators = signed_in(Role.OPERATOR)

STEP_WORDS = {
    "reminder": N_("Reminder"),
    "overdue": N_("Overdue, evidence asked"),
    "second_notice": N_("Second notice"),
    "recourse_demand": N_("Recourse demanded"),
    "par30": N_("Thirty days"),
    "delinquent": N_("Delinquent"),
    "recovery": N_("To recovery"),
    "default": N_("Default"),
    "write_off_review": N_("Write-off review"),
}
WATERFALL_WORDS = {
    "costs": N_("Recovery costs"),
    "principal": N_("Principal"),
    "discount": N_("Discount"),
    "late_charge": N_("Late charge"),
    "platform_fee": N_("Platform fee"),
    "residual": N_("Residual"),
}
# Why a listing is held.
CAUSE_WORDS = {
    "operators": N_("Other evidence in place of the debtor’s answer"),
    "near_match": N_("It looks like another listing"),
    "title_check": N_("Asked again before the sale, something speaks against it"),
    "document": N_("The document needs a look"),
    "differences": N_("It was changed against its document"),
    "outside_evidence": N_("Evidence from outside speaks against it"),
    "prior_notice": N_("The debtor knows of an earlier assignment"),
    "dispute": N_("The debtor disputes it"),
    "came_back": N_("It was refused before, and comes back"),
}
# The clock's jobs in the order in which a receivable meets them; told here so that no page imports the scheduler.
JOB_WORDS = {
    "run_bulk": N_("Read and list bulk uploads"),
    "renew_keys": N_("Write look-alikes’ keys anew"),
    "expire_links": N_("Close links and listings that ran out"),
    "ask_registry": N_("Ask the registry about claims"),
    "ask_companies_register": N_("Ask the companies register about parties"),
    "take_answers": N_("Take debtors’ answers for many"),
    "rate_parties": N_("Rate parties with new accounts"),
    "learn_payments": N_("Learn from how debtors paid"),
    "rerate_parties": N_("Rate parties anew under a new model or policy"),
    "watch_ratings": N_("Measure how the model does"),
    "learn_model": N_("Learn each month from how receivables ended"),
    "rate_receivables": N_("Rate what debtors confirmed"),
    "open_lots": N_("Open lots"),
    "close_lots": N_("Close lots and clear their books"),
    "close_sessions": N_("Close sessions and clear their lots together"),
    "expire_awards": N_("Decide where the seller did not"),
    "settle_awards": N_("Settle awards"),
    "write_notices": N_("Write notices of assignment and send them"),
    "run_outbox": N_("Call the payment provider"),
    "take_bank_folder": N_("Take the bank’s files from their folder"),
    "run_inbox": N_("Work on the provider’s messages"),
    "ask_after_silence": N_("Ask the provider what it did not say"),
    "apply_payments": N_("Share out debtors’ payments"),
    "reverse_receipts": N_("Take back what a payer’s bank took back"),
    "age_receivables": N_("Take the steps of collection"),
    "demand_buy_backs": N_("Ask sellers to buy back what debtors rightly dispute"),
    "expire_offers": N_("End offers whose time is over"),
    "sequence_events": N_("Put audit events in order"),
    "build_bundles": N_("Build audit bundles"),
    "verify_invariants": N_("Check the books"),
    "reconcile": N_("Reconcile with the provider"),
    "reconcile_bank": N_("Reconcile with the bank’s statements"),
}
JOB_NAMES = tuple(JOB_WORDS)
DEBTOR_LINK = re.compile(r"(https?://[^\s<>\"/]+/d/[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)")
PLOT = (38, 558, 12, 190)  # left, right, top, bottom of a chart 620 wide and 220 high


def policy() -> Policy:
    """Return the market's policy."""
    found: Policy = current_app.extensions["duebill"].policy
    return found


def today() -> date:
    """Return the business date."""
    return business_date(market_now(db.session()), policy().zone)


def midnight() -> datetime:
    """Return the instant at which the business date began."""
    return datetime.combine(today(), time(), ZoneInfo(policy().zone)).astimezone(UTC)


def letter_parts(body: str) -> list[tuple[str, str | None]]:
    """Split a letter into (text, address): only a demonstration lets operators follow a debtor's link."""
    if not current_app.extensions["duebill"].settings.demo:
        return [(body, None)]
    pieces = DEBTOR_LINK.split(body)
    return [(piece, piece[piece.index("/d/") :] if index % 2 else None) for index, piece in enumerate(pieces) if piece]


def par_chart(weeks: Sequence[Week]) -> dict[str, Any] | None:
    """Return the lines, grid and labels of the chart of portfolio at risk; None while there is nothing to draw."""
    if len(weeks) < 2:
        return None
    left, right, top, bottom = PLOT
    most = max(max(week.par_ppm) for week in weeks)
    step = next(
        size for size in (5_000, 10_000, 20_000, 50_000, 100_000, 250_000) if size * 4 >= most or size == 250_000
    )

    def height(ppm: int) -> int:
        return bottom - (bottom - top) * ppm // (step * 4)

    def across(index: int) -> int:
        return left + (right - left) * index // (len(weeks) - 1)

    lines: list[dict[str, Any]] = [
        {
            "points": " ".join(f"{across(i)},{height(week.par_ppm[kind])}" for i, week in enumerate(weeks)),
            "end": height(weeks[-1].par_ppm[kind]), "label": f"PAR{(kind + 1) * 30}", "css": kind + 2,
            "ppm": weeks[-1].par_ppm[kind], "text": 0,
        }
        for kind in range(3)
    ]  # fmt: skip
    lowest = bottom + 4
    for line in reversed(lines):  # from the bottom up, no two labels on one another
        line["text"] = min(int(line["end"]) + 4, lowest)
        lowest = int(line["text"]) - 14
    ticks = sorted({0, (len(weeks) - 1) // 2, len(weeks) - 1})
    return {
        "lines": lines[::-1], "grid": [(height(step * n), step * n) for n in range(1, 5)], "left": left, "right": right,
        "bottom": bottom, "ticks": [(across(index), weeks[index].day) for index in ticks],
    }  # fmt: skip


@blueprint.context_processor
def words() -> dict[str, Any]:
    """Give the operators' templates their words and the figures of the strip."""
    return {
        "step_word": lambda step: gettext(STEP_WORDS[str(step)]),
        "waterfall_word": lambda step: gettext(WATERFALL_WORDS[str(step)]),
        "job_word": lambda name: gettext(JOB_WORDS.get(name, name)),
        "strip_facts": lambda: arrears.strip(db.session(), midnight()),
        "letter_parts": letter_parts,
    }
