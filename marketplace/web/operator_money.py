"""The operators' ledger page, and what two of them decide about money: entries by hand, suspense, closed periods."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from marshmallow import Schema

from marketplace.db import db
from marketplace.kernel.errors import InvalidInput, MarketplaceError, NotFound, Problem
from marketplace.kernel.words import N_
from marketplace.ledger import queries as ledger
from marketplace.ledger.rules import chart
from marketplace.parties import queries as parties
from marketplace.perform import perform
from marketplace.receivables import queries as receivables
from marketplace.schemas import load
from marketplace.servicing import bank_suspense
from marketplace.servicing import queries as servicing
from marketplace.servicing.bank_desk import propose_bank_suspense
from marketplace.servicing.bank_desk_schemas import BankSuspenseSchema
from marketplace.servicing.bank_suspense import BankItem
from marketplace.servicing.decision_schemas import DecideMoney, ManualEntrySchema, PeriodCloseSchema, SuspenseSchema
from marketplace.servicing.decisions import decide_money, propose_manual_entry, propose_period_close, propose_suspense
from marketplace.servicing.suspense import NAME_IT, SuspenseItem
from marketplace.web.forms import minor_of, reasons, say, status_of
from marketplace.web.names import named
from marketplace.web.operator_door import blueprint, only_operators, policy, today
from marketplace.web.session import require_actor

DEEDS = {
    "manual_entry": N_("Entry by hand"),
    "write_off": N_("Write-off"),
    "suspense_apply": N_("Apply from suspense"),
    "suspense_return": N_("Return from suspense"),
    "close_period": N_("Close a period"),
    "payout_file": N_("File of pay-outs for the bank"),
    "payout_rail": N_("How and where an organisation is paid"),
    "payout_refused": N_("Pay-out that the bank refused"),
    "bank_suspense_apply": N_("Apply bank money from suspense"),
    "bank_suspense_return": N_("Return bank money to its sender"),
    "bank_suspense_own": N_("Our own money, moved to the bank"),
}
NOBODY = "platform"
FIELDS = {"minor": "amount", "debit_owner_id": "debit_owner", "credit_owner_id": "credit_owner", "receivable_id": "ref"}
# What a proposal tells of itself, in the order in which a person reads it.
WORDS = {
    "debit_code": N_("debit"), "debit_owner": N_("of"), "credit_code": N_("credit"), "credit_owner": N_("of"),
    "opening_iban": N_("what lay at the bank before the first statement of"), "receivable": N_("to the receivable"),
    "debtor": N_("by"), "paid_for": N_("paid for"), "paid_on": N_("paid on"), "payee": N_("payee"),
    "organisation": N_("organisation"), "rail": N_("paid by"), "iban": N_("account"),
    "iban_before": N_("account so far"), "purpose": N_("for"), "message_id": N_("file"), "pool": N_("pool"),
    "sender": N_("sender"), "sender_iban": N_("account of the sender"), "words": N_("remittance text"),
    "reference": N_("reference"), "booked_on": N_("booked on"), "bank_ref": N_("entry of the bank’s"),
    "orders": N_("orders"), "execute_on": N_("to be carried out on"), "through_on": N_("through"),
}  # fmt: skip
CODES = ("debit_code", "credit_code", "rail", "pool", "purpose")


def beside(error: MarketplaceError | None) -> list[Problem]:
    """Return the problems of a refusal under the names that the forms' fields have: money is typed as `amount`, say."""
    found = reasons(error) if error else ()
    return [replace(one, field=FIELDS.get(one.field, one.field)) for one in found]


