"""What a regulator sees of the exchange: every question about a claim, ours to others and others' to us."""

from flask import render_template
from flask.typing import ResponseReturnValue

from marketplace.db import db
from marketplace.exchange import desk, queries
from marketplace.receivables import queries as receivables
from marketplace.web.operator_exchange import ANSWER_WORDS, source_word
from marketplace.web.regulator_door import PAGE_ROWS, blueprint, for_regulators, looked


@blueprint.get("/exchange")
@for_regulators
def exchange() -> ResponseReturnValue:
    """Questions and answers, newest first, from the log."""
    looked("exchange")
    session = db.session()
    asked = desk.asked(session, PAGE_ROWS)
    return render_template(
        "regulator/exchange.html",
        asked=asked,
        served=desk.requests(session, PAGE_ROWS),
        book=desk.book(session),
        counts=queries.counts(session),
        known=receivables.receivables(session, [one.receivable_id for one in asked]),
        answer_words=ANSWER_WORDS,
        source_word=source_word,
    )
