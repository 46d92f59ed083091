"""The signer: re-reads and re-hashes what was stored, proves it extends what it signed before, and signs it.

It trusts neither the stored leaf hashes nor the stored tree, only the file in which it keeps the last size and root
it signed. Going backwards, as after an old backup was restored, is refused. Source: C2SP tlog-checkpoint.
"""

import base64
import contextlib
import fcntl
import json
import logging
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, pool, text

from marketplace.audit.keys import (
    SignerKey,
    generate_key,
    parse_verifier_key,
    read_key,
    rotation_note,
    sign_note,
)  # fmt: skip
from marketplace.audit.merkle import EMPTY_ROOT, Frontier, consistency_proof, leaf_hash, verify_consistency
from marketplace.audit.sequencer import node_reader, stored_frontier, stored_size
from marketplace.kernel.errors import IntegrityBreach, MarketplaceError
from marketplace.kernel.files import write_whole

log = logging.getLogger(__name__)
CHUNK = 5_000
BUSY_SECONDS = 5.0
IDLE_SECONDS = 5.0
# What is there is not what was signed: an old backup was restored, or somebody rewrote the past.
HALTING = {"log_went_back", "history_rewritten"}


@dataclass(frozen=True)
class SignerPlace:
    """Where the signer works: its database address, its own folder, and folders of witnesses."""

    database_url: str
    folder: Path
    witnesses: Sequence[Path] = ()

    @property
    def key_file(self) -> Path:
        """The private key."""
        return self.folder / "key"

    @property
    def state_file(self) -> Path:
        """The last size, root and note it signed."""
        return self.folder / "state.json"


