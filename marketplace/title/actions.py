"""Moving title, inside the transaction of whoever calls: register, assign, hand over, buy back, end, come back.

Every move takes the title's row first, so that two of them never judge at once; the exclusion constraint decides
all the same. Sets of moves cost as many statements as one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from uuid import UUID

from sqlalchemy import func, insert, select, text, update

from marketplace.db import array
from marketplace.kernel.errors import Conflict, IntegrityBreach, NotFound
from marketplace.kernel.ids import new_texts
from marketplace.kernel.words import N_
from marketplace.perform import Tx
from marketplace.title.rules import Claim, HandOver, NewPiece, Piece, Sale, cut_out, shared_out
from marketplace.title.tables import Title, TitleReturn, Tombstone

ALREADY = N_("This invoice is already registered: the same debt cannot be listed twice.")
ASSIGNED = N_("This receivable was sold before: the seller no longer holds all of it.")
NOT_HELD = N_("These units are no longer held by their seller.")
NOT_WITHDRAWN = N_("This invoice has not left the market, so it cannot come back.")


def register(tx: Tx, receivable_id: UUID, owner_id: UUID, face_minor: int, currency: str, key: bytes) -> None:
    """Enter a receivable under its exact key; the owner holds all of it. The unique index decides.

    Raises: Conflict("already_listed") when the key was ever registered, even if withdrawn since.
    """
    if not register_many(tx, [Claim(receivable_id, owner_id, face_minor, currency, key)]):
        raise Conflict("already_listed", ALREADY)


def register_many(tx: Tx, claims: Sequence[Claim]) -> set[UUID]:
    """Enter receivables and return the ids of those whose key was free; of the others nothing is written.

    Keys are taken in their order, so that two who want the same ones wait for each other only one way round.
    """
    ordered = sorted(claims, key=lambda claim: claim.key)
    rows = tx.session.execute(
        text(
            "INSERT INTO title (receivable_id, key, face_minor, currency) "
            "SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS bytea[]), CAST(:faces AS bigint[]), "
            "CAST(:currencies AS text[])) ON CONFLICT (key) DO NOTHING RETURNING receivable_id"
        ),
        {"ids": [claim.receivable_id for claim in ordered], "keys": [claim.key for claim in ordered],
         "faces": [claim.face_minor for claim in ordered], "currencies": [claim.currency for claim in ordered]},
    )  # fmt: skip
    entered = set(rows.scalars())
    won = [claim for claim in ordered if claim.receivable_id in entered]
    if won:
        at = tx.clock()
        _open(tx, [(str(claim.receivable_id), (claim.owner_id, 0, claim.face_minor)) for claim in won], at, "register")
        tx.record_many("title", "register_title", [
            (claim.receivable_id, None,
             {"owner_id": claim.owner_id, "face_minor": claim.face_minor, "currency": claim.currency, "at": at,
              "key": claim.key, "holdings": [[claim.owner_id, 0, claim.face_minor]]})
            for claim in won
        ])  # fmt: skip
    return entered


def assign(tx: Tx, receivable_id: UUID, shares: Sequence[tuple[UUID | str, int]]) -> None:
    """Give all units to new owners in proportion to their principals.

    Assignment is whole and happens once in the life of a receivable: the database keeps that too.

    Raises: Conflict("already_assigned"); NotFound when it is not registered; IntegrityBreach when its title has ended.
    """
    if not assign_many(tx, [Sale(receivable_id, tuple(shares))]):
        raise Conflict("already_assigned", ASSIGNED)


def assign_many(tx: Tx, sales: Sequence[Sale]) -> set[UUID]:
    """Assign receivables and return the ids of those that were; of what was sold before nothing is written.

    Raises: NotFound when one of them is not registered; IntegrityBreach when a title has ended.
    """
    titles = _lock(tx, [sale.receivable_id for sale in sales])
    moves = []
    for sale in sorted(sales, key=lambda sale: sale.receivable_id):
        locked = titles[sale.receivable_id]
        if not locked.sold:
            moves.append(_Move(locked, list(range(len(locked.held))), shared_out(locked.face_minor, sale.shares)))
    _carry_out(tx, moves, "award", "assign_title")
    return {move.title.receivable_id for move in moves}


def transfer(tx: Tx, receivable_id: UUID, from_owner: UUID, to_owner: UUID, first_unit: int, units: int) -> None:
    """Hand a range of units over from one owner to another; what is left of a range stays where it is.

    Raises: Conflict("units_not_held"); NotFound when it is not registered; IntegrityBreach when its title has ended.
    """
    if not transfer_many(tx, [HandOver(receivable_id, from_owner, to_owner, first_unit, units)]):
        raise Conflict("units_not_held", NOT_HELD)


def transfer_many(tx: Tx, wanted: Sequence[HandOver]) -> set[UUID]:
    """Hand ranges over, at most one of a receivable, and return the ids of those that went; the others stay.

    Raises: NotFound when a receivable is not registered; IntegrityBreach when a title has ended.
    """
    titles = _lock(tx, [one.receivable_id for one in wanted])
    moves = []
    for one in sorted(wanted, key=lambda one: one.receivable_id):
        cut = cut_out(titles[one.receivable_id].held, one)
        if cut is not None and one.from_owner != one.to_owner:
            told = {"from_owner": one.from_owner, "to_owner": one.to_owner, "first_unit": one.first_unit,
                    "units": one.units}  # fmt: skip
            moves.append(_Move(titles[one.receivable_id], *cut, told))
    _carry_out(tx, moves, "transfer", "transfer_title")
    return {move.title.receivable_id for move in moves}


def buy_back(tx: Tx, receivable_id: UUID, owner_id: UUID) -> None:
    """Return all units to the seller.

    Raises: NotFound when it is not registered; IntegrityBreach when its title has ended.
    """
    locked = _lock(tx, [receivable_id])[receivable_id]
    move = _Move(locked, list(range(len(locked.held))), [(owner_id, 0, locked.face_minor)])
    _carry_out(tx, [move], "buy_back", "assign_title")


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


def revive(tx: Tx, receivable_id: UUID, seller_id: UUID, reason_code: str = "relisted") -> None:
    """Let a receivable that left the market unsold come back under its own key: the same one, never another.

    The seller has held every unit all along; face and currency are those it was registered with.

    Raises: Conflict("not_withdrawn") when it has not left, Conflict("already_assigned") when it was ever sold;
    NotFound; IntegrityBreach when its title has ended.
    """
    locked = _lock(tx, [receivable_id])[receivable_id]
    if locked.sold or locked.held != [(seller_id, 0, locked.face_minor)]:
        raise Conflict("already_assigned", ASSIGNED)
    left = select(func.count()).select_from(Tombstone).where(Tombstone.receivable_id == receivable_id)
    back = select(func.count()).select_from(TitleReturn).where(TitleReturn.receivable_id == receivable_id)
    if tx.session.execute(left).scalar_one() <= tx.session.execute(back).scalar_one():
        raise Conflict("not_withdrawn", NOT_WITHDRAWN)
    tx.session.execute(insert(TitleReturn).values(receivable_id=receivable_id, reason_code=reason_code))
    tx.record("title", receivable_id, verb="revive_title", before={"holdings": _told(locked.held)},
              after={"reason_code": reason_code, "holdings": _told(locked.held)})  # fmt: skip


def _end(tx: Tx, receivable_id: UUID, cause: str) -> None:
    locked = _lock(tx, [receivable_id])[receivable_id]
    at = tx.clock()
    _close(tx, locked.ids, at)
    tx.session.execute(update(Title).where(Title.receivable_id == receivable_id).values(ended_at=at, end_cause=cause))
    tx.record("title", receivable_id, verb="end_title", before={"holdings": _told(locked.held)},
              after={"at": at, "cause": cause, "holdings": []})  # fmt: skip


@dataclass(frozen=True)
class _Locked:
    """A title under its row lock, with its open pieces by first unit and whether it was ever sold."""

    receivable_id: UUID
    face_minor: int
    ids: list[UUID]
    held: list[Piece]
    sold: bool


@dataclass(frozen=True)
class _Move:
    """Pieces of a locked title that end, by index, those that begin, and what else the event tells."""

    title: _Locked
    ends: list[int]
    begins: Sequence[NewPiece]
    told: Mapping[str, object] | None = None

    def after(self) -> list[NewPiece]:
        """Return the title's pieces when it has moved."""
        stays = [piece for index, piece in enumerate(self.title.held) if index not in self.ends]
        return sorted([*stays, *self.begins], key=itemgetter(1))


