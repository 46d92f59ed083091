"""Invoice numbers written otherwise: first ways that leave the number what it is, then ways that change it."""

import re
from collections.abc import Callable
from random import Random

Rewrite = Callable[[Random, str], str]

PREFIXES = (
    "INV", "Invoice ", "Invoice No. ", "Inv#", "Invoice number: ", "RE", "RG-", "Rechnung Nr. ", "Rechnungs-Nr. ",
    "FA ", "Facture N° ", "Factuur ", "Fattura n. ", "Factura nº ", "No. ", "Nr. ", "#",
)  # fmt: skip
CYRILLIC = str.maketrans("ABCEHIKMOPTXYSJ", "АВСЕНІКМОРТХУЅЈ")
GREEK = str.maketrans("ABEHIKMNOPTXYZ", "ΑΒΕΗΙΚΜΝΟΡΤΧΥΖ")
ACCENTED = {"A": "ÀÁÂÃ", "E": "ÈÉÊË", "I": "ÌÍÎÏ", "N": "Ñ", "O": "ÒÓÔÕ", "R": "Ŕ", "C": "Ç", "S": "Š"}
LOOK_ALIKES = {"0": "O", "O": "0", "1": "Il", "I": "1l", "5": "S", "S": "5", "8": "B", "B": "8", "2": "Z", "6": "G"}


# Only the writing changes.


def other_case(rng: Random, number: str) -> str:
    """Small letters, or small ones after the first."""
    return rng.choice([number.lower(), number.capitalize()])


def other_separators(rng: Random, number: str) -> str:
    """Each separator another one, typographic dashes among them."""
    return re.sub(r"[-/ ]", lambda _: rng.choice("-/._–— \\‑−:"), number)


def no_separators(_rng: Random, number: str) -> str:
    """All digits and letters in one."""
    return re.sub(r"[-/ ]", "", number)


def more_separators(rng: Random, number: str) -> str:
    """A separator where there was none."""
    place = rng.choice(_digits(number)[1:])
    return number[:place] + rng.choice("-/. _") + number[place:]


def spaced(rng: Random, number: str) -> str:
    """Blanks around and within, some of them not the usual kind."""
    place = rng.randrange(1, len(number))
    odd = "  \u00a0\u2009\u200a\u202f\u3000\t"
    return rng.choice([" ", ""]) + number[:place] + rng.choice(odd) + number[place:] + rng.choice(odd)


def unseen(rng: Random, number: str) -> str:
    """Marks that nobody sees: zero-width blanks and joiners, a soft hyphen, a byte order mark."""
    place = rng.randrange(len(number))
    return number[:place] + rng.choice("\u200b\u200c\u200d\u2060\u00ad\ufeff") + number[place:]


def prefixed(rng: Random, number: str) -> str:
    """A word for "invoice" before a number that has none."""
    if re.match(r"(INV|RE|RG|FA|FT|F)(?![A-Z])", number):
        return number
    prefix = rng.choice(PREFIXES)
    return f"{prefix} {number}" if prefix[-1].isalpha() and number[0].isalpha() else prefix + number


def unprefixed(_rng: Random, number: str) -> str:
    """The word for "invoice" left out."""
    return re.sub(r"^(INV|RE|RG|FAC|FA|FT)[-/ ]?(?=\d)", "", number)


def prefixed_otherwise(rng: Random, number: str) -> str:
    """Another word for "invoice"."""
    bare = unprefixed(rng, number)
    return number if bare == number else rng.choice(PREFIXES) + bare


def zeros_before(rng: Random, number: str) -> str:
    """Leading zeros more, where the number begins."""
    return re.sub(r"^((?:INV|RE|RG|FAC|FA|FT)?[-/ ]?)(?=\d)", lambda m: m[1] + "0" * rng.randrange(1, 5), number)


def no_zeros_before(_rng: Random, number: str) -> str:
    """No leading zeros."""
    return re.sub(r"^((?:INV|RE|RG|FAC|FA|FT)?[-/ ]?)0+(?=[1-9])", r"\1", number)


def full_width(_rng: Random, number: str) -> str:
    """In the wide letters and digits of East Asian typesetting."""
    return "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in number)


def mathematical(rng: Random, number: str) -> str:
    """Digits of a mathematical alphabet: bold, double-struck or monospace."""
    zero = rng.choice([0x1D7CE, 0x1D7D8, 0x1D7F6])
    return "".join(chr(zero + int(letter)) if letter in "0123456789" else letter for letter in number)


