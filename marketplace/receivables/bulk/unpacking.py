"""From files as they were sent to rows: archives opened, CSVs read, each invoice found once. Nothing is listed here."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.kernel.policy import Policy
from marketplace.kernel.words import N_
from marketplace.receivables.bulk import archive
from marketplace.receivables.bulk.archive import Bounds, Entry
from marketplace.receivables.bulk.csv_reading import Line, Sheet, kept, read_sheet
from marketplace.receivables.bulk.queries import Stored, files
from marketplace.receivables.bulk.schemas import NewRow, OfBulkUpload, UnpackBulkUpload

SHEETS = (".csv", ".tsv")
LABEL_MAX = 400


@dataclass(frozen=True)
class Found:
    """One file of the upload, in an archive or by itself, with the hash of its content or why it is not read."""

    label: str
    stored: Stored
    entry: Entry | None = None
    sha256: str | None = None
    problem: Problem | None = None
    sheet: Sheet | None = None

    def row(self, label: str = "", line: Line | None = None) -> NewRow:
        """Return the row of this file, with what a line of a CSV says about it."""
        return NewRow(
            label=(label or self.label)[-LABEL_MAX:],
            file_id=self.stored.id,
            entry=self.entry.to_json() if self.entry and self.problem is None else None,
            sha256=self.sha256,
            given=kept(line.values) if line else {},
            faults=line.problems if line else (),
            refused=self.problem,
        )


class Unusable(Exception):
    """The upload as a whole cannot be used; the problem says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.rule)
        self.problem = problem


def unpack(session: Session, upload: OfBulkUpload, policy: Policy) -> UnpackBulkUpload:
    """Return the rows of an upload, in order: the lines of its CSVs, then the files that no line names."""
    try:
        found = list(_found(files(session, upload.upload_id), policy))
        notes = tuple(_note(one) for one in found if one.sheet and one.sheet.unknown)
        rows = _without_twins(_rows(found))
        if not rows:
            raise _unusable("no_invoices", N_("There is no invoice in what you sent."))
        if len(rows) > policy.bulk.rows_max:
            raise _unusable("too_many_rows", N_("There are more than %(most)s invoices in it. Send them in parts."),
                            most=policy.bulk.rows_max)  # fmt: skip
    except Unusable as fault:
        return UnpackBulkUpload(upload.upload_id, notes=(fault.problem,), refused=True)
    return UnpackBulkUpload(upload.upload_id, tuple(rows), notes)


def _unusable(rule: str, words: str, **params: object) -> Unusable:
    return Unusable(Problem("documents", rule, words, params))


def _note(found: Found) -> Problem:
    words = N_("Columns of “%(file)s” that mean nothing here were left out: %(columns)s.")
    columns = ", ".join(found.sheet.unknown)[:200] if found.sheet else ""
    return Problem("documents", "unknown_columns", words, {"file": found.label, "columns": columns})


def _found(sent: Sequence[Stored], policy: Policy) -> Iterator[Found]:
    """Yield every file, archives opened. Bounds hold for all archives of an upload together."""
    left, entries_left = policy.bulk.inflated_bytes_max, policy.bulk.files_max
    for stored in sent:
        start = stored.read(0, 8)
        if not archive.is_archive(start):
            yield _looked_at(Found(stored.name, stored), policy)
            continue
        try:
            if not archive.is_zip(start):
                words, params = N_("“%(file)s” is packed, but no ZIP. Pack the files as a ZIP."), {"file": stored.name}
                raise InvalidInput("other_archive", words, params, [Problem("documents", "other_archive", words,
                                                                           params)])  # fmt: skip
            bounds = Bounds(entries_left, policy.listing.document_bytes_max, left, policy.bulk.inflation_max)
            entries = archive.entries(stored.read, stored.size_bytes, bounds)
        except InvalidInput as refusal:
            if len(sent) == 1:
                raise Unusable(refusal.problems[0]) from None
            yield Found(stored.name, stored, problem=refusal.problems[0])
            continue
        left -= sum(entry.size for entry in entries if entry.problem is None)
        entries_left -= len(entries)
        for entry in entries:
            label = entry.name if len(sent) == 1 else f"{stored.name}/{entry.name}"
            shown = "".join(letter if letter.isprintable() else "·" for letter in label) or "–"
            yield _looked_at(Found(shown, stored, entry, problem=entry.problem), policy)


