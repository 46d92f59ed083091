"""Models that the market's own outcomes taught: kept, proposed, put into service by two people, taken out by two.

Nothing replaces itself. The monthly job keeps a candidate and, where it did better on the newest months, proposes it.
"""

import hashlib
import json
from enum import StrEnum
from uuid import UUID

from sqlalchemy import insert, select

from marketplace.kernel.errors import NotFound, NotPermitted, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.states import Machine
from marketplace.kernel.words import N_
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx
from marketplace.rating.card import CARD
from marketplace.rating.model import CHALLENGER, CHAMPION
from marketplace.rating.model_file import read_trees
from marketplace.rating.schemas import DecideModel, NoteLearning, NoteOutcomes, WithdrawModel
from marketplace.rating.serving import serving_version
from marketplace.rating.tables import LearningRunRow, ModelVoiceRow, RatingModelRow, RatingOutcomeRow

VOICES_NEEDED = 2


class ModelState(StrEnum):
    """Where a learnt model stands. `kept`: no better than the one in service. `overtaken`: a newer one came first."""

    KEPT = "kept"
    PROPOSED = "proposed"
    SERVING = "serving"
    REFUSED = "refused"
    OVERTAKEN = "overtaken"
    REPLACED = "replaced"


_M = ModelState

MODEL = Machine(
    "rating_model",
    ModelState,
    {_M.PROPOSED: (_M.SERVING, _M.REFUSED, _M.OVERTAKEN), _M.SERVING: (_M.REPLACED,)},
)


class Verdict(StrEnum):
    """What a month's learning came to. `same`: nothing new was there to learn from."""

    TOO_FEW = "too_few"
    SAME = "same"
    KEPT = "kept"
    PROPOSED = "proposed"


@verb("note_outcomes")
def note_outcomes(tx: Tx, command: NoteOutcomes) -> Result:
    """Keep how receivables ended, with the rating, the filing and the model of their listing."""
    run_id = new_id()
    rows = [{"id": new_id(), "noted_at": tx.now, **dict(one)} for one in command.outcomes]
    tx.session.execute(insert(RatingOutcomeRow), rows)
    counts = {kind: sum(row["outcome"] == kind for row in rows) for kind in sorted({str(r["outcome"]) for r in rows})}
    tx.record("rating_outcome", run_id, after={"outcomes": counts})
    return {"noted": len(rows)}


@verb("note_learning")
def note_learning(tx: Tx, command: NoteLearning) -> Result:
    """Keep what a month's learning came to and, where a model was fitted, that model; propose it if it is better.

    A proposal that still waits is overtaken by a newer one: it was judged on older months.

    Raises: IntegrityBreach("model_types") for a file that holds what it should not.
    """
    model, verdict = None, Verdict.TOO_FEW
    if command.files:
        version = str(json.loads(command.files[CARD])["version"])
        model = tx.session.scalars(select(RatingModelRow).where(RatingModelRow.version == version)).one_or_none()
        verdict = Verdict.SAME
        if model is None:
            model = _keep(tx, command, version)
            verdict = Verdict.PROPOSED if command.better else Verdict.KEPT
    row = LearningRunRow(
        id=new_id(), month=tx.today.replace(day=1), base=command.base, outcomes=command.outcomes, years=command.years,
        failures=command.failures, judged=command.judged, judged_failures=command.judged_failures,
        verdict=str(verdict), model_id=model.id if model else None, ran_at=tx.now,
    )  # fmt: skip
    tx.session.add(row)
    tx.session.flush()
    after = {"verdict": row.verdict, "base": row.base, "years": row.years, "failures": row.failures,
             "judged": row.judged, "judged_failures": row.judged_failures}  # fmt: skip
    tx.record("learning_run", row.id, after=after, versions={"model": model.version} if model else {})
    return {"learning_run_id": row.id, "verdict": row.verdict, "model": model.version if model else None}


