"""The room's verbs: take accounts, rate a party, rate a receivable."""

import hashlib
from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from marketplace.kernel.errors import Conflict, InvalidInput, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.rules import require_own, verb
from marketplace.perform import Result, Tx
from marketplace.rating import explain, queries, rules
from marketplace.rating.behaviour import expected_lateness
from marketplace.rating.figures import read_as_json
from marketplace.rating.filing import Filing
from marketplace.rating.grades import grade_of
from marketplace.rating.model import challenger_ppm, pd_ppm
from marketplace.rating.numbers import plain_float
from marketplace.rating.pricing import price
from marketplace.rating.ratios import look
from marketplace.rating.register import queries as register
from marketplace.rating.schemas import FILENAME_MAX, FileAccounts, RateParty, RateReceivable
from marketplace.rating.serving import serving_model
from marketplace.rating.tables import FilingRow, PartyRatingRow, RatingObstacleRow, ReceivableRatingRow
from marketplace.receivables import actions as receivable_actions
from marketplace.receivables import queries as receivables
from marketplace.sandboxed import Limits, run_sandboxed

# The largest honest filing reads in a tenth of a second and 60 MB.
READING = Limits(memory_bytes=192 * 1024 * 1024, cpu_seconds=2, wall_seconds=15)


@verb("file_accounts")
def file_accounts(tx: Tx, command: FileAccounts) -> Result:
    """Read accounts in a limited process, judge whose and how good they are, and keep them with their faults.

    Raises: NotFound; InvalidInput("filing_refused", "too_costly", "filing_not_taken"); Conflict("already_filed").
    """
    require_own(tx.actor, command.organisation_id)
    organisation = parties.organisation(tx.session, command.organisation_id)
    filing = read_guarded(command.content, command.filename)
    problems = rules.filing_problems(filing, organisation.legal_id, organisation.country, tx.today,
                                     command.attested_reason, tx.actor.role)  # fmt: skip
    if problems:
        raise InvalidInput("filing_not_taken", N_("These accounts cannot be taken for this organisation."),
                           problems=problems)  # fmt: skip
    faults = rules.filing_faults(filing, tx.today, tx.policy.rating.filing_months_max, look(filing) is not None)
    found = filing.to_json()
    row = {
        "id": new_id(),
        "organisation_id": organisation.id,
        "filename": command.filename[-FILENAME_MAX:],
        "size_bytes": len(command.content),
        "sha256": hashlib.sha256(command.content).hexdigest(),
        "content": command.content,
        "company_number": filing.company_number,
        "company_name": filing.company_name,
        "period_end": filing.period_end,
        "prior_period_end": filing.prior_period_end,
        "dormant": filing.dormant,
        "read": found,
        "faults": [asdict(fault) | {"params": dict(fault.params)} for fault in faults],
        "attested_reason": command.attested_reason,
        "filed_by": tx.actor.user_id,
        "filed_by_role": str(tx.actor.role),
        "filed_at": tx.now,
    }
    statement = insert(FilingRow).values(row).on_conflict_do_nothing().returning(FilingRow.id)
    if tx.session.execute(statement).scalar_one_or_none() is None:
        raise Conflict("already_filed", N_("These accounts are on file already."))
    after = {"filing_id": row["id"], "sha256": row["sha256"], "period_end": filing.period_end,
             "figures": found["current"]["values"], "faults": [fault.rule for fault in faults]}  # fmt: skip
    tx.record("organisation", organisation.id, after=after, reason=command.attested_reason)
    return {"filing_id": row["id"], "period_end": filing.period_end, "faults": [fault.said() for fault in faults]}


def read_guarded(content: bytes, filename: str) -> Filing:
    """Return the filing, read in a process of its own with little time and memory.

    Raises: InvalidInput("filing_refused", "too_costly").
    """
    options = {"filename": filename[-FILENAME_MAX:]}
    read = run_sandboxed(read_as_json.__module__, read_as_json.__name__, content, options, READING)
    return Filing.from_json(read)


