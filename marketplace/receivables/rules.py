"""May this invoice be listed, and on these terms? Pure; every reason at once, failures with what to do about them."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from marketplace.kernel.errors import Problem
from marketplace.kernel.policy import Policy
from marketplace.kernel.words import N_
from marketplace.receivables.einvoice.assignment_words import assignment_wording
from marketplace.receivables.einvoice.policy import CREDIT_NOTES, NO_CLAIMS
from marketplace.receivables.facts import InvoiceFacts
from marketplace.receivables.letterbox import whose
from marketplace.receivables.plain import plain_amount, plain_percent

# A first listing is always the whole book: concentration is judged once the book is a few debtors wide.
BOOK_DEBTORS_MIN = 8
# UNTDID 1001 393: an invoice issued for a factor is assigned already.
UNSELLABLE_TYPES = CREDIT_NOTES | NO_CLAIMS | {"393"}
REQUIRED = {
    "number": N_("Enter the invoice number as it is printed."),
    "issued_on": N_("Enter the date of the invoice."),
    "due_on": N_("Enter the date on which it must be paid."),
    "currency": N_("Choose the currency of the invoice."),
    "face_minor": N_("Enter the amount that is still due."),
    "debtor_name": N_("Enter the debtor’s full legal name."),
}


@dataclass(frozen=True)
class Check:
    """One rule, judged. `outcome`: pass, fail, or look (it may be listed, but a person looks at it first)."""

    rule: str
    outcome: str
    words: str
    params: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    remedy: str = ""

    def problem(self) -> Problem:
        """Return the failure as a problem of its field."""
        return Problem(self.name, self.rule, self.remedy or self.words, self.params)


@dataclass(frozen=True)
class Party:
    """What listing needs to know about the seller, or about the debtor once it is found."""

    legal_name: str
    legal_id: str | None
    vat_id: str | None
    country: str | None
    iban: str | None = None
    good_standing: bool = True


@dataclass(frozen=True)
class Circumstances:
    """Everything outside the document that decides: people, date, book, look-alikes."""

    today: date
    seller: Party
    debtor: Party | None = None
    related: bool = False
    debtor_share_bps: int | None = None
    book_debtors: int = 0
    earlier_ref: str | None = None
    left_on: str | None = None
    came_back: str | None = None
    round: int = 1
    alike: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    typed: bool = False
    document_words: tuple[str, ...] = ()
    own_addresses: frozenset[str] = frozenset()
    letters_verified: bool = False


def judge(facts: InvoiceFacts, about: Circumstances, policy: Policy) -> list[Check]:
    """Return every rule with its outcome: failures first, then what a person will look at, then what passes."""
    checks = [check for rule in RULES for check in rule(facts, about, policy)]
    order = {"fail": 0, "look": 1, "pass": 2}
    return sorted(checks, key=lambda check: order[check.outcome])


def failures(checks: list[Check]) -> list[Problem]:
    """Return what forbids the listing, as problems of the fields at fault."""
    return [check.problem() for check in checks if check.outcome == "fail"]


def held(checks: list[Check]) -> list[Check]:
    """Return what makes a person look before the debtor is asked."""
    return [check for check in checks if check.outcome == "look"]


CAUSES = {"near_match": "near_match", "payee": "outside_evidence", "iban": "outside_evidence",
          "assignment": "outside_evidence", "account_changed": "outside_evidence", "outside_claim": "outside_evidence",
          "own_domain": "outside_evidence", "public_mailbox": "outside_evidence",
          "prior_notice": "prior_notice", "dispute": "dispute", "came_back": "came_back",
          "differences": "differences"}  # fmt: skip
GRAVEST = ("near_match", "outside_evidence", "prior_notice", "dispute", "came_back", "differences", "document")


def cause_of(looks: Sequence[Check]) -> str:
    """Return the gravest cause for which a listing is held: a look-alike first, the document itself last."""
    causes = {CAUSES.get(check.rule, "document") for check in looks}
    return next(cause for cause in GRAVEST if cause in causes)


def same_party(party: Party, name: str | None, legal_id: str | None, vat_id: str | None) -> bool:
    """Return whether a party on a document is this organisation: by legal id, else by VAT id, else by name.

    An id that is given and differs is never outvoted by a name that agrees.
    """
    for given, known in ((legal_id, party.legal_id), (vat_id, party.vat_id)):
        if given and known:
            return _plain_id(given) == _plain_id(known)
    return bool(name) and _plain_name(name or "") == _plain_name(party.legal_name)


def _plain_id(text: str) -> str:
    return re.sub(r"[^0-9A-Z]", "", unicodedata.normalize("NFKC", text).upper()).lstrip("0")


FORMS = {"LTD": "LIMITED", "CO": "COMPANY", "CORP": "CORPORATION", "INC": "INCORPORATED", "PLC": "PLC"}


def _plain_name(text: str) -> str:
    words = re.sub(r"[^\w\s]", " ", unicodedata.normalize("NFKC", text).upper().replace(".", "")).split()
    return " ".join(FORMS.get(word, word) for word in words if word != "THE")


def _present(facts: InvoiceFacts, about: Circumstances, policy: Policy) -> Iterator[Check]:
    missing = [name for name in REQUIRED if getattr(facts, name) is None]
    for name in missing:
        yield Check("required", "fail", N_("A field is missing"), {}, name, REQUIRED[name])
    if not facts.debtor_legal_id and not facts.debtor_vat_id:
        yield Check("required", "fail", N_("The debtor’s company number is missing"), {}, "debtor_legal_id",
                    N_("Enter the debtor’s company number or its VAT number: a name alone is not enough."))  # fmt: skip
    elif not missing:
        yield Check("required", "pass", N_("Every field that is needed is there"))


def _sort(facts: InvoiceFacts, about: Circumstances, policy: Policy) -> Iterator[Check]:
    if facts.document_type not in UNSELLABLE_TYPES:
        yield Check("document_type", "pass", N_("Not a credit note, not pro-forma, not sold already"),
                    {"type": facts.document_type})  # fmt: skip
    else:
        yield Check("document_type", "fail", N_("It is not an invoice that can be sold"),
                    {"type": facts.document_type}, "document_type",
                    N_("A document of type %(type)s is no claim to sell. Upload the invoice itself."))  # fmt: skip


def _currency(facts: InvoiceFacts, about: Circumstances, policy: Policy) -> Iterator[Check]:
    params = {"currency": facts.currency, "known": ", ".join(policy.currencies)}
    if facts.currency is None:
        return
    if facts.currency in policy.currencies:
        yield Check("currency", "pass", N_("Currency is supported"), params)
    else:
        yield Check("currency", "fail", N_("Currency is not supported"), params, "currency",
                    N_("%(currency)s cannot be sold here yet. Supported: %(known)s."))  # fmt: skip


def _amount(facts: InvoiceFacts, about: Circumstances, policy: Policy) -> Iterator[Check]:
    face, low, high = facts.face_minor, policy.listing.face_minor_min, policy.listing.face_minor_max
    if face is None or facts.currency not in policy.currencies:
        return
    params = {"currency": facts.currency}
    if face <= 0:
        yield Check("face", "fail", N_("Nothing is due on it"), params, "face_minor",
                    N_("Nothing is due on this invoice, so there is nothing to sell."))  # fmt: skip
    elif face < low:
        params["low"] = plain_amount(low, facts.currency)
        yield Check("face", "fail", N_("The amount due is too small"), params, "face_minor",
                    N_("The amount due is below the smallest that is listed, %(low)s."))  # fmt: skip
    elif face > high:
        params["high"] = plain_amount(high, facts.currency)
        yield Check("face", "fail", N_("The amount due is too large"), params, "face_minor",
                    N_("The amount due is above the largest that is listed, %(high)s."))  # fmt: skip
    elif facts.total_minor is not None and face > facts.total_minor:
        yield Check("face", "fail", N_("More is due than the invoice comes to"), params, "face_minor",
                    N_("The amount due cannot be more than the total with VAT."))  # fmt: skip
    else:
        yield Check("face", "pass", N_("The amount due can be listed"), params)


def _dates(facts: InvoiceFacts, about: Circumstances, policy: Policy) -> Iterator[Check]:
    if facts.issued_on is None or facts.due_on is None:
        return
    if facts.issued_on > about.today:
        yield Check("issued", "fail", N_("It is dated in the future"), {}, "issued_on",
                    N_("The invoice date lies in the future. List it on or after that day."))  # fmt: skip
    if facts.due_on < facts.issued_on:
        yield Check("due_order", "fail", N_("It is due before it was issued"), {}, "due_on",
                    N_("The due date lies before the invoice date. Check both."))  # fmt: skip
        return
    days = (facts.due_on - about.today).days
    params = {"days": days, "low": policy.listing.tenor_days_min, "high": policy.listing.tenor_days_max}
    if days < 0:
        yield Check("overdue", "fail", N_("It is overdue"), {**params, "late": -days}, "due_on",
                    N_("It fell due %(late)s days ago. Overdue invoices are not listed."))  # fmt: skip
    elif days < params["low"]:
        yield Check("tenor", "fail", N_("Too few days to run"), params, "due_on",
                    N_("It has %(days)s days to run; at least %(low)s are needed to sell it."))  # fmt: skip
    elif days > params["high"]:
        yield Check("tenor", "fail", N_("Too many days to run"), params, "due_on",
                    N_("It has %(days)s days to run; at most %(high)s are listed. Come back later."))  # fmt: skip
    else:
        yield Check("tenor", "pass", N_("%(days)s days to run, between %(low)s and %(high)s"), params)


def _seller(facts: InvoiceFacts, about: Circumstances, policy: Policy) -> Iterator[Check]:
    params = {"seller": about.seller.legal_name, "named": facts.seller_name or facts.seller_legal_id or "–"}
    if not about.seller.good_standing:
        yield Check("seller_standing", "fail", N_("Your standing does not allow a listing"), params, "",
                    N_("Your organisation is suspended. Talk to the operators."))  # fmt: skip
    else:
        yield Check("seller_standing", "pass", N_("You are in good standing"), params)
    if about.typed:
        return
    if same_party(about.seller, facts.seller_name, facts.seller_legal_id, facts.seller_vat_id):
        yield Check("seller_is_you", "pass", N_("The seller on the invoice is you"), params)
    else:
        yield Check("seller_is_you", "fail", N_("The seller on the invoice is not you"), params, "seller_name",
                    N_("The invoice was issued by %(named)s. Only its own seller, %(seller)s being signed in, "
                       "may list it."))  # fmt: skip


def _debtor(facts: InvoiceFacts, about: Circumstances, policy: Policy) -> Iterator[Check]:
    params = {"debtor": facts.debtor_name or "–"}
    if facts.debtor_is_person:
        yield Check("commercial_debtor", "fail", N_("The debtor is a person, not a business"), params, "debtor_name",
                    N_("Only invoices to businesses and public bodies are listed."))  # fmt: skip
    if same_party(about.seller, facts.debtor_name, facts.debtor_legal_id, facts.debtor_vat_id):
        yield Check("debtor_is_seller", "fail", N_("You would owe it to yourself"), params, "debtor_legal_id",
                    N_("The debtor’s number is your own. Enter the customer’s."))  # fmt: skip
    elif about.related:
        yield Check("related", "fail", N_("The debtor is related to you"), params, "debtor_legal_id",
                    N_("%(debtor)s belongs to your group. Invoices within a group are not listed."))  # fmt: skip
    elif not facts.debtor_is_person:
        yield Check("commercial_debtor", "pass", N_("The debtor is a business, and not related to you"), params)
    if about.debtor is not None and not about.debtor.good_standing:
        yield Check("debtor_standing", "fail", N_("The debtor’s standing does not allow a listing"), params,
                    "debtor_legal_id", N_("%(debtor)s is suspended on this market."))  # fmt: skip
    else:
        yield Check("debtor_standing", "pass", N_("Nothing is held against the debtor"), params)


def outside(facts: InvoiceFacts, seller: Party) -> list[Check]:
    """Return what the invoice itself says against its being the seller's to sell, as looks; nothing when it is clear.

    A payee or an account that is not the seller's, or words of assignment. Source: BT-59…61, BT-84, BT-20 and BT-22.
    """
    return [check for check in _outside(facts, seller) if check.outcome == "look"]


def _payee(facts: InvoiceFacts, about: Circumstances, policy: Policy) -> Iterator[Check]:
    yield from _outside(facts, about.seller)


def _outside(facts: InvoiceFacts, seller: Party) -> Iterator[Check]:
    yield from _assigned(facts)
    params = {"payee": facts.payee_name or facts.payee_legal_id or "–"}
    if (facts.payee_name or facts.payee_legal_id) and not same_party(
        seller, facts.payee_name, facts.payee_legal_id, None
    ):
        yield Check("payee", "look", N_("Somebody else is to be paid"), params, "payee_name",
                    N_("The invoice says to pay %(payee)s. It may be sold already: an operator looks."))  # fmt: skip
        return
    named = [account for account in (facts.iban, *facts.more_ibans) if account]
    known = _plain_id(seller.iban) if seller.iban else None
    strange = [account for account in named if _plain_id(account) != known]
    if not named:
        yield Check("iban", "pass", N_("No other account is named on the invoice"))
    elif not strange:
        yield Check("iban", "pass", N_("You are paid to your own account"))
    else:
        params = {"account": account_ends(strange[0]), "known": account_ends(seller.iban) if seller.iban else "–"}
        yield Check("iban", "look", N_("An account on the invoice is not known as yours"), params, "iban",
                    N_("The invoice names the account %(account)s. Another account may mean that it was sold already. "
                       "An operator looks before the debtor is asked."))  # fmt: skip


def account_ends(account: str) -> str:
    """Return an account as people may be shown it: its country and its last four signs."""
    plain = _plain_id(account)
    return f"{plain[:2]}…{plain[-4:]}" if len(plain) > 6 else "…"


def _assigned(facts: InvoiceFacts) -> Iterator[Check]:
    said = assignment_wording(facts.notes)
    if said:
        yield Check("assignment", "look", N_("The invoice speaks of an assignment"), {"said": said}, "",
                    N_("It says “%(said)s”: it may be sold or pledged already. An operator looks before the debtor "
                       "is asked."))  # fmt: skip


def _letters(facts: InvoiceFacts, about: Circumstances, policy: Policy) -> Iterator[Check]:
    """Judge where the debtor would be asked. An address that operators verified goes before the seller's."""
    if not facts.debtor_email or about.letters_verified:
        return
    params = {"address": facts.debtor_email}
    box = whose(facts.debtor_email, about.own_addresses)
    if box == "own":
        yield Check("own_address", "fail", N_("The debtor’s address is your own"), params, "debtor_email",
                    N_("%(address)s is an address of yours. Enter the one where the debtor’s accounts payable "
                       "reads."))  # fmt: skip
    elif box == "own_domain":
        yield Check("own_domain", "look", N_("The debtor’s address is at your own domain"), params, "debtor_email",
                    N_("%(address)s is at the domain by which your people sign in. An operator finds the debtor’s own "
                       "before it is asked."))  # fmt: skip
    elif box == "public":
        yield Check("public_mailbox", "look", N_("The debtor’s address is at a public mail provider"), params,
                    "debtor_email", N_("Anybody may open a box like %(address)s. An operator finds the debtor’s own "
                                       "before it is asked."))  # fmt: skip


