"""What a line names: the job, the week, the plate, the consignment or the flat that it bills."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from marketplace.receivables.matching.identifying import TOKEN
from marketplace.receivables.matching.look_alikes import folded
from marketplace.receivables.matching.particulars import MONTHS

ARTICLE = re.compile(r"\b(?:ART|REF|SKU|ITEM|ARTIKEL|ARTICLE|ARTICULO|ARTICOLO)\b[ .:#]*[0-9A-Z/-]*[0-9][0-9A-Z/-]*")
DAY = re.compile(r"[0-3]?[0-9][-/.][01]?[0-9][-/.](?:20)?[0-9]{2}|20[0-9]{2}[-/.][01]?[0-9][-/.][0-3]?[0-9]")
PERIOD = re.compile(r"[A-Z]{0,2}[0-9]{1,2}[-/.]20[0-9]{2}|20[0-9]{2}[-/.][A-Z]{0,2}[0-9]{1,2}")
PLACE = re.compile(r"[0-9]{1,2}")  # the line itself numbered
YEAR = re.compile(r"20[0-9]{2}")
FIGURES = re.compile(r"[0-9]+")
RARE = re.compile(
    r"[A-Z]{1,5}[-/]?(?:[0-9][-/]?){4,}|(?:[0-9][-/.]?){5,}"
)  # J96445, TS-50240, ET4143; no 60x60, no 6204-2RS
READ_MAX = 200  # lines
_MONTHS_TOO = (
    "STYCZEN JANEIRO",
    "LUTY FEVEREIRO",
    "MARZEC MARCO",
    "KWIECIEN",
    "MAJ MAIO",
    "CZERWIEC JUNHO",
    "LIPIEC JULHO",
    "SIERPIEN AUGUSTI",
    "WRZESIEN SETEMBRO",
    "PAZDZIERNIK OUTUBRO",
    "LISTOPAD NOVEMBRO",
    "GRUDZIEN DEZEMBRO",
)
MONTHS_TOO = {word: f"{month:02d}" for month, words in enumerate(_MONTHS_TOO, 1) for word in words.split()}


class Named(NamedTuple):
    """What one line names: its words with figures, the rare ones among them, when, and its other words."""

    figures: frozenset[str]
    rare: frozenset[str]
    timed: bool
    year_only: bool
    words: frozenset[str]


def named(lines: Sequence[str], notes: str) -> tuple[Named, ...]:
    """Return what every line names that names anything; notes count as one where they name a thing and a day."""
    found = [_named(words) for words in lines[:READ_MAX]]
    kept = [said for said in found if said.figures and (said.rare or said.timed or said.year_only)]
    if notes and (said := _named(notes)).rare and said.timed:
        kept.append(said)
    return tuple(kept)


def _named(words: str) -> Named:
    tokens = TOKEN.findall(ARTICLE.sub(" ", words))
    if tokens and PLACE.fullmatch(tokens[0]) and any(RARE.fullmatch(token) for token in tokens):
        del tokens[0]
    figures = {token for token in tokens if FIGURES.search(token)}
    when = {token for token in figures if DAY.fullmatch(token) or PERIOD.fullmatch(token)}
    years = {token for token in figures if YEAR.fullmatch(token)}
    others = frozenset(token for token in tokens if token not in figures)
    months = {MONTHS_TOO.get(word) or MONTHS.get(word, "") for word in others} - {""}
    rare = {_bare(token) for token in figures - when - years if RARE.fullmatch(token)}
    timed = bool(when or (years and months))
    told = frozenset({*map(_bare, figures), *(f"M{month}" for month in months)})
    return Named(told, frozenset(rare), timed, bool(years and not timed), others)


def _bare(token: str) -> str:
    return re.sub(r"[-/.]", "", folded(token))
