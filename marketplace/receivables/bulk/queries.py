"""Reading bulk uploads: where one stands, a page of its rows in one statement, and its bytes piece by piece."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, or_, select, text
from sqlalchemy.orm import Session

from marketplace.kernel.errors import Problem
from marketplace.receivables.bulk.schemas import PIECE_BYTES
from marketplace.receivables.bulk.states import HOLDING, MOVING, OVER, RowState, UploadState
from marketplace.receivables.bulk.tables import BulkFileRow, BulkPieceRow, BulkRowRow, BulkUploadRow
from marketplace.receivables.queries import missing
from marketplace.receivables.schemas import Terms
from marketplace.receivables.tables import ReceivableRow

PIECES_AT_HAND = 3
MISSING = text("""
    SELECT DISTINCT piece.value FROM bulk_file f, jsonb_array_elements_text(f.pieces) AS piece (value)
    WHERE f.upload_id = :upload AND NOT EXISTS (
        SELECT FROM bulk_piece p WHERE p.upload_id = f.upload_id AND p.sha256 = piece.value)""")


@dataclass(frozen=True)
class Upload:
    """An upload, what stands of it, and how many rows stand where."""

    id: UUID
    seller_id: UUID
    user_id: UUID
    name: str
    terms: Terms
    debtor_email: str | None
    list_as_read: bool
    notes: tuple[Problem, ...]
    state: str
    state_since: datetime
    created_at: datetime
    counts: Mapping[str, int]
    noted: int = 0

    @property
    def rows(self) -> int:
        """How many invoices it holds."""
        return sum(self.counts.values())

    @property
    def moving(self) -> bool:
        """Whether it goes on by itself."""
        return self.state in MOVING

    @property
    def to_do(self) -> int:
        """How many rows this step has still to do."""
        waits = RowState.ASKED if self.state == UploadState.LISTING else RowState.UNREAD
        return self.counts.get(waits, 0)

    def seconds_left(self, now: datetime) -> int | None:
        """Return how long this step will still take at its present pace; None while that is not known."""
        took = int((now - self.state_since).total_seconds())
        return None if not self.moving or self.noted < 5 or took < 1 else self.to_do * took // self.noted + 1


@dataclass(frozen=True)
class Row:
    """One invoice of an upload, and the receivable that it has become."""

    id: UUID
    position: int
    label: str
    file_id: UUID | None
    entry: Mapping[str, Any] | None
    same_as: int | None
    given: Mapping[str, Any]
    faults: tuple[Problem, ...]
    corrections: Mapping[str, Any]
    state: str
    attempts: int
    draft_id: UUID | None
    receivable_id: UUID | None
    problems: tuple[Problem, ...]
    looks: tuple[Problem, ...]
    number: str | None
    debtor_name: str | None
    currency: str | None
    face_minor: int | None
    due_on: date | None
    ref: str | None = None
    receivable_state: str | None = None


TOLD = ("faults", "problems", "looks")
PLAIN = [name for name in Row.__dataclass_fields__ if name not in (*TOLD, "ref", "receivable_state")]


def problems_json(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """Return problems as JSON keeps them: the words untranslated, their parameters beside them."""
    return [{"field": p.field, "rule": p.rule, "words": p.words,
             "params": {name: v if isinstance(v, int) else str(v) for name, v in p.params.items()}}
            for p in problems]  # fmt: skip


def _problems(kept: Sequence[Mapping[str, Any]]) -> tuple[Problem, ...]:
    return tuple(Problem(**one) for one in kept)


def _upload(row: BulkUploadRow, counts: Mapping[str, int], noted: int) -> Upload:
    return Upload(row.id, row.seller_id, row.user_id, row.name, Terms(**row.terms), row.debtor_email, row.list_as_read,
                  _problems(row.notes), row.state, row.state_since, row.created_at, counts, noted)  # fmt: skip


def upload(session: Session, upload_id: UUID) -> Upload:
    """Return an upload with its counts.

    Raises: NotFound("not_found").
    """
    row = session.get(BulkUploadRow, upload_id, populate_existing=True)
    if row is None:
        raise missing()
    counted = session.execute(
        select(BulkRowRow.state, func.count(), func.count().filter(BulkRowRow.noted_at >= row.state_since))
        .where(BulkRowRow.upload_id == upload_id)
        .group_by(BulkRowRow.state)
    ).all()
    done = {str(state) for state in RowState} - {RowState.UNREAD, RowState.ASKED}
    return _upload(row, {state: count for state, count, _ in counted},
                   sum(noted for state, _, noted in counted if state in done))  # fmt: skip


def uploads(session: Session, seller_id: UUID, limit: int = 30) -> list[Upload]:
    """Return a seller's uploads, newest first, with their counts: two statements however many there are."""
    rows = session.execute(
        select(BulkUploadRow)
        .where(BulkUploadRow.seller_id == seller_id)
        .order_by(BulkUploadRow.created_at.desc(), BulkUploadRow.id)
        .limit(limit)
    ).scalars().all()  # fmt: skip
    counts: dict[UUID, dict[str, int]] = {row.id: {} for row in rows}
    for upload_id, state, count in session.execute(
        select(BulkRowRow.upload_id, BulkRowRow.state, func.count())
        .where(BulkRowRow.upload_id.in_(list(counts)))
        .group_by(BulkRowRow.upload_id, BulkRowRow.state)
    ):
        counts[upload_id][state] = count
    return [_upload(row, counts[row.id], 0) for row in rows]


