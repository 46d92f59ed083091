"""How parties are written: names without their cosmetics, and registrations without the words before them."""

import re
from functools import lru_cache

from opencc import OpenCC

from marketplace.receivables.matching.labels import REGISTRATION
from marketplace.receivables.matching.legal_forms import COMPACT, JOINED, PHRASES, WORDS
from marketplace.receivables.matching.look_alikes import folded

# Some write these before the name, some after it: AB Volvo, Volvo AB.
LEADING_FORMS = frozenset(folded("AB AS OY SRO PT SIA UAB KK ООО АО ПАО ЗАО ОАО ИП ТОВ ФОП ЕООД ООД").split())
FORM_WORDS_MAX = 7
SIGNS = re.compile(r"[^\w]|_")
# Joined to a name without a space, in Japan, Korea and China.
JOINED_FORM = re.compile("|".join(re.escape(form) for form in sorted(JOINED, key=len, reverse=True)))
# Chinese in simplified signs; these few the library leaves as they are.
SIMPLIFIED = OpenCC("t2s")
VARIANTS = str.maketrans("衞飃髙", "卫飘高")
SCHEME = re.compile(r"^\s*(?:iso6523-actorid-upis::)?[0-9]{4}\s*:\s*", re.IGNORECASE)
_LABEL = "|".join(sorted({SIGNS.sub("", folded(word)) for word in REGISTRATION.split()}, key=lambda it: (-len(it), it)))
LABELS = re.compile(rf"(?!NO[0-9]{{9}}(?:MVA)?$)(?:{_LABEL})+(?!O[0-9])(?=[A-Z]{{0,4}}[0-9][0-9A-Z]{{4}})")
# Four letters that are the number's own: a person of Mexico (RFC, CURP), by name and day of birth, and India's TAN.
OWN_LETTERS = (
    r"(?:[A-Z]{4}[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[0-9A-Z]{3}|[0-9A-Z]{8})|[A-Z]{4}[0-9]{5}[A-Z])"
)
# Whatever else stands before a registration in four letters or more, or in another alphabet, says what it is as well,
# but for the section of a register: Amtsgericht Ulm HRB 188296.
UNKNOWN_LABEL = re.compile(
    rf"(?!{OWN_LETTERS}$)(?:[^\W\d_A-Z]+|[A-Z]{{4,}}?)(?=(?:HR[AB]|GNR|PR|VR|SC|NI|OC|SO)?[0-9]{{5}})"
)


def without_scheme(text: str) -> str:
    """Return a registration without the code of its register before it: 0195:205774855D. Source: ISO/IEC 6523."""
    return SCHEME.sub("", text)


def without_label(number: str) -> str:
    """Return a folded registration, letters and digits alone, without the words before it.

    NO before nine digits is Norway.
    """
    found = LABELS.match(number) or UNKNOWN_LABEL.match(number)
    return number[found.end() :] if found else number


@lru_cache(maxsize=8_192)
def written_name(text: str) -> str:
    """Return a name folded: no full stops, legal forms in one spelling, Chinese in simplified signs, no leading The."""
    words = folded(text).replace("&", " AND ").replace(".", "")
    if not words.isascii():
        words = SIMPLIFIED.convert(words).translate(VARIANTS)
        words = " ".join((JOINED_FORM.sub(" ", words), *(JOINED[form] for form in JOINED_FORM.findall(words))))
    words = f" {' '.join(SIGNS.sub(' ', words).split())} "
    for phrase, short in PHRASES:
        if phrase in words:
            words = words.replace(f" {phrase} ", f" {short} ")
    said = words.split()
    if len(said) > 2 and said[0] == "THE":
        said = said[1:]
    if len(said) > 1 and said[0] in LEADING_FORMS:
        said = [*said[1:], said[0]]
    return " ".join(_form_last([WORDS.get(word, word) for word in said]))


def _form_last(words: list[str]) -> list[str]:
    """Return the words of a name with a legal form at its end in one spelling, however its signs were set apart."""
    for many in range(min(FORM_WORDS_MAX, len(words) - 1), 0, -1):
        if short := COMPACT.get("".join(words[-many:])):
            return [*words[:-many], *short.split()]
    return words