def _keep(tx: Tx, command: NoteLearning, version: str) -> RatingModelRow:
    read_trees(command.files[CHAMPION])  # raises what is wrong with it before it is kept
    if command.better:
        for waiting in tx.session.scalars(
            select(RatingModelRow).where(RatingModelRow.state == "proposed").with_for_update()
        ):
            _move(tx, waiting, ModelState.OVERTAKEN)
    row = RatingModelRow(
        id=new_id(), version=version, champion=command.files[CHAMPION], challenger=command.files[CHALLENGER],
        card=command.files[CARD].decode(),
        champion_sha256=_sha256(command.files[CHAMPION]), challenger_sha256=_sha256(command.files[CHALLENGER]),
        card_sha256=_sha256(command.files[CARD]), base=command.base, own_rows=command.years,
        own_failures=command.failures, learnt_until=command.learnt_until, against_version=command.against_version,
        comparison=command.comparison, state=str(ModelState.PROPOSED if command.better else ModelState.KEPT),
        made_at=tx.now,
    )  # fmt: skip
    tx.session.add(row)
    tx.session.flush()
    tx.record("rating_model", row.id, verb="propose_model" if command.better else "keep_model",
              after={"version": version, "state": row.state, "card_sha256": row.card_sha256,
                     "champion_sha256": row.champion_sha256, "challenger_sha256": row.challenger_sha256,
                     "against": row.against_version, "comparison": command.comparison})  # fmt: skip
    return row


@verb("decide_model")
def decide_model(tx: Tx, command: DecideModel) -> Result:
    """Speak for or against a proposed model. The second voice for it puts it into service; one against it refuses it.

    Raises: NotFound; NotPermitted("second_person"); RuleBroken("wrong_state", "judged_against_another").
    """
    row = _locked(tx, command.model_id)
    if row.state != ModelState.PROPOSED:
        raise RuleBroken("wrong_state", N_("This model is no longer proposed."))
    if not command.approve:
        _say(tx, row, "against", command.reason)
        _move(tx, row, ModelState.REFUSED, command.reason)
        return {"model_id": row.id, "state": row.state}
    now = serving_version(tx.session)
    if now != row.against_version:
        raise RuleBroken("judged_against_another",
                         N_("It was compared with another model than the one in service. Refuse it: the next month's "
                            "learning compares anew."))  # fmt: skip
    if _say(tx, row, "for", command.reason) >= VOICES_NEEDED:
        for served in tx.session.scalars(
            select(RatingModelRow).where(RatingModelRow.state == "serving").with_for_update()
        ):
            _move(tx, served, ModelState.REPLACED, command.reason)
        _move(tx, row, ModelState.SERVING, command.reason)
    else:
        tx.record("rating_model", row.id, after={"version": row.version, "voices_for": 1}, reason=command.reason)
    return {"model_id": row.id, "state": row.state}


@verb("withdraw_model")
def withdraw_model(tx: Tx, command: WithdrawModel) -> Result:
    """Ask for a learnt model to leave service. With a second person's voice it goes; the shipped one grades again.

    Raises: NotFound; NotPermitted("second_person"); RuleBroken("wrong_state").
    """
    row = _locked(tx, command.model_id)
    if row.state != ModelState.SERVING:
        raise RuleBroken("wrong_state", N_("This model is not in service."))
    if _say(tx, row, "out", command.reason) >= VOICES_NEEDED:
        _move(tx, row, ModelState.REPLACED, command.reason)
    else:
        tx.record("rating_model", row.id, after={"version": row.version, "voices_out": 1}, reason=command.reason)
    return {"model_id": row.id, "state": row.state}


def _locked(tx: Tx, model_id: UUID) -> RatingModelRow:
    row = tx.session.scalars(
        select(RatingModelRow).where(RatingModelRow.id == model_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    return row


def _say(tx: Tx, row: RatingModelRow, voice: str, reason: str) -> int:
    """Keep one person's voice; return how many people have said so.

    Raises: NotPermitted("second_person") to whom has said so already.
    """
    if tx.actor.user_id is None:
        raise NotPermitted("not_permitted", N_("Your role may not do this."))
    said = list(tx.session.scalars(
        select(ModelVoiceRow.user_id).where(ModelVoiceRow.model_id == row.id, ModelVoiceRow.voice == voice)
    ))  # fmt: skip
    if tx.actor.user_id in said:
        raise NotPermitted("second_person", N_("You have spoken already. A second operator must decide."))
    tx.session.add(ModelVoiceRow(id=new_id(), model_id=row.id, voice=voice, user_id=tx.actor.user_id, reason=reason,
                                 said_at=tx.now))  # fmt: skip
    tx.session.flush()
    return len(said) + 1


def _move(tx: Tx, row: RatingModelRow, after: ModelState, reason: str | None = None) -> None:
    before = row.state
    MODEL.check(before, after)
    row.state, row.moved_at = str(after), tx.now
    tx.session.flush()
    tx.record("rating_model", row.id, verb="move_model", before={"state": before}, reason=reason,
              after={"state": row.state, "version": row.version})  # fmt: skip


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
