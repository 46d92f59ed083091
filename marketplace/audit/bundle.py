"""The bundle: one ZIP file with everything that proves the log, written as a stream.

The format is docs/audit-format.md. Memory stays flat: rows come through server-side cursors, members are written one
after the other. What is written is what `verify.py` reads; the two share no code but the replay's opening state.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, text

from marketplace.audit import packs, verify
from marketplace.audit.merkle import consistency_proof
from marketplace.audit.sequencer import node_reader
from marketplace.kernel.canonical import jsonable
from marketplace.kernel.errors import InvalidInput, NotFound, RuleBroken
from marketplace.kernel.words import N_

Progress = Callable[[str, int, int], None]
CHUNK = 5_000
PROGRESS_EVERY = 20_000
STAMP = (1980, 1, 1, 0, 0, 0)
REPLAYED = (
    "post_entry", "place_hold", "resolve_holds", "register_title", "assign_title", "transfer_title", "revive_title",
    "end_title",
)  # fmt: skip
README = """\
This is an audit bundle of a Duebill market. To verify it without any network:

    python3 verify.py THIS.zip --key KEY

Take KEY from the operator's audit page, from a witness or from an earlier bundle, not from this file, and take
verify.py from the public source if you do not trust this copy. docs/audit-format.md in the source says what every
byte means. With a checkpoint you kept from before, add --previous FILE.
"""


@dataclass(frozen=True)
class BundleOrder:
    """What is wanted: events of a period (all by default), and the size of the checkpoint verified before."""

    from_at: datetime | None = None
    to_at: datetime | None = None
    previous_size: int | None = None


@dataclass(frozen=True)
class BundleFile:
    """What was written."""

    path: Path
    size: int
    events: int
    file_bytes: int
    file_hash: str


@dataclass(frozen=True)
class _Period:
    size: int
    root: bytes
    origin: str
    first: int
    last: int


def export_bundle(engine: Engine, path: Path, order: BundleOrder, progress: Progress | None = None) -> BundleFile:
    """Write a bundle up to the newest checkpoint, from one snapshot of the database.

    Raises: RuleBroken("nothing_signed"); NotFound("no_such_checkpoint"); InvalidInput("empty_period").
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    try:
        with engine.connect().execution_options(**options) as connection, connection.begin():
            period = _period(connection, order)
            _Writer(draft, connection, period, order, progress or _silent).write()
        file_hash = _seal(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return BundleFile(path, period.size, period.last - period.first, path.stat().st_size, file_hash)


def verify_bundle(path: Path, key: str, previous: str | None = None) -> dict[str, Any]:
    """Run the verifier that lies in every bundle. Returns its report; `ok` is false with `wrong` in words."""
    try:
        return verify.verify(str(path), key, previous)
    except verify.Wrong as wrong:
        return {"ok": False, "wrong": str(wrong)}


def _silent(step: str, done: int, whole: int) -> None:
    """Say nothing."""


def _period(connection: Connection, order: BundleOrder) -> _Period:
    newest = connection.execute(text("SELECT size, root, note FROM checkpoint ORDER BY size DESC LIMIT 1")).first()
    if newest is None:
        raise RuleBroken("nothing_signed", N_("No checkpoint has been signed yet: there is nothing to prove."))
    bounds = connection.execute(
        text("""
            SELECT (SELECT min(seq) FROM event_order JOIN event ON id = event_id
                    WHERE seq < :size AND (CAST(:from_at AS timestamptz) IS NULL OR at >= :from_at)) AS first,
                   (SELECT max(seq) + 1 FROM event_order JOIN event ON id = event_id
                    WHERE seq < :size AND (CAST(:to_at AS timestamptz) IS NULL OR at < :to_at)) AS last"""),
        {"size": newest.size, "from_at": order.from_at, "to_at": order.to_at},
    ).one()
    if bounds.first is None or bounds.last is None or bounds.first >= bounds.last:
        raise InvalidInput("empty_period", N_("There are no signed events in this period."))
    origin = newest.note.split("\n", 1)[0]
    return _Period(newest.size, bytes(newest.root), origin, bounds.first, bounds.last)


class _Writer:
    """Writes the members one by one and remembers their hashes."""

    def __init__(
        self, path: Path, connection: Connection, period: _Period, order: BundleOrder, progress: Progress
    ) -> None:
        self.connection, self.period, self.order, self.progress = connection, period, order, progress
        self.zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=4)
        self.hashes: dict[str, str] = {}
        self.about: dict[str, Any] = {}

    def write(self) -> None:
        """Write every member; the seal comes after."""
        with self.zip:
            self._whole("README.txt", README.encode())
            self._whole("verify.py", Path(verify.__file__).read_bytes())
            self._lines("keys.jsonl", self._keys())
            self._lines("checkpoints.jsonl", self._checkpoints())
            self._leaves()
            opening_state = self._opening() if self.period.first else None
            counts = self._events()
            listed = [self._pack(table) for table in packs.tables(
                self.connection, self.period.first, self.period.last)]  # fmt: skip
            self._about(counts, listed, opening_state)
            manifest = "".join(f"{value}  {name}\n" for name, value in self.hashes.items())
            self._whole("MANIFEST", manifest.encode())
            self.zip.comment = verify.SEAL + b"0" * 64

    @contextlib.contextmanager
    def _member(self, name: str, *, packed: bool = True) -> Iterator[Callable[[bytes], None]]:
        info = zipfile.ZipInfo(name, STAMP)
        info.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
        info.external_attr = 0o644 << 16
        told = hashlib.sha256()
        with self.zip.open(info, "w", force_zip64=True) as stream:

            def put(block: bytes) -> None:
                told.update(block)
                stream.write(block)

            yield put
        self.hashes[name] = told.hexdigest()

    def _whole(self, name: str, content: bytes) -> None:
        with self._member(name) as put:
            put(content)

    def _lines(self, name: str, rows: Iterable[Any]) -> None:
        with self._member(name) as put:
            for row in rows:
                put(_json(row) + b"\n")

    def _stream(self, sql: str, **params: object) -> Generator[Any, None, None]:
        statement = text(sql).execution_options(yield_per=CHUNK)
        with self.connection.execute(statement, params) as rows:
            yield from rows

    def _keys(self) -> Iterator[dict[str, Any]]:
        rows = list(self._stream("SELECT verifier_key, rotation FROM signing_key ORDER BY known_at, key_id"))
        for row in sorted(rows, key=lambda row: -1 if row.rotation is None else int(row.rotation.split("\n")[1])):
            yield {"verifier_key": row.verifier_key, "rotation": row.rotation}

    def _checkpoints(self) -> Iterator[dict[str, Any]]:
        sql = "SELECT size, note FROM checkpoint WHERE size <= :size ORDER BY size"
        for row in self._stream(sql, size=self.period.size):
            yield {"size": row.size, "note": row.note}

    def _leaves(self) -> None:
        sql = "SELECT leaf_hash FROM event_order WHERE seq < :size ORDER BY seq"
        with self._member("leaves.bin", packed=False) as put:
            for number, row in enumerate(self._stream(sql, size=self.period.size), 1):
                put(bytes(row.leaf_hash))
                self._tell("leaves", number, self.period.size)

    def _opening(self) -> str:
        """Write money and title as they stood before the first event of the period."""
        replay = verify.Replay()
        sql = """
            SELECT seq, body FROM event_order JOIN event ON id = event_id
            WHERE seq < :first AND verb = ANY (:verbs) ORDER BY seq"""
        for row in self._stream(sql, first=self.period.first, verbs=list(REPLAYED)):
            replay.take(row.seq, json.loads(bytes(row.body)))
        lines = list(replay.dump())
        self._lines("opening.jsonl", lines)
        return str(verify.state_hash(lines))

    def _events(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        first, last = self.period.first, self.period.last
        sql = """
            SELECT seq, verb, body FROM event_order JOIN event ON id = event_id
            WHERE seq >= :first AND seq < :last ORDER BY seq"""
        with self._member("events.jsonl") as put:
            for row in self._stream(sql, first=first, last=last):
                put(b'{"seq":%d,"event":%b}\n' % (row.seq, bytes(row.body)))
                counts[row.verb] = counts.get(row.verb, 0) + 1
                self._tell("events", row.seq - first + 1, last - first)
        return counts

    def _pack(self, table: packs.Table) -> dict[str, Any]:
        """Write one table twice: JSON lines at once, CSV through a file beside."""
        count = 0
        with tempfile.TemporaryFile() as beside:
            sheet = io.TextIOWrapper(beside, "utf-8", newline="", write_through=True)
            pen = csv.writer(sheet, lineterminator="\r\n")
            pen.writerow(table.columns)
            with self._member(f"{table.path}.jsonl") as put:
                for row in table.rows(self.connection):
                    put(_json(row) + b"\n")
                    pen.writerow([verify.cell(value) for value in row.values()])
                    count += 1
                    self._tell(table.path, count, 0)
            sheet.flush()
            beside.seek(0)
            with self._member(f"{table.path}.csv") as put:
                while block := beside.read(1 << 20):
                    put(block)
            sheet.detach()
        return {"path": table.path, "columns": list(table.columns), "rows": count}

    def _about(self, counts: dict[str, int], listed: list[dict[str, Any]], opening_state: str | None) -> None:
        period, order = self.period, self.order
        about = {
            "format": verify.FORMAT,
            "origin": period.origin,
            "size": period.size,
            "root": period.root.hex(),
            "first_seq": period.first,
            "last_seq": period.last,
            "from_at": order.from_at,
            "to_at": order.to_at,
            "counts": dict(sorted(counts.items())),
            "previous": self._previous(),
            "opening_state": opening_state,
            "packs": listed,
            "exported_at": self.connection.execute(text("SELECT market_now()")).scalar_one(),
        }
        self._whole("bundle.json", _json(jsonable(about)) + b"\n")

    def _previous(self) -> dict[str, Any] | None:
        size = self.order.previous_size
        if size is None:
            return None
        known = self.connection.execute(text("SELECT 1 FROM checkpoint WHERE size = :size"), {"size": size}).scalar()
        if known is None or size > self.period.size:
            raise NotFound("no_such_checkpoint", N_("There is no checkpoint of size %(size)s."), {"size": size})
        proof = consistency_proof(size, self.period.size, node_reader(self.connection))
        return {"size": size, "proof": [step.hex() for step in proof]}

    def _tell(self, step: str, done: int, whole: int) -> None:
        if done % PROGRESS_EVERY == 0 or done == whole:
            self.progress(step, done, whole)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _seal(path: Path) -> str:
    """Put the SHA-256 of all bytes before it into the archive comment; return that of the whole file."""
    length = len(verify.SEAL) + 64
    told = hashlib.sha256()
    left = path.stat().st_size - length
    with path.open("r+b") as file:
        while left:
            block = file.read(min(1 << 20, left))
            told.update(block)
            left -= len(block)
        file.seek(-64, os.SEEK_END)
        file.write(told.hexdigest().encode())
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        whole = hashlib.sha256()
        shutil.copyfileobj(file, _Hashing(whole), 1 << 20)
    return whole.hexdigest()


class _Hashing:
    """A sink that only hashes."""

    def __init__(self, told: Any) -> None:
        self.write = told.update