def _unique(facts: InvoiceFacts, about: Circumstances, policy: Policy) -> Iterator[Check]:
    if about.earlier_ref and about.left_on:
        yield Check("already_listed", "fail", N_("You listed it before, and it left the market"),
                    {"ref": about.earlier_ref, "day": about.left_on}, "number",
                    N_("This invoice left the market as %(ref)s on %(day)s. It cannot be listed as another one: bring "
                       "it back."))  # fmt: skip
    elif about.earlier_ref:
        yield Check("already_listed", "fail", N_("The number was listed before"), {"ref": about.earlier_ref},
                    "number", N_("This invoice is already listed as %(ref)s. It can be sold only once."))  # fmt: skip
    else:
        yield Check("already_listed", "pass", N_("The number was never listed before"))
    if about.came_back:
        params = {"ref": about.came_back, "round": about.round}
        yield Check("came_back", "look", N_("It was refused before, and comes back"), params, "",
                    N_("An operator looks at what was put right since."))  # fmt: skip
    if about.alike:
        yield Check("near_match", "look", N_("Something like it is listed"), {"refs": ", ".join(about.alike)}, "",
                    N_("It resembles %(refs)s. Monthly orders often do; an operator compares the lines."))  # fmt: skip
    elif not about.earlier_ref:
        yield Check("near_match", "pass", N_("Nothing like it is listed"))


