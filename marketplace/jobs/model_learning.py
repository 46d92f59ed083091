"""The month's learning: note how receivables ended, fit with what they teach, compare, keep, propose.

Nothing is written while a model is fitted, and fitting happens in a process of its own: a scheduler that must close
lots by the second waits for none of it.
"""

import base64
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from flask import current_app

from marketplace.db import db, market_now
from marketplace.kernel.actors import Actor
from marketplace.kernel.clock import business_date
from marketplace.kernel.errors import InvalidInput, RuleBroken
from marketplace.kernel.policy import Policy
from marketplace.kernel.words import N_
from marketplace.perform import perform
from marketplace.rating import learning as rules
from marketplace.rating.candidates import note_learning, note_outcomes
from marketplace.rating.card import CARD
from marketplace.rating.model import open_model
from marketplace.rating.schemas import NoteLearning, NoteOutcomes
from marketplace.rating.serving import serving_model
from marketplace.reports import learning
from marketplace.sandboxed import Limits, run_sandboxed

# The public set and a market's own rows fit in two minutes of one core and half a gigabyte.
FITTING = Limits(memory_bytes=6 * 1024**3, cpu_seconds=1_800, wall_seconds=5_400)
Progress = Callable[[str], None]


def fit_apart(content: bytes, public: Path | None) -> dict[str, bytes]:
    """Return the files of a model, fitted in a process of its own.

    Raises: InvalidInput("too_few_failures", "dataset_refused"); RuleBroken("learning_too_costly").
    """
    try:
        made = run_sandboxed(rules.__name__, rules.fit_apart.__name__, content,
                             {"public": str(public) if public else None}, FITTING)  # fmt: skip
    except InvalidInput as refused:
        if refused.code != "too_costly":
            raise
        words = N_("Fitting the model took more time or memory than it may, or broke off.")
        raise RuleBroken("learning_too_costly", words) from refused
    return {name: base64.b64decode(file) for name, file in made.items()}


def is_due() -> bool:
    """Return whether this month's learning is still to be done."""
    return not learning.learnt_this_month(db.session(), _today())


def learn(
    fit: rules.Fit = fit_apart, progress: Progress = lambda words: None, public: Path | None = None
) -> dict[str, Any]:
    """Learn from the market's own outcomes; return what it came to.

    `public`: the file of public firm-years to learn from too; by default the one of the settings, if it is there.

    Raises: InvalidInput("dataset_refused") for a file of public firm-years that cannot be read.
    """
    actor = Actor.system("learn_model")
    policy: Policy = current_app.extensions["duebill"].policy
    noted = _note(policy, actor)
    session = db.session()
    outcomes = learning.outcome_counts(session)
    years = rules.CompanyYears.of(learning.company_years(session, policy.rating.learning_window_days, _today()))
    learnt, judged = rules.parted(years, policy.rating)
    public = public or rules.public_file(current_app.extensions["duebill"].settings.rating_data)
    progress(f"{noted} outcomes noted, {sum(outcomes.values())} in all; {len(years)} company years are over: "
             f"{len(learnt)} to learn from ({learnt.failures} failed), {len(judged)} to judge by "
             f"({judged.failures} failed)")  # fmt: skip
    progress(f"public firm-years: {public.name}" if public else
             "public firm-years are not at hand: the market's own rows alone")  # fmt: skip
    told: dict[str, Any] = {
        "base": "public" if public else "own", "outcomes": sum(outcomes.values()), "years": len(learnt),
        "failures": learnt.failures, "judged": len(judged), "judged_failures": judged.failures,
    }  # fmt: skip
    if rules.enough(learnt, judged, policy.rating):
        told |= _fitted(fit, learnt, judged, public, policy, progress)
    db.session.rollback()
    done = perform(note_learning, NoteLearning(**told), actor)
    return {name: value for name, value in told.items() if name not in ("files", "better")} | done


def _fitted(
    fit: rules.Fit, learnt: rules.CompanyYears, judged: rules.CompanyYears, public: Path | None, policy: Policy,
    progress: Progress
) -> dict[str, Any]:  # fmt: skip
    """Fit, open and compare the candidate; nothing when its windows hold too few failures."""
    serving = serving_model(db.session())
    db.session.rollback()
    try:
        files = fit(learnt.packed(), public)
    except InvalidInput as refused:
        if refused.code != "too_few_failures":
            raise
        progress(refused.said())
        return {}
    candidate = open_model(json.loads(files[CARD]), files)
    comparison = rules.compared(candidate, serving, judged, policy.rating)
    better = rules.is_better(comparison) and candidate.version != serving.version
    progress(f"model {candidate.version} against {serving.version}: {'better' if better else 'no better'}")
    return {"files": files, "learnt_until": date.fromordinal(int(learnt.listed.max())),
            "against_version": serving.version, "comparison": comparison, "better": better}  # fmt: skip


def _note(policy: Policy, actor: Actor) -> int:
    noted = 0
    while found := learning.outcomes_to_note(db.session(), policy.collection.par_days):
        db.session.rollback()
        noted += int(perform(note_outcomes, NoteOutcomes(tuple(found)), actor)["noted"])
    db.session.rollback()
    return noted


def _today() -> date:
    return business_date(market_now(db.session()), current_app.extensions["duebill"].policy.zone)
