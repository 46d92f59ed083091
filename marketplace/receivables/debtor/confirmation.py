"""The debtor's answers, each by a signed link: yes, no or in part, a date, and whether others gave notice."""

from datetime import date
from uuid import UUID

from marketplace.kernel.actors import Role
from marketplace.kernel.errors import InvalidInput, NotFound, Problem, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.rules import require_own, verb
from marketplace.perform import Result, Tx
from marketplace.receivables import queries
from marketplace.receivables.debtor import links, mail
from marketplace.receivables.life import move_row
from marketplace.receivables.plain import plain_amount
from marketplace.receivables.rules import Check
from marketplace.receivables.schemas import (
    ConfirmReceivable,
    DisputeReceivable,
    IssueDebtorLink,
    OpenDebtorLink,
    PromisePayment,
)
from marketplace.receivables.states import ReceivableState
from marketplace.receivables.tables import (
    ConfirmationRow,
    DebtorLinkRow,
    DisputeRow,
    PaymentPromiseRow,
    PriorNoticeRow,
    ReceivableRow,
)
from marketplace.receivables.walls.reviewing import close_review, open_review

S = ReceivableState
# A dispute before anybody bought it holds the listing; later ones are for the auction and the collection to heed.
HOLDS = {S.AWAITING_CONFIRMATION, S.CONFIRMED, S.RATED}
DISPUTABLE = HOLDS | {S.HELD_FOR_REVIEW, S.ON_AUCTION, S.AWARDED, S.FUNDED}
PROMISE_DAYS_MAX = 730


@verb("issue_debtor_link")
def issue_debtor_link(tx: Tx, command: IssueDebtorLink) -> Result:
    """Send the debtor a new link; the old one of the same purpose stops working.

    The token goes into the letter only, never to the seller: who could open it could confirm his own invoice.

    Raises: NotFound; RuleBroken("wrong_state").
    """
    row = queries.lock_row(tx.session, command.receivable_id)
    require_own(tx.actor, row.seller_id)
    wanted = S.AWAITING_CONFIRMATION if command.purpose == links.CONFIRM else S.FUNDED
    if row.state != wanted:
        raise RuleBroken("wrong_state", N_("There is nothing to ask the debtor now."))
    token = links.issue(tx, row.id, command.purpose)
    seller = parties.organisation(tx.session, row.seller_id)
    mail.queue_link(tx, row, seller.legal_name, command.purpose, token)
    told = {"address": links.address(token)} if tx.actor.role in (Role.OPERATOR, Role.SYSTEM) else {}
    return {"receivable_id": row.id, "purpose": command.purpose, **told}


@verb("open_debtor_link")
def open_debtor_link(tx: Tx, command: OpenDebtorLink) -> Result:
    """Note when the debtor first opened the link: from then on a notice counts as delivered.

    Raises: NotFound("unknown_link"); RuleBroken("link_expired").
    """
    if links.find(tx.session, command.token).receivable_id is None:
        return _open_debts_link(tx, command.token)
    row, link = answering(tx, command.token, links.CONFIRM, links.ACCOUNT)
    link.first_opened_at = link.first_opened_at or tx.clock()
    if link.purpose == links.ACCOUNT:
        for notice in queries.notices(tx.session, row.id):
            if notice.written_at is not None:
                notice.sent_at = notice.sent_at or link.first_opened_at
    tx.session.flush()
    tx.record("receivable", row.id, after={"link_id": link.id, "first_opened_at": link.first_opened_at})
    return {"receivable_id": row.id}


def _open_debts_link(tx: Tx, token: str) -> Result:
    link = links.lock_for(tx, token, links.DEBTS)
    if link.debtor_id is None or tx.actor.organisation_id != link.debtor_id:
        raise _unknown()
    link.first_opened_at = link.first_opened_at or tx.clock()
    tx.session.flush()
    tx.record("organisation", link.debtor_id, after={"link_id": link.id, "first_opened_at": link.first_opened_at})
    return {"debtor_id": link.debtor_id}


def _unknown() -> NotFound:
    return NotFound("unknown_link", N_("This link is not one of ours, or it was replaced by a newer one."))


