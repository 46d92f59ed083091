"""One answer for many receivables: each is taken in a transaction of its own and told of row by row.

Each on its own, not all or none: an invoice that was withdrawn or disputed a second ago must not undo the fifty others
that the clerk rightly confirmed, and five thousand locks held at once would keep sellers and auctions waiting. The
batch is kept first, so that an answer once given is carried out however long that takes, and never twice.
"""

import time
from uuid import UUID

from sqlalchemy import func, insert, select

from marketplace.db import db
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.errors import Conflict, InvalidInput, MarketplaceError, NotFound, Problem, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx, perform
from marketplace.receivables import queries
from marketplace.receivables.debtor import links
from marketplace.receivables.debtor import queries as debtor_queries
from marketplace.receivables.debtor.confirmation import day_problems, take_promise, take_yes
from marketplace.receivables.debtor.notice import take_acknowledgement
from marketplace.receivables.debtor.schemas import AnswerMany, AnswerOne
from marketplace.receivables.schemas import ConfirmReceivable, PromisePayment
from marketplace.receivables.states import ReceivableState
from marketplace.receivables.tables import AnswerBatchRow, AnswerRow, DebtorLinkRow, ReceivableRow

CHUNK = 100


@verb("answer_many")
def answer_many(tx: Tx, command: AnswerMany) -> Result:
    """Keep one answer for many receivables of one debtor. `work_batch` carries it out.

    Raises: NotFound("unknown_link"); RuleBroken("link_expired", "link_purpose"); InvalidInput for a day that cannot
    be, or a receivable that is not the debtor's.
    """
    link = links.lock_for(tx, command.token, links.DEBTS)
    if link.debtor_id is None or tx.actor.organisation_id != link.debtor_id:
        raise NotFound("unknown_link", N_("This link is not one of ours, or it was replaced by a newer one."))
    wanted = list(dict.fromkeys(command.receivable_ids))
    _plausible(tx, command, link.debtor_id, wanted)
    link.used_at = link.used_at or tx.clock()
    batch_id = new_id()
    tx.session.add(
        AnswerBatchRow(id=batch_id, debtor_id=link.debtor_id, link_id=link.id, answer=command.answer,
                       answered_by=command.answered_by, prior_notice=command.prior_notice, claimant=command.claimant,
                       told_on=command.told_on, at=tx.now)
    )  # fmt: skip
    tx.session.flush()
    tx.session.execute(
        insert(AnswerRow),
        [{"batch_id": batch_id, "receivable_id": one, "position": position,
          "pay_on": command.days.get(one, command.pay_on)} for position, one in enumerate(wanted)],
    )  # fmt: skip
    tx.record("organisation", link.debtor_id,
              after={"batch_id": batch_id, "link_id": link.id, "answer": command.answer, "rows": len(wanted),
                     "prior_notice": command.prior_notice})  # fmt: skip
    return {"batch_id": batch_id, "rows": len(wanted)}


def _plausible(tx: Tx, command: AnswerMany, debtor_id: UUID, wanted: list[UUID]) -> None:
    problems = [problem for day in {command.pay_on, *command.days.values()} - {None}
                for problem in day_problems(day, tx.today)]  # type: ignore[arg-type]  # fmt: skip
    if command.told_on and command.told_on > tx.today:
        problems.append(Problem("told_on", "in_future", N_("This day lies in the future.")))
    own = select(func.count()).select_from(ReceivableRow)
    found = tx.session.execute(own.where(ReceivableRow.id.in_(wanted), ReceivableRow.debtor_id == debtor_id))
    if found.scalar_one() != len(wanted):
        problems.append(Problem("receivable_ids", "not_yours", N_("One of these invoices is not yours.")))
    if problems:
        raise InvalidInput.of_fields(problems)


