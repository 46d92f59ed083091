"""The one way through: every change, from any door, is a verb performed here. Nothing else commits."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, cast
from uuid import UUID

from flask import current_app
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from marketplace.audit.events import event_row, write_event, write_events
from marketplace.db import db, market_now
from marketplace.kernel import failpoints
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.canonical import canonical_bytes, jsonable
from marketplace.kernel.clock import business_date
from marketplace.kernel.errors import Conflict, IntegrityBreach, InvalidInput, NotPermitted
from marketplace.kernel.policy import Policy
from marketplace.kernel.words import N_

# Serialization failure and deadlock: the whole transaction may be tried again.
RETRIED = {"40001", "40P01"}
LOCK_NOT_AVAILABLE = "55P03"
TRIES = 5
KEY_LENGTH_MAX = 255
STATEMENT_MS = 30_000
LOCK_MS = 10_000
BEGINNING = text(
    "SELECT market_now() AS now, EXISTS (SELECT FROM log_halt) AS halted FROM "
    "(SELECT set_config('statement_timeout', :statement, true), set_config('lock_timeout', :lock, true)) AS limits"
)
HALTED = N_(
    "Nothing can be changed now: the records here are not the ones that were signed before, as after an old backup. "
    "All of them can still be read."
)

Result = dict[str, Any]


@dataclass
class Tx:
    """One transaction as a verb sees it."""

    session: Session
    actor: Actor
    verb: str
    now: datetime
    policy: Policy
    events: int = field(default=0)

    @property
    def today(self) -> date:
        """The business date in the market's zone."""
        return business_date(self.now, self.policy.zone)

    def clock(self) -> datetime:
        """Return the database's market clock at this moment: use it after taking locks."""
        return market_now(self.session)

    def record(
        self,
        subject_kind: str,
        subject_id: UUID,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        reason: str | None = None,
        versions: Mapping[str, Any] | None = None,
        verb: str | None = None,
    ) -> UUID:
        """Write one audit event in this transaction. No personal data in clear: ids, figures, hashes."""
        self.events += 1
        return write_event(
            self.session,
            verb=verb or self.verb,
            actor=self.actor,
            subject_kind=subject_kind,
            subject_id=subject_id,
            changes={"before": before, "after": after, "reason": reason, "versions": versions},
            policy_version=self.policy.version,
        )

    def record_many(
        self, subject_kind: str, verb: str,
        subjects: Sequence[tuple[UUID, Mapping[str, Any] | None, Mapping[str, Any]]], *, reason: str | None = None,
    ) -> None:  # fmt: skip
        """Write an event for each (subject's id, before, after), in as many statements as one event takes."""
        self.events += len(subjects)
        write_events(
            self.session, verb=verb, actor=self.actor, subject_kind=subject_kind,
            subjects=[(subject, {"before": before, "after": after, "reason": reason})
                      for subject, before, after in subjects],
            policy_version=self.policy.version,
        )  # fmt: skip

    def told(
        self, at: datetime, subject_kind: str, subject_id: UUID, verb: str, after: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return an event's row for a statement that writes it together with what it tells of; `at` is the clock's."""
        self.events += 1
        return event_row(at, verb=verb, actor=self.actor, subject_kind=subject_kind, subject_id=subject_id,
                         changes={"after": after}, policy_version=self.policy.version)  # fmt: skip


@dataclass(frozen=True)
class Verb:
    """A change that can be performed: its name, who may, and the function that tells its story."""

    name: str
    run: Callable[[Tx, Any], Result]
    roles: frozenset[Role]

    def __call__(self, tx: Tx, command: Any) -> Result:
        """Run inside a transaction that another verb already holds."""
        return self.run(tx, command)


def perform(verb: Verb, command: Any, actor: Actor, *, idempotency_key: str | None = None) -> Result:
    """Check permission, run the verb in one transaction with its audit events, and commit.

    With an idempotency key the first result is kept and given again to the same actor for the same command.

    Raises: NotPermitted; IntegrityBreach("read_only") while the signer halts the market; Conflict or InvalidInput for
    a key in use; whatever the verb raises. Nothing changes then.
    """
    if actor.role not in verb.roles:
        raise NotPermitted("not_permitted", N_("Your role may not do this."))
    for attempt in range(1, TRIES + 1):
        try:
            result = _attempt(verb, command, actor, idempotency_key)
            failpoints.reach(failpoints.Place.AFTER_COMMIT, verb.name)
            return result
        except DBAPIError as error:
            if attempt == TRIES or getattr(error.orig, "sqlstate", None) not in RETRIED:
                raise
            time.sleep(0.01 * 2**attempt)
    raise AssertionError("unreachable")


def _attempt(verb: Verb, command: Any, actor: Actor, key: str | None) -> Result:
    policy: Policy = current_app.extensions["duebill"].policy
    with Session(db.engine, expire_on_commit=False) as session, session.begin():
        now, halted = session.execute(BEGINNING, {"statement": str(STATEMENT_MS), "lock": str(LOCK_MS)}).one()
        if halted:
            raise IntegrityBreach("read_only", HALTED)
        if key is not None:
            earlier = _claim_key(session, verb, command, actor, key)
            if earlier is not None:
                return earlier
        tx = Tx(session, actor, verb.name, now, policy)
        result = cast(Result, jsonable(verb.run(tx, command)))
        if tx.events == 0:
            raise IntegrityBreach("no_event", "A verb must leave an audit event.")
        session.flush()
        if key is not None:
            _keep_result(session, verb, actor, key, result)
        failpoints.reach(failpoints.Place.BEFORE_COMMIT, verb.name)
        return result


def _claim_key(session: Session, verb: Verb, command: Any, actor: Actor, key: str) -> Result | None:
    """Take the key, or return the result kept under it.

    Raises: Conflict("request_in_flight"), InvalidInput("idempotency_key_reused").
    """
    if not 1 <= len(key) <= KEY_LENGTH_MAX or not key.isprintable():
        raise InvalidInput("idempotency_key", N_("An idempotency key has 1 to 255 characters."))
    request_hash = hashlib.sha256(repr(command).encode()).digest()
    who = _who(actor)
    session.execute(text("SET LOCAL lock_timeout = 2000"))
    try:
        taken = session.execute(
            text(
                "INSERT INTO idempotency (actor, endpoint, key, request_hash) "
                "VALUES (:actor, :endpoint, :key, :hash) ON CONFLICT DO NOTHING RETURNING key"
            ),
            {"actor": who, "endpoint": verb.name, "key": key, "hash": request_hash},
        ).first()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
            raise Conflict("request_in_flight", N_("The same request is still being worked on.")) from error
        raise
    session.execute(text(f"SET LOCAL lock_timeout = {LOCK_MS}"))
    if taken:
        return None
    kept = session.execute(
        text(
            "SELECT request_hash, result FROM idempotency WHERE actor = :actor AND endpoint = :endpoint AND key = :key"
        ),
        {"actor": who, "endpoint": verb.name, "key": key},
    ).one_or_none()
    if kept is None or kept.result is None:
        raise Conflict("request_in_flight", N_("The same request is still being worked on."))
    if bytes(kept.request_hash) != request_hash:
        raise InvalidInput("idempotency_key_reused", N_("This idempotency key was used for another request."))
    return cast(Result, kept.result)


def _who(actor: Actor) -> str:
    """Return whose key it is. Two organisations never share one, however they sign in."""
    return f"{actor.user_id or actor.on_behalf_of or actor.role}@{actor.organisation_id}"


def _keep_result(session: Session, verb: Verb, actor: Actor, key: str, result: Result) -> None:
    session.execute(
        text(
            "UPDATE idempotency SET result = CAST(:result AS jsonb) "
            "WHERE actor = :actor AND endpoint = :endpoint AND key = :key"
        ),
        {
            "actor": _who(actor),
            "endpoint": verb.name,
            "key": key,
            "result": canonical_bytes(result).decode(),
        },
    )