def _document(facts: InvoiceFacts, about: Circumstances, policy: Policy) -> Iterator[Check]:
    if about.typed:
        yield Check("evidence", "look", N_("Typed by hand: there is no e-invoice"), {}, "",
                    N_("Without a structured invoice an operator compares it with your paper first."))  # fmt: skip
    for words in about.document_words:
        yield Check("document", "look", N_("The document needs a look"), {}, "", words)
    if about.changed:
        params = {"fields": ", ".join(about.changed)}
        yield Check("differences", "look", N_("You changed what the invoice says"), params, "",
                    N_("An operator compares what you changed with the document: %(fields)s."))  # fmt: skip


def _concentration(facts: InvoiceFacts, about: Circumstances, policy: Policy) -> Iterator[Check]:
    if about.debtor_share_bps is None or about.book_debtors < BOOK_DEBTORS_MIN:
        return
    limit = policy.listing.debtor_share_bps_max
    params = {"share": plain_percent(about.debtor_share_bps), "limit": plain_percent(limit)}
    if about.debtor_share_bps > limit:
        yield Check("concentration", "fail", N_("The debtor would be too large a part of the book"), params,
                    "face_minor", N_("This debtor would be %(share)s of the book; at most %(limit)s."))  # fmt: skip
    else:
        yield Check("concentration", "pass", N_("Debtor within %(limit)s of the book: it would be %(share)s"), params)


