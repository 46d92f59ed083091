"""The one way through: every change, from any door, is a verb performed here. Nothing else commits."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, cast
from uuid import UUID

import psycopg
from flask import current_app, has_request_context
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from marketplace.audit.events import event_row, write_event, write_events
from marketplace.db import MEETING, STATEMENT_MS, NotConnected, db, driver, market_now
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
QUERY_CANCELED = "57014"
TRIES = 5
KEY_LENGTH_MAX = 255
LOCK_MS = 10_000
BEGINNING = text(
    "SELECT market_now() AS now, EXISTS (SELECT FROM log_halt) AS halted FROM "
    "(SELECT set_config('statement_timeout', :statement, true), set_config('lock_timeout', :lock, true)) AS limits"
)
HALTED = N_(
    "Nothing can be changed now: the records here are not the ones that were signed before, as after an old backup. "
    "All of them can still be read."
)
# What a statement that performs for several at once is made of: who asked, under which key, and what he is told.
ASKED = "$2::text[], $3::text[], $4::bytea[], $5::jsonb[]"
ASKED_COLUMNS = "actor, key, hash, told"
ASKED_GIVEN = 5
UNDONE = """NOT EXISTS (SELECT FROM log_halt) AND NOT EXISTS (SELECT FROM idempotency AS kept
    WHERE kept.actor = asked.actor AND kept.endpoint = $1 AND kept.key = asked.key)"""
KEEPING = """
    INSERT INTO idempotency (actor, endpoint, key, request_hash, result)
    SELECT actor, $1, key, hash, told FROM {done} AS done WHERE key IS NOT NULL ORDER BY actor, key"""

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


@dataclass(frozen=True)
class Asked:
    """A command on its way: whose it is, and the idempotency key it came under."""

    command: Any
    actor: Actor
    key: str | None = None


Outcome = Result | None  # of one of many: None where nothing was done and it is to be performed alone


@dataclass(frozen=True)
class Said:
    """A statement in the database's own words, what each is told whom it is done for, and what it is given."""

    statement: str
    results: Sequence[Result]
    given: Sequence[Any]


@dataclass(frozen=True)
class Together:
    """How a verb is performed for several at once: by one statement that judges, writes, and is its own transaction.

    It does it for those against whom it finds nothing, under UNDONE, with KEEPING, and returns their places, from 1.
    `say` is given who asked and the policy's version.
    """

    verb: Verb
    say: Callable[[Sequence[Asked], str], Said]


def perform(verb: Verb, command: Any, actor: Actor, *, idempotency_key: str | None = None) -> Result:
    """Check permission, run the verb in one transaction with its audit events, and commit.

    A request's own reading ends here, and gives its connection back. With an idempotency key the first result is kept
    and given again to the same actor for the same command.

    Raises: NotPermitted; IntegrityBreach("read_only") while the signer halts the market; Conflict or InvalidInput for
    a key in use; whatever the verb raises. Nothing changes then.
    """
    if actor.role not in verb.roles:
        raise NotPermitted("not_permitted", N_("Your role may not do this."))
    if has_request_context():
        db.session.rollback()  # a door that has read holds a connection: with many, none would be left for a verb's own
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


def perform_together(how: Together, asked: Sequence[Asked]) -> list[Outcome]:
    """Perform a verb for several actors in one transaction; return what became of each, in their order.

    Each has its own permission, key, verdict and events, which the database demands as ever. Whoever something speaks
    against is left to be performed alone, and told there what; all are when the database refuses the whole. No two
    of them may share actor and key.

    Raises: DBAPIError when it cannot be known whether the transaction stands.
    """
    policy: Policy = current_app.extensions["duebill"].policy
    may = [place for place, one in enumerate(asked) if one.actor.role in how.verb.roles and _sound_key(one.key)]
    outcomes: list[Outcome] = [None] * len(asked)
    if not may:
        return outcomes
    those = [asked[place] for place in may]
    said = how.say(those, policy.version)
    failpoints.reach(failpoints.Place.BEFORE_COMMIT, how.verb.name)
    try:
        with driver(db.engines[MEETING], outright=True) as connection:
            # In the database's own words: a statement this long the driver would read anew each time.
            done = psycopg.RawCursor(connection).execute(
                said.statement, [how.verb.name, *_keys(those, said.results), *said.given], prepare=True
            ).fetchall()  # fmt: skip
    except NotConnected:
        return outcomes
    except DBAPIError as error:
        if not _is_undone(error):
            raise
        return outcomes
    if done:
        failpoints.reach(failpoints.Place.AFTER_COMMIT, how.verb.name)
    for (nth,) in done:
        outcomes[may[nth - 1]] = said.results[nth - 1]
    return outcomes


def _keys(asked: Sequence[Asked], results: Sequence[Result]) -> list[list[Any]]:
    """Return what ASKED is given: whose, under which key, what of, and what is kept; nothing where there is no key."""
    rows = [
        (None, None, None, None) if one.key is None
        else (_who(one.actor), one.key, _hash(one.command), canonical_bytes(result).decode())
        for one, result in zip(asked, results, strict=True)
    ]  # fmt: skip
    return [list(column) for column in zip(*rows, strict=True)]


def _is_undone(error: DBAPIError) -> bool:
    """Tell whether the server has said, over a connection that lives, that nothing of the transaction stands."""
    state = str(getattr(error.orig, "sqlstate", None) or "")
    return not error.connection_invalidated and (state[:2] in ("22", "23", "40", "55") or state == QUERY_CANCELED)


def _sound_key(key: str | None) -> bool:
    return key is None or (1 <= len(key) <= KEY_LENGTH_MAX and key.isprintable())


def _hash(command: Any) -> bytes:
    return hashlib.sha256(repr(command).encode()).digest()


def _kept(request_hash: bytes, result: Any, command: Any) -> Result:
    """Return the result kept under a key.

    Raises: Conflict("request_in_flight"), InvalidInput("idempotency_key_reused").
    """
    if result is None:
        raise Conflict("request_in_flight", N_("The same request is still being worked on."))
    if bytes(request_hash) != _hash(command):
        raise InvalidInput("idempotency_key_reused", N_("This idempotency key was used for another request."))
    return cast(Result, result)


def _claim_key(session: Session, verb: Verb, command: Any, actor: Actor, key: str) -> Result | None:
    """Take the key, or return the result kept under it.

    Raises: Conflict("request_in_flight"), InvalidInput("idempotency_key_reused").
    """
    if not 1 <= len(key) <= KEY_LENGTH_MAX or not key.isprintable():
        raise InvalidInput("idempotency_key", N_("An idempotency key has 1 to 255 characters."))
    request_hash = _hash(command)
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
    if kept is None:
        raise Conflict("request_in_flight", N_("The same request is still being worked on."))
    return _kept(kept.request_hash, kept.result, command)


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
