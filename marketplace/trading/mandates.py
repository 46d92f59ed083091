"""The verbs of a mandate: an investor writes standing instructions, lets them rest, takes them up again, ends them."""

from collections.abc import Collection
from dataclasses import asdict
from uuid import UUID

from sqlalchemy import insert, select

from marketplace.kernel.errors import InvalidInput, NotPermitted, Problem
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx
from marketplace.trading import queries
from marketplace.trading.rules import MANDATE, MandateState
from marketplace.trading.schemas import CreateMandate, NameMandate
from marketplace.trading.tables import MandateRow


@verb("create_mandate")
def create_mandate(tx: Tx, command: CreateMandate) -> Result:
    """Write standing instructions; they bid in every lot that closes from now on and fits.

    Raises: InvalidInput with a problem beside each field.
    """
    if tx.actor.organisation_id is None or tx.actor.user_id is None:
        raise NotPermitted("not_permitted", N_("Only an investor’s own people may bid."))
    problems = contradictions(command, tx.policy.currencies)
    if problems:
        raise InvalidInput.of_fields(problems)
    row = {"id": new_id(), "investor_id": tx.actor.organisation_id, "created_by": tx.actor.user_id, **asdict(command),
           "state": MandateState.ACTIVE}  # fmt: skip
    tx.session.execute(insert(MandateRow).values(row))
    tx.record("mandate", row["id"], after={name: value for name, value in row.items() if name != "name"})
    return {"mandate_id": row["id"]}


def contradictions(command: CreateMandate, currencies: Collection[str]) -> list[Problem]:
    """Return what the fields say against each other."""
    found = []
    if command.currency not in currencies:
        found.append(Problem("currency", "unknown", N_("Choose a currency of this market.")))
    if command.tenor_days_max < command.tenor_days_min:
        found.append(Problem("tenor_days_max", "under_min", N_("The most days cannot be fewer than the fewest.")))
    if command.min_fill_minor > command.lot_minor_max:
        found.append(Problem("min_fill_minor", "over_lot",
                             N_("The least you take cannot be more than you bid on a lot.")))  # fmt: skip
    if command.lot_minor_max > command.budget_minor:
        found.append(Problem("lot_minor_max", "over_budget", N_("One lot cannot take more than the budget.")))
    return found


@verb("pause_mandate")
def pause_mandate(tx: Tx, command: NameMandate) -> Result:
    """Let a mandate rest: it bids in no lot until it is taken up again.

    Raises: NotFound, RuleBroken("wrong_state").
    """
    return _move(tx, command.mandate_id, MandateState.PAUSED)


@verb("resume_mandate")
def resume_mandate(tx: Tx, command: NameMandate) -> Result:
    """Take a mandate up again.

    Raises: NotFound, RuleBroken("wrong_state").
    """
    return _move(tx, command.mandate_id, MandateState.ACTIVE)


@verb("end_mandate")
def end_mandate(tx: Tx, command: NameMandate) -> Result:
    """End a mandate for good. Bids that it has placed, and their awards, stand.

    Raises: NotFound, RuleBroken("wrong_state").
    """
    return _move(tx, command.mandate_id, MandateState.ENDED)


def _move(tx: Tx, mandate_id: UUID, state: MandateState) -> Result:
    row = tx.session.execute(
        select(MandateRow)
        .where(MandateRow.id == mandate_id, MandateRow.investor_id == tx.actor.organisation_id)
        .with_for_update()
    ).scalar_one_or_none()
    if row is None:
        raise queries.missing()
    before = row.state
    MANDATE.check(before, state)
    row.state, row.state_since = str(state), tx.clock()
    tx.session.flush()
    tx.record("mandate", row.id, before={"state": before}, after={"state": state})
    return {"mandate_id": row.id, "state": state}
