"""Looking is an act: what a regulator or an operator reads, exports or replays is itself an event."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from marshmallow import Schema, ValidationError, fields, post_load, validates_schema
from sqlalchemy import insert

from marketplace.audit.tables import Bundle
from marketplace.kernel.ids import new_id
from marketplace.kernel.words import N_
from marketplace.parties.rules import verb
from marketplace.perform import Result, Tx


@dataclass(frozen=True)
class LookUp:
    """A page that was opened: which, about what, with which filter, for which case."""

    page: str
    subject_kind: str
    subject_id: UUID
    filters: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True)
class OrderBundle:
    """A bundle that is wanted: a period by its first and last day, UTC, and the last size verified."""

    from_on: date | None = None
    to_on: date | None = None
    previous_size: int | None = None


@dataclass(frozen=True)
class ReplayAuction:
    """An award that was computed again, and what came of it."""

    lot_id: UUID
    sha256: str
    reproduces: bool


class OrderBundleSchema(Schema):
    """What the form sends."""

    from_on = fields.Date()
    to_on = fields.Date()
    previous_size = fields.Integer(strict=False)

    @validates_schema
    def _in_order(self, values: dict[str, Any], **_: object) -> None:
        if values.get("from_on") and values.get("to_on") and values["to_on"] < values["from_on"]:
            raise ValidationError(N_("Enter a last day that is not before the first."), "to_on")
        if values.get("previous_size") is not None and not 0 <= values["previous_size"] < 2**63:
            raise ValidationError(N_("Enter the size your checkpoint names."), "previous_size")

    @post_load
    def _make(self, values: dict[str, Any], **_: object) -> OrderBundle:
        return OrderBundle(**values)


@verb("look_up")
def look_up(tx: Tx, command: LookUp) -> Result:
    """Record that somebody looked."""
    event_id = tx.record(command.subject_kind, command.subject_id, reason=command.reason,
                         after={"page": command.page, "filters": dict(command.filters)})  # fmt: skip
    return {"event_id": event_id}


@verb("replay_auction")
def replay_auction(tx: Tx, command: ReplayAuction) -> Result:
    """Record that an award was computed again, and whether it came out the same."""
    tx.record("lot", command.lot_id, after={"sha256": command.sha256, "reproduces": command.reproduces})
    return {"lot_id": command.lot_id}


@verb("export_bundle")
def export_bundle(tx: Tx, command: OrderBundle) -> Result:
    """Order a bundle; the worker builds it. Days are whole, UTC."""
    bundle_id = new_id()
    row = {
        "id": bundle_id,
        "requested_by": tx.actor.user_id,
        "from_at": _begin(command.from_on),
        "to_at": _begin(command.to_on + timedelta(days=1) if command.to_on else None),
        "previous_size": command.previous_size,
    }
    tx.session.execute(insert(Bundle).values(row))
    tx.record("bundle", bundle_id, after={key: row[key] for key in ("from_at", "to_at", "previous_size")})
    return {"bundle_id": bundle_id}


def _begin(day: date | None) -> datetime | None:
    return datetime.combine(day, time.min, UTC) if day else None