@dataclass(frozen=True)
class Signed:
    """A checkpoint: the size and root of the log, and the note that says so."""

    size: int
    root: bytes
    note: str


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """Return the text that is signed: origin, size, root. Source: C2SP tlog-checkpoint, "Note text"."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def ensure_key(place: SignerPlace, name: str) -> SignerKey:
    """Return the signer's key, making one for a signer that has never signed.

    Raises: IntegrityBreach when it has signed before and its key is gone.
    """
    with _alone(place):
        if place.key_file.exists():
            return read_key(place.key_file)
        if place.state_file.exists():
            raise IntegrityBreach("key_lost", "This signer has signed before, but its key is gone.")
        return generate_key(place.key_file, name)


def sign_once(place: SignerPlace, engine: Engine) -> Signed | None:
    """Sign what was placed since the last checkpoint; return it, or None when there is nothing new.

    Raises: IntegrityBreach when the stored log is shorter than, or differs from, what was signed before.
    """
    with _alone(place):
        key = read_key(place.key_file)
        last = read_state(place)
        frozen = engine.execution_options(isolation_level="REPEATABLE READ")
        with frozen.begin() as connection:
            fresh = _extend(connection, last, key)
        if fresh is not None:
            _write_state(place, fresh)
        newest = fresh or (last if last.size else None)
        if newest is not None:
            _publish(place, engine, newest, key)
        return fresh


def run_signer(place: SignerPlace, stop: threading.Event | None = None) -> None:
    """Sign for ever, every few seconds while there is something new."""
    stop = stop or threading.Event()
    engine = create_engine(place.database_url, poolclass=pool.NullPool)
    while not stop.is_set():
        signed = sign_or_tell(place, engine)
        stop.wait(BUSY_SECONDS if signed else IDLE_SECONDS)


def sign_or_tell(place: SignerPlace, engine: Engine) -> Signed | None:
    """Sign what is new. A breach is logged and never signed; a log that is not the signed one halts the market."""
    try:
        signed = sign_once(place, engine)
        _halt(engine, None)
    except IntegrityBreach as breach:
        (place.folder / "refused").write_text(f"{breach}\n", encoding="utf-8")
        log.critical("the signer refuses: %s", breach)
        if breach.code in HALTING:
            _halt(engine, breach)
    except MarketplaceError as error:
        log.error("the signer cannot sign: %s", error)
    except Exception:
        log.exception("the signer could not reach what it signs")
    else:
        (place.folder / "refused").unlink(missing_ok=True)
        return signed
    return None


def _halt(engine: Engine, breach: IntegrityBreach | None) -> None:
    """Say that nothing may be changed, and why; or that it may again."""
    with engine.begin() as connection:
        if breach is None:
            connection.execute(text("DELETE FROM log_halt"))
            return
        connection.execute(
            text("INSERT INTO log_halt (code, words) VALUES (:code, :words) ON CONFLICT DO NOTHING"),
            {"code": breach.code, "words": breach.said()},
        )


def read_state(place: SignerPlace) -> Signed:
    """Return what was signed last; the empty log when nothing was."""
    if not place.state_file.exists():
        return Signed(0, EMPTY_ROOT, "")
    kept = json.loads(place.state_file.read_text(encoding="utf-8"))
    return Signed(int(kept["size"]), bytes.fromhex(kept["root"]), str(kept["note"]))


def rotate_key(place: SignerPlace, engine: Engine, new: SignerKey) -> str:
    """Hand over to a new key: publish the statement signed by both, then put the new key in the old one's place.

    The statement is published first; if the process dies before the key file is replaced, running it again with the
    same new key finishes the work. Raises: IntegrityBreach.
    """
    with _alone(place):
        old, last = read_key(place.key_file), read_state(place)
        note = rotation_note(old, new, last.size)
        _know_key(engine, old.verifier.text(), None)
        _know_key(engine, new.verifier.text(), note)
        write_whole(place.key_file, new.text() + "\n")
        return note


def _extend(connection: Connection, last: Signed, key: SignerKey) -> Signed | None:
    """Hash the stored bytes after the last checkpoint onto it and sign the result."""
    size = stored_size(connection)
    if size < last.size:
        raise IntegrityBreach("log_went_back", "The log has %(size)s events, but %(signed)s were signed before.",
                              {"size": size, "signed": last.size})  # fmt: skip
    frontier = stored_frontier(connection, last.size)
    if frontier.root() != last.root:
        raise IntegrityBreach("history_rewritten", "The first %(signed)s events are not those that were signed.",
                              {"signed": last.size})  # fmt: skip
    if size == last.size:
        return None
    with contextlib.closing(_stored_events(connection, last.size)) as events:
        for seq, stored, body in events:
            if seq != frontier.size:
                raise IntegrityBreach("order_not_dense", "Event %(seq)s is missing.", {"seq": frontier.size})
            if (leaf := leaf_hash(body)) != stored:
                raise IntegrityBreach("leaf_differs", "Event %(seq)s does not hash to its leaf.", {"seq": seq})
            _compare_nodes(connection, frontier, leaf)
    if frontier.size != size:
        raise IntegrityBreach("order_not_dense", "Event %(seq)s is missing.", {"seq": frontier.size})
    root = frontier.root()
    proof = consistency_proof(last.size, size, node_reader(connection))
    if not verify_consistency(last.size, size, proof, last.root, root):
        raise IntegrityBreach("not_consistent", "The stored tree does not extend the last checkpoint.")
    return Signed(size, root, sign_note(checkpoint_text(key.name, size, root), [key]))


def _stored_events(connection: Connection, since: int) -> Generator[tuple[int, bytes, bytes], None, None]:
    statement = text("""
        SELECT seq, leaf_hash, body FROM event_order LEFT JOIN event ON event.id = event_id
        WHERE seq >= :since ORDER BY seq""")
    with connection.execute(statement.execution_options(yield_per=CHUNK), {"since": since}) as rows:
        for row in rows:
            yield row.seq, bytes(row.leaf_hash), bytes(row.body or b"")


def _compare_nodes(connection: Connection, frontier: Frontier, leaf: bytes) -> None:
    """Grow the frontier. Large subtrees are compared with the stored tree; the small ones follow from the leaves."""
    for level, index, value in frontier.append(leaf):
        if level >= 8 and node_reader(connection)(level, index) != value:
            raise IntegrityBreach("node_differs", "Node %(index)s of level %(level)s is not what its leaves give.",
                                  {"level": level, "index": index})  # fmt: skip


def _publish(place: SignerPlace, engine: Engine, signed: Signed, key: SignerKey) -> None:
    """Put the note where others see it. Safe to repeat: after a crash the last note is published again."""
    _know_key(engine, key.verifier.text(), None)
    with engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO checkpoint (size, root, note, key_id) VALUES (:size, :root, :note, :key_id)
                ON CONFLICT (size) DO NOTHING"""),
            {"size": signed.size, "root": signed.root, "note": signed.note, "key_id": key.verifier.key_id},
        )
        kept = connection.execute(
            text("SELECT root FROM checkpoint WHERE size = :size"), {"size": signed.size}
        ).scalar()
    if kept is None or bytes(kept) != signed.root:
        raise IntegrityBreach("two_roots", "Another root is on record for size %(size)s.", {"size": signed.size})
    for witness in place.witnesses:
        witness.mkdir(parents=True, exist_ok=True)
        path = witness / f"{signed.size:012d}.note"
        if path.exists():
            if path.read_text(encoding="utf-8").split("\n\n")[0] != signed.note.split("\n\n")[0]:
                raise IntegrityBreach("two_roots", "The witness %(path)s holds another root.", {"path": str(path)})
        else:
            write_whole(path, signed.note, mode=0o644)


def _know_key(engine: Engine, verifier_key: str, rotation: str | None) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO signing_key (key_id, verifier_key, rotation) VALUES (:key_id, :words, :rotation)
                ON CONFLICT (key_id) DO NOTHING"""),
            {"key_id": parse_verifier_key(verifier_key).key_id, "words": verifier_key, "rotation": rotation},
        )


def _write_state(place: SignerPlace, signed: Signed) -> None:
    kept = {"size": signed.size, "root": signed.root.hex(), "note": signed.note}
    write_whole(place.state_file, json.dumps(kept, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def _alone(place: SignerPlace) -> Iterator[None]:
    """Let one signer at a time work in a folder."""
    place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (place.folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
