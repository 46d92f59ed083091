"""Moving title, inside the transaction of whoever calls: register, assign, buy back, discharge, write off."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, select, text, update
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.exc import IntegrityError

from marketplace.kernel.errors import Conflict, IntegrityBreach, NotFound
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.perform import Tx
from marketplace.title.rules import share_units
from marketplace.title.tables import Title, TitleHolding, Tombstone

ALREADY = N_("This invoice is already registered: the same debt cannot be listed twice.")


def register(tx: Tx, receivable_id: UUID, owner_id: UUID, face_minor: int, currency: str, key: bytes) -> None:
    """Enter a receivable under its exact key; the owner holds all of it. The unique index decides.

    Raises: Conflict("already_listed") when the key was ever registered, even if withdrawn since.
    """
    try:
        with tx.session.begin_nested():
            tx.session.execute(
                insert(Title).values(receivable_id=receivable_id, key=key, face_minor=face_minor, currency=currency)
            )
    except IntegrityError as error:
        if getattr(getattr(error.orig, "diag", None), "constraint_name", None) == "uq_title_key":
            raise Conflict("already_listed", ALREADY) from error
        raise
    at = tx.clock()
    _open(tx, receivable_id, [(owner_id, 0, face_minor)], at, "register")
    tx.record("title", receivable_id, verb="register_title",
              after={"owner_id": owner_id, "face_minor": face_minor, "currency": currency, "at": at, "key": key,
                     "holdings": [[str(owner_id), 0, face_minor]]})  # fmt: skip


def assign(tx: Tx, receivable_id: UUID, shares: Sequence[tuple[UUID, int]], cause: str = "award") -> None:
    """Give all units to new owners in proportion to their principals. Assignment is whole.

    Raises: NotFound when the receivable is not registered; IntegrityBreach when its title has ended.
    """
    title = _lock(tx, receivable_id)
    at = tx.clock()
    before = _close(tx, receivable_id, at)
    ranges = share_units(title.face_minor, [principal for _, principal in shares])
    after = [(owner, *units) for (owner, _), units in zip(shares, ranges, strict=True) if units[0] < units[1]]
    _open(tx, receivable_id, after, at, cause)
    tx.record("title", receivable_id, verb="assign_title", before={"holdings": before},
              after={"at": at, "cause": cause, "holdings": [[str(o), a, b] for o, a, b in after]})  # fmt: skip


def buy_back(tx: Tx, receivable_id: UUID, owner_id: UUID) -> None:
    """Return all units to the seller."""
    assign(tx, receivable_id, [(owner_id, 1)], cause="buy_back")


def discharge(tx: Tx, receivable_id: UUID) -> None:
    """End the title: the debt is paid."""
    _end(tx, receivable_id, "discharge")


def write_off(tx: Tx, receivable_id: UUID) -> None:
    """End the title: the debt is given up."""
    _end(tx, receivable_id, "write_off")


def tombstone(tx: Tx, receivable_id: UUID, reason_code: str) -> None:
    """Note why the receivable left the market. Its key stays taken for ever."""
    tx.session.execute(insert(Tombstone).values(receivable_id=receivable_id, reason_code=reason_code))
    tx.record("title", receivable_id, verb="tombstone_title", after={"reason_code": reason_code})


def _end(tx: Tx, receivable_id: UUID, cause: str) -> None:
    _lock(tx, receivable_id)
    at = tx.clock()
    before = _close(tx, receivable_id, at)
    tx.session.execute(update(Title).where(Title.receivable_id == receivable_id).values(ended_at=at, end_cause=cause))
    tx.record("title", receivable_id, verb="end_title", before={"holdings": before},
              after={"at": at, "cause": cause, "holdings": []})  # fmt: skip


def _lock(tx: Tx, receivable_id: UUID) -> Title:
    title = tx.session.execute(
        select(Title).where(Title.receivable_id == receivable_id).with_for_update()
    ).scalar_one_or_none()
    if title is None:
        raise NotFound("not_found", N_("There is no such receivable."))
    if title.ended_at is not None:
        raise IntegrityBreach("title_ended", "The title of this receivable has ended.")
    return title


def _close(tx: Tx, receivable_id: UUID, at: datetime) -> list[list[object]]:
    """End all open holdings at `at` and return them as [owner, first, beyond]."""
    rows = tx.session.execute(
        text(
            "UPDATE holding SET held_during = tstzrange(lower(held_during), :at) "
            "WHERE receivable_id = :id AND upper_inf(held_during) RETURNING owner_id, lower(units), upper(units)"
        ),
        {"at": at, "id": receivable_id},
    ).all()
    return [[str(owner), first, beyond] for owner, first, beyond in sorted(rows, key=lambda row: row[1])]


def _open(tx: Tx, receivable_id: UUID, ranges: Sequence[tuple[UUID, int, int]], at: datetime, cause: str) -> None:
    tx.session.execute(
        insert(TitleHolding),
        [
            {"id": new_id(), "receivable_id": receivable_id, "owner_id": owner, "units": Range(first, beyond),
             "held_during": Range(at, None), "cause": cause}
            for owner, first, beyond in ranges
        ],
    )  # fmt: skip
