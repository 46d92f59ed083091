"""Signed addresses for debtors, who have no account: one subject, one purpose, one expiry, kept as a hash only.

`confirm` answers the one question whether an invoice is right, once. `account` serves a receivable that was sold:
acknowledge, promise, dispute, pay. `debts` shows all that a debtor owes and answers for many; it is sent to none but
an address that an operator has verified, for it tells of other sellers.
"""

import hashlib
import secrets
from datetime import datetime, timedelta
from uuid import UUID

from flask import current_app
from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from marketplace.kernel.errors import Conflict, NotFound, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.perform import Tx
from marketplace.receivables.tables import DebtorLinkRow

Link = DebtorLinkRow  # as the door names what it holds
CONFIRM, ACCOUNT, DEBTS = "confirm", "account", "debts"
SALT = "debtor-link"
TOKEN_MAX = 200


def _signer() -> URLSafeSerializer:
    secret = current_app.extensions["duebill"].settings.secret_key
    return URLSafeSerializer(secret, salt=SALT, signer_kwargs={"digest_method": hashlib.sha256})


def address(token: str) -> str:
    """Return the whole address that a letter gives."""
    base: str = current_app.extensions["duebill"].settings.base_url
    return f"{base}/d/{token}"


def issue(tx: Tx, receivable_id: UUID, purpose: str) -> str:
    """Make a link that replaces the earlier ones of its purpose, and return its token: it is told once.

    An answered question stays readable through its own link; a link that can be used again and again stops working.
    """
    token, row = _made(tx, purpose, DebtorLinkRow.receivable_id == receivable_id)
    row.receivable_id = receivable_id
    return _kept(tx, row, token, "receivable", receivable_id)


def issue_debts(tx: Tx, debtor_id: UUID) -> str:
    """Make a link to all that a debtor owes; it replaces the earlier one. Return its token: it is told once."""
    token, row = _made(tx, DEBTS, DebtorLinkRow.debtor_id == debtor_id)
    row.debtor_id = debtor_id
    return _kept(tx, row, token, "organisation", debtor_id)


def _made(tx: Tx, purpose: str, about: ColumnElement[bool]) -> tuple[str, DebtorLinkRow]:
    token = str(_signer().dumps(secrets.token_urlsafe(18)))
    tx.session.execute(
        update(DebtorLinkRow)
        .where(about, DebtorLinkRow.purpose == purpose, DebtorLinkRow.revoked_at.is_(None),
               or_(DebtorLinkRow.used_at.is_(None), DebtorLinkRow.purpose != CONFIRM))
        .values(revoked_at=tx.now)
    )  # fmt: skip
    row = DebtorLinkRow(
        id=new_id(),
        purpose=purpose,
        token_hash=_hash(token),
        issued_at=tx.now,
        expires_at=tx.now + timedelta(days=tx.policy.listing.link_days),
    )
    return token, row


def _kept(tx: Tx, row: DebtorLinkRow, token: str, kind: str, about: UUID) -> str:
    tx.session.add(row)
    tx.session.flush()
    tx.record(kind, about, verb="issue_debtor_link",
              after={"link_id": row.id, "purpose": row.purpose, "expires_at": row.expires_at,
                     "token_hash": row.token_hash})  # fmt: skip
    return token


def known(session: Session, token: str) -> DebtorLinkRow:
    """Return the link that a token was made for, be it used, run out, revoked or replaced.

    Raises: NotFound("unknown_link") for a forged or damaged one.
    """
    unknown = NotFound("unknown_link", N_("This link is not one of ours, or it was replaced by a newer one."))
    if len(token) > TOKEN_MAX:
        raise unknown
    try:
        _signer().loads(token)
    except BadSignature as error:
        raise unknown from error
    row = session.execute(select(DebtorLinkRow).where(DebtorLinkRow.token_hash == _hash(token))).scalar_one_or_none()
    if row is None:
        raise unknown
    return row


def find(session: Session, token: str) -> DebtorLinkRow:
    """Return the link of a token, unless it was revoked; it may have run out or be used.

    Raises: NotFound("unknown_link") for a forged, damaged, revoked or replaced one.
    """
    row = known(session, token)
    if replaced(row):
        raise NotFound("unknown_link", N_("This link is not one of ours, or it was replaced by a newer one."))
    return row


def replaced(link: DebtorLinkRow) -> bool:
    """Return whether somebody, or a newer link, ended it before its time."""
    return link.revoked_at is not None and link.revoked_at < link.expires_at


def expired(link: DebtorLinkRow, at: datetime) -> bool:
    """Return whether the link's time is over."""
    return at >= link.expires_at


def lock(session: Session, link_id: UUID) -> DebtorLinkRow:
    """Lock a link; the receivable, where there is one, must be locked first."""
    return session.execute(
        select(DebtorLinkRow).where(DebtorLinkRow.id == link_id).with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one()  # fmt: skip


def lock_for(tx: Tx, token: str, *purposes: str) -> DebtorLinkRow:
    """Lock the link for an answer; the receivable must be locked first.

    Raises: NotFound("unknown_link"); RuleBroken("link_expired", "link_purpose"); Conflict("link_used").
    """
    link = lock(tx.session, find(tx.session, token).id)
    require_purpose(link, *purposes)
    if replaced(link):
        raise NotFound("unknown_link", N_("This link is not one of ours, or it was replaced by a newer one."))
    if expired(link, tx.clock()):
        raise RuleBroken("link_expired", N_("This link has run out. Ask for a new one."))
    if link.purpose == CONFIRM and link.used_at is not None:
        raise Conflict("link_used", N_("This question was answered already."))
    return link


def require_purpose(link: DebtorLinkRow, *purposes: str) -> None:
    """Let a link do nothing but what it was made for.

    Raises: RuleBroken("link_purpose").
    """
    if link.purpose not in purposes:
        raise RuleBroken("link_purpose", N_("This link was made for something else."))


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