def answering(
    tx: Tx, token: str, *purposes: str, receivable_id: UUID | None = None
) -> tuple[ReceivableRow, DebtorLinkRow]:
    """Lock the receivable, then its link, for the debtor who holds the token.

    A link to one receivable answers for that one alone; a link to all that is owed says by `receivable_id` for which.

    Raises: NotFound; RuleBroken("link_expired", "link_purpose"); Conflict("link_used").
    """
    found = links.find(tx.session, token)
    about = found.receivable_id or receivable_id
    if about is None or receivable_id not in (None, about):
        raise queries.missing()
    row = queries.lock_row(tx.session, about)
    if found.debtor_id not in (None, row.debtor_id):
        raise queries.missing()
    link = links.lock_for(tx, token, *purposes)
    if tx.actor.role == Role.DEBTOR and tx.actor.organisation_id != row.debtor_id:
        raise _unknown()
    return row, link


@verb("confirm_receivable")
def confirm_receivable(tx: Tx, command: ConfirmReceivable) -> Result:
    """Take the debtor's yes. A prior notice declared with it holds the listing instead.

    Raises: NotFound("unknown_link"); Conflict("link_used"); RuleBroken("link_expired", "wrong_state");
    InvalidInput when the amount or the date is not plausible.
    """
    row, link = answering(tx, command.token, links.CONFIRM, links.DEBTS, receivable_id=command.receivable_id)
    return take_yes(tx, row, link, command)


def take_yes(tx: Tx, row: ReceivableRow, link: DebtorLinkRow, command: ConfirmReceivable) -> Result:
    """Write down the yes to a receivable that is locked, by a link that is.

    Raises: as confirm_receivable.
    """
    if row.state != S.AWAITING_CONFIRMATION:
        raise RuleBroken("wrong_state", N_("This invoice waits for no answer any more."))
    _plausible(row, command, tx.today)
    at = tx.clock()
    link.used_at = link.used_at or at
    tx.session.add(
        ConfirmationRow(id=new_id(), receivable_id=row.id, link_id=link.id, given_by="debtor",
                        amount_minor=command.amount_minor, pay_on=command.pay_on, prior_notice=command.prior_notice,
                        answered_by=command.answered_by, at=at)
    )  # fmt: skip
    close_review(tx, row)
    row.promised_on = command.pay_on
    keep_promise(tx, row, link.id, command.pay_on, command.amount_minor, command.answered_by)
    if command.prior_notice:
        _hold_for_prior_notice(tx, row, link, command)
    else:
        row.confirmed_at, row.confirmed_by = at, "debtor"
        move_row(tx, row, S.CONFIRMED, "debtor_confirmed")
    tx.record("receivable", row.id, after={
        "link_id": link.id, "amount_minor": command.amount_minor, "pay_on": command.pay_on,
        "prior_notice": command.prior_notice, "state": row.state})  # fmt: skip
    return {"receivable_id": row.id, "ref": row.ref, "state": row.state}


def _plausible(row: ReceivableRow, command: ConfirmReceivable, today: date) -> None:
    problems = []
    if command.amount_minor != row.face_minor:
        problems.append(Problem("amount_minor", "amount_differs", N_(
            "A yes is for the whole %(face)s. If part of it is wrong, say so with the amount."),
            {"face": plain_amount(row.face_minor, row.currency)}))  # fmt: skip
    problems += day_problems(command.pay_on, today)
    if command.told_on and command.told_on > today:
        problems.append(Problem("told_on", "in_future", N_("This day lies in the future.")))
    if problems:
        raise InvalidInput.of_fields(problems)


def day_problems(day: date, today: date) -> list[Problem]:
    """Return what speaks against a day of payment."""
    if day < today:
        return [Problem("pay_on", "in_past", N_("This day has passed. Enter today or a later day."))]
    if (day - today).days > PROMISE_DAYS_MAX:
        return [Problem("pay_on", "too_late", N_("This day is more than two years away."))]
    return []


def _hold_for_prior_notice(tx: Tx, row: ReceivableRow, link: DebtorLinkRow, command: ConfirmReceivable) -> None:
    tx.session.add(
        PriorNoticeRow(id=new_id(), receivable_id=row.id, link_id=link.id, claimant=command.claimant,
                       told_on=command.told_on, at=tx.now)
    )  # fmt: skip
    move_row(tx, row, S.HELD_FOR_REVIEW, "prior_notice")
    check = Check("prior_notice", "look", N_("Somebody else gave notice"), {"claimant": command.claimant or ""}, "",
                  N_("The debtor was told by %(claimant)s to pay them. It may be sold already."))  # fmt: skip
    open_review(tx, row, "prior_notice", [check], goes_to=S.CONFIRMED)


def keep_promise(
    tx: Tx, row: ReceivableRow, link_id: UUID | None, day: date, amount_minor: int, by: str | None
) -> None:
    """Write a day of payment beside the earlier ones."""
    tx.session.add(
        PaymentPromiseRow(id=new_id(), receivable_id=row.id, link_id=link_id, pay_on=day, amount_minor=amount_minor,
                          promised_by=by, at=tx.now)
    )  # fmt: skip
    tx.session.flush()