@verb("rate_party")
def rate_party(tx: Tx, command: RateParty) -> Result:
    """Rate an organisation from its newest accounts, again where model or policy changed.

    Raises: NotFound; RuleBroken("not_ratable") with the reason.
    """
    organisation = parties.organisation(tx.session, command.organisation_id)
    rating, reason = rate_anew(tx, organisation.id)
    if rating is None:
        raise RuleBroken("not_ratable", rules.OBSTACLES[str(reason)])
    tx.record("organisation", organisation.id, after=_said(rating), versions={"model": rating.model_version})
    return {"rating_id": rating.id, "grade": rating.grade, "pd_ppm": rating.pd_ppm}


@verb("rate_receivable")
def rate_receivable(tx: Tx, command: RateReceivable) -> Result:
    """Rate a confirmed receivable: debtor and seller from their newest accounts, then loss, rate and advance.

    A debtor without usable accounts leaves the receivable confirmed, with the reason on record. A seller without them
    is not rated and his recourse counts for nothing.

    Raises: NotFound; RuleBroken("wrong_state").
    """
    receivable = receivables.lock_receivable(tx.session, command.receivable_id)
    if receivable.state != "confirmed":
        raise RuleBroken("wrong_state", N_("Only a confirmed receivable can be rated."))
    debtor, obstacle = rate_anew(tx, receivable.debtor_id)
    if debtor is None:
        return _not_rated(tx, receivable, str(obstacle))
    seller, seller_obstacle = rate_anew(tx, receivable.seller_id)
    counted = seller.pd_ppm if seller and receivable.recourse != "none" else None
    policy = tx.policy.rating
    late = _lateness(tx, receivable.debtor_id)
    # Priced to the day on which this debtor is expected to pay, which may lie after the market's usual one.
    tenor = max((receivable.expected_on - tx.today).days, (receivable.due_on - tx.today).days + late)
    priced = price(debtor.pd_ppm, counted, tenor, policy)
    row = ReceivableRatingRow(
        id=new_id(),
        receivable_id=receivable.id,
        debtor_rating_id=debtor.id,
        seller_id=receivable.seller_id,
        seller_rating_id=seller.id if seller else None,
        tenor_days=priced.tenor_days,
        pd_tenor_ppm=priced.pd_tenor_ppm,
        expected_loss_ppm=priced.expected_loss_ppm,
        expected_loss_recourse_ppm=priced.expected_loss_recourse_ppm,
        indicative_bps=priced.indicative_bps,
        advance_bps=priced.advance_bps,
        inputs=_inputs(tx, receivable, priced, seller_obstacle) | {"lateness_days": late},
        model_version=debtor.model_version,
        policy_version=tx.policy.version,
        rated_at=tx.now,
    )
    tx.session.add(row)
    receivable_actions.move(tx, receivable.id, "rated")
    after = {name: getattr(row, name) for name in ("tenor_days", "pd_tenor_ppm", "expected_loss_ppm",
             "expected_loss_recourse_ppm", "indicative_bps", "advance_bps")}  # fmt: skip
    after |= {"debtor": _said(debtor), "seller": _said(seller) if seller else {"not_rated": seller_obstacle}}
    tx.record("receivable", receivable.id, after=after, versions={"model": debtor.model_version})
    return {"receivable_id": receivable.id, "state": "rated", "debtor_grade": debtor.grade,
            "seller_grade": seller.grade if seller else None, "advance_bps": row.advance_bps,
            "indicative_bps": row.indicative_bps}  # fmt: skip


def _lateness(tx: Tx, debtor_id: UUID) -> int:
    record = queries.as_record(queries.newest_record(tx.session, debtor_id))
    return expected_lateness(record, tx.policy.collection.lateness_days, tx.policy.rating)


