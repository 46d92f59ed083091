"""Reaching a debtor: the address operators vouch for, the link to all it owes, new links for old ones, revocation."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from marketplace.kernel.actors import Role
from marketplace.kernel.errors import Conflict, InvalidInput, NotFound, RuleBroken
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx
from marketplace.receivables import queries
from marketplace.receivables.debtor import links, mail
from marketplace.receivables.debtor import queries as debtor_queries
from marketplace.receivables.debtor.schemas import (
    AskForDebtsLink,
    IssueDebtsLink,
    RenewDebtorLink,
    RevokeDebtorLink,
    SetDebtorContact,
)
from marketplace.receivables.states import ReceivableState
from marketplace.receivables.tables import DebtorContactRow, DebtorLinkRow

# Whoever asks again within this time has a letter on its way already.
AGAIN_MINUTES = 15
ASKED_IN = {links.CONFIRM: ReceivableState.AWAITING_CONFIRMATION, links.ACCOUNT: ReceivableState.FUNDED}
NO_ADDRESS = N_("No address is verified for this debtor. Verify one first: the link tells of every seller.")


@verb("set_debtor_contact")
def set_debtor_contact(tx: Tx, command: SetDebtorContact) -> Result:
    """Keep the address that an operator verified for a debtor's accounts payable, and the language it reads.

    Links to all that the debtor owes, sent to an earlier address, stop working.

    Raises: NotFound; InvalidInput when the organisation is no debtor.
    """
    debtor = parties.organisation(tx.session, command.debtor_id)
    if debtor.kind == "operator" or tx.actor.user_id is None:
        raise InvalidInput.of_field("debtor_id", "no_debtor", N_("This organisation owes nothing here."))
    _one_at_a_time(tx.session, debtor.id)
    before = debtor_queries.contact(tx.session, debtor.id)
    row = DebtorContactRow(
        debtor_id=debtor.id, version=before.version + 1 if before else 1, address=command.address,
        language=command.language, evidence=command.evidence, set_by=tx.actor.user_id, at=tx.now,
    )  # fmt: skip
    tx.session.add(row)
    tx.session.flush()
    if before is not None and before.address != row.address:
        for link in _live_debts_links(tx.session, debtor.id):
            link.revoked_at = tx.clock()
    tx.record("organisation", debtor.id, after={"contact_version": row.version, "language": row.language})
    return {"debtor_id": debtor.id, "version": row.version}


def _one_at_a_time(session: Session, debtor_id: UUID) -> None:
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"debtor contact {debtor_id}"}
    )


def _live_debts_links(session: Session, debtor_id: UUID) -> list[DebtorLinkRow]:
    return list(
        session.execute(
            select(DebtorLinkRow)
            .where(DebtorLinkRow.debtor_id == debtor_id, DebtorLinkRow.revoked_at.is_(None))
            .with_for_update()
        ).scalars()
    )


@verb("issue_debts_link")
def issue_debts_link(tx: Tx, command: IssueDebtsLink) -> Result:
    """Send a debtor the link to all it owes, to the verified address and no other.

    Raises: NotFound; RuleBroken("no_address").
    """
    token = _send_debts_link(tx, command.debtor_id)
    if token is None:
        raise RuleBroken("no_address", NO_ADDRESS)
    told = {"address": links.address(token)} if tx.actor.role in (Role.OPERATOR, Role.SYSTEM) else {}
    return {"debtor_id": command.debtor_id, **told}


def _send_debts_link(tx: Tx, debtor_id: UUID) -> str | None:
    debtor = parties.organisation(tx.session, debtor_id)
    _one_at_a_time(tx.session, debtor_id)
    to = debtor_queries.contact(tx.session, debtor_id)
    if to is None:
        return None
    token = links.issue_debts(tx, debtor_id)
    mail.queue_debts_link(tx, debtor, to.address, to.language, token)
    return token


@verb("ask_for_debts_link")
def ask_for_debts_link(tx: Tx, command: AskForDebtsLink) -> Result:
    """A debtor on the page of one invoice asks for the page of all. The answer tells nothing: the letter does.

    Raises: NotFound("unknown_link"); RuleBroken("link_expired").
    """
    found = links.find(tx.session, command.token)
    if links.expired(found, tx.clock()):
        raise RuleBroken("link_expired", N_("This link has run out. Ask for a new one."))
    debtor_id = _debtor_of(tx, found)
    sent = not _asked_lately(tx, links.DEBTS, debtor_id=debtor_id) and _send_debts_link(tx, debtor_id) is not None
    tx.record("organisation", debtor_id, after={"link_id": found.id, "sent": sent})
    return {}


@verb("renew_debtor_link")
def renew_debtor_link(tx: Tx, command: RenewDebtorLink) -> Result:
    """Answer the request for a new link in place of one that ran out or was used: by a letter to the address on file.

    Nothing is sent when nothing is asked any more, or when a letter is on its way; the result never says which.

    Raises: NotFound("unknown_link") for a forged link.
    """
    found = links.known(tx.session, command.token)
    debtor_id = _debtor_of(tx, found)
    sent = False
    if found.receivable_id is None:
        if not _asked_lately(tx, links.DEBTS, debtor_id=debtor_id):
            sent = _send_debts_link(tx, debtor_id) is not None
    else:
        row = queries.lock_row(tx.session, found.receivable_id)
        wanted = ASKED_IN.get(found.purpose)
        # A question that was answered through the link's own page may have become a notice since.
        purpose = found.purpose if row.state == wanted else links.ACCOUNT
        if row.state == ASKED_IN[purpose] and not _asked_lately(tx, purpose, receivable_id=row.id):
            token = links.issue(tx, row.id, purpose)
            mail.queue_link(tx, row, parties.organisation(tx.session, row.seller_id).legal_name, purpose, token)
            sent = True
    about = found.receivable_id or debtor_id
    tx.record("receivable" if found.receivable_id else "organisation", about,
              after={"link_id": found.id, "purpose": found.purpose, "sent": sent})  # fmt: skip
    return {}


def _debtor_of(tx: Tx, link: DebtorLinkRow) -> UUID:
    """Return whose link it is.

    Raises: NotFound("unknown_link") when another debtor holds it.
    """
    debtor_id = link.debtor_id
    if link.receivable_id is not None:
        debtor_id = queries.receivable(tx.session, link.receivable_id).debtor_id
    if debtor_id is None or (tx.actor.role == Role.DEBTOR and tx.actor.organisation_id != debtor_id):
        raise NotFound("unknown_link", N_("This link is not one of ours, or it was replaced by a newer one."))
    return debtor_id


def _asked_lately(
    tx: Tx, purpose: str, *, receivable_id: UUID | None = None, debtor_id: UUID | None = None
) -> bool:  # fmt: skip
    about = DebtorLinkRow.receivable_id == receivable_id if receivable_id else DebtorLinkRow.debtor_id == debtor_id
    lately = DebtorLinkRow.issued_at > tx.now - timedelta(minutes=AGAIN_MINUTES)
    found = select(DebtorLinkRow.id).where(about, lately, DebtorLinkRow.purpose == purpose,
                                           DebtorLinkRow.revoked_at.is_(None))  # fmt: skip
    return tx.session.execute(found.limit(1)).first() is not None


@verb("revoke_debtor_link")
def revoke_debtor_link(tx: Tx, command: RevokeDebtorLink) -> Result:
    """End a link at once, whatever it was made for: it was sent to the wrong hands, or forwarded to them.

    Raises: NotFound; Conflict("link_revoked").
    """
    found = tx.session.get(DebtorLinkRow, command.link_id)
    if found is None:
        raise queries.missing()
    if found.receivable_id is not None:
        queries.lock_row(tx.session, found.receivable_id)
    link = links.lock(tx.session, found.id)
    if links.replaced(link) or links.expired(link, tx.clock()):
        raise Conflict("link_revoked", N_("This link does not work any more."))
    link.revoked_at = tx.clock()
    tx.session.flush()
    about = link.receivable_id or link.debtor_id or link.id
    tx.record("receivable" if link.receivable_id else "organisation", about,
              after={"link_id": link.id, "revoked_at": link.revoked_at}, reason=command.reason)  # fmt: skip
    return {"link_id": link.id}
