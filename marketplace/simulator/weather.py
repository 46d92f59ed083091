"""Misfortunes, chosen by the dice: where a process dies, what the provider does wrong, how its events come."""

import random
from collections.abc import Iterator

from marketplace.kernel.failpoints import Place as At

PLACES_AT_ONCE = 4
SOMETIMES_AT_ONCE = 3
RARE = 0.12
FAULTS = ("kills", "provider", "webhooks", "database", "clock")
# Each place where a process may die, for the two kinds of process. Every one has its turn before any has a second.
WEB_PLACES = (
    (At.BEFORE_COMMIT, ""), (At.AFTER_COMMIT, ""), (At.BEFORE_COMMIT, "receive_event"),
    (At.AFTER_COMMIT, "receive_event"), (At.RECORDED, "webhook"), (At.BEFORE_COMMIT, "fund_account"),
    (At.AFTER_COMMIT, "place_bid"), (At.BEFORE_SEND, "checkout"), (At.ACCEPTED, ""), (At.ANSWERED, "checkout"),
    (At.RECORDED, "checkout"), (At.AFTER_COMMIT, "withdraw_cash"), (At.BEFORE_COMMIT, "accept_award"),
)  # fmt: skip
WORKER_PLACES = (
    (At.BEFORE_SEND, ""), (At.ACCEPTED, ""), (At.ANSWERED, ""), (At.RECORDED, ""),
    *((place, kind) for kind in ("transfer", "payout", "account", "customer", "reversal")
      for place in (At.BEFORE_SEND, At.ANSWERED, At.RECORDED)),
    *((place, verb) for verb in ("claim_call", "confirm_call", "fail_call", "settle_event", "apply_debtor_payment",
                                 "settle_award", "write_notice", "reverse_receipt", "close_lot", "open_lot",
                                 "rate_receivable", "reconcile", "age_receivable", "expire_award", "postpone_event")
      for place in (At.BEFORE_COMMIT, At.AFTER_COMMIT)),
)  # fmt: skip
API_FAULTS = ("slow", "error_500", "conflict_409", "rate_429", "reset_before", "refuse", "error_500_after",
              "timeout_after", "reset_mid_body")  # fmt: skip
REFUSABLE = "/v1/(payouts|checkout.*|transfers)$"


def plans(dice: random.Random, places: tuple[tuple[At, str], ...]) -> Iterator[str]:
    """Yield one plan after another for a process to die by, in rounds of all places in random order.

    A plan names PLACES_AT_ONCE of them; the process dies at whichever it comes to first.
    """
    while True:
        places_left = dice.sample(places, len(places))
        while places_left:
            chosen, places_left = places_left[:PLACES_AT_ONCE], places_left[PLACES_AT_ONCE:]
            yield ",".join(f"{at}{'@' + what if what else ''}:{dice.choice((1, 1, 1, 2, 3))}" for at, what in chosen)


def api_fault(dice: random.Random) -> dict[str, object]:
    """Return a misfortune for the provider's next requests."""
    action = dice.choice(API_FAULTS)
    return {"action": action, "path": REFUSABLE if action == "refuse" else ".*", "method": "POST",
            "times": dice.randint(1, 3), "seconds": 0.02}  # fmt: skip


def delivery(dice: random.Random) -> dict[str, object]:
    """Return how events are delivered from now on."""
    return {"delivery_mode": dice.choice(("normal", "normal", "normal", "hold", "drop")),
            "delivery_copies": dice.choice((1, 1, 3)), "delivery_shuffle": dice.random() < 0.5}  # fmt: skip


def jobs(dice: random.Random, often: tuple[str, ...], sometimes: tuple[str, ...], rarely: tuple[str, ...]) -> list[str]:
    """Return the jobs of one tick, in the order in which their threads happen to have their turn."""
    chosen = dice.sample(often, len(often)) + dice.sample(sometimes, SOMETIMES_AT_ONCE)
    return chosen + [name for name in rarely if dice.random() < RARE]
