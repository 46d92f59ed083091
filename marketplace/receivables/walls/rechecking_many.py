"""The walls, asked about many receivables at once: who may be passed over because nothing is near enough to look at.

It decides nothing. Whoever is named here is asked about one by one by `recheck`; of whoever is not, `recheck` would
find nothing, as the same keys, notices, accounts and facts are looked at.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, text

from marketplace.db import among, array
from marketplace.perform import Tx
from marketplace.receivables import rules
from marketplace.receivables.tables import ListingRoundRow, PriorNoticeRow, ReceivableRow
from marketplace.receivables.walls import duplicates
from marketplace.receivables.walls.considering import party
from marketplace.receivables.walls.duplicates import Subject

NEAR = """
    SELECT DISTINCT wanted.id FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS text[])) AS wanted (id, key)
    JOIN fingerprint ON fingerprint.value = decode(wanted.key, 'hex') AND fingerprint.receivable_id <> wanted.id
"""


def to_look_at(tx: Tx, receivable_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of the locked receivables that `recheck` must be asked about. Waits in turn for all of them.

    Each takes a dozen of the server's locks until the end of the transaction: ask for hundreds, not thousands.
    """
    known = duplicates.subjects(tx.session, receivable_ids)
    keys = {one: list(duplicates.keys_of(about)) for one, (_, about) in known.items()}
    duplicates.wait_in_turn(tx, {key for some in keys.values() for key in some})
    found = _near(tx, keys) | _noticed(tx, receivable_ids) | _paid_elsewhere(tx, known)
    return found | {
        one
        for one, (row, about) in known.items()
        if row.keys_version < duplicates.KEYS_VERSION or rules.outside(about.facts, party(about.seller))
    }


def _near(tx: Tx, keys: dict[UUID, list[bytes]]) -> set[UUID]:
    pairs = [(told, key) for told, some in ((str(one), some) for one, some in keys.items()) for key in some]
    asked = {"ids": array(one for one, _ in pairs), "keys": array(key.hex() for _, key in pairs)}
    return set(tx.session.execute(text(NEAR), asked).scalars())


def _noticed(tx: Tx, receivable_ids: Sequence[UUID]) -> set[UUID]:
    told = select(PriorNoticeRow.receivable_id).where(among(PriorNoticeRow.receivable_id, receivable_ids))
    return set(tx.session.execute(told.distinct()).scalars())


def _paid_elsewhere(tx: Tx, known: dict[UUID, tuple[ReceivableRow, Subject]]) -> set[UUID]:
    """Return whose seller is paid elsewhere than when this round was listed."""
    offers = tx.session.execute(
        select(ListingRoundRow.receivable_id, ListingRoundRow.round, ListingRoundRow.paid_to).where(
            among(ListingRoundRow.receivable_id, known), ListingRoundRow.paid_to.is_not(None)
        )
    )
    marks: dict[str | None, bytes | None] = {}
    found = set()
    for receivable_id, round_, paid_to in offers:
        row, about = known[receivable_id]
        iban = about.seller.iban
        if iban not in marks:
            marks[iban] = duplicates.account_mark(iban)
        if round_ == row.round and paid_to != marks[iban]:
            found.add(receivable_id)
    return found
