"""What an invoice says to tell itself from its brothers: the month, the site, the second of four instalments."""

import re
from collections import defaultdict
from dataclasses import dataclass

from marketplace.receivables.matching.lazily import lazily

_MONTHS = (
    "JAN JANUARY JANUAR JANVIER ENERO GENNAIO JANUARI",
    "FEB FEBRUARY FEBRUAR FEVRIER FEBRERO FEBBRAIO FEBRUARI",
    "MAR MARCH MARZ MARS MARZO MAART MRZ",
    "APR APRIL AVRIL ABRIL APRILE",
    "MAI MAYO MAGGIO MEI",
    "JUN JUNE JUNI JUIN JUNIO GIUGNO",
    "JUL JULY JULI JUILLET JULIO LUGLIO",
    "AUG AUGUST AOUT AGOSTO AUGUSTUS",
    "SEP SEPT SEPTEMBER SEPTEMBRE SEPTIEMBRE SETTEMBRE",
    "OCT OKT OCTOBER OKTOBER OCTOBRE OCTUBRE OTTOBRE",
    "NOV NOVEMBER NOVEMBRE NOVIEMBRE",
    "DEC DEZ DECEMBER DEZEMBER DECEMBRE DICIEMBRE DICEMBRE",
)
MONTHS = {word: f"{month:02d}" for month, words in enumerate(_MONTHS, 1) for word in words.split()} | {"MAY": "05"}
MONTH = re.compile(r"([A-Z]{3,10})[ .]*((?:20)?[0-9]{2}\b)?")
NUMERIC = re.compile(r"\b(20[0-9]{2})[-/.](0[1-9]|1[0-2])(?:[-/.]([0-3][0-9]))?\b|\b(0[1-9]|1[0-2])[/.](20[0-9]{2})\b")
DAY = re.compile(r"\b([0-3]?[0-9])[./]([01]?[0-9])[./](20[0-9]{2})\b")
# 3/4, Rate 3 von 4; not the 06/08 of 06/08/2026
OF = re.compile(r"(?<![0-9A-Z/.-])([0-9]{1,2}) ?(?:/|OF|VON|DE|SUR|DI|VAN|AV|Z) ?([0-9]{1,2})(?![0-9A-Z]|[/.-][0-9])")
_PARTS = "INSTALL?MENT|PAYMENT|PART|DELIVERY|SHIPMENT|STAGE|MILESTONE|TRANCHE|PHASE|RATE|TEIL|LIEFERUNG|INVOICE|CLAIM"
ORDINAL = re.compile(
    rf"\b(?:(FIRST|SECOND|THIRD|FOURTH|FIFTH|SIXTH|LAST|FINAL|INITIAL|INTERIM|ERSTE|ZWEITE|DRITTE|LETZTE|[1-9](?:ST|ND|RD|TH|\.))"
    rf" ?(?:{_PARTS})|(DEPOSIT|BALANCE|ANZAHLUNG|SCHLUSSRECHNUNG|ACOMPTE|SOLDE|RETENTION|UPFRONT|ANTICIPO|SALDO))\b"
)
_STAGES = (
    "MILESTONE|MEILENSTEIN|JALON|MIJLPAAL|HITO|ETAP|DELMAL|SAL|STAGE|PHASE|FASE|VALUATION|ABSCHLAG|SITUATION|TRANCHE"
)
STAGE = re.compile(rf"\b({_STAGES}) (?:(?:NO|NR|N)[ .:°º]*)?([0-9]{{1,2}})\b")  # the third milestone of so many unsaid
LABEL = re.compile(
    r"\b([A-Z]{2,})\b[ .:#-]*(?:(?:NOTE|NOTES|NO|NR|NUMBER|NUMMER|N)\b[ .:#°º-]*)*([A-Z]{0,3}[-/]?[0-9][0-9A-Z/-]*)\b"
)
WORD = re.compile(r"[A-Z]{3,}")
FIGURES = re.compile(r"[0-9]+")
AGAIN = re.compile(
    r"\b(?:REPLAC|SUPERSED|RE-?ISSUE|RE-?BILL|RE-?INVOIC|IN ITS PLACE|CORRECTED INVOICE|CORRECTION OF|ERSETZ|"
    r"KORRIGIERTE|RECHNUNGSKORREKTUR|STORNIERT|STORNO|NEUBERECHNUNG|CANCELL?ED|REMPLAC|ANNULE ET|RECTIFICATIVA|"
    r"SUSTITUY|SOSTITU|VERVANG)"
)
# What follows these words is the invoice's own number, its order, its bank or its terms: compared elsewhere or moved
# about by who copies it.
_NOT_LABELS = (
    "INVOICE INV RECHNUNG FACTURE FACTURA FATTURA PO ORDER BESTELLUNG BESTELLNUMMER BESTELNUMMER COMMANDE IBAN BIC "
    "NO NR NUMBER NUMMER REF REFERENCE TO OF VON DE AND UND AT BY ON ORDINE PEDIDO VAT NET WITHIN DAYS REPLACES "
    "CREDIT NOTE NOTES TERMS PURCHASE"
)
NOT_LABELS = frozenset(_NOT_LABELS.split())


