"""This market's verbs: work out claims, write down what was answered, hold what others claim, take and give files.

No verb speaks to anybody: `asking` does, outside any transaction, and brings the answers here.
"""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert as pg_insert

from marketplace.audit.keys import parse_verifier_key
from marketplace.exchange import queries, rules
from marketplace.exchange.claims import claims, key_mark
from marketplace.exchange.claims_file import ClaimsFile, Entry, issuer_of, read_file
from marketplace.exchange.rules import REGISTRY, Answer
from marketplace.exchange.schemas import (
    Answered,
    CheckClaims,
    ExportClaims,
    ImportClaims,
    NoteRegistry,
    RecordExchangeAnswer,
    TrustIssuer,
)
from marketplace.exchange.states import CLAIM, ClaimState
from marketplace.exchange.tables import (
    AnswerRow,
    ClaimRow,
    FileRow,
    IssuerRow,
    OutsideClaimRow,
    RegistryRow,
    WatchRow,
)
from marketplace.kernel.errors import InvalidInput, NotFound, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx
from marketplace.receivables import actions as receivables
from marketplace.receivables import queries as receivable_queries
from marketplace.receivables.matching.fingerprint import Identity, identity
from marketplace.receivables.queries import Receivable
from marketplace.receivables.rules import Check
from marketplace.receivables.states import LIVE, ReceivableState
from marketplace.receivables.walls.reviewing import open_review

IMPORT = "import"
EXCHANGE_ID = UUID(int=0)  # the subject of events about the exchange as a whole
WORDS = {
    "registered": N_("Another market has registered the same invoice (%(source)s)."),
    "financed": N_("Another market has financed the same invoice (%(source)s)."),
}
HOLDABLE = frozenset({ReceivableState.AWAITING_CONFIRMATION, ReceivableState.CONFIRMED, ReceivableState.RATED})
BATCH = 5_000


@verb("check_claims")
def check_claims(tx: Tx, command: CheckClaims) -> Result:
    """Work out a receivable's claims and compare them with other markets' files.

    Raises: NotFound; RuleBroken("no_exchange") where there is no consortium's key.
    """
    key: bytes = _key()
    receivable_queries.lock_receivable(tx.session, command.receivable_id)
    found = receivable_queries.receivable(tx.session, command.receivable_id)
    made, mark = _claims(tx, key, found), key_mark(key)
    for claim in made:
        tx.session.execute(
            pg_insert(ClaimRow).values(id=new_id(), receivable_id=found.id, claim=claim, key_mark=mark)
            .on_conflict_do_nothing()
        )  # fmt: skip
    watch = _watch(tx, found.id)
    watch.claimed_at = tx.now
    tx.session.flush()
    tx.record("receivable", found.id, after={"claims": [_hash(claim) for claim in made], "key_mark": mark})
    held = _compare(tx, found.id, queries.claims_of(tx.session, found.id))
    return {"receivable_id": found.id, "claims": len(made), "held": held}


def _key() -> bytes:
    key: bytes = queries.settings().key
    if not key:
        raise RuleBroken("no_exchange", N_("Claims are not exchanged here: EXCHANGE_KEY is not set."))
    return key


def _claims(tx: Tx, key: bytes, found: Receivable) -> list[bytes]:
    """Return the claims of an invoice by everything that its parties are known by: the directory and the document."""
    seller = parties.organisation(tx.session, found.seller_id)
    debtor = parties.organisation(tx.session, found.debtor_id)
    facts = found.facts
    sellers = [_identity(seller), identity(facts.seller_legal_id, facts.seller_vat_id, None, seller.country)]
    debtors = [_identity(debtor), identity(facts.debtor_legal_id, facts.debtor_vat_id, None, debtor.country)]
    return claims(key, sellers, debtors, found.number, found.document_type, found.currency)


def _identity(one: parties.Organisation) -> Identity:
    return identity(one.legal_id, one.vat_id, one.legal_name, one.country)