@verb("answer_one")
def answer_one(tx: Tx, command: AnswerOne) -> Result:
    """Take one row of a batch, or write down why it could not be taken.

    Raises: NotFound; Conflict("answered_meanwhile") when somebody else has it.
    """
    batch = debtor_queries.batch(tx.session, command.batch_id)
    if tx.actor.role == Role.DEBTOR and tx.actor.organisation_id != batch.debtor_id:
        raise queries.missing()
    row = tx.session.execute(
        select(AnswerRow)
        .where(AnswerRow.batch_id == batch.id, AnswerRow.receivable_id == command.receivable_id,
               AnswerRow.state == "waiting")
        .with_for_update(skip_locked=True)
    ).scalar_one_or_none()  # fmt: skip
    if row is None:
        raise Conflict("answered_meanwhile", N_("This answer is taken already, or just being taken."))
    events, words = tx.events, None
    try:
        with tx.session.begin_nested():
            state, code = "taken", _take(tx, batch, row)
    except MarketplaceError as error:
        tx.events, state, code = events, "refused", error.code
        said = error.problems[0] if error.problems else error
        words = str(said.words) % dict(said.params) if said.params else str(said.words)
    at = tx.clock()  # before the row changes: its rules are judged at every flush
    row.state, row.code, row.words, row.done_at = state, code, words, at
    tx.session.flush()
    tx.record("receivable", row.receivable_id, after={"batch_id": batch.id, "state": row.state, "code": row.code})
    return {"receivable_id": row.receivable_id, "state": row.state, "code": row.code}


def _take(tx: Tx, batch: AnswerBatchRow, answer: AnswerRow) -> str:
    """Carry the answer out and return what it came to."""
    row = queries.lock_row(tx.session, answer.receivable_id)
    link = links.lock(tx.session, batch.link_id)
    if links.replaced(link) and link.revoked_at is not None and _revoked_by_hand(tx, link):
        raise RuleBroken("link_revoked", N_("The link was revoked before this one was taken."))
    if batch.answer == "acknowledge":
        take_acknowledgement(tx, row, link, _latest(tx, row), batch.answered_by)
        return "acknowledged"
    pay_on = answer.pay_on or max(row.due_on, tx.today)
    if batch.answer == "promise":
        take_promise(tx, row, link, PromisePayment(pay_on, answered_by=batch.answered_by))
        return "promised"
    if row.state == ReceivableState.CONFIRMED and row.confirmed_by == "debtor":
        return "already"
    if row.state == ReceivableState.AWAITING_CONFIRMATION and row.state_since > batch.at:
        # It came back after the answer was given: the letter about it holds a newer link.
        raise RuleBroken("asked_again", N_("This link is not one of ours, or it was replaced by a newer one."))
    said = ConfirmReceivable("", row.face_minor, pay_on, bool(batch.prior_notice), batch.claimant, batch.told_on,
                             batch.answered_by)  # fmt: skip
    return str(take_yes(tx, row, link, said)["state"])


def _revoked_by_hand(tx: Tx, link: DebtorLinkRow) -> bool:
    """Say whether an operator ended the link: a newer link in its place takes nothing back that was answered."""
    newer = select(DebtorLinkRow.id).where(DebtorLinkRow.debtor_id == link.debtor_id,
                                           DebtorLinkRow.issued_at == link.revoked_at)  # fmt: skip
    return tx.session.execute(newer.limit(1)).first() is None


def _latest(tx: Tx, row: ReceivableRow) -> int:
    notices = [one for one in queries.notices(tx.session, row.id) if one.written_at is not None]
    if not notices:
        raise RuleBroken("wrong_state", N_("There is no notice to acknowledge."))
    return int(notices[-1].number)


def work_batch(batch_id: UUID, seconds: float, most: int = CHUNK) -> int:
    """Take the rows of a batch that wait, one transaction each, for a while. Return how many were worked on.

    Called by the web right after the answer, and by the job `take_answers` for what is left.
    """
    until, done = time.monotonic() + seconds, 0
    session = db.session()
    batch = debtor_queries.batch(session, batch_id)
    actor = Actor(Role.DEBTOR, None, batch.debtor_id, f"debtor link {batch.link_id}")
    waiting = debtor_queries.rows_waiting(session, batch_id, most)
    session.rollback()
    for receivable_id in waiting:
        if time.monotonic() > until:
            break
        try:
            perform(answer_one, AnswerOne(batch_id, receivable_id), actor)
            done += 1
        except Conflict:
            continue
    return done
