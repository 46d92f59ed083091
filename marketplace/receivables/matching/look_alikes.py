"""Fold what only looks different: full width, accents, and letters of other alphabets drawn like Latin ones.

Letters and digits that resemble each other within one alphabet (O and 0, I and 1, S and 5) are left
alone here: a
seller may honestly number S100 and 5100. They belong to `near_match`, which asks a person.
"""

import unicodedata

# Upper-case letters of Cyrillic and Greek (and a few Latin relatives) that print like a Latin letter or
# a digit.
# Source: Unicode Technical Standard #39, confusables, upper case only.
LOOK_ALIKES = str.maketrans(
    {
        "А": "A",
        "В": "B",
        "Е": "E",
        "Ѕ": "S",
        "І": "I",
        "Ї": "I",
        "Ј": "J",
        "К": "K",
        "М": "M",
        "Н": "H",
        "О": "O",
        "Р": "P",
        "С": "C",
        "Т": "T",
        "У": "Y",
        "Ү": "Y",
        "Х": "X",
        "З": "3",
        "Ԛ": "Q",
        "Ԝ": "W",
        "Ԍ": "G",
        "Ӏ": "I",
        "Α": "A",
        "Β": "B",
        "Ε": "E",
        "Ζ": "Z",
        "Η": "H",
        "Ι": "I",
        "Κ": "K",
        "Μ": "M",
        "Ν": "N",
        "Ο": "O",
        "Ρ": "P",
        "Τ": "T",
        "Υ": "Y",
        "Χ": "X",
        "Ϲ": "C",
        "Ϳ": "J",
        "Ł": "L",
        "Ø": "O",
        "Đ": "D",
        "Ð": "D",
        "Ħ": "H",
        "Ŧ": "T",
        "Æ": "AE",
        "Œ": "OE",
        "Ƨ": "2",
        "Ʒ": "3",
        "ẞ": "SS",
    }
)
ROUNDS_MAX = 6
SIGNS_KEPT_MAX = 20_000


def folded(text: str) -> str:
    """Return the text as a Latin upper-case reader would copy it. Folding twice changes nothing.

    Shape: only letters, digits and whatever separators were there; marks (accents) are dropped.
    """
    if text.isascii():
        return text.upper()
    text = text.translate(_BY_SIGN)
    return text if text.isascii() else _folded_whole(text)


def _folded_whole(text: str) -> str:
    for _ in range(ROUNDS_MAX):
        again = _once(text)
        if again == text:
            return text
        text = again
    return text


class _BySign(dict[int, str]):
    """What each sign folds to by itself, worked out when it is first met."""

    def __missing__(self, sign: int) -> str:
        found = _folded_whole(chr(sign))
        if len(self) < SIGNS_KEPT_MAX:
            self[sign] = found
        return found


_BY_SIGN = _BySign()


def _once(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).upper().translate(LOOK_ALIKES)
    text = "".join(_ascii_digit(sign) for sign in unicodedata.normalize("NFKD", text) if not _unseen(sign))
    return unicodedata.normalize("NFKC", text)


def _unseen(sign: str) -> bool:
    """Say whether a sign is a mark upon another, or one that prints nothing (soft hyphen, zero-width space)."""
    return bool(unicodedata.combining(sign)) or unicodedata.category(sign) in ("Cf", "Mn")


def _ascii_digit(sign: str) -> str:
    value = unicodedata.decimal(sign, None)
    return sign if value is None else str(value)
