"""The transcript of a session that cleared together, whole or as one of its lots sees it; anyone can compute it again.

Both hold the whole session: every lot's book with its debtor and seller, and every budget and limit. A lot's own one
has `lot`, `book` and `result` besides, shaped as those of a lot that cleared alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auction.book import Book
from auction.errors import BookInvalid, Fault, TranscriptUnreadable
from auction.joint import GREEDY, JointClearing, JointLot, LotAward, Session, clear_jointly

RULE = "JC-1"
RULE_VERSION = "1.0"


@dataclass(frozen=True, slots=True)
class JointOutcome:
    """A session cleared: the clearing, the session's transcript, and each lot's own, by lot."""

    clearing: JointClearing
    transcript: dict[str, object]
    lots: dict[str, dict[str, object]]


def run_jointly(session_id: str, session: Session, seconds_max: int | None = None) -> JointOutcome:
    """Clear a session and write it down.

    Raises: BookInvalid, TooLarge.
    """
    clearing = clear_jointly(session, seconds_max)
    head: dict[str, object] = {
        "rule": RULE,
        "rule_version": RULE_VERSION,
        "session": _session(session_id, session),
        "clearing": {"path": clearing.path, "worth": clearing.worth, "bound": clearing.bound,
                     "gap_ppm": clearing.gap_ppm},
    }  # fmt: skip
    results = {award.lot.book.lot: _result(award) for award in clearing.awards}
    books = {award.lot.book.lot: award.lot.book.to_json() for award in clearing.awards}
    lots = {lot: {**head, "lot": lot, "book": books[lot], "result": results[lot]} for lot in results}
    return JointOutcome(clearing, {**head, "results": results}, lots)


def again(stated: Mapping[str, object]) -> dict[str, object]:
    """Compute a stored transcript of a session, or of one of its lots, again.

    Raises: TranscriptUnreadable, BookInvalid, TooLarge.
    """
    if stated.get("rule_version") != RULE_VERSION:
        found = stated.get("rule_version")
        raise TranscriptUnreadable(f"rule_version is {found!r}; this engine speaks {RULE_VERSION} of {RULE}")
    clearing = stated.get("clearing")
    if isinstance(clearing, Mapping) and clearing.get("path") == GREEDY:
        raise TranscriptUnreadable("no solver had answered in time when this was cleared: it cannot be computed again")
    session_id, session = session_of(stated.get("session"))
    outcome = run_jointly(session_id, session)
    if "lot" not in stated:
        return outcome.transcript
    lot = stated["lot"]
    if not isinstance(lot, str) or lot not in outcome.lots:
        raise TranscriptUnreadable(f"the session has no lot {lot!r}")
    return outcome.lots[lot]


def session_of(value: Any) -> tuple[str, Session]:
    """Read a session as the transcript writes it; return its id and what clears.

    Raises: BookInvalid with every fault.
    """
    faults: list[Fault] = []
    if not isinstance(value, Mapping):
        raise BookInvalid([Fault("session", "not_an_object")])
    if not isinstance(value.get("id"), str) or not value["id"]:
        faults.append(Fault("session.id", "not_a_text"))
    lots = []
    for place, row in enumerate(_list(value, "lots", faults)):
        where = f"session.lots[{place}]"
        if not isinstance(row, Mapping) or not all(isinstance(row.get(key), str) for key in ("debtor", "seller")):
            faults.append(Fault(where, "debtor_or_seller_missing"))
            continue
        try:
            lots.append(JointLot(Book.parse(row.get("book")), row["debtor"], row["seller"]))
        except BookInvalid as error:
            faults += [Fault(f"{where}.{fault.path}", fault.rule) for fault in error.faults]
    budgets = _caps(value, "budgets", 1, faults)
    debtors, sellers = _caps(value, "debtor_limits", 2, faults), _caps(value, "seller_limits", 2, faults)
    if faults:
        raise BookInvalid(faults)
    whole = Session(tuple(lots), {key[0]: minor for key, minor in budgets.items()},
                    {(key[0], key[1]): minor for key, minor in debtors.items()},
                    {(key[0], key[1]): minor for key, minor in sellers.items()})  # fmt: skip
    return value["id"], whole


def _session(session_id: str, session: Session) -> dict[str, object]:
    lots = sorted(session.lots, key=lambda lot: lot.book.lot)
    return {
        "id": session_id,
        "lots": [{"book": lot.book.to_json(), "debtor": lot.debtor, "seller": lot.seller} for lot in lots],
        "budgets": [[who, minor] for who, minor in sorted(session.budgets.items())],
        "debtor_limits": [[*key, minor] for key, minor in sorted(session.debtor_limits.items())],
        "seller_limits": [[*key, minor] for key, minor in sorted(session.seller_limits.items())],
    }


def _result(award: LotAward) -> dict[str, object]:
    """Return what a lot got, in the shape of a lot that cleared alone."""
    return {
        "outcome": award.outcome,
        "stop_out_bps": award.stop_out_bps,
        "awarded_minor": award.awarded_minor,
        "discount_minor": sum(fill.discount_minor for fill in award.fills),
        "standing_minor": sum(one.cash_minor for one in award.standing),
        "fills": [
            {"id": fill.bid.id, "cash_minor": fill.cash_minor, "discount_minor": fill.discount_minor,
             "rate_bps": fill.rate_bps}
            for fill in award.fills
        ],
        "cuts": [
            {"id": one.bid.id, "cash_minor": one.cash_minor}
            for one in sorted(award.standing, key=lambda one: one.bid.id)
            if one.cash_minor != one.bid.cash_minor
        ],
        "refusals": [
            {"id": one.bid.id, "reasons": list(one.reasons)}
            for one in sorted(award.refusals, key=lambda one: one.bid.id)
        ],
        "passed_over": [],
    }  # fmt: skip


def _list(value: Mapping[str, Any], key: str, faults: list[Fault]) -> list[Any]:
    rows = value.get(key)
    if not isinstance(rows, list):
        faults.append(Fault(f"session.{key}", "not_a_list"))
        return []
    return rows


def _caps(value: Mapping[str, Any], key: str, names: int, faults: list[Fault]) -> dict[tuple[str, ...], int]:
    """Read caps as rows of one or two names and an amount."""
    caps: dict[tuple[str, ...], int] = {}
    for place, row in enumerate(_list(value, key, faults)):
        whole = isinstance(row, list) and len(row) == names + 1 and all(isinstance(name, str) for name in row[:names])
        if not whole or type(row[names]) is not int or row[names] < 0 or tuple(row[:names]) in caps:
            faults.append(Fault(f"session.{key}[{place}]", "not_a_cap"))
            continue
        caps[tuple(row[:names])] = row[names]
    return caps
