"""Lines, order, contract and notes of a claim in the forms that are compared."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from marketplace.receivables.matching.fingerprint import SEPARATORS
from marketplace.receivables.matching.lazily import lazily
from marketplace.receivables.matching.line_words import LineWords, line_words, spoken
from marketplace.receivables.matching.look_alikes import folded
from marketplace.receivables.matching.number import NumberRead, read_number
from marketplace.receivables.matching.particulars import Particulars, stands_in

WORD = re.compile(r"[^\W\d_]{3,}")
FIGURE = re.compile(r"[0-9]+")
PACK, PACKS = 12, (10, 12, 25)
REFERENCE_SIGNS_MIN, WORDS_KEPT_MAX, LINES_READ_MAX = 4, 400, 200
_DELIVERY_LABELS = (
    "DELIVERY LIEFERSCHEIN LIVRAISON PAKBON LEVERBON DDT ALBARAN WZ FOLJESEDEL CMR WAYBILL CONSIGNMENT FRACHTBRIEF "
    "TIMESHEET STUNDENNACHWEIS URENSTAAT JOB AUFTRAG WERKBON BOLLA"
)
DELIVERY_LABELS = frozenset(_DELIVERY_LABELS.split())
# Words that a line is made of that does not say what was sold.
_GENERIC = (
    "SERVICE SERVICES SUPPLY SUPPLIES GOODS WORK WORKS DELIVERY DELIVERIES RENDERED SUPPLIED ORDERED PROVIDED AGREED "
    "AGREEMENT ORDER ORDERS CONTRACT INVOICE TOTAL VARIOUS SUNDRY NOTES AS PER FOR THE OF TO OUR YOUR IN WITH "
    "LEISTUNG LEISTUNGEN LIEFERUNG LIEFERUNGEN WARENLIEFERUNG WARE WAREN DIENSTLEISTUNG DIENSTLEISTUNGEN DIVERSE "
    "GEMASS LAUT LT VEREINBARUNG AUFTRAG BESTELLUNG VERTRAG GESAMT NACH UND FUR PRESTATION PRESTATIONS FOURNITURES "
    "FOURNITURE MARCHANDISES TRAVAUX SELON ACCORD COMMANDE CONTRAT DIVERS DIVERSES HT LA LE LES DE DES ET SERVIZI "
    "FORNITURA FORNITURE MERCE MERCI COME DA ACCORDI ORDINE CONTRATTO VARIE PRESTAZIONI SERVICIOS SUMINISTRO "
    "SUMINISTROS MERCANCIAS SEGUN ACUERDO PEDIDO CONTRATO LO ACORDADO VARIOS DIENSTEN GELEVERDE LEVERING "
    "LEVERINGEN GOEDEREN VOLGENS AFSPRAAK AFSPRAKEN USLUGI TOWARY DOSTAWA ZGODNIE Z UMOWA ZAMOWIENIEM TJANSTER "
    "VAROR LEVERANS ENLIGT OVERENSKOMMELSE AVTAL"
)
GENERIC = frozenset(_GENERIC.split())
REFERENCE = re.compile(r"(?:\b([A-Z]{1,4}) )?(?<![A-Z0-9])([A-Z]{0,5}[-/]?[0-9][0-9A-Z/.-]{1,20})")


class Line(NamedTuple):
    """One line: its folded words, net minor units, quantity and unit price, None where not said; words as written."""

    words: str
    amount_minor: int | None
    quantity: float | None
    price_minor: int | None
    said: str = ""

    @property
    def root(self) -> str:
        """The words without figures and short words: what was sold, not when or which."""
        return " ".join(WORD.findall(self.words)) or self.words

    @property
    def odd(self) -> bool:
        """Whether the quantity is no dozen, ten or pack of goods: nobody orders 317 of them twice by habit."""
        many = self.quantity or 0
        return many > PACK and many == int(many) and all(many % pack for pack in PACKS)


@dataclass(frozen=True)
class GoodsRead:
    """What was sold, and by which order, contract and notes it is said to be."""

    lines: tuple[Line, ...]
    order: str
    order_said: str
    contract: str
    notes: str

    @property
    def order_read(self) -> NumberRead:
        """The order in every form that is compared."""
        return read_number(self.order_said)

    @lazily
    def net_minor(self) -> int | None:
        """The sum of the lines, None without lines or where one has no amount."""
        amounts = [line.amount_minor for line in self.lines]
        return sum(amount for amount in amounts if amount is not None) if amounts and None not in amounts else None

    @lazily
    def counted(self) -> "Counter[tuple[str, int | None]]":
        """The lines as (words, amount), to compare them in any order."""
        return Counter((line.words, line.amount_minor) for line in self.lines)

    @lazily
    def amounts(self) -> "Counter[int | None]":
        """The amounts of the lines, to compare them in any order."""
        return Counter(line.amount_minor for line in self.lines)

    @lazily
    def text(self) -> str:
        """The words of all lines, in one order whatever order the lines stand in."""
        return " ".join(sorted(line.words for line in self.lines))

    @lazily
    def particulars(self) -> Particulars:
        """What lines and notes say to tell this delivery, month or instalment from others."""
        return Particulars(self.text, self.notes)

    @lazily
    def read_lines(self) -> tuple[LineWords, ...]:
        """Every line in words and figures, of a paper with very many the first ones."""
        return tuple(line_words(line.said) for line in self.lines[:LINES_READ_MAX])

    @lazily
    def named(self) -> tuple[LineWords, ...]:
        """What names a job, a week, a plate: lines with such figures, and notes that name a thing and a day."""
        kept = [line for line in self.read_lines if line.marks and (line.rare or line.dated or line.yearly)]
        if self.notes and (said := line_words(self.notes)).rare and said.dated:
            kept.append(said)
        return tuple(kept)

    @lazily
    def priced(self) -> "Counter[tuple[float | None, int | None]]":
        """The lines as (quantity, unit price), whatever they call what is sold."""
        return Counter((line.quantity, line.price_minor) for line in self.lines)

    @lazily
    def odd(self) -> bool:
        """Whether any line is of an odd quantity at a price."""
        return any(line.odd and line.price_minor for line in self.lines)

    @lazily
    def accounted(self) -> "Counter[tuple[int, float | None, int | None]]":
        """The lines that come to something as (amount, quantity, price), in whatever words."""
        return Counter((line.amount_minor, line.quantity, line.price_minor) for line in self.lines if line.amount_minor)

    @lazily
    def generic(self) -> bool:
        """Whether the lines do not say what was sold: services rendered, goods as per order."""
        read = self.read_lines
        return bool(read) and all(not line.figures and GENERIC.issuperset(line.words) for line in read)

    @lazily
    def delivery_notes(self) -> frozenset[str]:
        """Numbers of delivery notes, time sheets and the like in the notes: nobody gives one twice."""
        if DELIVERY_LABELS.isdisjoint(WORD.findall(self.notes)):
            return frozenset()
        said = self.particulars.in_notes
        found = (value for label in DELIVERY_LABELS & said.keys() for value in said[label])
        return frozenset(value for value in found if len(value) >= REFERENCE_SIGNS_MIN)

    @lazily
    def references(self) -> frozenset[str]:
        """Numbers that the notes mention: an order or an earlier invoice may hide there."""
        return _references(self.notes)

    def mentions(self, reference: str) -> bool:
        """Say whether notes or lines mention a bare reference of four signs or more."""
        if len(reference) < REFERENCE_SIGNS_MIN:
            return False
        return reference in self.references or reference in _references(self.text)

    def may_mention(self, end: str) -> bool:
        """Say whether what a reference ends on stands anywhere in notes or lines: most papers mention nothing."""
        return end in self.notes or end in self.text

    @lazily
    def again(self) -> bool:
        """Whether notes say that this stands in another's place."""
        return stands_in(self.notes)

    @lazily
    def lumped(self) -> bool:
        """Whether every line is one of something: a sum without an account of it."""
        return bool(self.lines) and all(line.quantity in (None, 1) for line in self.lines)

    @lazily
    def figures(self) -> frozenset[str]:
        """The figures in the words of the lines: measures, types and drawings survive a rewording."""
        return frozenset(FIGURE.findall(self.text))


def _references(text: str) -> frozenset[str]:
    found = REFERENCE.findall(text) if text else ()
    return frozenset(bare(word) for before, number in found for word in (number, before + number))


@lru_cache(maxsize=65_536)
def bare(text: str) -> str:
    """Return the letters and digits of a reference: PO-77/12 and po 7712 are one."""
    return SEPARATORS.sub("", folded(text))


def read_goods(
    lines: Sequence[tuple[object, ...]], order: str | None, contract: str | None, notes: str | None
) -> GoodsRead:
    """Return the goods of a claim; `lines` are (words, net minor) or (words, net minor, quantity, price minor)."""
    return GoodsRead(
        tuple(_line(*line) for line in lines),
        bare(order or ""),
        order or "",
        bare(contract or ""),
        folded(notes or ""),
    )


def _line(words: object, amount: object = None, quantity: object = None, price: object = None) -> Line:
    said = str(words)
    kept = spoken(said) if len(said) <= WORDS_KEPT_MAX else " ".join(folded(said).split())
    return Line(kept, amount, quantity, price, said)  # type: ignore[arg-type]
