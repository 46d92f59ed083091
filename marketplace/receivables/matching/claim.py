"""What the matcher sees: a claim, and what it says about a pair of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from marketplace.receivables.matching.fingerprint import Identity, currency_code
from marketplace.receivables.matching.goods_read import GoodsRead, read_goods
from marketplace.receivables.matching.lazily import lazily
from marketplace.receivables.matching.number import NumberRead, read_number
from marketplace.receivables.matching.party import NameRead, read_name
from marketplace.receivables.matching.told import Told

Verdict = Literal["same", "hold", "apart"]
# (what was sold, net minor) or (what was sold, net minor, quantity, unit price minor)
ClaimLine = tuple[str, int | None] | tuple[str, int | None, float | None, int | None]


@dataclass(frozen=True)
class Claim:
    """A claim as the matcher sees it; amounts are minor units, absent facts are None or empty.

    `seller` and `debtor` are the market's own identities (an organisation's id), empty where it has none; `seller_who`
    and `debtor_who` are what the paper calls them. `seller_group` is the group the market knows the seller to belong
    to. `amount_minor` is the face (EN 16931 BT-115), `total_minor` the total with VAT (BT-112).
    """

    seller: str
    debtor: str
    number: str
    document_type: str
    currency: str
    amount_minor: int | None
    issued_on: date | None = None
    due_on: date | None = None
    purchase_order: str | None = None
    lines: Sequence[ClaimLine] = ()
    document_sha256: str | None = None
    seller_who: Identity | None = None
    debtor_who: Identity | None = None
    seller_group: str | None = None
    debtor_group: str | None = None
    total_minor: int | None = None
    prepaid_minor: int | None = None
    contract: str | None = None
    payee: str | None = None
    iban: str | None = None
    notes: str | None = None

    @lazily
    def read(self) -> NumberRead:
        """The invoice number in every form that is compared."""
        return read_number(self.number)

    @lazily
    def money(self) -> str:
        """The currency's three letters, however it was written."""
        return currency_code(self.currency)

    @lazily
    def goods(self) -> GoodsRead:
        """Lines, order and notes in the forms that are compared."""
        return read_goods(self.lines, self.purchase_order, self.contract, self.notes)

    @lazily
    def told(self) -> Told:
        """What lines and notes tell of the delivery."""
        return Told(self)

    @lazily
    def seller_name(self) -> NameRead:
        """The seller's name in the forms that are compared."""
        return read_name(self.seller_who.name if self.seller_who else "")

    @lazily
    def debtor_name(self) -> NameRead:
        """The debtor's name in the forms that are compared."""
        return read_name(self.debtor_who.name if self.debtor_who else "")

    @lazily
    def sums(self) -> tuple[int, ...]:
        """Every sum that stands for the whole, without repetition: face, total, sum of the lines, face and prepaid."""
        face, total, net = self.amount_minor, self.total_minor, self.goods.net_minor
        whole = face + self.prepaid_minor if face is not None and self.prepaid_minor else None
        return tuple(dict.fromkeys(abs(value) for value in (face, total, net, whole) if value))


@dataclass(frozen=True)
class Finding:
    """One thing two claims share or differ in: a stable code, its weight, and words with both values."""

    code: str
    weight: int
    words: str
    params: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class NearMatch:
    """The verdict on a pair, with the diff: same (one claim: it is blocked), hold (a person must look) or apart."""

    verdict: Verdict
    score: int
    findings: tuple[Finding, ...]

    @property
    def exact(self) -> bool:
        """Whether the exact key itself is the same: the register's unique index refuses the second one."""
        codes = {finding.code for finding in self.findings}
        return self.verdict == "same" and "same_number" in codes and "one_paper" not in codes
