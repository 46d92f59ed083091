"""What the companies register says of a party, in words, for the pages of sellers and operators."""

from dataclasses import dataclass
from uuid import UUID

from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.words import N_
from marketplace.rating.register import queries
from marketplace.rating.register.queries import RegisterFacts, Watch

STATES = {
    "active": ("good", N_("active")),
    "open": ("good", N_("active")),
    "registered": ("good", N_("registered")),
    "liquidation": ("bad", N_("in liquidation")),
    "receivership": ("bad", N_("in receivership")),
    "administration": ("bad", N_("in administration")),
    "voluntary-arrangement": ("bad", N_("in a voluntary arrangement")),
    "insolvency-proceedings": ("bad", N_("in insolvency proceedings")),
    "dissolved": ("bad", N_("dissolved")),
    "converted-closed": ("bad", N_("converted or closed")),
    "removed": ("bad", N_("removed")),
    "closed": ("bad", N_("closed")),
}
UNKNOWN = N_("not in the register")
CASES = {
    "compulsory-liquidation": N_("compulsory liquidation"),
    "creditors-voluntary-liquidation": N_("creditors’ voluntary liquidation"),
    "members-voluntary-liquidation": N_("members’ voluntary liquidation"),
    "in-administration": N_("administration"),
    "corporate-voluntary-arrangement": N_("voluntary arrangement"),
    "corporate-voluntary-arrangement-moratorium": N_("voluntary arrangement with a moratorium"),
    "administration-order": N_("administration order"),
    "receiver-manager": N_("receiver and manager"),
    "administrative-receiver": N_("administrative receiver"),
    "receivership": N_("receivership"),
    "foreign-insolvency": N_("insolvency abroad"),
    "moratorium": N_("moratorium"),
}
OUTCOMES = {
    "filed": N_("fetched and filed here"),
    "on_file": N_("on file already"),
    "not_digital": N_("filed on paper or as a picture: it cannot be read"),
    "refused": N_("fetched, but cannot be taken"),
}
TROUBLES = {
    "nonsense": N_("Its answer cannot be read."),
    "strange_store": N_("It points to a place for documents that is not its own."),
    "not_a_number": N_("The number on file is no British company number."),
    "unreachable": N_("It does not answer."),
    "failing": N_("It answers with an error."),
    "key_refused": N_("It does not accept REGISTRY_API_KEY."),
    "too_many_requests": N_("It is asked as often as it allows."),
}
LINES = {
    "unasked": ("wait", N_("not asked yet")),
    "answering": ("good", N_("answering")),
    "silent": ("bad", N_("silent")),
    "refusing": ("bad", N_("refusing our key")),
    "busy": ("wait", N_("resting: it was asked as often as it allows")),
}


@dataclass(frozen=True)
class Known:
    """What a page shows of one party: the newest answer if there is one, what is due, and whether anybody asks."""

    facts: RegisterFacts | None
    watch: Watch | None
    asks: bool


def known(organisation_id: UUID) -> Known:
    """Return what is known of a party from the companies register."""
    session = db.session()
    facts, watches = queries.facts(session, [organisation_id]), queries.watches(session, [organisation_id])
    return Known(facts.get(organisation_id), watches.get(organisation_id), bool(queries.settings().asks))


def state_word(facts: RegisterFacts) -> tuple[str, str]:
    """Return how a company stands: a style and a word; a state never heard of is shown as the register writes it."""
    if facts.company_state is None:
        return "bad", str(gettext(UNKNOWN))
    style, words = STATES.get(facts.company_state, ("wait", ""))
    return style, str(gettext(words)) if words else facts.company_state.replace("-", " ")


def case_word(kind: str) -> str:
    """Return the kind of an insolvency case in words."""
    return str(gettext(CASES[kind])) if kind in CASES else kind.replace("-", " ")


def trouble_word(code: str | None) -> str:
    """Return what went wrong in words."""
    return str(gettext(TROUBLES[code])) if code in TROUBLES else str(code or "–")


def outcome_word(outcome: str) -> str:
    """Return what became of the newest accounts at the register."""
    return str(gettext(OUTCOMES[outcome]))