def _watch(tx: Tx, receivable_id: UUID) -> WatchRow:
    return tx.session.execute(
        select(WatchRow).where(WatchRow.receivable_id == receivable_id).with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one()  # fmt: skip


def _compare(tx: Tx, receivable_id: UUID, rows: Sequence[ClaimRow]) -> bool:
    """Write down what files say of these claims, if it is news; hold the receivable when somebody else has one."""
    said = {(row.issuer, bytes(row.claim)): row for row in queries.outside(tx.session, [row.claim for row in rows])}
    by_claim = {bytes(row.claim): row.id for row in rows}
    news = []
    for (issuer, claim), row in said.items():
        known = row.state != rules.RELEASED
        answer = Answer(known, row.state if known else "none", False)
        news.append(_note(tx, receivable_id, by_claim[claim], issuer, IMPORT, answer))
    return _hold(tx, receivable_id) if any(news) else False


def _note(tx: Tx, receivable_id: UUID, claim_id: UUID, source: str, operation: str, answer: Answer) -> bool:
    """Keep an answer that differs from the last one of its source about this claim; return whether it did."""
    last = tx.session.execute(
        select(AnswerRow).where(AnswerRow.claim_id == claim_id, AnswerRow.source == source)
        .order_by(AnswerRow.at.desc()).limit(1)
    ).scalar_one_or_none()  # fmt: skip
    if queries.answer_of(last) == answer if last else not answer.known and operation == IMPORT:
        return False
    tx.session.add(AnswerRow(id=new_id(), receivable_id=receivable_id, claim_id=claim_id, source=source,
                             operation=operation, known=answer.known, state=answer.state, yours=answer.yours,
                             at=tx.now))  # fmt: skip
    tx.session.flush()
    return True


@verb("record_exchange_answer")
def record_exchange_answer(tx: Tx, command: RecordExchangeAnswer) -> Result:
    """Write down what the registry answered about one receivable's claims, and act on it: hold, or go on later.

    Raises: NotFound.
    """
    row = receivable_queries.lock_row(tx.session, command.receivable_id)
    watch = _watch(tx, row.id)
    known = {claim.id: claim for claim in queries.claims_of(tx.session, row.id)}
    news = []
    for one in command.answers:
        if one.claim_id not in known:
            raise NotFound("not_found", N_("There is no such claim."))
        _stand(tx, known[one.claim_id], one)
        news.append(_note(tx, row.id, one.claim_id, REGISTRY, one.operation, one.answer))
    watch.next_at = rules.next_at(
        watch.wanted, [(claim.state, claim.leased_until) for claim in known.values()], tx.now, tx.policy.exchange
    )
    tx.session.flush()
    tx.record("receivable", row.id, after={"source": REGISTRY, "answers": [
        {"operation": one.operation, "claim": _hash(known[one.claim_id].claim), "known": one.answer.known,
         "state": one.answer.state, "yours": one.answer.yours} for one in command.answers]})  # fmt: skip
    held = _hold(tx, row.id) if any(news) else False
    return {"receivable_id": row.id, "held": held, "contrary": queries.contrary(tx.session, row.id)}


def _stand(tx: Tx, claim: ClaimRow, one: Answered) -> None:
    """Move a claim to where the answer puts it. A lease is counted from before the registry was asked."""
    after = rules.state_after(one.operation, one.answer)
    if one.pseudonym is not None:
        claim.pseudonym = one.pseudonym
    if one.operation != rules.Operation.QUERY:
        if claim.state != after:
            CLAIM.check(claim.state, after)
            claim.state = str(after)
        days = timedelta(days=tx.policy.exchange.lease_days)
        leased = one.operation in (rules.Operation.REGISTER, rules.Operation.RENEW)
        until = tx.now + days - timedelta(minutes=1) if leased else claim.leased_until
        claim.leased_until = until if after == ClaimState.REGISTERED else None
    claim.asked_at = tx.now


def _hold(tx: Tx, receivable_id: UUID) -> bool:
    """Let two people look at a live receivable that somebody else claims; return whether that is so.

    One that no lot was opened for is held; one on auction or sold keeps its state, and the open review stops it at the
    close and before money leaves.
    """
    against = queries.contrary(tx.session, receivable_id)
    row = receivable_queries.lock_row(tx.session, receivable_id)
    state = ReceivableState(row.state)
    if not against or state not in LIVE:
        return False
    if state in HOLDABLE:
        receivables.move(tx, row.id, ReceivableState.HELD_FOR_REVIEW, queries.OUTSIDE_CLAIM)
    goes_to = ReceivableState.CONFIRMED if row.confirmed_at else ReceivableState.AWAITING_CONFIRMATION
    open_review(tx, row, "outside_evidence", _checks(tx, row.id), goes_to=goes_to)
    return True


def _checks(tx: Tx, receivable_id: UUID) -> list[Check]:
    found = [one for one in queries.latest_answers(tx.session, receivable_id) if one.known and not one.yours]
    sources = ", ".join(sorted({one.source for one in found}))
    title = N_("Another market has the same invoice")
    shown = min(found, key=lambda one: (one.state != "financed", one.source))
    return [Check(queries.OUTSIDE_CLAIM, "look", title, {"source": sources}, "number", WORDS[shown.state])]


@verb("note_registry")
def note_registry(tx: Tx, command: NoteRegistry) -> Result:
    """Write down how the registry behaves, and when it may be asked again: later each time it does not answer."""
    row = tx.session.execute(
        select(RegistryRow).with_for_update().execution_options(populate_existing=True)
    ).scalar_one()
    before = {"state": row.state, "code": row.code, "attempts": row.attempts}
    answered = command.state == "answering"
    row.attempts = 0 if answered else row.attempts + 1
    row.since = row.since if row.state == command.state else tx.now
    row.state, row.code = command.state, command.code
    row.next_at = tx.now + (timedelta() if answered else rules.silence(row.attempts))
    row.heard_at = tx.now if answered else row.heard_at
    tx.session.flush()
    after = {"state": row.state, "code": row.code, "attempts": row.attempts, "next_at": row.next_at}
    tx.record("exchange", EXCHANGE_ID, before=before, after=after)
    return after


# -- files of claims ------------------------------------------------------------------------------------------------


@verb("trust_issuer")
def trust_issuer(tx: Tx, command: TrustIssuer) -> Result:
    """Take a market's files from now on, or no longer. A known market with another key has changed its key.

    Raises: InvalidInput("bad_key"); NotFound.
    """
    key = parse_verifier_key(command.verifier_key)
    row = tx.session.get(IssuerRow, key.name, with_for_update=True)
    before = {"verifier_key": row.verifier_key, "revoked_at": row.revoked_at} if row else None
    if command.revoke:
        if row is None or row.verifier_key != key.text():
            raise NotFound("not_found", N_("No market is known by this key."))
        row.revoked_at = tx.now
    elif row is None:
        row = IssuerRow(name=key.name, verifier_key=key.text(), trusted_at=tx.now)
        tx.session.add(row)
    else:
        row.verifier_key, row.trusted_at, row.revoked_at = key.text(), tx.now, None
    tx.session.flush()
    tx.record("exchange", EXCHANGE_ID, before=before,
              after={"issuer": row.name, "verifier_key": row.verifier_key, "revoked_at": row.revoked_at})  # fmt: skip
    return {"issuer": row.name, "key_id": key.key_id, "revoked_at": row.revoked_at}


@verb("import_claims")
def import_claims(tx: Tx, command: ImportClaims) -> Result:
    """Take another market's file of claims and compare it with what is live here. The same file twice changes nothing.

    Raises: InvalidInput("bad_file", "bad_signature", "other_consortium", "unknown_issuer"); RuleBroken("no_exchange",
    "older_file").
    """
    name = issuer_of(command.content)
    known = tx.session.get(IssuerRow, name, with_for_update=True)
    if known is None or known.revoked_at is not None or command.issuer not in (None, name):
        raise InvalidInput("unknown_issuer", N_("Files of “%(issuer)s” are not taken here: trust its key first."),
                           {"issuer": name})  # fmt: skip
    sha256 = hashlib.sha256(command.content).hexdigest()
    earlier = tx.session.execute(select(FileRow).where(FileRow.sha256 == sha256)).scalar_one_or_none()
    if earlier is not None:
        tx.record("exchange", earlier.id, after={"issuer": name, "sha256": sha256, "again": True})
        return {"file_id": earlier.id, "issuer": name, "claims": earlier.claims, "changed": 0, "held": 0}
    read = read_file(command.content, parse_verifier_key(known.verifier_key), key_mark(_key()))
    _in_order(tx, read)
    changed = sum(_take(tx, read, read.entries[at : at + BATCH]) for at in range(0, len(read.entries), BATCH))
    held = _compare_all(tx, name)
    row = FileRow(id=new_id(), issuer=name, sha256=sha256, made_at=read.made_at, claims=len(read.entries),
                  changed=changed, held=held, at=tx.clock())  # fmt: skip
    tx.session.add(row)
    tx.session.flush()
    tx.record("exchange", row.id, after={"issuer": name, "sha256": sha256, "made_at": read.made_at,
                                         "claims": row.claims, "changed": changed, "held": held})  # fmt: skip
    return {"file_id": row.id, "issuer": name, "claims": row.claims, "changed": changed, "held": held}


def _in_order(tx: Tx, read: ClaimsFile) -> None:
    newest = tx.session.execute(select(func.max(FileRow.made_at)).where(FileRow.issuer == read.issuer)).scalar()
    if newest is not None and read.made_at < newest:
        raise RuleBroken("older_file", N_("A newer file of this market was taken already."))
    if read.made_at > tx.now + timedelta(days=1):
        raise InvalidInput("bad_file", N_("The file says that it was made in the future."))


def _take(tx: Tx, read: ClaimsFile, entries: Sequence[Entry]) -> int:
    """Write what an issuer says of some claims; return how many it says something new of."""
    rows = [{"issuer": read.issuer, "claim": one.claim, "state": one.state, "reason": one.reason,
             "as_of": read.made_at} for one in entries]  # fmt: skip
    if not rows:
        return 0
    wish = pg_insert(OutsideClaimRow).values(rows)
    done = tx.session.execute(
        wish.on_conflict_do_update(
            index_elements=["issuer", "claim"],
            set_={name: wish.excluded[name] for name in ("state", "reason", "as_of")},
            where=OutsideClaimRow.state != wish.excluded["state"],
        ).returning(OutsideClaimRow.claim)
    )
    return len(done.all())


def _compare_all(tx: Tx, issuer: str) -> int:
    """Compare everything live here with an issuer's claims; return how many receivables are held for it."""
    hits = tx.session.execute(
        text("""
            SELECT DISTINCT exchange_claim.receivable_id FROM exchange_claim
            JOIN outside_claim USING (claim)
            JOIN exchange_watch ON exchange_watch.receivable_id = exchange_claim.receivable_id
            WHERE issuer = :issuer AND exchange_watch.wanted <> 'released' ORDER BY 1"""),
        {"issuer": issuer},
    ).scalars().all()  # fmt: skip
    held = 0
    for receivable_id in hits:
        receivable_queries.lock_row(tx.session, receivable_id)
        held += _compare(tx, receivable_id, queries.claims_of(tx.session, receivable_id))
    return held


@verb("export_claims")
def export_claims(tx: Tx, command: ExportClaims) -> Result:
    """Record that a file of our claims was made for others to check."""
    tx.record("exchange", EXCHANGE_ID, after={"sha256": command.sha256, "claims": command.claims})
    return {"sha256": command.sha256, "claims": command.claims}


def exported(session: Any) -> list[Entry]:
    """Return our claims as other markets may see them: by what is wanted of each, whatever a registry says."""
    rows = session.execute(
        select(ClaimRow.claim, WatchRow.wanted, WatchRow.reason)
        .join(WatchRow, WatchRow.receivable_id == ClaimRow.receivable_id).order_by(ClaimRow.claim)
    )  # fmt: skip
    best: dict[bytes, Entry] = {}
    for row in rows:
        entry = Entry(bytes(row.claim), row.wanted, row.reason)
        if entry.claim not in best or best[entry.claim].state == rules.RELEASED:
            best[entry.claim] = entry
    return list(best.values())


def _hash(claim: bytes) -> str:
    """Return what events say of a claim: the registry's log says the same, and neither says the claim."""
    return hashlib.sha256(claim).hexdigest()