def _lock(tx: Tx, receivable_ids: Sequence[UUID]) -> dict[UUID, _Locked]:
    """Lock titles in the order of their ids and read what is held.

    Raises: NotFound; IntegrityBreach("title_ended").
    """
    wanted = sorted(set(receivable_ids))
    rows = tx.session.execute(
        select(Title.receivable_id, Title.face_minor, Title.ended_at)
        .where(Title.receivable_id.in_(wanted)).order_by(Title.receivable_id).with_for_update()
    ).all()  # fmt: skip
    if len(rows) != len(wanted):
        raise NotFound("not_found", N_("There is no such receivable."))
    if any(row.ended_at is not None for row in rows):
        raise IntegrityBreach("title_ended", "The title of this receivable has ended.")
    pieces: dict[UUID, list[tuple[UUID, Piece]]] = {row.receivable_id: [] for row in rows}
    # A statement of its own: under READ COMMITTED it sees what was committed while the lock was waited for.
    for receivable_id, holding_id, owner, first, beyond in tx.session.execute(
        text(
            "SELECT receivable_id, id, owner_id, lower(units), upper(units) FROM holding "
            "WHERE receivable_id = ANY (:ids) AND upper_inf(held_during) ORDER BY receivable_id, lower(units)"
        ),
        {"ids": wanted},
    ):
        pieces[receivable_id].append((holding_id, (owner, first, beyond)))
    sold = set(
        tx.session.execute(
            text("SELECT DISTINCT receivable_id FROM holding WHERE receivable_id = ANY (:ids) AND cause = 'award'"),
            {"ids": wanted},
        ).scalars()
    )
    return {
        row.receivable_id: _Locked(
            row.receivable_id, row.face_minor, [holding_id for holding_id, _ in pieces[row.receivable_id]],
            [piece for _, piece in pieces[row.receivable_id]], row.receivable_id in sold,
        )
        for row in rows
    }  # fmt: skip


