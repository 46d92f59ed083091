"""A person wants a job to run again now: the wish is a row, and whoever leads takes it."""

from dataclasses import dataclass

from sqlalchemy import Engine, text
from sqlalchemy.dialects.postgresql import insert

from marketplace.jobs.tables import JobState, JobWish
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import Conflict, NotFound
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx, perform


@dataclass(frozen=True)
class RunJob:
    """The job to run again, by its name in the schedule."""

    job: str


@verb("run_job_again")
def run_job_again(tx: Tx, command: RunJob) -> Result:
    """Ask whoever keeps time to run a job as soon as it can, what failed before included.

    Raises: NotFound("no_such_job") for a name the clock never told; Conflict("wished_already") while one waits.
    """
    if tx.session.get(JobState, command.job) is None:
        raise NotFound("no_such_job", N_("The clock knows no job of this name."))
    wish_id = tx.session.scalars(
        insert(JobWish)
        .values(id=new_id(), job=command.job, wanted_by=tx.actor.user_id)
        .on_conflict_do_nothing()
        .returning(JobWish.id)
    ).one_or_none()
    if wish_id is None:
        raise Conflict("wished_already", N_("This job was asked for before and has not begun yet."))
    tx.record("job_wish", wish_id, after={"job": command.job})
    return {"wish_id": wish_id, "job": command.job}


def again(job: str, actor: Actor) -> None:
    """Perform `run_job_again`; raises what it raises."""
    perform(run_job_again, RunJob(job), actor)


def take_wishes(engine: Engine, token: int) -> list[str]:
    """Take every waiting wish for the leader of this token and return the jobs; each wish is taken once.

    Nothing is taken with a token that is no longer the newest.
    """
    with engine.begin() as connection:
        taken = connection.execute(
            text(
                "UPDATE job_wish SET taken_at = market_now(), token = :token WHERE taken_at IS NULL "
                "AND :token = (SELECT token FROM job_leader) RETURNING job"
            ),
            {"token": token},
        )
        return [row.job for row in taken]