def stands_in(notes: str) -> bool:
    """Say whether notes tell that this invoice stands in another's place."""
    return bool(notes) and AGAIN.search(notes) is not None


@dataclass(frozen=True)
class Particulars:
    """What the folded texts of lines and notes say to tell an invoice from its brothers."""

    lines: str
    notes: str

    @lazily
    def periods(self) -> frozenset[str]:
        """Months and days that the lines name, or the notes where the lines name none."""
        return frozenset(_periods(self.lines) or _periods(self.notes))

    @lazily
    def positions(self) -> frozenset[tuple[str, str]]:
        """Which part of how many this is said to be."""
        return frozenset(_positions(f"{self.lines} | {self.notes}" if self.notes else self.lines))

    @lazily
    def in_lines(self) -> dict[str, frozenset[str]]:
        """What is labelled with a figure in the lines."""
        return _labels(self.lines)

    @lazily
    def in_notes(self) -> dict[str, frozenset[str]]:
        """What is labelled with a figure in the notes."""
        return _labels(self.notes)

    @lazily
    def template(self) -> str:
        """The text of the lines without figures."""
        return FIGURES.sub("", self.lines)


def _periods(text: str) -> set[str]:
    found = set()
    if not MONTHS.keys().isdisjoint(WORD.findall(text)):
        named = [(MONTHS[month], year) for month, year in MONTH.findall(text) if month in MONTHS]
        found = {f"{month}/{year[-2:]}" if year else month for month, year in named}
    if "20" in text:
        for year, month, day, month_too, year_too in NUMERIC.findall(text):
            found.add(f"{month or month_too}/{(year or year_too)[-2:]}{'/' + day if day else ''}")
        found |= {f"{int(month):02d}/{year[-2:]}/{int(day):02d}" for day, month, year in DAY.findall(text)}
    return found


def _positions(text: str) -> set[tuple[str, str]]:
    """Return (of how many, which), and ordinals as (nothing, word)."""
    found = {("", first or alone) for first, alone in ORDINAL.findall(text)} | set(STAGE.findall(text))
    return found | {(count, place) for place, count in OF.findall(text) if 0 < int(place) <= int(count)}


def _labels(text: str) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for word, value in LABEL.findall(text):
        if word not in NOT_LABELS and word not in MONTHS:
            found[word].add(value.lstrip("0"))
    return {word: frozenset(values) for word, values in found.items()}


def told_apart(one: Particulars, other: Particulars) -> tuple[str, ...]:
    """Return by what two claims tell themselves apart: "period", "position", "label"; empty where by nothing."""
    found = []
    if one.periods and other.periods and not one_period(one, other):
        found.append("period")
    wholes = {count for count, _ in one.positions} & {count for count, _ in other.positions}
    if any({at for of, at in one.positions if of == count}.isdisjoint(at for of, at in other.positions if of == count)
           for count in wholes):  # fmt: skip
        found.append("position")
    if _labelled_apart(one.in_notes, other.in_notes) or (
        one.lines != other.lines and one.template == other.template and _labelled_apart(one.in_lines, other.in_lines)
    ):
        found.append("label")
    return tuple(found)


def one_period(one: Particulars, other: Particulars) -> bool:
    """Say whether both name one month or day; a month without its year may be of any."""
    if not one.periods.isdisjoint(other.periods):
        return True
    return any(a.startswith(b) or b.startswith(a) for a in one.periods for b in other.periods)


def _labelled_apart(one: dict[str, frozenset[str]], other: dict[str, frozenset[str]]) -> bool:
    return any(one[word].isdisjoint(other[word]) for word in one.keys() & other.keys())