@verb("dispute_receivable")
def dispute_receivable(tx: Tx, command: DisputeReceivable) -> Result:
    """Take the debtor's no, in whole or in part. Before a sale the listing is held; after it the collection heeds it.

    Raises: NotFound; Conflict("link_used"); RuleBroken("link_expired", "wrong_state", "dispute_open"); InvalidInput.
    """
    row, link = _by_link_or_operator(tx, command.token, command.receivable_id, links.CONFIRM, links.ACCOUNT,
                                     links.DEBTS)  # fmt: skip
    state = S(row.state)
    if state not in DISPUTABLE:
        raise RuleBroken("wrong_state", N_("This invoice waits for no answer any more."))
    if command.amount_minor > row.face_minor:
        raise InvalidInput.of_fields(
            [
                Problem(
                    "amount_minor",
                    "more_than_face",
                    N_("Not more than the whole %(face)s can be wrong."),
                    {"face": plain_amount(row.face_minor, row.currency)},
                )
            ]
        )
    if queries.open_dispute(tx.session, row.id) is not None:
        raise RuleBroken("dispute_open", N_("It is disputed already."))
    dispute = DisputeRow(
        id=new_id(), receivable_id=row.id, link_id=link.id if link else None, amount_minor=command.amount_minor,
        reason=command.reason, words=command.words, credit_note=command.credit_note,
        answered_by=command.answered_by, opened_at=tx.now, state="open",
    )  # fmt: skip
    tx.session.add(dispute)
    if link is not None:
        link.used_at = link.used_at or tx.clock()
    tx.session.flush()
    tx.record("receivable", row.id, after={"dispute_id": dispute.id, "amount_minor": dispute.amount_minor,
                                           "reason": dispute.reason})  # fmt: skip
    if state in HOLDS:
        move_row(tx, row, S.HELD_FOR_REVIEW, "dispute")
        check = Check("dispute", "look", N_("The debtor disputes it"), {"reason": command.reason}, "",
                      N_("The debtor says that it is wrong. It goes on when the dispute has ended."))  # fmt: skip
        goes_to = S.AWAITING_CONFIRMATION if row.confirmed_at is None else S.CONFIRMED
        open_review(tx, row, "dispute", [check], goes_to=goes_to)
    return {"receivable_id": row.id, "dispute_id": dispute.id, "state": row.state}


def _by_link_or_operator(
    tx: Tx, token: str | None, receivable_id: UUID | None, *purposes: str
) -> tuple[ReceivableRow, DebtorLinkRow | None]:
    if tx.actor.role == Role.DEBTOR:
        return answering(tx, token or "", *purposes, receivable_id=receivable_id)
    if receivable_id is None:
        raise queries.missing()
    return queries.lock_row(tx.session, receivable_id), None


@verb("promise_payment")
def promise_payment(tx: Tx, command: PromisePayment) -> Result:
    """Take the day on which the debtor will pay. A later promise stands beside the earlier one.

    Raises: NotFound; RuleBroken("link_expired", "link_purpose", "wrong_state"); InvalidInput.
    """
    row, link = _by_link_or_operator(tx, command.token, command.receivable_id, links.ACCOUNT, links.DEBTS)
    return take_promise(tx, row, link, command)


def take_promise(tx: Tx, row: ReceivableRow, link: DebtorLinkRow | None, command: PromisePayment) -> Result:
    """Write down the promise for a receivable that is locked.

    Raises: RuleBroken("wrong_state"); InvalidInput.
    """
    if S(row.state) not in DISPUTABLE:
        raise RuleBroken("wrong_state", N_("Nothing is owed on it any more."))
    problems = day_problems(command.pay_on, tx.today)
    amount = command.amount_minor or row.face_minor
    if amount > row.face_minor:
        problems.append(Problem("amount_minor", "more_than_face", N_("More than is owed.")))
    if problems:
        raise InvalidInput.of_fields(problems)
    before, row.promised_on = row.promised_on, command.pay_on
    if link is not None:
        link.used_at = link.used_at or tx.clock()
    keep_promise(tx, row, link.id if link else None, command.pay_on, amount, command.answered_by)
    tx.record("receivable", row.id, before={"promised_on": before},
              after={"promised_on": command.pay_on, "amount_minor": amount})  # fmt: skip
    return {"receivable_id": row.id, "promised_on": command.pay_on}
