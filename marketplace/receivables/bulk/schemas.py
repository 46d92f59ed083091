"""Commands of bulk uploads, and how they come in."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from marshmallow import Schema, ValidationError, fields, post_load, validate

from marketplace.kernel.canonical import canonical_bytes
from marketplace.kernel.errors import Problem
from marketplace.kernel.words import N_
from marketplace.receivables.schemas import Terms, TermsSchema

PIECE_BYTES = 4 * 1024 * 1024  # the last piece of a file may be shorter
FILE_NAME_MAX = 300
HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Announced:
    """A file that is to come: its name, its size in bytes, the SHA-256 of each of its pieces, in order."""

    name: str
    size_bytes: int
    pieces: tuple[str, ...]

    @classmethod
    def of(cls, name: str, content: bytes) -> "Announced":
        """Return what announces a content that is at hand."""
        return cls(file_name(name), len(content), tuple(hashlib.sha256(piece).hexdigest() for piece in cut(content)))


def cut(content: bytes) -> list[bytes]:
    """Return the pieces of a file in order."""
    return [content[at : at + PIECE_BYTES] for at in range(0, len(content), PIECE_BYTES)]


def file_name(name: str) -> str:
    """Return a name as a label: its folders kept, no control characters, its end when it is long."""
    plain = "".join(letter for letter in name.replace("\\", "/") if letter.isprintable()).strip().lstrip("/")
    return plain[-FILE_NAME_MAX:] or "file"


@dataclass(frozen=True)
class BeginBulkUpload:
    """Announce the files of an upload, with the terms for all of them. Announced again, it is the same upload."""

    files: tuple[Announced, ...]
    terms: Terms = field(default_factory=Terms)
    debtor_email: str | None = None
    list_as_read: bool = False

    def manifest_sha256(self) -> str:
        """Return what tells one set of files from another: names, sizes and pieces, whatever their order."""
        files = sorted([one.name, one.size_bytes, list(one.pieces)] for one in self.files)
        return hashlib.sha256(canonical_bytes(files)).hexdigest()


@dataclass(frozen=True)
class KeepBulkPieces:
    """Keep pieces that were announced, in any order."""

    upload_id: UUID
    pieces: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True)
class OfBulkUpload:
    """Name an upload: to seal it, drop it, clear it, or leave what is left of it."""

    upload_id: UUID


@dataclass(frozen=True)
class NewRow:
    """One invoice found in what was sent. `refused` says why it is not even read; `same_as` which row it repeats."""

    label: str
    file_id: UUID | None = None
    entry: Mapping[str, Any] | None = None
    sha256: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Problem, ...] = ()
    refused: Problem | None = None
    same_as: int | None = None


@dataclass(frozen=True)
class UnpackBulkUpload:
    """Write down the rows of an upload; or, with a refusal, why there are none."""

    upload_id: UUID
    rows: tuple[NewRow, ...] = ()
    notes: tuple[Problem, ...] = ()
    refused: bool = False


@dataclass(frozen=True)
class TakeBulkRows:
    """Count one more attempt at these rows before it is made: what kills a worker is known afterwards."""

    upload_id: UUID
    row_ids: tuple[UUID, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of one row: where it stands now, why, and what is shown of it."""

    row_id: UUID
    state: str
    problems: tuple[Problem, ...] = ()
    looks: tuple[Problem, ...] = ()
    draft_id: UUID | None = None
    receivable_id: UUID | None = None
    shown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NoteBulkRows:
    """Write down what came of some rows; with none, only see whether the upload can go on."""

    upload_id: UUID
    outcomes: tuple[Outcome, ...] = ()


@dataclass(frozen=True)
class Correction:
    """What the seller enters for one row, by its position."""

    position: int
    values: Mapping[str, Any]


@dataclass(frozen=True)
class CorrectBulkRows:
    """Enter what rows need; they are judged anew."""

    upload_id: UUID
    corrections: tuple[Correction, ...]


@dataclass(frozen=True)
class ListBulkRows:
    """List every row that is ready, on these terms."""

    upload_id: UUID
    terms: Terms = field(default_factory=Terms)
    debtor_email: str | None = None


class BulkTermsSchema(TermsSchema):
    """The terms for all rows, the e-mail where a file has none, and whether to list without a preview."""

    debtor_email = fields.Email(error_messages={"invalid": N_("Enter an e-mail address like name@company.com.")})
    list_as_read = fields.Boolean(load_default=False)


class AnnouncedSchema(Schema):
    """One file of the manifest that a browser sends."""

    name = fields.String(required=True, validate=validate.Length(1, 2_000))
    size = fields.Integer(required=True, strict=True, validate=validate.Range(0))
    pieces = fields.List(fields.String(validate=validate.Regexp(HASH.pattern + r"\Z")), required=True)

    @post_load
    def make(self, values: dict[str, Any], **_: Any) -> Announced:
        """Return the file.

        Raises: ValidationError when size and pieces do not fit.
        """
        if len(values["pieces"]) != -(-values["size"] // PIECE_BYTES):
            raise ValidationError({"pieces": [N_("The file and its pieces do not fit.")]})
        return Announced(file_name(values["name"]), values["size"], tuple(values["pieces"]))