def cyrillic(_rng: Random, number: str) -> str:
    """Latin letters replaced by Cyrillic ones of the same shape."""
    return number.translate(CYRILLIC)


def greek(_rng: Random, number: str) -> str:
    """Latin letters replaced by Greek ones of the same shape."""
    return number.translate(GREEK)


def accented(rng: Random, number: str) -> str:
    """Letters with accents that nobody gave them."""
    return "".join(rng.choice(ACCENTED[letter]) if letter in ACCENTED else letter for letter in number)


# The number itself changes, a little.


def _digits(number: str) -> list[int]:
    return [place for place, letter in enumerate(number) if letter.isdigit()]


def swapped(rng: Random, number: str) -> str:
    """Two neighbouring digits changed about."""
    places = [i for i in _digits(number)[:-1] if number[i + 1].isdigit() and number[i] != number[i + 1]]
    if not places:
        return number
    i = rng.choice(places)
    return number[:i] + number[i + 1] + number[i] + number[i + 2 :]


def mistyped(rng: Random, number: str) -> str:
    """One digit another."""
    i = rng.choice(_digits(number))
    return number[:i] + str((int(number[i]) + rng.randrange(1, 10)) % 10) + number[i + 1 :]


def digit_lost(rng: Random, number: str) -> str:
    """One digit less, of three or more."""
    places = _digits(number)
    i = rng.choice(places)
    return number if len(places) < 3 else number[:i] + number[i + 1 :]


def digit_doubled(rng: Random, number: str) -> str:
    """One digit typed twice."""
    i = rng.choice(_digits(number))
    return number[:i] + number[i] + number[i:]


def letter_behind(rng: Random, number: str) -> str:
    """A letter at the end."""
    return number + rng.choice(["-A", "A", "/B", "-C", " a", "X"])


def count_behind(rng: Random, number: str) -> str:
    """A small count at the end."""
    return number + rng.choice(["-1", "/2", "-01", ".1", "_2", "-002"])


def revision_behind(rng: Random, number: str) -> str:
    """A word at the end that calls it a new version."""
    return number + rng.choice(["-rev2", " R1", "-v2", " copy", " (2)", "-NEW", "/corr", " COPIE", "-KOPIE", " bis"])


def look_alike(rng: Random, number: str) -> str:
    """One to three letters or digits replaced by others of like shape."""
    letters = list(number)
    places = [i for i, letter in enumerate(letters) if letter in LOOK_ALIKES]
    for i in rng.sample(places, min(len(places), rng.randrange(1, 4))):
        letters[i] = rng.choice(LOOK_ALIKES[letters[i]])
    return "".join(letters)


def year_added(rng: Random, number: str) -> str:
    """A year before or behind, where there was none."""
    if re.search(r"202[4-7]|(?<!\d)2[4-7](?!\d)", number):
        return number
    year = rng.choice(["2024", "2025", "2026", "25", "26"])
    return rng.choice([f"{year}-{number}", f"{number}/{year}", f"{year}{number}"])


def year_dropped(_rng: Random, number: str) -> str:
    """The year left out."""
    year = r"[-/ ]?202[4-7](?=[-/])|(?<=[-/])202[4-7][-/]?|[-/]2[4-7]$|^202[4-7](?=\d{4,5}$)"
    return re.sub(year, "", number).strip("-/")


def padding_changed(_rng: Random, number: str) -> str:
    """Zeros within the number left out: 2025-0017 becomes 2025-17."""
    return re.sub(r"(?<=[-/])0+(?=[1-9])", "", number)


COSMETIC: dict[str, Rewrite] = {
    "case": other_case, "other_separators": other_separators, "no_separators": no_separators,
    "more_separators": more_separators, "blanks": spaced, "unseen_marks": unseen, "prefix_added": prefixed,
    "prefix_dropped": unprefixed, "prefix_other": prefixed_otherwise, "zeros_added": zeros_before,
    "zeros_dropped": no_zeros_before, "full_width": full_width, "mathematical_digits": mathematical,
    "cyrillic": cyrillic, "greek": greek, "accents": accented,
}  # fmt: skip
NEAR: dict[str, Rewrite] = {
    "digits_swapped": swapped, "digit_mistyped": mistyped, "digit_lost": digit_lost, "digit_doubled": digit_doubled,
    "letter_behind": letter_behind, "count_behind": count_behind, "revision_behind": revision_behind,
    "look_alike": look_alike, "year_added": year_added, "year_dropped": year_dropped, "padding": padding_changed,
}  # fmt: skip
