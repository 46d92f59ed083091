"""The debtor's door: one slip of paper behind a signed link, no account. Answer, promise, acknowledge, pay."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Blueprint, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from werkzeug.wrappers import Response

from marketplace.db import db
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.errors import InvalidInput, MarketplaceError, NotFound, Problem, RuleBroken
from marketplace.kernel.words import N_
from marketplace.payments import actions as payments
from marketplace.payments import outbox
from marketplace.payments import queries as paid
from marketplace.payments.schemas import StartDebtorPayment
from marketplace.perform import perform
from marketplace.receivables import actions, links, queries
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
from marketplace.web.forms import minor_of, reasons, say, status_of
from marketplace.web.frame import server_now
from marketplace.web.seller_invoices import attachment
from marketplace.web.seller_listing import typed_amount
from marketplace.web.session import request_id

blueprint = Blueprint("debtor", __name__, url_prefix="/d")


def _open(token: str) -> reports.Slip:
    """Return what the link shows.

    Raises: NotFound("unknown_link"), RuleBroken("link_expired").
    """
    link = links.find(db.session(), token)
    if links.expired(link, server_now()):
        raise RuleBroken("link_expired", N_("This link has run out. Ask for a new one."))
    return reports.slip(db.session(), link)


def _actor(slip: reports.Slip) -> Actor:
    return Actor(Role.DEBTOR, None, slip.debtor.id, f"debtor link {slip.link.id}", request_id())


def _closed(error: MarketplaceError) -> ResponseReturnValue:
    """Say that a link does not work: forged, replaced and unknown ones look alike."""
    expired = error.code == "link_expired"
    return render_template("debtor/no_link.html", expired=expired, error=error), 410 if expired else 404


@blueprint.get("/<token>")
def slip(token: str) -> ResponseReturnValue:
    """The slip: what is owed, what is asked, what was answered."""
    try:
        found = _open(token)
    except (NotFound, RuleBroken) as error:
        return _closed(error)
    if found.link.first_opened_at is None and found.link.used_at is None:
        perform(actions.open_debtor_link, OpenDebtorLink(token), _actor(found))
        db.session.rollback()
        found = _open(token)
    return _page(token, found)


def _page(
    token: str, found: reports.Slip, given: Mapping[str, str] | None = None, error: MarketplaceError | None = None
) -> str:
    page = "debtor/slip.html" if found.link.purpose == links.CONFIRM else "debtor/account.html"
    return render_template(
        page, slip=found, token=token, given=given or {}, error=error, problems=reasons(error) if error else (),
        dispute_reasons=[(key, gettext(words)) for key, words in DISPUTE_REASONS.items()],
        reason_words={key: gettext(words) for key, words in DISPUTE_REASONS.items()}, typed_amount=typed_amount,
        today=server_now().date(),
    )  # fmt: skip


def _answer(token: str, act: Any) -> ResponseReturnValue:
    """Open the link, do what the debtor asked, show the slip again; a refusal beside its fields."""
    try:
        found = _open(token)
    except (NotFound, RuleBroken) as error:
        return _closed(error)
    try:
        act(found)
    except MarketplaceError as error:
        db.session.rollback()
        if error.code in ("unknown_link", "link_expired"):
            return _closed(error)
        return _page(token, _open(token), request.form.to_dict(), error), status_of(error)
    return redirect(url_for("debtor.slip", token=token), 303)


@blueprint.post("/<token>/answer")
def answer(token: str) -> ResponseReturnValue:
    """Yes, in part, or no: nothing is preselected, and one must be chosen."""
    return _answer(token, lambda found: _say_so(token, found))


def _say_so(token: str, found: reports.Slip) -> None:
    given, r = request.form.to_dict(), found.receivable
    chosen = given.get("answer")
    if chosen == "yes":
        command = load(ConfirmSchema, given | {"amount_minor": r.face_minor}, token=token)
        made = perform(actions.confirm_receivable, command, _actor(found))
        if made["state"] == "confirmed":
            say(gettext("Thank you. Your answer is recorded, and the seller is told."))
        else:
            say(gettext("Thank you. Because somebody else gave you notice, two people look at it first."), "info")
        return
    if chosen not in ("part", "no"):
        words = N_("Choose one of the three answers.")
        raise InvalidInput("invalid_fields", words, problems=[Problem("answer", "required", words)])
    values: dict[str, Any] = {name: value for name, value in given.items() if name != "amount_minor"}
    problems: list[Problem] = []
    if chosen == "no":
        values["amount_minor"] = r.face_minor
    elif given.get("amount_minor", "").strip():
        try:
            values["amount_minor"] = minor_of(given["amount_minor"], r.currency, "amount_minor")
        except InvalidInput as error:
            problems, values["amount_minor"] = list(error.problems), r.face_minor
    command = _with(problems, values, token)
    perform(actions.dispute_receivable, command, _actor(found))
    say(gettext("Thank you. Your answer is recorded, and the seller is told. Nothing is sold meanwhile."))


def _with(problems: list[Problem], values: dict[str, Any], token: str) -> Any:
    """Load a dispute, telling what was wrong with the typed amount together with the rest.

    Raises: InvalidInput.
    """
    try:
        command = load(DisputeSchema, values, token=token)
    except InvalidInput as error:
        raise InvalidInput(error.code, error.words, problems=[*problems, *error.problems]) from error
    if problems:
        raise InvalidInput("invalid_fields", N_("Some fields need another look."), problems=problems)
    return command


@blueprint.post("/<token>/promise")
def promise_payment(token: str) -> ResponseReturnValue:
    """Name another day of payment."""

    def act(found: reports.Slip) -> None:
        perform(actions.promise_payment, load(PromiseSchema, request.form, token=token), _actor(found))
        say(gettext("Your day of payment is noted."))

    return _answer(token, act)


@blueprint.post("/<token>/dispute")
def dispute_receivable(token: str) -> ResponseReturnValue:
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
        perform(actions.dispute_receivable, _with(problems, values, token), _actor(found))
        say(gettext("Your dispute is recorded."))

    return _answer(token, act)


@blueprint.post("/<token>/acknowledge")
def acknowledge_notice(token: str) -> ResponseReturnValue:
    """Acknowledge the notice of assignment."""

    def act(found: reports.Slip) -> None:
        perform(actions.acknowledge_notice, load(AcknowledgeSchema, request.form, token=token), _actor(found))
        say(gettext("Thank you. Your acknowledgement is recorded to the second."))

    return _answer(token, act)


@blueprint.post("/<token>/pay")
def start_debtor_payment(token: str) -> ResponseReturnValue:
    """Start a payment and go to the provider's page as soon as it is there."""
    try:
        found = _open(token)
    except (NotFound, RuleBroken) as error:
        return _closed(error)
    try:
        payment_id = _start(token, found)
    except MarketplaceError as error:
        db.session.rollback()
        return _page(token, _open(token), request.form.to_dict(), error), status_of(error)
    address = outbox.start_now(payment_id)
    return redirect(address or url_for("debtor.payment", token=token, payment_id=payment_id), 303)


