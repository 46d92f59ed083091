"""A new listing: a file or a typed form, what was read, whether it may be listed, what it would cost."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.errors import InvalidInput, MarketplaceError, Problem
from marketplace.kernel.words import N_
from marketplace.perform import perform
from marketplace.receivables import actions, queries
from marketplace.receivables.plain import plain_amount
from marketplace.receivables.schemas import (
    DraftReceivable,
    FactsSchema,
    ListReceivable,
    Terms,
    TermsSchema,
    TypedSchema,
)
from marketplace.receivables.walls.considering import Considered, consider
from marketplace.reports import seller as reports
from marketplace.schemas import load
from marketplace.web.format import day
from marketplace.web.forms import bps_of_percent, minor_of, reasons, say, status_of
from marketplace.web.seller_credit_notes import offer
from marketplace.web.seller_door import blueprint, for_sellers, policy, seller, today

COUNTRIES = (("GB", N_("United Kingdom")), ("IE", N_("Ireland")), ("HK", N_("Hong Kong")), ("US", N_("United States")),
             ("DE", N_("Germany")), ("FR", N_("France")), ("NL", N_("Netherlands")), ("BE", N_("Belgium")),
             ("ES", N_("Spain")), ("IT", N_("Italy")), ("AT", N_("Austria")), ("SE", N_("Sweden")),
             ("NO", N_("Norway")), ("DK", N_("Denmark")), ("FI", N_("Finland")), ("PL", N_("Poland")),
             ("PT", N_("Portugal")), ("CH", N_("Switzerland")), ("CN", N_("China")))  # fmt: skip
# Fields a seller may empty again though the document gave them.
OPTIONAL = ("purchase_order", "iban", "debtor_vat_id", "debtor_legal_id", "debtor_email")


def _lists() -> dict[str, Any]:
    """Return what the form chooses from."""
    return {
        "currencies": [(code, code) for code in policy().currencies],
        "countries": [(code, gettext(name)) for code, name in COUNTRIES],
    }


def typed_amount(minor: int, currency: str) -> str:
    """Return an amount as people type it: `48,600.00`."""
    return plain_amount(minor, currency).split(" ", 1)[1]


@blueprint.get("/new")
@for_sellers
def new_listing() -> ResponseReturnValue:
    """Choose a file, or type instead; drafts that wait."""
    return _choose()


def _choose(error: MarketplaceError | None = None) -> str:
    _, seller_id = seller()
    return render_template("seller/new_listing.html", error=error, problems=reasons(error) if error else (),
                           drafts=queries.drafts(db.session(), seller_id),
                           largest=policy().listing.document_bytes_max // 1_000_000)  # fmt: skip


@blueprint.post("/new")
@for_sellers
def draft_receivable() -> ResponseReturnValue:
    """Read the chosen file and go on to what it says; a refused one is answered with every reason."""
    actor, _ = seller()
    chosen = request.files.get("document")
    if chosen is None or not chosen.filename:
        words = N_("Choose an XML or PDF file first.")
        return _choose(InvalidInput.about("document", "no_file", words)), 422
    content = chosen.stream.read()
    try:
        made = perform(actions.draft_receivable, DraftReceivable(chosen.filename, content), actor)
    except MarketplaceError as error:
        lowers = any(problem.rule == "credit_note" for problem in error.problems)
        if lowers and (way := offer(chosen.filename, content)):
            return way
        page = render_template("seller/refused.html", error=error, problems=reasons(error), filename=chosen.filename)
        return page, status_of(error)
    return redirect(url_for("seller.draft", draft_id=made["draft_id"]), 303)


@blueprint.get("/typed")
@for_sellers
def typed() -> ResponseReturnValue:
    """The form for an invoice without a file."""
    return _typed({"currency": policy().currencies[0], "debtor_country": policy().country})


def _typed(given: Mapping[str, Any], error: MarketplaceError | None = None) -> str:
    return render_template("seller/typed.html", given=given, error=error, problems=reasons(error) if error else (),
                           **_lists())  # fmt: skip


@blueprint.post("/typed")
@for_sellers
def draft_typed() -> ResponseReturnValue:
    """Keep what was typed as a draft, and go on to its checks."""
    actor, _ = seller()
    given = request.form.to_dict()
    try:
        values, problems = parsed(given)
        _refuse(problems)
        made = perform(actions.draft_receivable, load(TypedSchema, values), actor)
    except InvalidInput as error:
        return _typed(given, error), 422
    return redirect(url_for("seller.draft", draft_id=made["draft_id"]), 303)


@blueprint.get("/drafts/<uuid:draft_id>")
@for_sellers
def draft(draft_id: UUID) -> ResponseReturnValue:
    """What the invoice says, what is wrong with it, what it would cost, and the terms."""
    found = own_draft(draft_id)
    return _page(found, consider(db.session(), found, {}, today(), policy()), {}, Terms())


def own_draft(draft_id: UUID) -> queries.Draft:
    """Return a draft of the seller who is signed in.

    Raises: NotFound.
    """
    _, seller_id = seller()
    found = queries.draft(db.session(), draft_id)
    if found.seller_id != seller_id:
        raise queries.missing()
    return found


def _page(
    found: queries.Draft, considered: Considered, given: Mapping[str, Any], terms: Terms,
    error: MarketplaceError | None = None,
) -> str:  # fmt: skip
    document = queries.document(db.session(), found.document_id) if found.document_id else None
    return render_template(
        "seller/draft.html", draft=found, document=document, considered=considered, given=given, terms=terms,
        error=error, problems=reasons(error) if error else (), typed_amount=typed_amount, asides=_asides(considered),
        **_lists(),
        cost=reports.cost_of(db.session(), considered, terms, today(), policy()), policy=policy(),
    )  # fmt: skip


def draft_refused(
    found: queries.Draft, given: Mapping[str, Any], error: MarketplaceError,
    corrections: Mapping[str, Any] | None = None, terms: Terms | None = None,
) -> ResponseReturnValue:  # fmt: skip
    """Show the draft again with what was wrong."""
    db.session.rollback()
    considered = consider(db.session(), found, corrections or {}, today(), policy())
    return _page(found, considered, given, terms or Terms(), error), status_of(error)


def _asides(considered: Considered) -> dict[str, str]:
    """Return what stands at the right of a rule that passes: the fact it rests on."""
    facts = considered.facts
    found = {
        "document_type": gettext("type %(code)s", code=facts.document_type),
        "currency": facts.currency,
        "seller_is_you": considered.seller.legal_id,
        "commercial_debtor": facts.debtor_legal_id or facts.debtor_vat_id,
        "already_listed": gettext("exact key is free"),
        "tenor": day(facts.due_on) if facts.due_on else "",
    }
    return {rule: words for rule, words in found.items() if words}


@blueprint.post("/drafts/<uuid:draft_id>")
@for_sellers
def list_receivable(draft_id: UUID) -> ResponseReturnValue:
    """List the draft with its corrections and terms; or, with the other button, only work everything out again."""
    actor, _ = seller()
    found = own_draft(draft_id)
    given = request.form.to_dict()
    corrections: dict[str, Any] = {}
    terms = Terms()
    try:
        corrections, terms = _corrections_and_terms(given)
        if given.get("do") == "check":
            considered = consider(db.session(), found, corrections, today(), policy())
            return _page(found, considered, given, terms)
        made = perform(actions.list_receivable, ListReceivable(draft_id, corrections, terms), actor)
    except MarketplaceError as error:
        return draft_refused(found, given, error, corrections, terms)
    if made["state"] == "held_for_review":
        say(gettext("%(ref)s is listed. An operator looks at it before the debtor is asked.", ref=made["ref"]), "info")
    else:
        say(gettext("%(ref)s is listed, and the debtor has been sent a link.", ref=made["ref"]))
    return redirect(url_for("seller.receivable", receivable_id=made["receivable_id"]), 303)


def _corrections_and_terms(given: Mapping[str, str]) -> tuple[dict[str, Any], Terms]:
    """Return what the form says, or every problem of it at once.

    Raises: InvalidInput.
    """
    values, problems = parsed(given)
    corrections: dict[str, Any] = {}
    terms: dict[str, Any] = {}
    for schema, into in ((FactsSchema, corrections), (TermsSchema, terms)):
        try:
            into.update(load(schema, values))
        except InvalidInput as error:
            problems += [problem for problem in error.problems if problem.field not in {p.field for p in problems}]
    _refuse(problems)
    corrections |= {name: None for name in OPTIONAL if name in given and not given[name].strip()}
    return corrections, Terms(**terms)


def parsed(given: Mapping[str, str]) -> tuple[dict[str, Any], list[Problem]]:
    """Turn amounts and rates as people type them into whole numbers; return what could not be turned as problems."""
    values: dict[str, Any] = dict(given)
    problems: list[Problem] = []
    currency = given.get("currency") or "GBP"
    for name in ("face_minor", "total_minor", "net_minor", "vat_minor"):
        problems += _turn(values, name, lambda text, name: minor_of(text, currency, name))
    for name in ("reserve_bps", "own_rate_bps", "min_share_bps", "buy_now_bps"):
        problems += _turn(values, name, bps_of_percent)
    return values, problems


def _turn(values: dict[str, Any], name: str, turn: Any) -> list[Problem]:
    text = str(values.get(name) or "").strip()
    if not text:
        values.pop(name, None)
        return []
    try:
        values[name] = turn(text, name)
    except InvalidInput as error:
        values.pop(name)
        return list(error.problems)
    return []


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise InvalidInput.of_fields(problems)
