"""Before a listing: an invoice is read or typed, and kept as a draft with its file, byte for byte."""

import hashlib
import os
from typing import Any
from uuid import UUID

from marketplace.kernel.canonical import canonical_bytes
from marketplace.kernel.errors import InvalidInput, Problem, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.policy import Policy
from marketplace.kernel.words import N_
from marketplace.parties.rules import require_own, verb
from marketplace.perform import Result, Tx
from marketplace.receivables import queries
from marketplace.receivables.einvoice.into_facts import facts_of, findings_of, format_of, problems_of
from marketplace.receivables.einvoice.reading import read_einvoice
from marketplace.receivables.facts import InvoiceFacts
from marketplace.receivables.schemas import DraftReceivable, UploadDocument
from marketplace.receivables.tables import DocumentRow, DraftRow, ReceivableDocumentRow

NAME_KEPT = 200


@verb("draft_receivable")
def draft_receivable(tx: Tx, command: DraftReceivable) -> Result:
    """Keep an invoice as a draft: what a file says, or what was typed.

    Raises: InvalidInput when the file cannot be read; RuleBroken("document_refused") with every reason when it says
    something that cannot be sold. Nothing is kept then.
    """
    if tx.actor.organisation_id is None:
        raise queries.missing()
    draft_id = new_id()
    if command.content is None:
        read, findings, document_id, form = command.facts or InvoiceFacts(), {"listable": "review"}, None, None
    else:
        read, findings, form = _read(command.filename or "", command.content, tx.policy)
        document_id = keep_document(tx, "invoice", command.filename or "invoice", command.content)
    tx.session.add(
        DraftRow(id=draft_id, seller_id=tx.actor.organisation_id, document_id=document_id,
                 evidence="typed" if command.content is None else "einvoice", format=form, read=read.to_json(),
                 findings=findings, created_at=tx.now)
    )  # fmt: skip
    tx.session.flush()
    tx.record("draft", draft_id, after={"document_id": document_id, "format": form,
                                        "read_hash": hash_of(read), "findings": findings.get("listable")})  # fmt: skip
    return {"draft_id": draft_id, "listable": findings["listable"], "document_id": document_id}


def _read(filename: str, content: bytes, policy: Policy) -> tuple[InvoiceFacts, dict[str, Any], str]:
    most = policy.listing.document_bytes_max
    if len(content) > most:
        raise InvalidInput("too_large", N_("The file is larger than %(most)s MB."), {"most": most // 1_000_000},
                           [Problem("document", "too_large", N_("The file is larger than %(most)s MB."),
                                    {"most": most // 1_000_000})])  # fmt: skip
    read = read_einvoice(content, filename)
    if read.listable == "no":
        raise RuleBroken("document_refused", N_("This document cannot be listed."), problems=problems_of(read))
    return facts_of(read), findings_of(read), format_of(read)


def keep_document(tx: Tx, kind: str, filename: str, content: bytes, organisation_id: UUID | None = None) -> UUID:
    """Store a file's bytes with their hash. What it is, is told by its bytes; its name is only a label."""
    row = DocumentRow(
        id=new_id(),
        organisation_id=organisation_id or tx.actor.organisation_id,
        kind=kind,
        filename=_label(filename),
        media_type=_media_type(content),
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        content=content,
        created_at=tx.now,
    )
    tx.session.add(row)
    tx.session.flush()
    tx.record("document", row.id, verb="keep_document",
              after={"kind": kind, "sha256": row.sha256, "size_bytes": row.size_bytes})  # fmt: skip
    return row.id


def _label(filename: str) -> str:
    bare = os.path.basename(filename.replace("\\", "/"))
    kept = "".join(letter for letter in bare if letter.isprintable()).strip()
    return kept[-NAME_KEPT:] or "document"


def _media_type(content: bytes) -> str:
    if b"%PDF-" in content[:1024]:
        return "application/pdf"
    return "application/xml" if content[:200].lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n").startswith(b"<") else (
        "application/octet-stream")  # fmt: skip


@verb("upload_document")
def upload_document(tx: Tx, command: UploadDocument) -> Result:
    """File a supporting PDF (order, delivery note) with a receivable.

    Raises: NotFound; InvalidInput("not_a_pdf", "too_large").
    """
    found = queries.receivable(tx.session, command.receivable_id)
    require_own(tx.actor, found.seller_id)
    if len(command.content) > tx.policy.listing.document_bytes_max:
        raise InvalidInput("too_large", N_("The file is too large."))
    if not command.content.startswith(b"%PDF-"):
        raise InvalidInput("not_a_pdf", N_("Supporting documents are PDF files."),
                           problems=[Problem("document", "not_a_pdf", N_("Choose a PDF file."))])  # fmt: skip
    document_id = keep_document(tx, "supporting", command.filename, command.content)
    tx.session.add(ReceivableDocumentRow(receivable_id=found.id, document_id=document_id, added_at=tx.now))
    tx.session.flush()
    return {"document_id": document_id}


def hash_of(facts: InvoiceFacts) -> str:
    """Return the hash under which events name what an invoice says."""
    return hashlib.sha256(canonical_bytes(facts.to_json())).hexdigest()