def _not_rated(tx: Tx, receivable: receivables.Receivable, reason: str) -> Result:
    tx.session.add(RatingObstacleRow(id=new_id(), receivable_id=receivable.id, organisation_id=receivable.debtor_id,
                                     reason=reason, met_at=tx.clock()))  # fmt: skip
    tx.record("receivable", receivable.id, after={"not_rated": reason, "organisation_id": receivable.debtor_id})
    return {"receivable_id": receivable.id, "state": receivable.state, "not_rated": reason,
            "words": rules.OBSTACLES[reason]}  # fmt: skip


def rate_anew(tx: Tx, organisation_id: UUID) -> tuple[PartyRatingRow | None, str | None]:
    """Return a party's rating from its newest accounts and record, or None and the obstacle.

    It is made anew only when accounts, record, model or policy differ, or when the accounts have become overdue. A
    grade that people changed stands until then.
    """
    if register.insolvent(tx.session, organisation_id):
        return None, rules.INSOLVENT
    filed = queries.newest_filing(tx.session, organisation_id)
    sight = look(Filing.from_json(filed.read)) if filed else None
    obstacle = rules.obstacle(filed.period_end if filed else None, sight is not None, tx.today,
                              tx.policy.rating.filing_months_max)  # fmt: skip
    if obstacle or filed is None or sight is None:
        return None, obstacle
    model, policy = serving_model(tx.session), tx.policy.rating
    record = queries.newest_record(tx.session, organisation_id)
    overdue = rules.is_stale(filed.period_end, tx.today, policy.accounts_due_months) or register.says_overdue(
        tx.session, organisation_id, filed.period_end
    )
    kept = queries.rating_of(tx.session, organisation_id, filed.id, record.id if record else None, overdue,
                             (model.version, tx.policy.version))  # fmt: skip
    if kept is not None:
        return kept, None
    of_accounts = pd_ppm(model, sight, policy.pd_prior_ppm, policy.pd_floor_ppm)
    pd = rules.pd_of_all(of_accounts, overdue, queries.as_record(record), policy)
    row = PartyRatingRow(
        id=new_id(),
        organisation_id=organisation_id,
        filing_id=filed.id,
        level=sight.level,
        ratios={name: plain_float(value) for name, value in sight.ratios.items()},
        prior_ppm=policy.pd_prior_ppm,
        floor_ppm=policy.pd_floor_ppm,
        pd_ppm=pd,
        model_pd_ppm=of_accounts,
        overdue=overdue,
        payment_record_id=record.id if record else None,
        grade=grade_of(pd, policy.grade_bounds_ppm),
        challenger_ppm=challenger_ppm(model, sight, policy.pd_prior_ppm, policy.pd_floor_ppm),
        z_milli=sight.z_milli,
        reasons=[asdict(reason) for reason in explain.reasons(model, sight)],
        missing=explain.missing(sight),
        model_version=model.version,
        policy_version=tx.policy.version,
        rated_at=tx.clock(),
    )
    tx.session.add(row)
    tx.session.flush()
    return row, None


def _said(rating: PartyRatingRow) -> dict[str, Any]:
    return {"rating_id": rating.id, "filing_id": rating.filing_id, "level": rating.level, "grade": rating.grade,
            "pd_ppm": rating.pd_ppm, "model_pd_ppm": rating.model_pd_ppm, "challenger_ppm": rating.challenger_ppm,
            "payment_record_id": rating.payment_record_id, "override_id": rating.override_id}  # fmt: skip


def _inputs(tx: Tx, receivable: receivables.Receivable, priced: Any, seller_obstacle: str | None) -> dict[str, Any]:
    """Return all that the price was made from: with the two ratings' rows it can be computed again."""
    policy = {name: value for name, value in asdict(tx.policy.rating).items() if name != "grade_bounds_ppm"}
    return {
        "policy": policy,
        "recourse": receivable.recourse,
        "expected_on": receivable.expected_on.isoformat(),
        "rated_on": tx.today.isoformat(),
        "seller_obstacle": seller_obstacle,
        "joint_ppm": priced.joint_ppm,
        "seller_pd_tenor_ppm": priced.seller_pd_tenor_ppm,
        "dilution_ppm": priced.dilution_ppm,
        "fraud_ppm": priced.fraud_ppm,
    }
