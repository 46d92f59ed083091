"""The debtor's door: one slip of paper behind a signed link, no account. Answer, promise, acknowledge, pay."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from werkzeug.wrappers import Response

from marketplace.db import db
from marketplace.kernel.errors import InvalidInput, MarketplaceError, NotFound, Problem, RuleBroken
from marketplace.kernel.words import N_
from marketplace.payments import actions as payments
from marketplace.payments import queries as paid
from marketplace.payments.schemas import StartDebtorPayment
from marketplace.perform import perform
from marketplace.receivables import actions, queries
from marketplace.receivables.debtor import links
from marketplace.receivables.debtor.schemas import AskForDebtsLink, RenewDebtorLink
from marketplace.receivables.schemas import (
    DISPUTE_REASONS,
    AcknowledgeSchema,
    ConfirmSchema,
    DisputeSchema,
    OpenDebtorLink,
    PromiseSchema,
)
from marketplace.reports import debtor as reports
from marketplace.schemas import load
from marketplace.servicing import late_claims
from marketplace.servicing.late_claims import Standing
from marketplace.servicing.schemas import ConfirmDilutionSchema, RefuseDilutionSchema
from marketplace.servicing.second_voice import confirm_dilution, refuse_dilution
from marketplace.web.debtor_debts import page_of_all
from marketplace.web.debtor_door import actor_of, blueprint, closed, open_link, open_slip, today, within
from marketplace.web.forms import minor_of, reasons, say, status_of
from marketplace.web.paying import lead_on, page_of
from marketplace.web.seller_invoices import attachment
from marketplace.web.seller_listing import typed_amount

PAYABLE = (links.ACCOUNT, links.DEBTS)


@blueprint.get("/<token>")
def slip(token: str) -> ResponseReturnValue:
    """What is behind the link: one slip, or all that the debtor owes."""
    try:
        link = open_link(token)
        found = None if link.debtor_id else open_slip(token)
    except (NotFound, RuleBroken) as error:
        return closed(error, token)
    debtor_id = found.debtor.id if found else link.debtor_id
    if link.first_opened_at is None and link.used_at is None and debtor_id:
        perform(actions.open_debtor_link, OpenDebtorLink(token), actor_of(link, debtor_id))
        db.session.rollback()
        found = open_slip(token) if found else None
    return _page(token, found) if found else page_of_all(token, open_link(token))


@blueprint.get("/<token>/invoices/<uuid:receivable_id>")
def invoice(token: str, receivable_id: UUID) -> ResponseReturnValue:
    """One of all the invoices, reached from their list."""
    try:
        return _page(token, open_slip(token, receivable_id))
    except (NotFound, RuleBroken) as error:
        return closed(error, token)


def _page(
    token: str, found: reports.Slip, given: Mapping[str, str] | None = None, error: MarketplaceError | None = None
) -> str:
    sold = found.receivable.state in ("funded", "discharged", "bought_back", "written_off")
    page = "debtor/account.html" if found.link.purpose == links.ACCOUNT or (found.of_many and sold) else (
        "debtor/slip.html")  # fmt: skip
    return render_template(
        page, slip=found, token=token, to=within(token, found.receivable.id if found.of_many else None),
        given=given or {}, error=error, problems=reasons(error) if error else (),
        dispute_reasons=[(key, gettext(words)) for key, words in DISPUTE_REASONS.items()],
        reason_words={key: gettext(words) for key, words in DISPUTE_REASONS.items()}, typed_amount=typed_amount,
        today=today(), late=_late(found),
    )  # fmt: skip


def _late(found: reports.Slip) -> Standing | None:
    """Return what the law lets us claim for paying late, as it stands today."""
    if found.collection is None:
        return None
    return late_claims.standing(db.session(), found.collection, today())


def _home(token: str, found: reports.Slip) -> str:
    if found.of_many:
        return url_for("debtor.invoice", token=token, receivable_id=found.receivable.id)
    return url_for("debtor.slip", token=token)


def _actor(found: reports.Slip) -> Any:
    return actor_of(found.link, found.debtor.id)


def _answer(token: str, receivable_id: UUID | None, act: Any) -> ResponseReturnValue:
    """Open the link, do what the debtor asked, show the slip again; a refusal beside its fields."""
    try:
        found = open_slip(token, receivable_id)
    except (NotFound, RuleBroken) as error:
        return closed(error, token)
    try:
        act(found)
    except MarketplaceError as error:
        db.session.rollback()
        if error.code in ("unknown_link", "link_expired"):
            return closed(error, token)
        return _page(token, open_slip(token, receivable_id), request.form.to_dict(), error), status_of(error)
    return redirect(_home(token, found), 303)


@blueprint.post("/<token>/new")
def renew_debtor_link(token: str) -> ResponseReturnValue:
    """Ask for a new link in place of one that does not work: whoever asks is told the same."""
    try:
        link = links.known(db.session(), token)
        debtor_id = link.debtor_id
        if link.receivable_id is not None:
            debtor_id = queries.receivable(db.session(), link.receivable_id).debtor_id
        if debtor_id is not None:
            perform(actions.renew_debtor_link, RenewDebtorLink(token), actor_of(link, debtor_id))
    except (NotFound, RuleBroken):
        db.session.rollback()
    return render_template("debtor/no_link.html", expired=False, token=token, asked=True)


@blueprint.post("/<token>/all")
def ask_for_debts_link(token: str) -> ResponseReturnValue:
    """Ask for the page of all that is owed: its link goes to the verified address, and the answer tells nothing."""

    def act(found: reports.Slip) -> None:
        perform(actions.ask_for_debts_link, AskForDebtsLink(token), _actor(found))
        say(gettext("If an address of your accounts payable is verified, the link is on its way to it. If none comes, "
                    "ask us."), "info")  # fmt: skip

    return _answer(token, None, act)


@blueprint.post("/<token>/invoices/<uuid:receivable_id>/answer")
@blueprint.post("/<token>/answer")
def answer(token: str, receivable_id: UUID | None = None) -> ResponseReturnValue:
    """Yes, in part, or no: nothing is preselected, and one must be chosen."""
    return _answer(token, receivable_id, lambda found: _say_so(token, found))


def _say_so(token: str, found: reports.Slip) -> None:
    given, r = request.form.to_dict(), found.receivable
    chosen = given.get("answer")
    if chosen == "yes":
        command = load(ConfirmSchema, given | {"amount_minor": r.face_minor}, **_about(token, found))
        made = perform(actions.confirm_receivable, command, _actor(found))
        if made["state"] == "confirmed":
            say(gettext("Thank you. Your answer is recorded, and the seller is told."))
        else:
            say(gettext("Thank you. Because somebody else gave you notice, two people look at it first."), "info")
        return
    if chosen not in ("part", "no"):
        raise InvalidInput.about("answer", "invalid_fields", N_("Choose one of the three answers."), rule="required")
    values: dict[str, Any] = {name: value for name, value in given.items() if name != "amount_minor"}
    problems: list[Problem] = []
    if chosen == "no":
        values["amount_minor"] = r.face_minor
    elif given.get("amount_minor", "").strip():
        try:
            values["amount_minor"] = minor_of(given["amount_minor"], r.currency, "amount_minor")
        except InvalidInput as error:
            problems, values["amount_minor"] = list(error.problems), r.face_minor
    command = _with(problems, values, token, found)
    perform(actions.dispute_receivable, command, _actor(found))
    say(gettext("Thank you. Your answer is recorded, and the seller is told. Nothing is sold meanwhile."))


def _about(token: str, found: reports.Slip) -> dict[str, Any]:
    """Return what a command must know besides what was typed."""
    return {"token": token, "receivable_id": str(found.receivable.id)}


def _with(problems: list[Problem], values: dict[str, Any], token: str, found: reports.Slip) -> Any:
    """Load a dispute, telling what was wrong with the typed amount together with the rest.

    Raises: InvalidInput.
    """
    try:
        command = load(DisputeSchema, values, **_about(token, found))
    except InvalidInput as error:
        raise InvalidInput(error.code, error.words, problems=[*problems, *error.problems]) from error
    if problems:
        raise InvalidInput.of_fields(problems)
    return command


@blueprint.post("/<token>/invoices/<uuid:receivable_id>/promise")
@blueprint.post("/<token>/promise")
def promise_payment(token: str, receivable_id: UUID | None = None) -> ResponseReturnValue:
    """Name another day of payment."""

    def act(found: reports.Slip) -> None:
        perform(actions.promise_payment, load(PromiseSchema, request.form, **_about(token, found)), _actor(found))
        say(gettext("Your day of payment is noted."))

    return _answer(token, receivable_id, act)


@blueprint.post("/<token>/invoices/<uuid:receivable_id>/dispute")
@blueprint.post("/<token>/dispute")
def dispute_receivable(token: str, receivable_id: UUID | None = None) -> ResponseReturnValue:
    """Say what is wrong after the invoice was financed."""

    def act(found: reports.Slip) -> None:
        values: dict[str, Any] = request.form.to_dict()
        problems: list[Problem] = []
        typed = values.pop("amount_minor", "").strip()
        try:
            if typed:
                values["amount_minor"] = minor_of(typed, found.receivable.currency, "amount_minor")
        except InvalidInput as error:
            problems, values["amount_minor"] = list(error.problems), found.receivable.face_minor
        perform(actions.dispute_receivable, _with(problems, values, token, found), _actor(found))
        say(gettext("Your dispute is recorded."))

    return _answer(token, receivable_id, act)


@blueprint.post("/<token>/invoices/<uuid:receivable_id>/credit-notes/<uuid:proposal_id>")
@blueprint.post("/<token>/credit-notes/<uuid:proposal_id>")
def answer_credit_note(token: str, proposal_id: UUID, receivable_id: UUID | None = None) -> ResponseReturnValue:
    """Say whether a credit note that the seller told of is right."""

    def act(found: reports.Slip) -> None:
        known = {"token": token, "proposal_id": str(proposal_id)}
        if request.form.get("decision") == "wrong":
            perform(refuse_dilution, load(RefuseDilutionSchema, request.form, **known), _actor(found))
            say(gettext("Thank you. The credit note does not count: you owe the invoice as before."))
        else:
            perform(confirm_dilution, load(ConfirmDilutionSchema, request.form, **known), _actor(found))
            say(gettext("Thank you. You owe less by the credit note."))

    return _answer(token, receivable_id, act)


@blueprint.post("/<token>/invoices/<uuid:receivable_id>/acknowledge")
@blueprint.post("/<token>/acknowledge")
def acknowledge_notice(token: str, receivable_id: UUID | None = None) -> ResponseReturnValue:
    """Acknowledge the notice of assignment."""

    def act(found: reports.Slip) -> None:
        perform(
            actions.acknowledge_notice, load(AcknowledgeSchema, request.form, **_about(token, found)), _actor(found)
        )
        say(gettext("Thank you. Your acknowledgement is recorded to the second."))

    return _answer(token, receivable_id, act)


@blueprint.post("/<token>/invoices/<uuid:receivable_id>/pay")
@blueprint.post("/<token>/pay")
def start_debtor_payment(token: str, receivable_id: UUID | None = None) -> ResponseReturnValue:
    """Start a payment and go to the provider's page as soon as it is there."""
    try:
        found = open_slip(token, receivable_id)
    except (NotFound, RuleBroken) as error:
        return closed(error, token)
    try:
        payment_id = _start(token, found)
    except MarketplaceError as error:
        db.session.rollback()
        return _page(token, open_slip(token, receivable_id), request.form.to_dict(), error), status_of(error)
    return lead_on(payment_id, within(token, receivable_id)("payment", payment_id=payment_id))


