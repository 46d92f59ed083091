"""What is noted about the model while it works: debtors' payment records, and the measures of a day."""

from uuid import UUID

from marketplace.kernel.ids import new_id
from marketplace.parties import queries as parties
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx
from marketplace.rating import queries
from marketplace.rating.actions import rate_anew
from marketplace.rating.overriding import notches
from marketplace.rating.schemas import NotePayments, NoteWatch
from marketplace.rating.tables import PaymentRecordRow, RatingWatchRow


@verb("note_payments")
def note_payments(tx: Tx, command: NotePayments) -> Result:
    """Keep a debtor's payment record and rate it anew with it. A debtor without usable accounts stays unrated.

    Raises: NotFound.
    """
    organisation = parties.organisation(tx.session, command.organisation_id)
    before = queries.party_rating(tx.session, organisation.id)
    record = command.record
    row = PaymentRecordRow(
        id=new_id(), organisation_id=organisation.id, paid=record.paid, late=record.late, defaulted=record.defaulted,
        exposure_days=record.exposure_days, late_days_sum=record.late_days_sum,
        late_days_squares=record.late_days_squares, past_due_days=record.past_due_days, noted_at=tx.now,
    )  # fmt: skip
    tx.session.add(row)
    tx.session.flush()
    rating, _ = rate_anew(tx, organisation.id)
    fall = notches(before.grade, rating.grade) if before and before.grade and rating else 0
    after = {"payment_record_id": row.id, "paid": row.paid, "late": row.late, "defaulted": row.defaulted,
             "past_due_days": row.past_due_days, "grade": rating.grade if rating else None, "fall": fall}  # fmt: skip
    tx.record("organisation", organisation.id, after=after, versions={"model": rating.model_version} if rating else {})
    return {"payment_record_id": row.id, "grade": rating.grade if rating else None, "fall": fall}


@verb("note_watch")
def note_watch(tx: Tx, command: NoteWatch) -> Result:
    """Keep the day's measures of the model under one run."""
    run_id: UUID = new_id()
    for one in command.measures:
        tx.session.add(RatingWatchRow(
            id=new_id(), run_id=run_id, measured_on=tx.today, model_version=command.model_version, kind=one.kind,
            key=one.key, n=one.n, defaults=one.defaults, expected_ppm=one.expected_ppm, seen_ppm=one.seen_ppm,
            value_micro=one.value_micro, p_ppm=one.p_ppm, alarm=one.alarm, measured_at=tx.now,
        ))  # fmt: skip
    alarms = [f"{one.kind} {one.key}" for one in command.measures if one.alarm == "alarm"]
    tx.record("rating_watch", run_id, after={"measures": len(command.measures), "alarms": alarms},
              versions={"model": command.model_version})  # fmt: skip
    return {"run_id": run_id, "measures": len(command.measures), "alarms": len(alarms)}
