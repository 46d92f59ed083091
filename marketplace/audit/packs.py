"""The packs of a bundle: what a supervisor works with, as CSV beside JSON lines.

Two kinds. A *proved* pack prints table rows in the order of the events that wrote them, so that the verifier can read
log and rows side by side. The others print tables as they stood, for work, not for proof. Neither shows secrets,
documents or what identifies a natural person.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from marketplace.kernel.canonical import jsonable

CHUNK = 2_000
# Columns that no pack prints: secrets, raw documents and messages, addresses and names of people.
LEFT_OUT = frozenset({
    "content", "password_hash", "token_hash", "totp_secret", "secret", "key", "email", "debtor_email", "address",
    "body", "request", "response", "raw", "payload", "signature", "pay_url", "return_url", "phrase", "pay_to",
    "pay_to_name", "pay_to_iban",
    "answered_by", "promised_by", "acknowledged_by", "claimant", "words", "facts", "read", "features_blob", "champion",
    "challenger",
})  # fmt: skip
# Columns of such a name that hide nothing: which grade, month or ratio a measure is of.
SHOWN = frozenset({("rating_watch", "key")})

# Tables printed as they stood, by pack.
AS_THEY_STOOD: dict[str, Sequence[str]] = {
    "parties": ("organisation",),
    "journal": ("account", "balance", "hold_resolution", "funding", "debtor_payment", "payout", "outgoing_call",
                "incoming_event", "reconciliation", "processing_cost", "payout_file", "bank_reconciliation"),
    "title": ("title", "tombstone", "title_return", "holding_offer", "notice_of_assignment"),
    "auctions": ("lot", "fill"),
    "invoices": ("receivable", "document", "review", "confirmation", "prior_notice", "dispute", "payment_promise",
                 "dilution"),
    "ratings": ("filing", "party_rating", "receivable_rating", "payment_record", "grade_override",
                "rating_watch", "rating_outcome", "rating_model", "model_voice", "learning_run"),
    "collections": ("collection", "due", "distribution", "share", "ageing_step", "buy_back", "buy_back_share",
                    "dilution_effect", "dilution_cover", "dilution_cover_share", "late_claim", "late_receipt"),
}  # fmt: skip

_LOG = "FROM event_order JOIN event ON event.id = event_order.event_id"
_PERIOD = "event_order.seq >= :first AND event_order.seq < :last"
_HELD_SINCE = "(convert_from(event.body, 'UTF8')::jsonb -> 'after' ->> 'at')::timestamptz"
_ROUND = "(convert_from(event.body, 'UTF8')::jsonb -> 'after' ->> 'round')::integer"

# A row without an event is printed last with an empty event_seq: the verifier calls it out.
PROVED: dict[str, str] = {
    "packs/journal/posting": f"""
        SELECT event_order.seq AS event_seq, entry.id AS entry_id, entry.kind, entry.subject_kind, entry.subject_id,
               entry.business_on, entry.posted_at, entry.reverses_id, posting.account_id, account.code,
               account.organisation_id, posting.currency, posting.pool, posting.minor
        {_LOG} JOIN entry ON entry.id = event.subject_id JOIN posting ON posting.entry_id = entry.id
        JOIN account ON account.id = posting.account_id
        WHERE {_PERIOD} AND event.verb = 'post_entry'
        UNION ALL
        SELECT NULL, entry.id, entry.kind, entry.subject_kind, entry.subject_id, entry.business_on, entry.posted_at,
               entry.reverses_id, posting.account_id, NULL, NULL, posting.currency, posting.pool, posting.minor
        FROM entry JOIN posting ON posting.entry_id = entry.id
        WHERE NOT EXISTS (SELECT FROM event WHERE event.subject_id = entry.id AND event.verb = 'post_entry')
        ORDER BY 1 NULLS LAST, 9""",  # noqa: S608 - built from the texts above and nothing else
    "packs/journal/hold": f"""
        SELECT event_order.seq AS event_seq, hold.id AS hold_id, hold.account_id, hold.minor, hold.subject_kind,
               hold.subject_id, hold.placed_at
        {_LOG} JOIN hold ON hold.id = event.subject_id
        WHERE {_PERIOD} AND event.verb = 'place_hold' ORDER BY 1""",
    "packs/title/holding": f"""
        SELECT event_order.seq AS event_seq, holding.receivable_id, holding.owner_id,
               lower(holding.units) AS first_unit, upper(holding.units) AS beyond_unit,
               lower(holding.held_during) AS held_since, holding.cause
        {_LOG} JOIN holding ON holding.receivable_id = event.subject_id
             AND lower(holding.held_during) = {_HELD_SINCE}
        WHERE {_PERIOD} AND event.verb IN ('register_title', 'assign_title', 'transfer_title') ORDER BY 1, 4""",
    "packs/auctions/bid": f"""
        SELECT event_order.seq AS event_seq, bid.id AS bid_id, bid.lot_id, bid.seq, bid.investor_id, bid.group_id,
               bid.cash_minor, bid.min_fill_minor, bid.rate_bps, bid.placed_at
        {_LOG} JOIN bid ON bid.id = event.subject_id
        WHERE {_PERIOD} AND event.verb = 'place_bid' ORDER BY 1""",
    "packs/auctions/award": f"""
        SELECT event_order.seq AS event_seq, award.lot_id, award.round, award.outcome, award.stop_out_bps,
               award.awarded_minor, award.discount_minor, award.made_at, award.sha256,
               convert_from(award.transcript, 'UTF8') AS transcript
        {_LOG} JOIN award ON award.lot_id = event.subject_id AND award.round = {_ROUND}
        WHERE {_PERIOD} AND event.verb = 'award' ORDER BY 1""",
    "packs/access/look_up": f"""
        SELECT event_order.seq AS event_seq, event.at, event.verb, event.actor_role, event.actor_user_id,
               event.actor_organisation_id, event.subject_kind, event.subject_id,
               convert_from(event.body, 'UTF8')::jsonb ->> 'reason' AS reason
        {_LOG}
        WHERE {_PERIOD} AND event.verb IN ('look_up', 'export_bundle', 'replay_auction') ORDER BY 1""",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """One table of a pack: where it lies in the bundle, its columns, and how to read it."""

    path: str
    columns: tuple[str, ...]
    sql: str
    params: dict[str, int]

    def rows(self, connection: Connection) -> Iterator[dict[str, Any]]:
        """Yield rows as JSON-simple values, a chunk at a time."""
        statement = text(self.sql).execution_options(yield_per=CHUNK)
        with connection.execute(statement, self.params) as rows:
            for row in rows:
                yield dict(zip(self.columns, map(_plain, row), strict=True))


def tables(connection: Connection, first: int, last: int) -> list[Table]:
    """Return every table of every pack for the events from `first` to before `last`."""
    period = {"first": first, "last": last}
    found = []
    for path, sql in PROVED.items():
        empty = connection.execute(text(f"SELECT * FROM ({sql}) AS pack LIMIT 0"), period)  # noqa: S608 - ours
        found.append(Table(path, tuple(empty.keys()), sql, period))
    for pack, names in AS_THEY_STOOD.items():
        for name in names:
            if columns := _columns(connection, name):
                listed = ", ".join(f'"{column}"' for column in columns)
                sql = f'SELECT {listed} FROM "{name}" ORDER BY 1, 2'  # noqa: S608 - names of the catalogue
                found.append(Table(f"packs/{pack}/{name}", columns, sql, {}))
    return found


def _columns(connection: Connection, table: str) -> tuple[str, ...]:
    """Return the printable columns of a table that this role may read, in the table's order; none if it is absent."""
    names = connection.execute(
        text("""
            SELECT attname FROM pg_attribute
            WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped
              AND has_column_privilege(attrelid, attnum, 'SELECT') ORDER BY attnum"""),
        {"name": f"public.{table}"},
    ).scalars()
    return tuple(name for name in names if name not in LEFT_OUT or (table, name) in SHOWN)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    if hasattr(value, "lower") and hasattr(value, "upper") and not isinstance(value, str):
        return [jsonable(value.lower), jsonable(value.upper)]
    try:
        return jsonable(value)
    except TypeError:
        return str(value)