def _start(token: str, found: reports.Slip) -> UUID:
    r, owed = found.receivable, found.outstanding_minor
    if not owed:
        raise RuleBroken("nothing_owed", N_("Nothing is owed here now."))
    amount = minor_of(request.form.get("pay_minor") or typed_amount(owed, r.currency), r.currency, "pay_minor")
    if not 0 < amount <= owed:
        words = N_("Enter an amount up to what is owed.")
        raise InvalidInput("invalid_fields", words, problems=[Problem("pay_minor", "more_than_owed", words)])
    base = current_app.extensions["duebill"].settings.base_url
    back = base + url_for("debtor.slip", token=token) + "/payments/{id}"
    words = f"{r.ref}, invoice {r.number} of {found.seller.legal_name}"
    command = StartDebtorPayment(r.id, found.debtor.id, r.currency, amount, words, back)
    return UUID(perform(payments.start_debtor_payment, command, _actor(found))["payment_id"])


@blueprint.get("/<token>/payments/<uuid:payment_id>")
def payment(token: str, payment_id: UUID) -> ResponseReturnValue:
    """Where a payment stands; while its page is being prepared, go there as soon as it is."""
    try:
        found = _open(token)
    except (NotFound, RuleBroken) as error:
        return _closed(error)
    one = paid.debtor_payment(db.session(), payment_id)
    if one.receivable_id != found.receivable.id:
        raise queries.missing()
    page = render_template("debtor/payment.html", slip=found, token=token, payment=one)
    waits = str(one.state) in ("preparing", "open", "processing")
    return page, 200, {"Refresh": "5"} if waits else {}


@blueprint.get("/<token>/documents/<uuid:document_id>")
def document(token: str, document_id: UUID) -> ResponseReturnValue | Response:
    """Give the invoice or a notice back, to be saved."""
    try:
        found = _open(token)
    except (NotFound, RuleBroken) as error:
        return _closed(error)
    known = {one.id: one for one in queries.documents(db.session(), found.receivable.id) if one.kind != "supporting"}
    if document_id not in known:
        raise queries.missing()
    return attachment(known[document_id], queries.content(db.session(), document_id))
