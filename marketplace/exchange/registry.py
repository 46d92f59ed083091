"""A registry's verbs: peers, their requests, leases. Whoever registers a claim first has it until it is let go.

Every request that was signed rightly is one transaction with one audit event, whatever was answered.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from marketplace.exchange.rules import Answer, Operation
from marketplace.exchange.schemas import AddPeer, AnswerPeer, OpenRegistry, RevokePeer, SweepRegistry
from marketplace.exchange.states import HeldState
from marketplace.exchange.tables import BookRow, HeldRow, KeyRow, NonceRow, PeerRow
from marketplace.kernel.errors import Conflict, InvalidInput, NotFound, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx

H = HeldState
EVALUATE = "evaluate"
BOOK_ID = UUID(int=0)  # the subject of events about the registry as a whole


@verb("open_registry")
def open_registry(tx: Tx, command: OpenRegistry) -> Result:
    """Settle, once, in which mode this registry serves and with which key: claims of two modes never meet.

    Raises: RuleBroken("other_mode", "other_key").
    """
    book = tx.session.get(BookRow, True)
    if book is None:
        tx.session.add(BookRow(mode=command.mode, public_key=command.public_key, opened_at=tx.now))
        tx.session.flush()
    elif book.mode != command.mode:
        raise RuleBroken("other_mode", N_("This registry was opened in mode %(mode)s and stays there: claims of one "
                                          "mode are unknown in the other."), {"mode": book.mode})  # fmt: skip
    elif book.public_key != command.public_key:
        raise RuleBroken("other_key", N_("This registry’s key is not the one it was opened with: what was registered "
                                         "would not be found again."))  # fmt: skip
    tx.record("registry", BOOK_ID, after={"mode": command.mode, "public_key": command.public_key})
    return {"mode": command.mode, "public_key": command.public_key}


@verb("add_peer")
def add_peer(tx: Tx, command: AddPeer) -> Result:
    """Give a peer a key. A known peer gets a further one: both work until one is revoked.

    Raises: InvalidInput("bad_name"); Conflict("key_taken").
    """
    if not 1 <= len(command.name) <= 100 or not command.name.isprintable():
        raise InvalidInput("bad_name", N_("A peer’s name has 1 to 100 visible characters."))
    tx.session.execute(
        pg_insert(PeerRow).values(id=new_id(), name=command.name, added_at=tx.now).on_conflict_do_nothing()
    )
    peer = tx.session.execute(select(PeerRow).where(PeerRow.name == command.name)).scalar_one()
    if tx.session.get(KeyRow, command.key_id) is not None:
        raise Conflict("key_taken", N_("There is such a key already."))
    tx.session.add(KeyRow(key_id=command.key_id, peer_id=peer.id, issued_at=tx.now))
    tx.session.flush()
    tx.record("peer", peer.id, after={"name": peer.name, "key_id": command.key_id})
    return {"peer_id": peer.id, "name": peer.name, "key_id": command.key_id}


@verb("revoke_peer")
def revoke_peer(tx: Tx, command: RevokePeer) -> Result:
    """End a key at once. What the peer holds stays held: a claim does not become free because a key does.

    Raises: NotFound; Conflict("revoked").
    """
    row = tx.session.get(KeyRow, command.key_id, with_for_update=True)
    if row is None:
        raise NotFound("not_found", N_("There is no such key."))
    if row.revoked_at is not None:
        raise Conflict("revoked", N_("This key was revoked already."))
    row.revoked_at = tx.now
    tx.session.flush()
    tx.record("peer", row.peer_id, after={"key_id": row.key_id, "revoked_at": row.revoked_at})
    return {"peer_id": row.peer_id, "key_id": row.key_id, "revoked_at": row.revoked_at}


@verb("answer_peer")
def answer_peer(tx: Tx, command: AnswerPeer) -> Result:
    """Do what a peer asks of some claims, or refuse a request that is too old or came before; both are recorded.

    The result is `{"answers": [{"known", "state", "yours"}]}` in the order asked, or `{"refused": code}`.
    """
    refused = _refusal(tx, command)
    answers: list[Answer] = []
    if refused is None and command.operation != EVALUATE:
        answers = _work(tx, command)
    tx.record("peer", command.peer_id, after={
        "operation": command.operation, "key_id": command.key_id, "refused": refused, "elements": command.elements,
        "claims": [hashlib.sha256(claim).hexdigest() for claim in command.claims],
        "answers": [f"{answer.state}{'*' if answer.yours else ''}" for answer in answers]})  # fmt: skip
    if refused is not None:
        return {"refused": refused}
    return {"answers": [{"known": one.known, "state": one.state, "yours": one.yours} for one in answers]}


def _refusal(tx: Tx, command: AnswerPeer) -> str | None:
    """Return why a signed request is not worked on, if so: judged by the database's clock and its own memory."""
    real: datetime = tx.session.execute(
        select(func.clock_timestamp())
    ).scalar_one()  # a demonstration's clock may be ahead
    if abs(real.timestamp() - command.seconds) > tx.policy.exchange.clock_skew_seconds:
        return "expired"
    first = tx.session.execute(
        pg_insert(NonceRow).values(key_id=command.key_id, nonce=command.nonce, at=tx.now)
        .on_conflict_do_nothing().returning(NonceRow.nonce)
    ).first()  # fmt: skip
    return None if first else "replayed"