def lock_upload(session: Session, upload_id: UUID) -> BulkUploadRow:
    """Lock an upload for a change.

    Raises: NotFound("not_found").
    """
    row = session.execute(
        select(BulkUploadRow)
        .where(BulkUploadRow.id == upload_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one_or_none()
    if row is None:
        raise missing()
    return row


def rows(
    session: Session, upload_id: UUID, states: Sequence[str] = (), words: str = "", limit: int | None = None,
    offset: int = 0,
) -> list[Row]:  # fmt: skip
    """Return rows in their order, with what they have become, in one statement; `words` seeks in what is shown."""
    found = session.execute(
        select(BulkRowRow, ReceivableRow.ref, ReceivableRow.state)
        .outerjoin(ReceivableRow, ReceivableRow.id == BulkRowRow.receivable_id)
        .where(*_chosen(upload_id, states, words))
        .order_by(BulkRowRow.position)
        .limit(limit)
        .offset(offset)
        .execution_options(populate_existing=True)
    )
    return [_row(row, ref, state) for row, ref, state in found]


def count_rows(session: Session, upload_id: UUID, states: Sequence[str] = (), words: str = "") -> int:
    """Return how many rows `rows` would return without a limit."""
    return int(
        session.execute(select(func.count(BulkRowRow.id)).where(*_chosen(upload_id, states, words))).scalar_one()
    )


def _chosen(upload_id: UUID, states: Sequence[str], words: str) -> list[ColumnElement[bool]]:
    chosen = [BulkRowRow.upload_id == upload_id]
    if states:
        chosen.append(BulkRowRow.state.in_([str(state) for state in states]))
    if words:
        sought = (BulkRowRow.label, BulkRowRow.number, BulkRowRow.debtor_name)
        chosen.append(or_(*(column.icontains(words, autoescape=True) for column in sought)))
    return chosen


def _row(row: BulkRowRow, ref: str | None, state: str | None) -> Row:
    told: dict[str, Any] = {name: _problems(getattr(row, name)) for name in TOLD}
    return Row(**{name: getattr(row, name) for name in PLAIN}, **told, ref=ref, receivable_state=state)


def to_take(session: Session, upload_id: UUID, state: str, limit: int) -> list[Row]:
    """Return the next rows to work on: in order, then those put off, the smallest first.

    One at which a worker ended before is taken alone, after all the others.
    """
    waiting = select(BulkRowRow).where(BulkRowRow.upload_id == upload_id, BulkRowRow.state == state)
    put_off = BulkRowRow.problems != text("'[]'::jsonb")
    order = (put_off, case((put_off, BulkRowRow.face_minor), else_=0), BulkRowRow.position)
    found = session.execute(waiting.where(BulkRowRow.attempts == 0).order_by(*order).limit(limit)).scalars().all()
    if not found:
        found = session.execute(waiting.order_by(BulkRowRow.attempts, *order).limit(1)).scalars().all()
    return [_row(row, None, None) for row in found]


def holders(session: Session, upload_id: UUID, claims: Sequence[str]) -> dict[str, int]:
    """Return the first row of an upload that holds each of these invoices: one to be listed, or that is."""
    found = session.execute(
        select(BulkRowRow.claim, func.min(BulkRowRow.position))
        .where(
            BulkRowRow.upload_id == upload_id,
            BulkRowRow.claim.in_(list(claims)),
            BulkRowRow.state.in_([str(state) for state in HOLDING]),
        )
        .group_by(BulkRowRow.claim)
    ).all()
    return {str(claim): position for claim, position in found}


def missing_pieces(session: Session, upload_id: UUID) -> list[str]:
    """Return the hashes of what was announced and is not here yet."""
    return sorted(session.execute(MISSING, {"upload": upload_id}).scalars())


def to_work(session: Session, limit: int, receiving_days: int, now: datetime) -> list[UUID]:
    """Return uploads that a worker can bring on: moving ones whose sender may still act, and bytes to be let go."""
    late = now - timedelta(days=receiving_days)
    return list(
        session.execute(
            text("""
                SELECT u.id FROM bulk_upload u JOIN user_account p ON p.id = u.user_id
                WHERE u.state = ANY(:moving) AND p.active OR u.state = 'receiving' AND u.state_since < :late
                OR u.state = ANY(:over) AND EXISTS (SELECT FROM bulk_piece b WHERE b.upload_id = u.id)
                ORDER BY u.state_since LIMIT :limit"""),
            {"moving": sorted(MOVING), "over": sorted(OVER), "late": late, "limit": limit},
        ).scalars()
    )


def files(session: Session, upload_id: UUID) -> "list[Stored]":
    """Return the files of an upload in the order in which they were announced."""
    found = session.execute(
        select(BulkFileRow).where(BulkFileRow.upload_id == upload_id).order_by(BulkFileRow.position)
    ).scalars()
    return [Stored(session, row) for row in found]


def file(session: Session, file_id: UUID) -> "Stored":
    """Return one file.

    Raises: NotFound("not_found").
    """
    row = session.get(BulkFileRow, file_id)
    if row is None:
        raise missing()
    return Stored(session, row)


class Stored:
    """A file that lies in pieces in the database; a few of them at hand at a time."""

    def __init__(self, session: Session, row: BulkFileRow) -> None:
        self.id, self.name, self.size_bytes = row.id, row.name, row.size_bytes
        self._session, self._upload_id, self._pieces = session, row.upload_id, list(row.pieces)
        self._at_hand: dict[int, bytes] = {}

    @property
    def sha256(self) -> str | None:
        """The hash of a file of one piece."""
        return self._pieces[0] if len(self._pieces) == 1 else None

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes from an offset; fewer where the file ends."""
        end = min(offset + max(length, 0), self.size_bytes)
        parts = []
        while offset < end:
            number, inside = divmod(offset, PIECE_BYTES)
            part = self._piece(number)[inside : inside + end - offset]
            if not part:
                break
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    def all(self) -> bytes:
        """Return the whole file."""
        return self.read(0, self.size_bytes)

    def _piece(self, number: int) -> bytes:
        if number not in self._at_hand:
            if len(self._at_hand) >= PIECES_AT_HAND:
                self._at_hand.pop(next(iter(self._at_hand)))
            key = (self._upload_id, self._pieces[number])
            self._at_hand[number] = self._session.execute(
                select(BulkPieceRow.content).where(BulkPieceRow.upload_id == key[0], BulkPieceRow.sha256 == key[1])
            ).scalar_one()
        return self._at_hand[number]
