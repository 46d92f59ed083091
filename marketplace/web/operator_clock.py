"""The operators' door: the clock's jobs, what they could not do, and asking for one again."""

from flask import current_app, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.db import db
from marketplace.kernel.errors import Conflict
from marketplace.reports import operations
from marketplace.web.forms import say
from marketplace.web.operator_door import JOB_NAMES, JOB_WORDS, blueprint, only_operators
from marketplace.web.session import require_actor


@blueprint.get("/jobs")
@only_operators
def jobs() -> ResponseReturnValue:
    """Every job's last and next run, and what could not be done."""
    session = db.session()
    leader = operations.leader(session)
    return render_template(
        "operator/jobs.html", jobs=operations.jobs(session, JOB_NAMES), failures=operations.failures(session),
        leader=leader, silent=leader.silent_seconds > operations.SILENT_SECONDS,
    )  # fmt: skip


@blueprint.post("/jobs/<job>/again")
@only_operators
def run_job_again(job: str) -> ResponseReturnValue:
    """Ask for one run of a job; a second wish before it began changes nothing."""
    try:
        current_app.extensions["run_job_again"](job, require_actor())
    except Conflict:
        say(gettext("It was asked for already and begins in a moment."), "info")
    else:
        say(gettext("Asked for: “%(job)s” runs in a moment.", job=gettext(JOB_WORDS.get(job, job))))
    return redirect(url_for("operator.jobs"), 303)