def _start(token: str, found: reports.Slip) -> UUID:
    links.require_purpose(found.link, *PAYABLE)
    late = _late(found)
    r, owed = found.receivable, found.outstanding_minor + (late.left_minor if late else 0)
    if not owed:
        raise RuleBroken("nothing_owed", N_("Nothing is owed here now."))
    amount = minor_of(request.form.get("pay_minor") or typed_amount(owed, r.currency), r.currency, "pay_minor")
    if not 0 < amount <= owed:
        raise InvalidInput.about(
            "pay_minor", "invalid_fields", N_("Enter an amount up to what is owed."), rule="more_than_owed"
        )
    base = current_app.extensions["duebill"].settings.base_url
    back = base + _home(token, found) + "/payments/{id}"
    words = f"{r.ref}, invoice {r.number} of {found.seller.legal_name}"
    command = StartDebtorPayment(r.id, found.debtor.id, r.currency, amount, words, back)
    return UUID(perform(payments.start_debtor_payment, command, _actor(found),
                        idempotency_key=request.form.get("once") or None)["payment_id"])  # fmt: skip


@blueprint.get("/<token>/invoices/<uuid:receivable_id>/payments/<uuid:payment_id>")
@blueprint.get("/<token>/payments/<uuid:payment_id>")
def payment(token: str, payment_id: UUID, receivable_id: UUID | None = None) -> ResponseReturnValue:
    """Where a payment stands; while its page is being prepared, go there as soon as it is."""
    try:
        found = open_slip(token, receivable_id)
    except (NotFound, RuleBroken) as error:
        return closed(error, token)
    one = paid.debtor_payment(db.session(), payment_id)
    if one.receivable_id != found.receivable.id:
        raise queries.missing()
    page = render_template("debtor/payment.html", slip=found, token=token, payment=one, home=_home(token, found))
    return page_of(one, page)


@blueprint.get("/<token>/invoices/<uuid:receivable_id>/documents/<uuid:document_id>")
@blueprint.get("/<token>/documents/<uuid:document_id>")
def document(token: str, document_id: UUID, receivable_id: UUID | None = None) -> ResponseReturnValue | Response:
    """Give the invoice or a notice back, to be saved."""
    try:
        found = open_slip(token, receivable_id)
    except (NotFound, RuleBroken) as error:
        return closed(error, token)
    known = {one.id: one for one in queries.documents(db.session(), found.receivable.id) if one.kind != "supporting"}
    if document_id not in known:
        raise queries.missing()
    return attachment(known[document_id], queries.content(db.session(), document_id))
