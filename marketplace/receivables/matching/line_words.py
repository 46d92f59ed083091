"""One line of an invoice in words and figures: 27/03/2026, 2026-03-27 and 27 March 2026 are the same figures."""

import re
from functools import lru_cache
from typing import NamedTuple

from marketplace.receivables.matching.look_alikes import folded
from marketplace.receivables.matching.number import READ_ALIKE
from marketplace.receivables.matching.particulars import MONTHS, STAGE

TOKEN = re.compile(r"[^\W_]+(?:[-/.][^\W_]+)*")
FIGURE = re.compile(r"[0-9]")
LETTERS_MAX = 3
ENDS = frozenset(("", ".", ":", ";", "!", "?", "|"))  # what stands before the first word of a sentence
LETTERS_READ = str.maketrans("0158", "OISB")  # in a word
JOINTS = re.compile(r"[-/.]")
_ARTICLES = "ART|POS|REF|SKU|ITEM|ARTIKEL|ARTICLE|ARTICULO|ARTICOLO"
ARTICLE = re.compile(rf"\b(?:{_ARTICLES})\b[ .:#]*[0-9A-Z/-]*[0-9][0-9A-Z/-]*")
DAY_FIRST = re.compile(r"([0-3]?[0-9])[-/.]([01]?[0-9])[-/.]((?:20)?[0-9]{2})")
YEAR_FIRST = re.compile(r"(20[0-9]{2})[-/.]([01]?[0-9])[-/.]([0-3]?[0-9])")
PERIOD = re.compile(r"(?:[A-Z]{0,2}([0-9]{1,2})[-/.](20[0-9]{2})|(20[0-9]{2})[-/.][A-Z]{0,2}([0-9]{1,2}))")
PLACE = re.compile(r"[0-9]{1,2}")  # the line itself numbered
PART = re.compile(r"\b[0-9]{1,2} (?:OF|VON|DE|SUR|DI|VAN|AV|Z) [0-9]{1,2}\b")
YEAR = re.compile(r"20[0-9]{2}")
# J96445, TS-50240, ET4143; no 60x60, no 6204-2RS
RARE = re.compile(r"[A-Z]{1,5}[-/]?(?:[0-9][-/]?){4,}|(?:[0-9][-/.]?){5,}")
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
MONTH_WORDS = MONTHS | {word: f"{month:02d}" for month, words in enumerate(_MONTHS_TOO, 1) for word in words.split()}


class LineWords(NamedTuple):
    """What one line says, in a form that survives another spelling.

    `figures` are its words with a digit, bare, and its days, months and years apart (27, M03, 2026); signs that read
    alike are folded in them. `marks` are those of them that number no article, as one article is sold many times;
    `rare` are marks that number one thing only: a consignment, a time sheet. `dated` says that it names a day, a month
    and its year, or the third of four parts; `yearly` that it names a year alone.
    """

    said: str
    text: str
    words: tuple[str, ...]
    figures: tuple[str, ...]
    marks: frozenset[str]
    rare: frozenset[str]
    dated: bool
    yearly: bool

    @property
    def capitals(self) -> frozenset[str]:
        """The words that were written with a capital; none where everything is in capitals."""
        return _capitals(self.said)[0]

    @property
    def inner_capitals(self) -> frozenset[str]:
        """Those of them that begin no sentence: people, places and makes, where a language writes nouns small."""
        return _capitals(self.said)[1]


@lru_cache(maxsize=16_384)
def _capitals(said: str) -> tuple[frozenset[str], frozenset[str]]:
    if said.isupper():
        return frozenset(), frozenset()
    found = [(folded(it[0]), it.start()) for it in TOKEN.finditer(said) if it[0][0].isupper()]
    inner = (word for word, at in found if said[:at].rstrip()[-1:] not in ENDS)
    return frozenset(word for word, _ in found), frozenset(inner)


@lru_cache(maxsize=16_384)
def spoken(said: str) -> str:
    """Return a line folded, with single blanks."""
    return " ".join(folded(said).split())


@lru_cache(maxsize=16_384)
def line_words(said: str) -> LineWords:
    """Return a line in words and figures, as it was written or already folded; its own place is no figure of it."""
    text = spoken(said)
    words: list[str] = []
    figures: list[str] = []
    rare: set[str] = set()
    dated = False
    tokens = TOKEN.findall(text)
    for token in tokens:
        if token.isalpha():
            month = MONTH_WORDS.get(token)
            (figures if month else words).append(f"M{month}" if month else token)
        elif not _is_figure(token):
            words.append(token.translate(LETTERS_READ))
        elif when := _when(token):
            dated = True
            figures += when
        else:
            figures.append(bare(token))
            if RARE.fullmatch(token):
                rare.add(figures[-1])
    articles = {bare(token) for found in ARTICLE.findall(text) for token in TOKEN.findall(found)} if figures else set()
    rare -= articles
    if rare and PLACE.fullmatch(tokens[0]):
        del figures[0]
    yearly = any(YEAR.fullmatch(figure) for figure in figures)
    dated = dated or (yearly and any(figure[0] == "M" for figure in figures))
    dated = dated or bool(figures and (STAGE.search(text) or PART.search(text)))
    return LineWords(
        said,
        text,
        tuple(words),
        tuple(figures),
        frozenset(figures) - articles,
        frozenset(rare),
        dated,
        yearly and not dated,
    )


def _is_figure(token: str) -> bool:
    """Say whether a word with a digit is a figure: KP21 and 6204-2RS, but not a misread C0MPRE550R."""
    digits = len(FIGURE.findall(token))
    return digits > 0 and (digits + LETTERS_MAX >= len(token) or 2 * digits >= len(token))


def bare(token: str) -> str:
    """Return a word with a digit without the signs that join its parts, signs that read alike folded."""
    return JOINTS.sub("", token).translate(READ_ALIKE)


def _when(token: str) -> tuple[str, ...]:
    """Return day, month and year of a token, or week or month and year; nothing where it is no date."""
    if token.isalnum():
        return ()
    if found := DAY_FIRST.fullmatch(token):
        day, month, year = found.groups()
    elif found := YEAR_FIRST.fullmatch(token):
        year, month, day = found.groups()
    elif found := PERIOD.fullmatch(token):
        return _part(found[1] or found[4]), found[2] or found[3]
    else:
        return ()
    return f"{int(day):02d}", _part(month), year if len(year) == 4 else f"20{year}"


def _part(of_year: str) -> str:
    """Return a month as months are written here; a week, or a month that cannot be told from one, likewise."""
    return f"M{int(of_year):02d}"
