"""Which lots the references in a list of bids mean: found once for a key, and kept with it.

A reference means the newest lot of its receivable, which may be another one a second later. What a key stands for is
the list as it was sent: sent again, it means the lots it meant before, so that nothing of it is placed twice.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from marketplace.kernel.actors import Actor
from marketplace.parties.rules import verb
from marketplace.parties.windows import hit
from marketplace.perform import Result, Tx, perform
from marketplace.schemas import unreadable
from marketplace.trading.schemas import NameLots


@dataclass(frozen=True)
class Named:
    """A lot as somebody names it: by its receivable's reference."""

    id: UUID
    currency: str


def named(session: Session, refs: Collection[str]) -> dict[str, Named]:
    """Return the newest lot of each reference that has one; all of them are texts that can be kept."""
    rows = session.execute(
        text("SELECT DISTINCT ON (receivable.ref) receivable.ref, lot.id, lot.currency FROM lot "
             "JOIN receivable ON receivable.id = lot.receivable_id WHERE receivable.ref = ANY (:refs) "
             "ORDER BY receivable.ref, lot.number DESC"),
        {"refs": sorted(refs)},
    )  # fmt: skip
    return {row.ref: Named(row.id, row.currency) for row in rows}


def sha256_of(rows: Sequence[Any]) -> str:
    """Return what tells a list of bids from any other, whatever the spaces and the order of names in it.

    Raises: RecursionError for one that is nested without end.
    """
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def wait_for(engine: Engine, actor: Actor, bids: int, most: int) -> int:
    """Count a list's bids against what one person may send in a minute; return 0 or the seconds to wait."""
    return hit(engine, f"bids {actor.user_id}", most, 60, weight=bids)


def lots_of(refs: Collection[str], asked: int, list_sha256: str, actor: Actor, key: str) -> dict[str, Named]:
    """Return the lots that a list names by reference; the same list under the same key is given the same lots.

    Raises: NotPermitted; Conflict or InvalidInput for a key in use, by another list too.
    """
    command = NameLots(tuple(sorted({ref for ref in refs if not unreadable(ref)})), asked, list_sha256)
    found = perform(name_lots, command, actor, idempotency_key=key)["lots"]
    return {ref: Named(UUID(lot["id"]), lot["currency"]) for ref, lot in found.items()}


@verb("name_lots")
def name_lots(tx: Tx, command: NameLots) -> Result:
    """Find the newest lot of each reference; the list as such goes on record by its hash."""
    found = named(tx.session, command.refs)
    told = {"asked": command.asked, "named": len(found), "list_sha256": command.list_sha256}
    tx.record("bids", tx.actor.request_id, after=told)
    return {"lots": {ref: {"id": lot.id, "currency": lot.currency} for ref, lot in found.items()}}
