"""What a regulator may open: the trail and its proof, bundles, awards computed again, outcomes, and his own look-ups.

Everything here only reads, and every page that is opened is itself an event. Times are UTC.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from uuid import UUID

from flask import current_app, redirect, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from marketplace.audit import queries as audit
from marketplace.audit.building import bundle_path
from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.kernel.errors import InvalidInput, NotFound, Problem
from marketplace.kernel.words import N_
from marketplace.perform import perform
from marketplace.reports import rating_watch, supervision
from marketplace.reports.look_ups import (
    OrderBundleSchema,
    ReplayAuction,
    export_bundle,
    replay_auction,
)  # fmt: skip
from marketplace.schemas import load
from marketplace.trading import queries as trading
from marketplace.web import regulator_exchange
from marketplace.web import regulator_words as words
from marketplace.web.downloads import csv_file
from marketplace.web.forms import day_of, say
from marketplace.web.frame import server_now
from marketplace.web.regulator_door import PAGE_ROWS, blueprint, for_regulators, looked
from marketplace.web.session import require_actor

__all__ = ["blueprint", "regulator_exchange"]

FORMAT = Path(__file__).resolve().parents[2] / "docs" / "audit-format.md"
CSV_ROWS = 10_000


@blueprint.get("/")
@for_regulators
def audit_home() -> ResponseReturnValue:
    """The state of the trail, the last verification, bundles to order and to download."""
    looked("audit")
    return _home()


blueprint.add_url_rule("/audit", "audit", audit_home)


def _home(error: InvalidInput | None = None) -> str:
    session = db.session()
    actor = require_actor()
    assert actor.user_id is not None
    bundles = audit.bundles(session)
    ready = [bundle for bundle in bundles if bundle.state == "ready" and bundle.report]
    return render_template(
        "regulator/audit.html",
        log=audit.log_state(session),
        counts=audit.counts_by_verb(session),
        points=audit.checkpoints(session, 5),
        bundles=bundles,
        verified=ready[0] if ready else None,
        mine=audit.look_ups(session, actor.user_id, 5),
        words=words,
        form=request.form if error else request.args,
        error=error,
        problems=error.problems if error else (),
    )


@blueprint.post("/bundles")
@for_regulators
def order_bundle() -> ResponseReturnValue:
    """Order a bundle; it is built while one does something else."""
    try:
        command = load(OrderBundleSchema, request.form)
        size = command.previous_size
        if size is not None and not audit.has_checkpoint(db.session(), size):
            words, params = N_("There is no checkpoint of size %(size)s."), {"size": size}
            raise InvalidInput("invalid_fields", words, params,
                               problems=[Problem("previous_size", "no_such_checkpoint", words, params)])  # fmt: skip
    except InvalidInput as error:
        return _home(error), 422
    perform(export_bundle, command, require_actor())
    say(gettext("The bundle is being built. You may leave; it will be on this page."))
    return redirect(url_for("regulator.audit"), 303)


@blueprint.get("/bundles/<uuid:bundle_id>")
@for_regulators
def bundle(bundle_id: UUID) -> ResponseReturnValue:
    """Download a bundle that is ready."""
    found = audit.bundle(db.session(), bundle_id)
    path = bundle_path(current_app.extensions["duebill"].settings.home / "bundles", bundle_id)
    if found.state != "ready" or not path.is_file():
        raise NotFound("not_found", N_("There is no such bundle."))
    looked("bundle", "bundle", bundle_id)
    name = f"duebill-{found.requested_at:%Y-%m-%d}-{found.size}.zip"
    return send_file(path, mimetype="application/zip", as_attachment=True, download_name=name)


@blueprint.get("/format")
@for_regulators
def bundle_format() -> ResponseReturnValue:
    """The format of the bundle, byte for byte."""
    if not FORMAT.is_file():
        raise NotFound("not_found", N_("There is no such page."))
    return send_file(FORMAT, mimetype="text/plain; charset=utf-8")


@blueprint.get("/events")
@for_regulators
def events() -> ResponseReturnValue:
    """The log, newest first, narrowed by what is asked for."""
    asked = {name: value.strip() for name, value in request.args.items() if value.strip()}
    try:
        wanted = _filter(asked)
        error = None
    except InvalidInput as refusal:
        wanted, error = audit.EventFilter(), refusal
    as_csv = asked.get("format") == "csv" and error is None
    looked("events", filters=asked)
    session = db.session()
    rows = audit.events(session, wanted, CSV_ROWS if as_csv else PAGE_ROWS + 1)
    if as_csv:
        headers = ["seq", "at", "verb", "role", "user", "subject", "subject_id"]
        lines = [(r.seq, r.at, r.verb, r.actor_role, r.actor_user_id, r.subject_kind, r.subject_id) for r in rows]
        return csv_file("events", headers, lines)
    shown = rows[:PAGE_ROWS]
    known = supervision.names(session, [r.actor_user_id for r in shown] + [r.subject_id for r in shown])
    page = render_template(
        "regulator/events.html",
        rows=shown,
        earlier=shown[-1].seq if len(rows) > PAGE_ROWS else None,
        verbs=audit.verbs(session),
        roles=[str(role) for role in Role],
        names=known,
        asked=asked,
        words=words,
        error=error,
        problems=error.problems if error else (),
    )
    return (page, 422) if error else page


def _filter(asked: Mapping[str, str]) -> audit.EventFilter:
    """Return what the address asks for. Raises: InvalidInput naming the field."""
    ids = {}
    for name in ("actor", "subject"):
        try:
            ids[name] = UUID(asked[name]) if name in asked else None
        except ValueError:
            raise InvalidInput.of_field(name, "id", N_("Enter an id as the log shows it.")) from None
    before = asked.get("before", "")
    if before and not (before.isascii() and before.isdigit() and len(before) <= 18):  # what a column can hold
        raise InvalidInput.of_field("before", "number", N_("Enter the number of an event."))
    first = day_of(asked["from"], "from") if "from" in asked else None
    last = day_of(asked["to"], "to") if "to" in asked else None
    return audit.EventFilter(
        verb=asked.get("verb"),
        actor_role=asked.get("role"),
        actor_user_id=ids["actor"],
        subject_id=ids["subject"],
        from_at=datetime.combine(first, time.min, UTC) if first else None,
        to_at=datetime.combine(last + timedelta(days=1), time.min, UTC) if last else None,
        before_seq=int(before) if before else None,
    )


@blueprint.get("/events/<int:seq>")
@for_regulators
def event(seq: int) -> ResponseReturnValue:
    """One event: its stored bytes, and the path from its hash to a signed root."""
    proved = audit.proved_event(db.session(), seq)
    looked("event", "event", proved.line.id)
    facts = proved.facts
    known = supervision.names(db.session(), [proved.line.actor_user_id, proved.line.subject_id])
    return render_template("regulator/event.html", proved=proved, facts=facts, names=known, words=words)


@blueprint.get("/replay")
@for_regulators
def replay() -> ResponseReturnValue:
    """Awards to choose from, by reference."""
    ref = request.args.get("ref", "").strip()
    looked("replay", filters={"ref": ref} if ref else {})
    found = supervision.awards(db.session(), ref or None)
    if ref and len({line.lot_id for line in found}) == 1:
        return redirect(url_for("regulator.award", lot_id=found[0].lot_id), 303)
    return render_template("regulator/replay.html", awards=found, ref=ref)


@blueprint.get("/replay/<uuid:lot_id>")
@for_regulators
def award(lot_id: UUID) -> ResponseReturnValue:
    """One award beside what its book gives now."""
    found = supervision.replayed(db.session(), lot_id)
    perform(replay_auction, ReplayAuction(lot_id, found.computed_sha256, found.reproduces), require_actor())
    known = supervision.names(db.session(), [bid.investor for bid in found.bids])
    return render_template(
        "regulator/award.html", found=found, names=known, chart=words.supply_chart(found), words=words
    )


@blueprint.get("/replay/<uuid:lot_id>/transcript.json")
@for_regulators
def transcript(lot_id: UUID) -> ResponseReturnValue:
    """The transcript as it was hashed: `bin/market auction replay` computes it again."""
    raw = trading.transcript(db.session(), lot_id)
    looked("transcript", "lot", lot_id)
    answer = current_app.response_class(raw, mimetype="application/json")
    answer.headers["Content-Disposition"] = f'attachment; filename="transcript-{lot_id}.json"'
    return answer


@blueprint.get("/outcomes")
@for_regulators
def outcomes() -> ResponseReturnValue:
    """The outcome statement: what became of everything that was funded, and whether the grades said so."""
    looked("outcomes")
    session = db.session()
    return render_template("regulator/outcomes.html", outcomes=supervision.outcomes(session),
                           default_ppm=supervision.default_ppm, watch=rating_watch.latest(session))  # fmt: skip


@blueprint.get("/defaults")
@for_regulators
def defaults() -> ResponseReturnValue:
    """Default rates, numerator and denominator, over years and by month of funding."""
    looked("defaults")
    session = db.session()
    windows = supervision.default_windows(session, server_now().date())
    return render_template("regulator/defaults.html", windows=windows, cohorts=supervision.cohorts(session))


@blueprint.get("/look-ups")
@for_regulators
def look_ups() -> ResponseReturnValue:
    """What this regulator looked at."""
    looked("look_ups")
    actor = require_actor()
    assert actor.user_id is not None
    found = audit.look_ups(db.session(), actor.user_id, 200)
    known = supervision.names(db.session(), [line.subject_id for line, _ in found])
    return render_template("regulator/look_ups.html", found=found, names=known, words=words)
