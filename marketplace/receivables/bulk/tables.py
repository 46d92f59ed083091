"""Rows of bulk uploads: the upload, its files and their pieces, and one row an invoice."""

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import CHAR, BigInteger, Boolean, Date, ForeignKey, Integer, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketplace.db import Base, Created, Id


class BulkUploadRow(Base):
    """Many invoices sent at once, on the same terms. Its state moves by the machine."""

    __tablename__ = "bulk_upload"

    id: Mapped[Id]
    seller_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user_account.id"))
    name: Mapped[str] = mapped_column(Text)
    manifest_sha256: Mapped[str] = mapped_column(CHAR(64))
    terms: Mapped[Any] = mapped_column(JSONB)
    debtor_email: Mapped[str | None] = mapped_column(Text)
    list_as_read: Mapped[bool] = mapped_column(Boolean)
    notes: Mapped[Any] = mapped_column(JSONB, server_default=text("'[]'"))
    state: Mapped[str] = mapped_column(Text, server_default=text("'receiving'"))
    state_since: Mapped[Created]
    created_at: Mapped[Created]


class BulkFileRow(Base):
    """One file as the sender announced it: its name, its size, the hashes of its pieces in order. Append-only."""

    __tablename__ = "bulk_file"
    __table_args__ = (UniqueConstraint("upload_id", "position"),)

    id: Mapped[Id]
    upload_id: Mapped[UUID] = mapped_column(ForeignKey("bulk_upload.id"))
    position: Mapped[int] = mapped_column(Integer)
    name: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    pieces: Mapped[Any] = mapped_column(JSONB)


class BulkPieceRow(Base):
    """Up to 4 MiB of a file, known by their hash. Kept until the upload is over; what is read is a document."""

    __tablename__ = "bulk_piece"

    upload_id: Mapped[UUID] = mapped_column(ForeignKey("bulk_upload.id"), primary_key=True)
    sha256: Mapped[str] = mapped_column(CHAR(64), primary_key=True)
    size_bytes: Mapped[int] = mapped_column(Integer)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class BulkRowRow(Base):
    """One invoice of an upload and what became of it.

    `entry` is its place in an archive; `given` what a CSV says of it and `faults` which of its cells cannot be used;
    `corrections` what the seller entered since. `number` … `due_on` are shown, `claim` finds the same invoice twice.
    """

    __tablename__ = "bulk_row"
    __table_args__ = (UniqueConstraint("upload_id", "position"),)

    id: Mapped[Id]
    upload_id: Mapped[UUID] = mapped_column(ForeignKey("bulk_upload.id"))
    position: Mapped[int] = mapped_column(Integer)
    label: Mapped[str] = mapped_column(Text)
    file_id: Mapped[UUID | None] = mapped_column(ForeignKey("bulk_file.id"))
    entry: Mapped[Any | None] = mapped_column(JSONB)
    sha256: Mapped[str | None] = mapped_column(CHAR(64))
    same_as: Mapped[int | None] = mapped_column(Integer)
    given: Mapped[Any] = mapped_column(JSONB, server_default=text("'{}'"))
    faults: Mapped[Any] = mapped_column(JSONB, server_default=text("'[]'"))
    corrections: Mapped[Any] = mapped_column(JSONB, server_default=text("'{}'"))
    state: Mapped[str] = mapped_column(Text, server_default=text("'unread'"))
    noted_at: Mapped[Created]
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    draft_id: Mapped[UUID | None] = mapped_column(ForeignKey("draft.id"), unique=True)
    receivable_id: Mapped[UUID | None] = mapped_column(ForeignKey("receivable.id"), unique=True)
    problems: Mapped[Any] = mapped_column(JSONB, server_default=text("'[]'"))
    looks: Mapped[Any] = mapped_column(JSONB, server_default=text("'[]'"))
    number: Mapped[str | None] = mapped_column(Text)
    debtor_name: Mapped[str | None] = mapped_column(Text)
    currency: Mapped[str | None] = mapped_column(Text)
    face_minor: Mapped[int | None] = mapped_column(BigInteger)
    due_on: Mapped[date | None] = mapped_column(Date)
    claim: Mapped[str | None] = mapped_column(Text)
