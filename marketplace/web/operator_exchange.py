"""The operators' page of the exchange: what other markets claim, what waits for an answer, and our own registry."""

from typing import Any

from flask import render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db, market_now
from marketplace.exchange import desk, queries
from marketplace.kernel.words import N_
from marketplace.receivables import queries as receivables
from marketplace.web.operator_door import blueprint, only_operators

ROWS = 20
REGISTRY_WORDS = {
    "unasked": ("wait", N_("not asked yet")),
    "answering": ("good", N_("answering")),
    "silent": ("bad", N_("silent")),
    "refusing": ("bad", N_("refusing")),
    "mistrusted": ("bad", N_("not trusted")),
}
CODE_WORDS = {
    "unreachable": N_("It cannot be reached. Listings wait; it is asked again, later each time."),
    "no_registry": N_("What answers there is no registry. See REGISTRY_URL."),
    "not_signed": N_("Its answers are not signed with our secret: somebody else may be answering."),
    "nonsense": N_("Its answers cannot be read."),
    "unsigned": N_("It does not know our key, or the secret is wrong. See REGISTRY_KEY_ID and REGISTRY_SECRET."),
    "expired": N_("Our clock and its clock are too far apart."),
    "too_many_requests": N_("We ask more often than it allows. It is asked again, later each time."),
    "too_many_claims": N_("We ask about more claims than it allows in an hour. It is asked again, later each time."),
    "bad_mode": N_("It serves another mode than REGISTRY_MODE says. It is told nothing."),
    "other_mode": N_("It serves another mode than REGISTRY_MODE says. It is told nothing."),
    "other_key": N_("Its key is not the one that REGISTRY_PUBLIC_KEY pins. It is told nothing."),
    "other_terms": N_("Its leases or batches are shorter than this market counts on. It is told nothing."),
    "bad_proof": N_(
        "It used another key than the pinned one, and was caught by the proof. Nothing it says is believed."
    ),
}
CLAIM_WORDS = {
    "unasked": ("wait", N_("not answered")),
    "registered": ("good", N_("registered for us")),
    "financed": ("good", N_("financed here")),
    "released": ("wait", N_("released")),
    "elsewhere": ("bad", N_("held elsewhere")),
}
ANSWER_WORDS = {
    "none": N_("nobody has it"),
    "registered": N_("registered"),
    "financed": N_("financed"),
}
SOURCE_REGISTRY = N_("the registry")


@blueprint.get("/exchange")
@only_operators
def exchange() -> ResponseReturnValue:
    """How claims stand with other markets."""
    session, chosen = db.session(), queries.settings()
    against = queries.contradictions(session, ROWS)
    waiting, lapsing = queries.waiting(session, ROWS), queries.lapsing(session, ROWS)
    ids = [one.receivable_id for one in against] + [one.receivable_id for one in waiting + lapsing]
    known = receivables.receivables(session, ids)
    return render_template(
        "operator/exchange.html",
        exchange=chosen,
        required=queries.policy().registry_required,
        registry=queries.registry(session),
        counts=queries.counts(session),
        against=[(row, queries.contrary(session, row.receivable_id)) for row in against],
        waiting=waiting if chosen.key else [],
        lapsing=lapsing if chosen.asks else [],
        issuers=queries.issuers(session),
        files=queries.files(session, 10),
        book=desk.book(session),
        peers=desk.peers(session),
        known=known,
        now=market_now(session),
        rows=ROWS,
    )


@blueprint.context_processor
def exchange_words() -> dict[str, Any]:
    """Give the page its words."""
    return {
        "registry_word": lambda state: _pair(REGISTRY_WORDS, state),
        "claim_word": lambda state: _pair(CLAIM_WORDS, state),
        "answer_word": lambda state: gettext(ANSWER_WORDS.get(state, state)),
        "source_word": source_word,
        "registry_code_word": lambda code: gettext(CODE_WORDS[code]) if code in CODE_WORDS else code,
    }


def _pair(table: dict[str, tuple[str, str]], name: str) -> tuple[str, str]:
    css, words = table.get(name, ("wait", name))
    return css, gettext(words)


def source_word(source: str) -> str:
    """Return who answered: the registry, or the market whose file it was."""
    return gettext(SOURCE_REGISTRY) if source == "registry" else source
