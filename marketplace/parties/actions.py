"""Verbs of the parties: becoming known, signing in and out, losing good standing."""

from datetime import timedelta
from uuid import UUID

from marshmallow import ValidationError
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from marketplace.kernel.errors import Conflict, InvalidInput, NotFound, NotPermitted, Problem, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties import passwords, queries
from marketplace.parties.rules import verb
from marketplace.parties.schemas import (
    LOCALES,
    RefuseSignIn,
    RegisterOrganisation,
    RegisterUser,
    SignIn,
    SignOut,
    SuspendOrganisation,
    SuspendUser,
    plain_iban,
    plain_number,
)
from marketplace.parties.tables import OrganisationRow, UserAccountRow, UserSecretRow, WebSessionRow
from marketplace.perform import Result, Tx

ACCOUNT_BY_TWO = N_("Two operators enter this account on the page “Bank pay-outs”.")


@verb("register_organisation")
def register_organisation(tx: Tx, command: RegisterOrganisation) -> Result:
    """Make an organisation known. A debtor already known by the same register number takes the new kind.

    The account that comes with it is its first; two people change it, and enter the market's own.

    Raises: Conflict("organisation_known"); RuleBroken("account_by_two").
    """
    if command.iban and command.kind == "operator":
        raise _account_by_two()
    legal_id = plain_number(command.legal_id, command.country)
    known = queries.find_by_legal_id(tx.session, command.country, legal_id) if legal_id else None
    if known is not None and known.kind == "debtor" and command.kind != "debtor":
        return _promote(tx, known, command)
    if known is not None:
        raise Conflict("organisation_known", N_("An organisation with this register number is already known."),
                       problems=[Problem("legal_id", "unique", N_("This number is already known here."))])  # fmt: skip
    row = OrganisationRow(
        id=new_id(),
        kind=command.kind,
        legal_name=command.legal_name.strip(),
        legal_id=legal_id,
        vat_id=plain_number(command.vat_id),
        country=command.country,
        sector=command.sector,
        group_id=command.group_id,
        declared_group_id=command.group_id,
        iban=_iban(command.iban) if command.iban else None,
    )
    tx.session.add(row)
    _flush(tx, "organisation_known", N_("An organisation of this name is already known."))
    tx.record("organisation", row.id, after=_facts(row), verb="register_organisation")
    return {"organisation_id": row.id}


def ensure_debtor(tx: Tx, name: str, legal_id: str | None, vat_id: str | None, country: str) -> UUID:
    """Return the organisation an invoice names as debtor; make it known if it is not.

    Found by register number, else by a VAT number that only one organisation has, else by name where no number
    is given. An organisation of another kind (a seller that owes another seller) is returned as it is.
    """
    number, vat = plain_number(legal_id, country), plain_number(vat_id)
    known = None
    if number:
        known = queries.find_by_legal_id(tx.session, country, number)
    elif vat:
        known = queries.find_by_vat_id(tx.session, vat)
    else:
        known = queries.find_nameless(tx.session, country, name.strip())
    if known is not None:
        return known.id
    return _make_debtor(tx, name.strip(), number, vat, country)


def _make_debtor(tx: Tx, name: str, legal_id: str | None, vat_id: str | None, country: str) -> UUID:
    """Insert a debtor; where another transaction was first, return what it made."""
    facts = {"kind": "debtor", "legal_name": name, "legal_id": legal_id, "vat_id": vat_id, "country": country}
    made = tx.session.execute(
        insert(OrganisationRow).values(id=new_id(), **facts).on_conflict_do_nothing().returning(OrganisationRow.id)
    ).scalar_one_or_none()
    if made is None:
        return ensure_debtor(tx, name, legal_id, vat_id, country)
    tx.record("organisation", made, after=facts, verb="register_organisation")
    return made


@verb("register_user")
def register_user(tx: Tx, command: RegisterUser) -> Result:
    """Give a person an account with the role of the organisation.

    Raises: Conflict("email_taken"), InvalidInput("weak_password"), NotFound.
    """
    house = queries.organisation(tx.session, command.organisation_id)
    passwords.check_new(command.password)
    if command.locale not in LOCALES:
        raise InvalidInput("unknown_locale", N_("This language is not offered."))
    row = UserAccountRow(
        id=new_id(),
        email=command.email.strip().lower(),
        display_name=command.display_name.strip(),
        role=house.kind,
        organisation_id=house.id,
        locale=command.locale,
    )
    tx.session.add(row)
    _flush(tx, "email_taken", N_("This e-mail address has an account already."), "email")
    tx.session.add(UserSecretRow(user_id=row.id, password_hash=passwords.hashed(command.password)))
    tx.record("user_account", row.id, after={"organisation_id": house.id, "role": house.kind, "active": True})
    return {"user_id": row.id}


