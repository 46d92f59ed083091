"""What to ask next, what an answer means, and how long to wait. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from marketplace.exchange.states import ClaimState
from marketplace.kernel.policy import Exchange

S = ClaimState
REGISTERED, FINANCED, RELEASED = "registered", "financed", "released"
REGISTRY = "registry"
SILENCE_FIRST, SILENCE_MAX = timedelta(seconds=5), timedelta(minutes=15)


class Operation(StrEnum):
    """What a peer may ask of a registry about claims."""

    QUERY = "query"
    REGISTER = "register"
    RENEW = "renew"
    FINANCE = "finance"
    RELEASE = "release"


ASKING = frozenset({Operation.QUERY, Operation.REGISTER})
REASONS = frozenset({"repaid", "bought_back", "withdrawn", "rejected", "expired", "error"})


@dataclass(frozen=True)
class Answer:
    """All that is said of a claim: whether anybody has it, in which state, and whether that is who asks."""

    known: bool
    state: str
    yours: bool

    @property
    def contrary(self) -> bool:
        """Whether somebody else has it."""
        return self.known and not self.yours


def next_operation(
    wanted: str, state: str, leased_until: datetime | None, now: datetime, policy: Exchange
) -> Operation | None:
    """Return what to ask for one claim now, if anything."""
    if wanted == RELEASED:
        return Operation.RELEASE if state in (S.REGISTERED, S.FINANCED) else None
    if state in (S.UNASKED, S.RELEASED, S.ELSEWHERE):
        return Operation.REGISTER
    if state != S.REGISTERED:
        return None
    if wanted == FINANCED:
        return Operation.FINANCE
    due = leased_until is None or leased_until - timedelta(days=policy.renew_days) <= now
    return Operation.RENEW if due else None


def state_after(operation: str, answer: Answer) -> ClaimState:
    """Return how a claim of ours stands after an answer."""
    if answer.yours:
        return S(answer.state)
    if operation == Operation.RELEASE:
        return S.RELEASED
    return S.ELSEWHERE if answer.known else S.UNASKED


def next_at(
    wanted: str, states: Sequence[tuple[str, datetime | None]], now: datetime, policy: Exchange
) -> datetime | None:
    """Return when a receivable's claims, each with its state and lease, need another look; None when never."""
    wishes: list[datetime] = []
    for state, leased_until in states:
        if state == S.ELSEWHERE and wanted != RELEASED:
            wishes.append(now + timedelta(hours=policy.ask_again_hours))
        elif next_operation(wanted, state, leased_until, now, policy):
            wishes.append(now)
        elif state == S.REGISTERED and leased_until is not None:
            wishes.append(leased_until - timedelta(days=policy.renew_days))
    return min(wishes, default=None)


def silence(attempts: int) -> timedelta:
    """Return how long to leave a registry alone that did not answer for the nth time: 5 s, 10 s … 15 minutes."""
    doubled: int = 2 ** min(max(attempts - 1, 0), 12)
    return min(SILENCE_FIRST * doubled, SILENCE_MAX)
