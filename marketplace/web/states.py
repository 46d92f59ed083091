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
        "held": ("hold", N_("Waits for two operators")),
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
    "session": {
        "open": ("live", N_("Takes bids")),
        "closed": ("wait", N_("Closed")),
    },
    "mandate": {
        "active": ("live", N_("Active")),
        "paused": ("wait", N_("Resting")),
        "ended": ("wait", N_("Ended")),
    },
    "collection": {
        "due": ("live", N_("Not due")),
        "paid_in_part": ("info", N_("Paid in part")),
        "overdue": ("warn", N_("Overdue")),
        "disputed": ("hold", N_("Disputed")),
        "defaulted": ("bad", N_("Defaulted")),
        "settled": ("good", N_("Settled")),
        "recovered": ("warn", N_("Recovered in part")),
        "bought_back": ("good", N_("Bought back")),
        "charged_back": ("bad", N_("Taken back by the debtor’s bank")),
        "written_off": ("bad", N_("Written off")),
    },
    "offer": {
        "open": ("live", N_("On offer")),
        "accepted": ("good", N_("Sold")),
        "withdrawn": ("wait", N_("Taken back")),
        "expired": ("wait", N_("Ran out")),
        "void": ("hold", N_("Overtaken")),
    },
    "buy_back": {
        "asked": ("warn", N_("Asked")),
        "paid": ("good", N_("Paid")),
        "withdrawn": ("wait", N_("No longer asked")),
    },
    "review": {
        "open": ("hold", N_("Open")),
        "proposed": ("info", N_("Proposed, awaits a second person")),
        "released": ("good", N_("Released")),
        "rejected": ("bad", N_("Rejected")),
        "closed": ("wait", N_("Closed")),
    },
    "dilution_proposal": {
        "waiting": ("hold", N_("Waits for a second voice")),
        "proposed": ("info", N_("Proposed, awaits a second person")),
        "taken": ("good", N_("Taken")),
        "refused": ("bad", N_("Refused")),
    },
    "dispute": {
        "open": ("hold", N_("Open")),
        "resolved": ("good", N_("Resolved")),
        "upheld": ("bad", N_("Upheld")),
        "timed_out": ("warn", N_("Timed out")),
    },
    "payment": {
        "preparing": ("wait", N_("Being prepared")),
        "open": ("wait", N_("Not paid yet")),
        "processing": ("info", N_("On its way")),
        "succeeded": ("good", N_("Received")),
        "failed": ("bad", N_("Failed")),
        "expired": ("wait", N_("Expired")),
        "parked": ("hold", N_("Parked")),
    },
    "payout": {
        "requested": ("wait", N_("Requested")),
        "transferred": ("info", N_("On its way")),
        "in_transit": ("info", N_("On its way")),
        "paid": ("good", N_("Paid")),
        "failed": ("bad", N_("Failed")),
        "returned": ("bad", N_("Returned")),
    },
    "call": {
        "pending": ("wait", N_("Not sent yet")),
        "sent": ("info", N_("Sent")),
        "unknown": ("warn", N_("Reply unknown")),
        "succeeded": ("good", N_("Done")),
        "failed": ("bad", N_("Failed")),
    },
    "notice": {
        "received": ("info", N_("Received")),
        "settled": ("good", N_("Booked")),
        "ignored": ("wait", N_("Ignored")),
    },
    "upload": {
        "receiving": ("wait", N_("Files are still coming")),
        "unpacking": ("live", N_("Being unpacked")),
        "reading": ("live", N_("Being read")),
        "waiting": ("warn", N_("Waits for you")),
        "listing": ("live", N_("Being listed")),
        "done": ("good", N_("Done")),
        "refused": ("bad", N_("Refused")),
        "dropped": ("wait", N_("Dropped")),
    },
    "row": {
        "unread": ("wait", N_("Not read yet")),
        "ready": ("info", N_("Ready")),
        "needs": ("warn", N_("Needs something")),
        "asked": ("live", N_("Being listed")),
        "listed": ("good", N_("Listed")),
        "held": ("hold", N_("Held for review")),
        "known": ("wait", N_("Listed already")),
        "refused": ("bad", N_("Refused")),
        "failed": ("bad", N_("Failed here")),
        "left": ("wait", N_("Left")),
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
