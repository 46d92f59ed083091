"""Body of the job `ask_registry`: work out claims, ask the registry outside any transaction, write down its answers.

When the registry does not answer, nothing is lost and nothing is assumed: what waits goes on waiting, and the registry
is asked again later each time.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from marketplace.db import db
from marketplace.exchange import queries, rules
from marketplace.exchange.actions import check_claims, note_registry, record_exchange_answer
from marketplace.exchange.client import Registry, RegistryMistrusted, RegistryRefuses, RegistrySilent
from marketplace.exchange.rules import Operation
from marketplace.exchange.schemas import Answered, CheckClaims, NoteRegistry, RecordExchangeAnswer
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import GatewayFailed, MarketplaceError
from marketplace.perform import perform

log = logging.getLogger(__name__)
STATES = {RegistrySilent: "silent", RegistryRefuses: "refusing", RegistryMistrusted: "mistrusted"}


@dataclass(frozen=True)
class Question:
    """One claim that something is to be asked about."""

    receivable_id: UUID
    claim_id: UUID
    claim: bytes
    pseudonym: bytes | None
    operation: Operation
    reason: str


def run_exchange(batch: int = 50) -> int:
    """Do what is due, for at most `batch` receivables at each step; return how many were dealt with."""
    exchange = queries.settings()
    if not exchange.key:
        return 0
    done = _check(batch)
    if not exchange.asks:
        return done
    with Session(db.engine) as session:
        if not queries.registry_due(session):
            return done
        questions, resting = _questions(session, batch)
        answering = queries.registry(session).state == "answering"
    for receivable_id in resting:
        _write_down(receivable_id, [])
    registry = Registry(exchange.url, exchange.key_id, exchange.secret, exchange.mode, exchange.public_key)
    if not questions and answering:
        return done
    try:
        if not answering:
            _known_again(registry)
        for asked in _alike(questions, queries.policy().batch_max):
            done += _ask(registry, asked)
    except GatewayFailed as failure:
        log.warning("registry: %s", failure.code)
        note = NoteRegistry(STATES.get(type(failure), "silent"), failure.code)
        perform(note_registry, note, Actor.system("ask_registry"))
    return done


def _check(batch: int) -> int:
    with Session(db.engine) as session:
        found = queries.to_check(session, batch)
    for receivable_id in found:
        try:
            perform(check_claims, CheckClaims(receivable_id), Actor.system("ask_registry"))
        except MarketplaceError as poison:  # what is wrong with one must not hold up the others
            log.error("claims of %s: %s", receivable_id, poison.code)
    return len(found)


def _known_again(registry: Registry) -> None:
    """See that the registry is the one expected, and note that it answers. Raises: GatewayFailed."""
    told = registry.about()
    needed = queries.policy()
    if told.get("lease_days", 0) < needed.lease_days or told.get("batch_max", 0) < needed.batch_max:
        raise RegistryMistrusted(
            "other_terms", "The registry’s leases or batches are shorter than this market counts on."
        )
    perform(note_registry, NoteRegistry("answering"), Actor.system("ask_registry"))


def _questions(session: Session, batch: int) -> tuple[list[Question], list[UUID]]:
    """Return what is to be asked about the receivables that are due, and those of them that need nothing now."""
    now: datetime = session.execute(select(func.market_now())).scalar_one()
    found: list[Question] = []
    watches = queries.to_ask(session, batch)
    for watch in watches:
        for row in queries.claims_of(session, watch.receivable_id):
            operation = rules.next_operation(watch.wanted, row.state, row.leased_until, now, queries.policy())
            if operation is not None:
                name = bytes(row.pseudonym) if row.pseudonym else None
                found.append(Question(watch.receivable_id, row.id, bytes(row.claim), name, operation,
                                      watch.reason or "error"))  # fmt: skip
    asked = {one.receivable_id for one in found}
    return found, [watch.receivable_id for watch in watches if watch.receivable_id not in asked]


def _alike(questions: Sequence[Question], most: int) -> Iterator[list[Question]]:
    """Group by operation, a receivable's claims together, into batches that a registry takes."""
    for operation in Operation:
        of_one = [one for one in questions if one.operation == operation]
        while of_one:
            cut = len(of_one)
            if cut > most:
                cut = most
                while cut > 1 and of_one[cut].receivable_id == of_one[cut - 1].receivable_id:
                    cut -= 1
            yield of_one[:cut]
            of_one = of_one[cut:]


def _ask(registry: Registry, asked: Sequence[Question]) -> int:
    """Ask about one batch and write the answers down, receivable by receivable; return how many of these there were."""
    names = _names(registry, asked)
    reasons = {names[one.claim_id]: one.reason for one in asked}
    said = dict(zip(reasons, registry.ask(asked[0].operation, list(reasons), list(reasons.values())), strict=True))
    kept = registry.mode == "oblivious"
    answers: dict[UUID, list[Answered]] = {}
    for one in asked:
        name = names[one.claim_id]
        answered = Answered(one.claim_id, str(one.operation), said[name], name if kept else None)
        answers.setdefault(one.receivable_id, []).append(answered)
    for receivable_id, mine in answers.items():
        _write_down(receivable_id, mine)
    return len(answers)


def _write_down(receivable_id: UUID, answers: Sequence[Answered]) -> None:
    """Keep the answers. What is wrong with one must not hold up the others; the registry will say the same again."""
    try:
        perform(record_exchange_answer, RecordExchangeAnswer(receivable_id, answers), Actor.system("ask_registry"))
    except MarketplaceError as poison:
        log.error("answer for %s: %s", receivable_id, poison.code)


def _names(registry: Registry, asked: Sequence[Question]) -> dict[UUID, bytes]:
    """Return what each claim is called at the registry: itself, or the pseudonym that only both together can make."""
    if registry.mode != "oblivious":
        return {one.claim_id: one.claim for one in asked}
    names = {one.claim_id: one.pseudonym for one in asked if one.pseudonym}
    new = [one for one in asked if not one.pseudonym]
    if new:
        names |= dict(zip([one.claim_id for one in new], registry.pseudonyms([one.claim for one in new]), strict=True))
    return names