def _work(tx: Tx, command: AnswerPeer) -> list[Answer]:
    """Carry out one operation on every claim, in the order of claims so that two requests never wait crosswise."""
    wanted = sorted(zip(command.claims, command.reasons or [""] * len(command.claims), strict=True))
    mine = (HeldRow.peer_id == command.peer_id, HeldRow.claim.in_([claim for claim, _ in wanted]))
    lease = tx.now + timedelta(days=tx.policy.exchange.lease_days)
    if command.operation == Operation.REGISTER:
        for claim, _ in wanted:
            _register(tx, claim, command.peer_id, lease)
    elif command.operation == Operation.RENEW:
        _change(tx, *mine, HeldRow.state == H.REGISTERED, HeldRow.leased_until > tx.now, leased_until=lease)
    elif command.operation == Operation.FINANCE:
        _change(tx, *mine, HeldRow.state == H.REGISTERED, HeldRow.leased_until > tx.now, state=str(H.FINANCED),
                leased_until=None, financed_at=tx.now)  # fmt: skip
    elif command.operation == Operation.RELEASE:
        for claim, reason in wanted:
            _change(tx, mine[0], HeldRow.claim == claim, HeldRow.state != H.RELEASED, state=str(H.RELEASED),
                    leased_until=None, released_at=tx.now, reason=reason)  # fmt: skip
    return _answers(tx, command.claims, command.peer_id)


def _register(tx: Tx, claim: bytes, peer_id: UUID, lease: Any) -> None:
    """Enter a claim unless a live one stands; one whose lease is over gives way. The unique index decides."""
    _change(tx, HeldRow.claim == claim, HeldRow.state == H.REGISTERED, HeldRow.leased_until <= tx.now,
            state=str(H.RELEASED), leased_until=None, released_at=tx.now, reason="lapsed")  # fmt: skip
    tx.session.execute(
        pg_insert(HeldRow)
        .values(id=new_id(), claim=claim, peer_id=peer_id, registered_at=tx.now, leased_until=lease)
        .on_conflict_do_nothing(index_elements=["claim"], index_where=text("state <> 'released'"))
    )


def _change(tx: Tx, *where: Any, **values: Any) -> None:
    tx.session.execute(update(HeldRow).where(*where).values(**values).execution_options(synchronize_session=False))


def _answers(tx: Tx, claims: Sequence[bytes], peer_id: UUID) -> list[Answer]:
    """Say of each claim whether somebody has it now, and how. A lease that is over counts for nothing."""
    rows = tx.session.execute(
        select(HeldRow.claim, HeldRow.state, HeldRow.peer_id).where(
            HeldRow.claim.in_(list(claims)), HeldRow.state != H.RELEASED,
            (HeldRow.state == H.FINANCED) | (HeldRow.leased_until > tx.now))
    )  # fmt: skip
    held = {bytes(row.claim): row for row in rows}
    found = [held.get(claim) for claim in claims]
    return [Answer(row is not None, row.state if row else "none", bool(row and row.peer_id == peer_id))
            for row in found]  # fmt: skip


@verb("sweep_registry")
def sweep_registry(tx: Tx, command: SweepRegistry) -> Result:
    """Let leases lapse, and forget nonces older than any request that would still be taken."""
    due = (
        select(HeldRow.id).where(HeldRow.state == H.REGISTERED, HeldRow.leased_until <= func.market_now())
        .order_by(HeldRow.leased_until).limit(command.batch).with_for_update(skip_locked=True)
    )  # fmt: skip
    lapsed = list(tx.session.execute(due).scalars())
    _change(tx, HeldRow.id.in_(lapsed), state=str(H.RELEASED), leased_until=None, released_at=tx.clock(),
            reason="lapsed")  # fmt: skip
    old = tx.now - timedelta(seconds=3 * tx.policy.exchange.clock_skew_seconds)
    forgotten = tx.session.execute(delete(NonceRow).where(NonceRow.at < old).returning(NonceRow.nonce)).all()
    tx.record("registry", BOOK_ID, after={"lapsed": len(lapsed), "forgotten": len(forgotten)})
    return {"lapsed": len(lapsed), "forgotten": len(forgotten)}