@verb("sign_in")
def sign_in(tx: Tx, command: SignIn) -> Result:
    """Open a session for the right e-mail and password; end the browser's earlier one.

    Takes the same work whether the user exists or not, and answers the same.

    Raises: NotPermitted("wrong_credentials").
    """
    row = tx.session.scalars(
        select(UserAccountRow).where(UserAccountRow.email == command.email.strip().lower())
    ).one_or_none()
    secret = tx.session.get(UserSecretRow, row.id if row else new_id())
    right = passwords.matches(secret.password_hash if secret else None, command.password)
    if not right or row is None or secret is None or not row.active:
        raise NotPermitted("wrong_credentials", N_("The e-mail address or the password is not right."))
    if passwords.outdated(secret.password_hash):
        secret.password_hash = passwords.hashed(command.password)
    if command.previous_hash is not None:
        _end_session(tx, command.previous_hash)
    opened = WebSessionRow(
        id=new_id(),
        user_id=row.id,
        token_hash=command.token_hash,
        expires_at=func.clock_timestamp() + timedelta(hours=tx.policy.session.absolute_hours),
    )
    tx.session.add(opened)
    tx.record("user_account", row.id, after={"session_id": opened.id})
    return {"user_id": row.id, "locale": row.locale, "role": row.role}


@verb("refuse_sign_in")
def refuse_sign_in(tx: Tx, command: RefuseSignIn) -> Result:
    """Remember a failed attempt. The event names a known user by id and an unknown one not at all."""
    known = queries.find_user(tx.session, command.email)
    tx.record("user_account", known.id if known else new_id(), after={"known": known is not None}, reason=command.why)
    return {}


@verb("sign_out")
def sign_out(tx: Tx, command: SignOut) -> Result:
    """End a session on the server; its token opens nothing from now on."""
    ended = _end_session(tx, command.token_hash)
    tx.record("user_account", ended or tx.actor.user_id or new_id(), after={"ended": ended is not None})
    return {}


@verb("suspend_organisation")
def suspend_organisation(tx: Tx, command: SuspendOrganisation) -> Result:
    """Take an organisation out of good standing: it can list, bid and be financed no more.

    Raises: NotFound("organisation_not_found"); RuleBroken("not_yourself"); Conflict("standing_unchanged").
    """
    return _set_standing(tx, command, good=False)


@verb("reinstate_organisation")
def reinstate_organisation(tx: Tx, command: SuspendOrganisation) -> Result:
    """Put an organisation back into good standing.

    Raises: NotFound("organisation_not_found"); RuleBroken("not_yourself"); Conflict("standing_unchanged").
    """
    return _set_standing(tx, command, good=True)


@verb("suspend_user")
def suspend_user(tx: Tx, command: SuspendUser) -> Result:
    """Lock a person out and end all sessions at once; keys for programs open nothing while it lasts.

    Raises: NotFound("user_not_found"); RuleBroken("not_yourself"); Conflict("standing_unchanged").
    """
    if command.user_id == tx.actor.user_id:
        raise RuleBroken("not_yourself", N_("You cannot suspend yourself: another operator does."))
    row = _set_active(tx, command, active=False)
    tx.session.execute(
        update(WebSessionRow)
        .where(WebSessionRow.user_id == row.id, WebSessionRow.ended_at.is_(None))
        .values(ended_at=func.clock_timestamp())
    )
    return {"user_id": row.id}


@verb("reinstate_user")
def reinstate_user(tx: Tx, command: SuspendUser) -> Result:
    """Let a person sign in again, with the password of before.

    Raises: NotFound("user_not_found"); Conflict("standing_unchanged").
    """
    return {"user_id": _set_active(tx, command, active=True).id}