@blueprint.app_template_filter("told_of")
def told_of(payload: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return (label, value) of what a person reads of a proposal besides its amount: no hash, no id of what is named.

    An id stands where a proposal of before has no name for it.
    """
    told = [(gettext(label), payload[name], name) for name, label in WORDS.items() if payload.get(name) is not None]
    told += [
        (name.replace("_", " "), value, name) for name, value in payload.items()
        if name.endswith("_id") and name not in WORDS and name.removesuffix("_id") not in payload and value is not None
    ]  # fmt: skip
    return [(label, str(value).replace("_", " ") if name in CODES else value) for label, value, name in told]


@blueprint.get("/ledger")
@only_operators
def ledger_page(error: MarketplaceError | None = None, form: str = "") -> ResponseReturnValue:
    """The trial balance, what waits for a second person, and the forms that propose."""
    session = db.session()
    if error:
        session.rollback()
    owners = ledger.owners(session)
    names = parties.organisations(session, owners)
    page = render_template(
        "operator/ledger.html", lines=ledger.trial_balance(session), waiting=servicing.decisions(session, False),
        decided=servicing.decisions(session, True), mine=require_actor().user_id, deeds=DEEDS,
        error=error, form=form, problems=beside(error), given=request.form, today=today(),
        codes=[("", "–"), *((code, named(code).capitalize()) for code in chart())],
        closed=servicing.closed_through(session),
        currency_options=[(one, one) for one in policy().currencies],
        openings=[("", gettext("no")), *((own, own) for own in parties.own_accounts(session))],
        owners=[(NOBODY, gettext("The platform’s own")),
                *sorted(((str(one), names[one].legal_name) for one in names), key=lambda pair: pair[1])],
    )  # fmt: skip
    return (page, status_of(error)) if error else page


@blueprint.post("/ledger/entries")
@only_operators
def propose_entry() -> ResponseReturnValue:
    """Propose an entry by hand."""
    try:
        given = {name: request.form.get(name, "") for name in ("currency", "debit_code", "credit_code", "reason")}
        minor = minor_of(request.form.get("amount", ""), _currency(given["currency"]))
        owners = {f"{side}_owner_id": request.form.get(f"{side}_owner", NOBODY) for side in ("debit", "credit")}
        known = {name: owner for name, owner in owners.items() if owner != NOBODY}
        known |= {"opening_iban": iban} if (iban := request.form.get("opening_iban")) else {}
        command = load(ManualEntrySchema, given, minor=minor, **known)
        perform(propose_manual_entry, command, require_actor(), idempotency_key=request.form.get("once") or None)
    except MarketplaceError as error:
        return ledger_page(error, "entry")
    say(gettext("Proposed. A second operator decides."))
    return redirect(url_for("operator.ledger_page"), 303)


@blueprint.post("/ledger/close")
@only_operators
def close_period() -> ResponseReturnValue:
    """Propose that a period takes no entries any more."""
    try:
        perform(propose_period_close, load(PeriodCloseSchema, request.form), require_actor())
    except MarketplaceError as error:
        return ledger_page(error, "close")
    say(gettext("Proposed. A second operator decides."))
    return redirect(url_for("operator.ledger_page"), 303)


@blueprint.post("/ledger/decisions/<uuid:decision_id>")
@only_operators
def decide_about_money(decision_id: UUID) -> ResponseReturnValue:
    """Do what another operator proposed, or withdraw a proposal."""
    agree = request.form.get("decision") == "agree"
    try:
        perform(decide_money, DecideMoney(decision_id, agree), require_actor())
    except MarketplaceError as error:
        return ledger_page(error, str(decision_id))
    say(gettext("Done.") if agree else gettext("Withdrawn."))
    return redirect(url_for("operator.ledger_page"), 303)


@blueprint.post("/suspense/items/<uuid:payment_id>")
@only_operators
def work_off(payment_id: UUID) -> ResponseReturnValue:
    """Propose what becomes of money in suspense: to what the same debtor owes, or back to the debtor."""
    from marketplace.web.operator import suspense

    try:
        item = next(iter(servicing.suspended(db.session(), payment_id)), None)
        command = _work(SuspenseSchema, item, payment_id=str(payment_id))
        perform(propose_suspense, command, require_actor(), idempotency_key=request.form.get("once") or None)
    except MarketplaceError as error:
        return suspense(error, str(payment_id))
    say(gettext("Proposed. A second operator decides."))
    return redirect(url_for("operator.suspense"), 303)


def _work(schema: type[Schema], item: SuspenseItem | BankItem | None, **known: Any) -> Any:
    """Return the command of a form that works an item in suspense off."""
    if item is None:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    decision, ref = request.form.get("decision", ""), request.form.get("ref", "").replace("\x00", "").strip()
    known["minor"] = minor_of(request.form.get("amount", ""), item.currency)
    if decision == "apply":
        try:
            known["receivable_id"] = str(receivables.receivable_by_ref(db.session(), ref).id)
        except NotFound as missing:
            words = N_("There is no receivable with this reference.") if ref else NAME_IT
            raise InvalidInput.about("ref", "unknown_ref", words) from missing
    given = {"decision": decision, "reason": request.form.get("reason", "")}
    if decision == "fund":
        given["organisation_id"] = request.form.get("organisation_id", "")
    return load(schema, given, **known)


@blueprint.post("/suspense/bank/<uuid:bank_entry_id>")
@only_operators
def work_off_bank(bank_entry_id: UUID) -> ResponseReturnValue:
    """Propose what becomes of money that came by the bank: to a receivable, or back to its sender."""
    from marketplace.web.operator import suspense

    try:
        item = next(iter(bank_suspense.items(db.session(), bank_entry_id)), None)
        command = _work(BankSuspenseSchema, item, bank_entry_id=str(bank_entry_id))
        perform(propose_bank_suspense, command, require_actor(), idempotency_key=request.form.get("once") or None)
    except MarketplaceError as error:
        return suspense(error, str(bank_entry_id))
    say(gettext("Proposed. A second operator decides."))
    return redirect(url_for("operator.suspense"), 303)


def _currency(text: str) -> str:
    if text not in policy().currencies:
        raise InvalidInput.about("currency", "invalid_fields", N_("Choose one of the market's currencies."))
    return text
