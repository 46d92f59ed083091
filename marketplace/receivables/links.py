"""Signed addresses for debtors, who have no account: one receivable, one purpose, one expiry, kept as a hash only."""

import hashlib
import secrets
from datetime import datetime, timedelta
from uuid import UUID

from flask import current_app
from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from marketplace.kernel.errors import Conflict, NotFound, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.perform import Tx
from marketplace.receivables.tables import DebtorLinkRow

CONFIRM, ACCOUNT = "confirm", "account"
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

    An answered question stays readable through its own link; a link to the account, which can be used again and
    again, stops working.
    """
    token = str(_signer().dumps(secrets.token_urlsafe(18)))
    tx.session.execute(
        update(DebtorLinkRow)
        .where(DebtorLinkRow.receivable_id == receivable_id, DebtorLinkRow.purpose == purpose,
               or_(DebtorLinkRow.used_at.is_(None), DebtorLinkRow.purpose == ACCOUNT),
               DebtorLinkRow.revoked_at.is_(None))
        .values(revoked_at=tx.now)
    )  # fmt: skip
    row = DebtorLinkRow(
        id=new_id(),
        receivable_id=receivable_id,
        purpose=purpose,
        token_hash=_hash(token),
        issued_at=tx.now,
        expires_at=tx.now + timedelta(days=tx.policy.listing.link_days),
    )
    tx.session.add(row)
    tx.session.flush()
    tx.record("receivable", receivable_id, verb="issue_debtor_link",
              after={"link_id": row.id, "purpose": purpose, "expires_at": row.expires_at,
                     "token_hash": row.token_hash})  # fmt: skip
    return token


def find(session: Session, token: str) -> DebtorLinkRow:
    """Return the link of a token, whatever its state.

    Raises: NotFound("unknown_link") for a forged, damaged or replaced one.
    """
    unknown = NotFound("unknown_link", N_("This link is not one of ours, or it was replaced by a newer one."))
    if len(token) > TOKEN_MAX:
        raise unknown
    try:
        _signer().loads(token)
    except BadSignature as error:
        raise unknown from error
    row = session.execute(select(DebtorLinkRow).where(DebtorLinkRow.token_hash == _hash(token))).scalar_one_or_none()
    if row is None or (_replaced(row) and (row.used_at is None or row.purpose == ACCOUNT)):
        raise unknown
    return row


def _replaced(link: DebtorLinkRow) -> bool:
    return link.revoked_at is not None and link.revoked_at < link.expires_at


def expired(link: DebtorLinkRow, at: datetime) -> bool:
    """Return whether the link's time is over."""
    return at >= link.expires_at


def lock_for(tx: Tx, token: str, *purposes: str) -> DebtorLinkRow:
    """Lock the link for an answer; the receivable must be locked first.

    Raises: NotFound("unknown_link"); RuleBroken("link_expired", "link_purpose"); Conflict("link_used").
    """
    link = find(tx.session, token)
    link = tx.session.execute(
        select(DebtorLinkRow).where(DebtorLinkRow.id == link.id).with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one()  # fmt: skip
    if link.purpose not in purposes:
        raise RuleBroken("link_purpose", N_("This link was made for something else."))
    if expired(link, tx.clock()):
        raise RuleBroken("link_expired", N_("This link has run out. Ask for a new one."))
    if link.purpose == CONFIRM and link.used_at is not None:
        raise Conflict("link_used", N_("This question was answered already."))
    return link


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
