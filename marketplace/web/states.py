"""How each state of each noun looks: a shape, a colour, a word. The shape says it without the colour."""

from typing import NamedTuple

from flask_babel import gettext

from marketplace.kernel.words import N_

SHAPES = {
    "wait": "circle",
    "hold": "pause-circle-fill",
    "info": "circle-half",
    "live": "record-circle-fill",
    "good": "check-circle-fill",
    "warn": "exclamation-triangle-fill",
    "bad": "x-octagon-fill",
}

LOOKS: dict[str, dict[str, tuple[str, str]]] = {
    "receivable": {
        "drafted": ("wait", N_("Drafted")),
        "held_for_review": ("hold", N_("Held for review")),
        "awaiting_confirmation": ("info", N_("Awaiting confirmation")),
        "confirmed": ("good", N_("Confirmed")),
        "disputed": ("hold", N_("Disputed")),
        "rated": ("good", N_("Rated")),
        "on_auction": ("live", N_("On auction")),
        "awarded": ("info", N_("Awarded")),
        "funded": ("live", N_("Funded")),
        "discharged": ("good", N_("Settled")),
        "bought_back": ("good", N_("Bought back")),
        "written_off": ("bad", N_("Written off")),
        "withdrawn": ("wait", N_("Withdrawn")),
        "rejected": ("bad", N_("Rejected")),
        "expired": ("wait", N_("Expired")),
    },
    "lot": {
        "open": ("live", N_("On auction")),
        "closed_failed": ("bad", N_("Not covered")),
        "awaiting_seller": ("info", N_("Awaiting the seller")),
        "accepted": ("good", N_("Accepted")),
        "refused": ("wait", N_("Refused by the seller")),
        "settled": ("good", N_("Funded")),
        "cancelled": ("wait", N_("Cancelled")),
    },
    "bid": {
        "placed": ("live", N_("Sealed")),
        "withdrawn": ("wait", N_("Withdrawn")),
        "refused": ("bad", N_("Refused")),
        "filled": ("good", N_("Filled")),
        "passed_over": ("wait", N_("Passed over")),
        "unfilled": ("wait", N_("Not filled")),
    },
    "collection": {
        "due": ("live", N_("Not due")),
        "paid_in_part": ("info", N_("Paid in part")),
        "overdue": ("warn", N_("Overdue")),
        "disputed": ("hold", N_("Disputed")),
        "defaulted": ("bad", N_("Defaulted")),
        "settled": ("good", N_("Settled")),
        "recovered": ("good", N_("Recovered")),
        "bought_back": ("good", N_("Bought back")),
        "written_off": ("bad", N_("Written off")),
    },
    "payment": {
        "started": ("wait", N_("Started")),
        "created": ("wait", N_("Started")),
        "pending": ("info", N_("On its way")),
        "processing": ("info", N_("On its way")),
        "received": ("good", N_("Received")),
        "succeeded": ("good", N_("Received")),
        "applied": ("good", N_("Shared out")),
        "credited": ("good", N_("Credited")),
        "failed": ("bad", N_("Failed")),
        "cancelled": ("wait", N_("Cancelled")),
        "expired": ("wait", N_("Expired")),
        "refunded": ("wait", N_("Refunded")),
        "reversed": ("bad", N_("Taken back")),
        "disputed": ("hold", N_("Disputed")),
    },
    "payout": {
        "requested": ("wait", N_("Requested")),
        "queued": ("wait", N_("Requested")),
        "sending": ("info", N_("On its way")),
        "sent": ("info", N_("On its way")),
        "in_transit": ("info", N_("On its way")),
        "paid": ("good", N_("Paid")),
        "confirmed": ("good", N_("Paid")),
        "failed": ("bad", N_("Failed")),
        "returned": ("bad", N_("Returned")),
        "parked": ("hold", N_("Parked")),
    },
    "dispute": {
        "open": ("hold", N_("Open")),
        "resolved": ("good", N_("Resolved")),
        "timed_out": ("warn", N_("Timed out")),
    },
    "job": {
        "running": ("live", N_("Running")),
        "done": ("good", N_("Done")),
        "failed": ("bad", N_("Failed")),
        "skipped": ("wait", N_("Skipped")),
        "late": ("warn", N_("Late")),
    },
    "check": {
        "yes": ("good", N_("Holds")),
        "no": ("bad", N_("Does not hold")),
        "look": ("warn", N_("Being looked at")),
        "unknown": ("wait", N_("Not known")),
    },
}


class Look(NamedTuple):
    """What a state's badge shows."""

    css: str
    shape: str
    word: str


def look_of(machine: str, state: str) -> Look:
    """Return the badge of a state; one the table does not know is shown by its own name, without colour."""
    css, word = LOOKS.get(machine, {}).get(str(state), ("wait", str(state).replace("_", " ").capitalize()))
    return Look(css, SHAPES[css], gettext(word))
