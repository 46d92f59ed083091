"""Body of the job `ask_companies_register`: ask about the parties that are due, outside any transaction, and fetch
accounts that are newer than those on file.

Without a key nothing is asked and sellers hand in their accounts themselves. When the register is silent, refuses the
key or has been asked enough, the rest waits; what one company's answer does to us stays with that company.
"""

import logging
from datetime import timedelta

from sqlalchemy.orm import Session

from marketplace.db import db, market_now
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import Conflict, GatewayFailed, MarketplaceError
from marketplace.parties import windows
from marketplace.parties.queries import Organisation
from marketplace.perform import perform
from marketplace.rating import queries as ratings
from marketplace.rating.actions import file_accounts
from marketplace.rating.register import queries
from marketplace.rating.register.actions import (
    note_register_document,
    note_register_line,
    note_register_trouble,
    record_register_answer,
)
from marketplace.rating.register.answers import CompanyAnswer
from marketplace.rating.register.client import CompaniesRegister, RegisterBusy, RegisterRefuses
from marketplace.rating.register.schemas import (
    NoteRegisterDocument,
    NoteRegisterLine,
    NoteRegisterTrouble,
    RecordRegisterAnswer,
)
from marketplace.rating.schemas import FileAccounts

log = logging.getLogger(__name__)
JOB = "ask_companies_register"
# The register allows 600 requests in any five minutes. Thirty-one windows of ten seconds touch five minutes.
REQUESTS_MAX, WINDOW_SECONDS = 18, 10
REFUSED_SECONDS, SILENT_SECONDS = 3_600, 120
HEARD_EVERY = timedelta(minutes=10)
# Troubles with one company; any other failure is the register's and ends the batch.
OF_ONE = frozenset({"nonsense", "strange_store"})
NOT_A_NUMBER = "not_a_number"


def leave() -> int:
    """Return 0 when a request may be made now, else the seconds to wait. All workers count together."""
    return windows.hit(db.engine, "companies register", REQUESTS_MAX, WINDOW_SECONDS)


def run_register(batch: int = 10) -> int:
    """Ask about at most `batch` parties that are due; return about how many there is an answer."""
    chosen = queries.settings()
    if not chosen.asks:
        return 0
    with Session(db.engine) as session:
        due = [] if queries.rests(session) else queries.due(session, batch)
    register = CompaniesRegister(chosen.key, chosen.base, chosen.document_base, leave)
    answered = 0
    for organisation in due:
        try:
            answered += _ask(register, organisation)
        except GatewayFailed as failure:
            log.warning("companies register: %s", failure.code)
            if not isinstance(failure, RegisterBusy):
                _note_trouble(organisation, failure.code)
            if failure.code not in OF_ONE:
                _note_line(failure)
                return answered
    if answered:
        _note_answering()
    return answered


def _ask(register: CompaniesRegister, organisation: Organisation) -> int:
    number = queries.number_of(organisation)
    if number is None:
        _note_trouble(organisation, NOT_A_NUMBER)
        return 0
    answer = register.look_up(number)
    document_id = _wanted(organisation, answer)
    # The answer is kept before its document is fetched: a document that fails does not lose it.
    perform(record_register_answer, RecordRegisterAnswer(organisation.id, answer), Actor.system(JOB))
    if document_id:
        try:
            _fetch(register, organisation, answer, document_id)
        except RegisterBusy as busy:
            _note_trouble(organisation, busy.code)
            raise
    return 1


def _wanted(organisation: Organisation, answer: CompanyAnswer) -> str | None:
    """Return the document to fetch: accounts newer than those on file, that were not looked at before."""
    filed = answer.accounts
    if filed is None or filed.document_id is None:
        return None
    with Session(db.engine) as session:
        on_file = ratings.newest_filing(session, organisation.id)
        watch = queries.watches(session, [organisation.id]).get(organisation.id)
    if on_file is not None and on_file.period_end >= filed.made_up_to:
        return None
    return filed.document_id if watch is None or watch.document_id != filed.document_id else None


def _fetch(register: CompaniesRegister, organisation: Organisation, answer: CompanyAnswer, document_id: str) -> None:
    assert answer.accounts is not None
    content = register.document(document_id)
    outcome, words = ("not_digital", None) if content is None else _filed(organisation, answer, content)
    noted = NoteRegisterDocument(organisation.id, document_id, outcome, words)
    perform(note_register_document, noted, Actor.system(JOB))


def _filed(organisation: Organisation, answer: CompanyAnswer, content: bytes) -> tuple[str, str | None]:
    """Hand the accounts in as a seller would, and return what became of them."""
    assert answer.accounts is not None
    name = f"{answer.number}_{answer.accounts.made_up_to:%Y%m%d}.xhtml"
    try:
        perform(file_accounts, FileAccounts(organisation.id, name, content), Actor.system(JOB))
    except Conflict:
        return "on_file", None
    except MarketplaceError as refusal:
        return "refused", refusal.problems[0].said() if refusal.problems else refusal.said()
    return "filed", None


def _note_trouble(organisation: Organisation, code: str) -> None:
    perform(note_register_trouble, NoteRegisterTrouble(organisation.id, code), Actor.system(JOB))


def _note_line(failure: GatewayFailed) -> None:
    if isinstance(failure, RegisterBusy):
        # Our own limit passes within seconds and is no news; the register's own word is.
        if failure.seconds <= WINDOW_SECONDS:
            return
        noted = NoteRegisterLine("busy", failure.code, failure.seconds)
    elif isinstance(failure, RegisterRefuses):
        noted = NoteRegisterLine("refusing", failure.code, REFUSED_SECONDS)
    else:
        noted = NoteRegisterLine("silent", failure.code, SILENT_SECONDS)
    perform(note_register_line, noted, Actor.system(JOB))


def _note_answering() -> None:
    with Session(db.engine) as session:
        line, now = queries.line(session), market_now(session)
    if line.state != "answering" or line.heard_at is None or now - line.heard_at > HEARD_EVERY:
        perform(note_register_line, NoteRegisterLine("answering"), Actor.system(JOB))
