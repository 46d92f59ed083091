"""What operators are called about: its facts in words, what is to be done, and where."""

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext

from marketplace.kernel.words import N_
from marketplace.payments.seen_to import ENDS_ITSELF
from marketplace.web.format import dated, money_text
from marketplace.web.names import named
from marketplace.web.operator_door import blueprint, policy

# Where an alert's subject is worked off; any other is money, put aside on the page "Suspense".
PAGES = {
    "organisation": "operator.register",
    "reconciliation": "operator.reconciliation", "bank_reconciliation": "operator.reconciliation",
}  # fmt: skip
TO_DO = {
    "bank_money_left": N_(
        "Money left the bank account that nothing here asked for. Ask the bank what it was; then two people enter "
        "it on the page Ledger."
    ),
    "bank_money_taken_back": N_(
        "The bank took money back that was used already. Find out whose it was; then two people enter it on the "
        "page Ledger."
    ),
    "bank_money_unmatched": N_("It lies in suspense, above, until two people say what becomes of it."),
    "call_refused": N_("The provider refused what was asked of it. The code says why; what hung on it has failed."),
    "call_unknown": N_("It rests below, among the calls without an answer, until two people decide."),
    "chargeback_lost": N_("It was decided for the payer. What was paid is owed again: ask the debtor for it."),
    "chargeback_open": N_(
        "The payer’s bank takes the payment back. Give the provider what proves the debt, in its time."
    ),
    "chargeback_won": N_("It was decided for us. The money comes back and is shared out again by itself."),
    "late_rate_unknown": N_(
        "The reference rate of this half year is missing in the policy, under late_interest. Add it and start the "
        "market again: what waits is claimed then."
    ),
    "no_bank_account": N_(
        "No account is known to pay to. Two people set it on the page Bank pay-outs; the pay-out then goes by itself."
    ),
    "not_as_asked": N_(
        "Another sum came than was asked for. A debtor’s lies in suspense, above. Anybody else’s lies at the "
        "provider and is booked nowhere: give it back there."
    ),
    "payout_failed": N_(
        "It did not arrive, and the money is back where it was. What is owed to a seller is sent again from the "
        "list above, once the account is right."
    ),
    "payout_not_as_asked": N_("The provider paid another sum than was asked for. Ask it to put that right."),
    "reconciliation_break": N_("The page Reconciliation names each line that differs."),
    "register_insolvency": N_(
        "The register says that the company is insolvent. Look at its lots and listings, and suspend it where it sells."
    ),
}


@blueprint.app_template_filter("facts_told")
def facts_told(facts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return (label, value) of what an alert holds: minor units as money of their currency, codes as words."""
    told, spoken = [], set()
    for name, value in facts.items():
        whose = name.removesuffix("minor")
        beside = f"{whose}currency" if f"{whose}currency" in facts else "currency"
        if whose != name and isinstance(value, int) and facts.get(beside) in policy().currencies:
            told.append((name, named(whose.strip("_") or "amount"), money_text(value, facts[beside])))
            spoken.add(beside)
        else:
            told.append((name, named(name), _said(name, value)))
    return [(label, value) for name, label, value in told if name not in spoken]


def _said(name: str, value: Any) -> Any:
    """Return one fact as it is read: codes and days in words, what somebody else named as he did."""
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if not isinstance(value, str) or name.endswith(("_id", "number")):
        return value
    return dated(value) if name.endswith("_on") or name == "half_year" else named(value)


@blueprint.app_template_filter("to_do")
def to_do(kind: str) -> str:
    """Return what an operator is to do about an alert of a kind."""
    return gettext(TO_DO[kind]) if kind in TO_DO else ""


@blueprint.app_template_test("ends_itself")
def ends_itself(kind: str) -> bool:
    """Tell whether a call ends with its trouble, and not by a person's word."""
    return kind in ENDS_ITSELF