def _carry_out(tx: Tx, moves: Sequence[_Move], cause: str, verb: str) -> None:
    if not moves:
        return
    at = tx.clock()
    _close(tx, [move.title.ids[index] for move in moves for index in move.ends], at)
    begins = ((str(move.title.receivable_id), move.begins) for move in moves)
    _open(tx, [(receivable_id, piece) for receivable_id, pieces in begins for piece in pieces], at, cause)
    tx.record_many("title", verb, [
        (move.title.receivable_id, {"holdings": _told(move.title.held)},
         {"at": at, "cause": cause, "holdings": _told(move.after()),
          **({**move.told, "opened": _told(move.begins)} if move.told else {})})
        for move in moves
    ])  # fmt: skip


def _close(tx: Tx, holding_ids: Sequence[UUID], at: datetime) -> None:
    tx.session.execute(
        text("UPDATE holding SET held_during = tstzrange(lower(held_during), :at) WHERE id = ANY (:ids)"),
        {"at": at, "ids": list(holding_ids)},
    )


def _open(tx: Tx, pieces: Sequence[tuple[str, NewPiece]], at: datetime, cause: str) -> None:
    tx.session.execute(
        text(
            "INSERT INTO holding (id, receivable_id, owner_id, units, held_during, cause) "
            "SELECT id, receivable_id, owner_id, int8range(first, beyond), tstzrange(:at, NULL), :cause "
            "FROM unnest(CAST(:ids AS uuid[]), CAST(:receivables AS uuid[]), CAST(:owners AS uuid[]), "
            "CAST(:firsts AS bigint[]), CAST(:beyonds AS bigint[])) "
            "AS piece (id, receivable_id, owner_id, first, beyond)"
        ),
        {"at": at, "cause": cause, "ids": array(new_texts(len(pieces))),
         "receivables": array(receivable_id for receivable_id, _ in pieces),
         "owners": array(owner for _, (owner, _, _) in pieces), "firsts": array(first for _, (_, first, _) in pieces),
         "beyonds": array(beyond for _, (_, _, beyond) in pieces)},
    )  # fmt: skip


def _told(pieces: Sequence[NewPiece]) -> list[list[object]]:
    return [[owner, first, beyond] for owner, first, beyond in pieces]
