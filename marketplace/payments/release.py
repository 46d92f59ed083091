"""Two people decide about a call whose outcome nobody could find out."""

from uuid import UUID

from marketplace.kernel.errors import Conflict, InvalidInput, NotPermitted, RuleBroken
from marketplace.kernel.words import N_
from marketplace.parties.rules import verb
from marketplace.payments import intents
from marketplace.payments.alerts import close_about
from marketplace.payments.calls import give_up, lock_call, lock_payment, lock_payout
from marketplace.payments.gateway import CallKind
from marketplace.payments.rules import CALL, CallState
from marketplace.payments.schemas import RetryCall
from marketplace.payments.tables import OutgoingCallRow
from marketplace.perform import Result, Tx

DECISIONS = ("again", "give_back")


@verb("retry_call")
def retry_call(tx: Tx, command: RetryCall) -> Result:
    """Propose what is to become of a resting call or, as a second person of the same opinion, do it.

    `again` asks once more with a new key: only when the provider's own books show nothing. `give_back` gives up.

    Raises: Conflict("not_resting"); RuleBroken("four_eyes") for the same person twice; NotPermitted without a person.
    """
    person = _person(tx)
    if command.decision not in DECISIONS:
        raise InvalidInput("invalid_fields", N_("Some fields need another look."))
    row = lock_call(tx, command.call_id)
    if row.state != CallState.UNKNOWN or row.next_at is not None:
        raise Conflict("not_resting", N_("This call does not wait for a decision."))
    if row.proposed_by is None or row.proposed_decision != command.decision:
        row.proposed_by, row.proposed_decision = person, command.decision
        tx.session.flush()
        tx.record("outgoing_call", row.id, after={"proposed_decision": command.decision}, reason=command.reason)
        return {"call_id": row.id, "released": False}
    if row.proposed_by == person:
        raise RuleBroken("four_eyes", N_("A second person has to agree."))
    now = tx.clock()
    CALL.check(row.state, CallState.FAILED)
    row.state, row.done_at, row.released_by = CallState.FAILED, now, person
    row.failure_code = f"released_{command.decision}"
    tx.session.flush()
    close_about(tx, row.id)
    tx.record("outgoing_call", row.id, after={"state": row.state, "decision": command.decision}, reason=command.reason)
    if command.decision == "again":
        _ask_again(tx, row)
    else:
        give_up(tx, row, row.failure_code)
    return {"call_id": row.id, "released": True}


def _person(tx: Tx) -> UUID:
    if tx.actor.user_id is None:
        raise NotPermitted("person_needed", N_("Only a person may decide this."))
    return tx.actor.user_id


def _ask_again(tx: Tx, row: OutgoingCallRow) -> None:
    """Write the same wish as a new call: the failed one counts, so the new one has a key of its own."""
    match CallKind(row.kind):
        case CallKind.CUSTOMER:
            intents.want_waiting_checkouts(tx, row.subject_id)
        case CallKind.ACCOUNT:
            for payout in intents.waiting_payouts(tx, row.subject_id, row.business_key.split(":")[2]):
                intents.want_transfer(tx, payout)
        case CallKind.CHECKOUT:
            intents.want_checkout(tx, lock_payment(tx, row.subject_kind, row.subject_id))
        case CallKind.TRANSFER:
            intents.want_transfer(tx, lock_payout(tx, row.subject_id))
        case CallKind.PAYOUT:
            intents.want_bank_payout(tx, lock_payout(tx, row.subject_id))
        case CallKind.REVERSAL:
            intents.want_reversal(tx, lock_payout(tx, row.subject_id))
