"""The sandbox's own books: one SQLite file that survives a kill at any moment."""

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from marketplace.kernel.clock import utc_now

SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, account TEXT NOT NULL,
    created INTEGER NOT NULL, body TEXT NOT NULL, hidden TEXT NOT NULL DEFAULT '{}');
CREATE INDEX IF NOT EXISTS object_kind ON object (kind, account, seq);
CREATE TABLE IF NOT EXISTS reply (
    account TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body BLOB NOT NULL,
    at REAL NOT NULL, PRIMARY KEY (account, key));
CREATE TABLE IF NOT EXISTS delivery (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL, due_at REAL NOT NULL, attempts INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('due', 'held', 'done', 'given_up')), last_status INTEGER);
CREATE INDEX IF NOT EXISTS delivery_due ON delivery (state, due_at);
CREATE TABLE IF NOT EXISTS chore (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, due_at REAL NOT NULL, act TEXT NOT NULL, account TEXT NOT NULL,
    object_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS fault (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, method TEXT NOT NULL, path TEXT NOT NULL, action TEXT NOT NULL,
    left INTEGER NOT NULL, seconds REAL NOT NULL);
CREATE TABLE IF NOT EXISTS request (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
    key TEXT, status INTEGER NOT NULL, replayed INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Store:
    """One connection, one lock, one transaction at a time: an outside company in a single file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.lock = threading.RLock()
        self.db = sqlite3.connect(folder / "sandbox.sqlite", isolation_level=None, check_same_thread=False)
        self.db.row_factory = sqlite3.Row
        self.db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-4000;" + SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all or nothing. Nested use joins the outer transaction."""
        with self.lock:
            if self.db.in_transaction:
                yield
                return
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self.db.execute("ROLLBACK")
                raise
            self.db.execute("COMMIT")

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Run one statement and return its rows."""
        with self.lock:
            return self.db.execute(sql, values).fetchall()

    def put(self, body: Mapping[str, Any], account: str, hidden: Mapping[str, Any] | None = None) -> None:
        """Write an object, new or changed. `hidden` is what the outside never sees; None leaves it as it was."""
        self.rows(
            "INSERT INTO object (id, kind, account, created, body) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            body["id"], body["object"], account, body["created"], json.dumps(body),
        )  # fmt: skip
        if hidden is not None:
            self.rows("UPDATE object SET hidden = ? WHERE id = ?", json.dumps(hidden), body["id"])

    def get(self, kind: str, object_id: str, account: str) -> dict[str, Any] | None:
        """Return an object of this account, or None."""
        found = self.rows("SELECT body FROM object WHERE id = ? AND kind = ? AND account = ?", object_id, kind, account)
        return dict(json.loads(found[0]["body"])) if found else None

    def hidden(self, object_id: str) -> dict[str, Any]:
        """Return what the sandbox remembers about an object and does not show."""
        found = self.rows("SELECT hidden FROM object WHERE id = ?", object_id)
        return dict(json.loads(found[0]["hidden"])) if found else {}

    def account_of(self, object_id: str) -> str | None:
        """Return the account an object lives in; the platform's is the empty text."""
        found = self.rows("SELECT account FROM object WHERE id = ?", object_id)
        return str(found[0]["account"]) if found else None

    def newest(self, kind: str, account: str, after_id: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the objects of a kind in an account, newest first, a few hundred at a time; older than `after_id`."""
        rows = self.rows("SELECT seq FROM object WHERE id = ?", after_id) if after_id else []
        seq = int(rows[0]["seq"]) if rows else 2**62
        while True:
            found = self.rows(
                "SELECT seq, body FROM object WHERE kind = ? AND account = ? AND seq < ? ORDER BY seq DESC LIMIT 200",
                kind, account, seq,
            )  # fmt: skip
            yield from (json.loads(row["body"]) for row in found)
            if len(found) < 200:
                return
            seq = int(found[-1]["seq"])

    def setting(self, name: str, otherwise: Any = None) -> Any:
        """Return a knob's value."""
        found = self.rows("SELECT value FROM setting WHERE name = ?", name)
        return json.loads(found[0]["value"]) if found else otherwise

    def set(self, **values: Any) -> None:
        """Turn knobs."""
        for name, value in values.items():
            self.rows("INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)", name, json.dumps(value))


def now() -> float:
    """Return seconds since 1970, as Stripe counts."""
    return utc_now().timestamp()