RULES: tuple[Callable[[InvoiceFacts, Circumstances, Policy], Iterator[Check]], ...] = (
    _present, _sort, _currency, _amount, _dates, _seller, _debtor, _payee, _letters, _unique, _document, _concentration,
)  # fmt: skip


def judge_terms(
    *, deal_type: str, recourse: str, reserve_bps: int | None, own_rate_bps: int | None, buy_now_bps: int | None,
    policy: Policy,
) -> list[Problem]:  # fmt: skip
    """Return every reason why these terms cannot be offered."""
    found = []
    if deal_type == "outright" and recourse != "none":
        found.append(Problem("recourse", "outright_without_recourse",
                             N_("An outright sale is without recourse. Choose none, or an advance.")))  # fmt: skip
    highest = policy.auction.reserve_bps_max
    if reserve_bps is not None and reserve_bps > highest:
        found.append(Problem("reserve_bps", "reserve_too_high",
                             N_("The reserve may be at most %(limit)s a year."),
                             {"limit": plain_percent(highest)}))  # fmt: skip
    if own_rate_bps is not None and own_rate_bps > (reserve_bps or highest):
        found.append(Problem("own_rate_bps", "own_rate_above_reserve",
                             N_("The rate you accept by itself cannot be above the reserve.")))  # fmt: skip
    if buy_now_bps is not None and buy_now_bps > (reserve_bps or highest):
        found.append(Problem("buy_now_bps", "buy_now_above_reserve",
                             N_("The buy-now rate cannot be above the reserve.")))  # fmt: skip
    return found