def _set_active(tx: Tx, command: SuspendUser, *, active: bool) -> UserAccountRow:
    row = tx.session.get(UserAccountRow, command.user_id, with_for_update=True)
    if row is None:
        raise NotFound("user_not_found", N_("There is no such person."))
    if row.active == active:
        raise _unchanged()
    row.active = active
    tx.record("user_account", row.id, before={"active": not active}, after={"active": active}, reason=command.reason)
    return row


def _unchanged() -> Conflict:
    return Conflict("standing_unchanged", N_("Nothing would change: it stands like that already."))


def set_payout_rail(tx: Tx, organisation_id: UUID, rail: str, iban: str | None) -> None:
    """Change by which rail, and on which account, an organisation is paid.

    Only inside the transaction in which a second person agreed to exactly this, which the database keeps.
    """
    row = _lock_organisation(tx, organisation_id)
    before = {"payout_rail": row.payout_rail, "iban_ends": (row.iban or "")[-4:]}
    row.payout_rail, row.iban = rail, iban
    tx.session.flush()
    tx.record("organisation", row.id, verb="set_payout_rail", before=before,
              after={"payout_rail": rail, "iban_ends": (row.iban or "")[-4:]})  # fmt: skip


def _promote(tx: Tx, known: queries.Organisation, command: RegisterOrganisation) -> Result:
    row = _lock_organisation(tx, known.id)
    if command.iban and row.iban and _iban(command.iban) != row.iban:
        raise _account_by_two()
    row.kind = command.kind
    row.legal_name = command.legal_name.strip()
    row.sector = command.sector or row.sector
    row.declared_group_id = command.group_id or row.declared_group_id
    row.group_id = row.group_id or command.group_id
    row.vat_id = plain_number(command.vat_id) or row.vat_id
    row.iban = _iban(command.iban) if command.iban else row.iban
    tx.record("organisation", row.id, before={"kind": "debtor"}, after=_facts(row))
    return {"organisation_id": row.id}


def _set_standing(tx: Tx, command: SuspendOrganisation, *, good: bool) -> Result:
    if command.organisation_id == tx.actor.organisation_id:
        raise RuleBroken("not_yourself", N_("You cannot change the standing of your own organisation."))
    row = _lock_organisation(tx, command.organisation_id)
    if row.good_standing == good:
        raise _unchanged()
    row.good_standing = good
    tx.record("organisation", row.id, before={"good_standing": not good}, after={"good_standing": good},
              reason=command.reason)  # fmt: skip
    return {"organisation_id": row.id, "good_standing": good}


def _lock_organisation(tx: Tx, organisation_id: UUID) -> OrganisationRow:
    row = tx.session.get(OrganisationRow, organisation_id, with_for_update=True)
    if row is None:
        raise NotFound("organisation_not_found", N_("There is no such organisation."))
    return row


def _end_session(tx: Tx, token_hash: bytes) -> UUID | None:
    return tx.session.execute(
        update(WebSessionRow)
        .where(WebSessionRow.token_hash == token_hash, WebSessionRow.ended_at.is_(None))
        .values(ended_at=func.clock_timestamp())
        .returning(WebSessionRow.user_id)
    ).scalar_one_or_none()


def _flush(tx: Tx, code: str, words: str, field: str = "legal_name") -> None:
    """Write now, and turn a broken unique rule into a Conflict. The transaction is lost either way."""
    try:
        tx.session.flush()
    except IntegrityError as error:
        if getattr(error.orig, "sqlstate", None) == "23505":
            raise Conflict(code, words, problems=[Problem(field, "unique", words)]) from error
        raise


def _iban(text: str) -> str:
    """Return an IBAN without spaces, checked.

    Raises: InvalidInput naming the field.
    """
    try:
        return plain_iban(text)
    except ValidationError as error:
        raise InvalidInput.about(
            "iban", "invalid_fields", N_("Enter an IBAN; its check digits do not fit."), rule="iban"
        ) from error


def _account_by_two() -> RuleBroken:
    return RuleBroken.about("iban", "account_by_two", ACCOUNT_BY_TWO)


def _facts(row: OrganisationRow) -> dict[str, object]:
    """What the audit trail keeps of a company: public register facts, no account number."""
    return {
        "kind": row.kind,
        "legal_name": row.legal_name,
        "legal_id": row.legal_id,
        "country": row.country,
        "sector": row.sector,
        "group_id": row.group_id,
        "has_iban": row.iban is not None,
    }