def _looked_at(found: Found, policy: Policy) -> Found:
    """Return the file with its hash, its rows if it is a CSV, or why it is not read."""
    if found.problem is not None:
        return found
    most = policy.listing.document_bytes_max
    if found.entry is None and found.stored.size_bytes > most:
        words = N_("The file is larger than %(most)s MB.")
        return replace(found, problem=Problem("document", "too_large", words, {"most": most // 1_000_000}))
    try:
        content = content_of(found.stored, found.entry)
        if found.entry is not None and archive.is_archive(content[:8]):
            return replace(found, problem=archive.nested(found.entry))
        if found.label.lower().endswith(SHEETS):
            return replace(found, sheet=read_sheet(content, policy.bulk.rows_max))
    except InvalidInput as refusal:
        return replace(found, problem=refusal.problems[0])
    return replace(found, sha256=hashlib.sha256(content).hexdigest())


def content_of(stored: Stored, entry: Entry | None) -> bytes:
    """Return the bytes of a file, or of an entry of an archive.

    Raises: InvalidInput("entry_broken").
    """
    return archive.content(stored.read, entry) if entry else stored.all()


def _rows(found: Sequence[Found]) -> list[NewRow]:
    documents = [one for one in found if one.sheet is None]
    whole: dict[str, list[int]] = {}
    last: dict[str, list[int]] = {}
    for place, one in enumerate(documents):
        whole.setdefault(one.label.casefold(), []).append(place)
        last.setdefault(one.label.rsplit("/", 1)[-1].casefold(), []).append(place)
    taken: dict[int, int] = {}
    rows = []
    for sheet_of in found:
        for line in sheet_of.sheet.lines if sheet_of.sheet else ():
            label = f"{sheet_of.label.rsplit('/', 1)[-1]}, {line.number}"
            if not line.file:
                rows.append(NewRow(label=label[-LABEL_MAX:], given=kept(line.values), faults=line.problems))
                continue
            name = line.file.replace("\\", "/").lstrip("/").casefold()
            places = whole.get(name) or last.get(name.rsplit("/", 1)[-1]) or []
            problem = _misnamed(line.file, places, taken)
            if problem is None:
                taken[places[0]] = len(rows) + 1
                rows.append(documents[places[0]].row(f"{label}: {line.file}", line))
            else:
                rows.append(NewRow(label=f"{label}: {line.file}"[-LABEL_MAX:], given=kept(line.values),
                                   refused=problem))  # fmt: skip
    return rows + [one.row() for place, one in enumerate(documents) if place not in taken]


def _misnamed(name: str, places: Sequence[int], taken: dict[int, int]) -> Problem | None:
    """Return why a line cannot have the file that it names; None when it can."""
    if not places:
        words = N_("There is no file “%(file)s” in what you sent. Send both together, or leave the cell empty.")
        return Problem("file", "no_such_file", words, {"file": name[:120]})
    if len(places) > 1:
        words = N_("“%(file)s” is there %(count)s times. Name the one that is meant with its folder.")
        return Problem("file", "file_unclear", words, {"file": name[:120], "count": len(places)})
    if places[0] in taken:
        words = N_("Row %(row)s names “%(file)s” already. An invoice has one row.")
        return Problem("file", "file_taken", words, {"file": name[:120], "row": taken[places[0]]})
    return None


def _without_twins(rows: Sequence[NewRow]) -> list[NewRow]:
    """Mark the rows whose file was there before, byte for byte."""
    first: dict[str, int] = {}
    told = []
    for position, row in enumerate(rows, 1):
        earlier = first.get(row.sha256) if row.sha256 else None
        told.append(replace(row, same_as=earlier) if earlier else row)
        if row.sha256 and not earlier:
            first[row.sha256] = position
    return told
