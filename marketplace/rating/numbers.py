"""Numbers as filers write them: the numeric transformations of inline XBRL, with bounds.

Source: Inline XBRL 1.1 §10; XBRL Transformation Rules Registries 1-4 (2010-04-20, 2011-07-31, 2015-02-26, 2020-02-12).
"""

import re
from decimal import Decimal
from functools import lru_cache

SCALE_MIN = -4
SCALE_MAX = 9
VALUE_MAX = Decimal(10) ** 15
CHARACTERS_MAX = 40

DASHES = frozenset("-‐‑‒–—―−")
# What stands between digits and is no decimal sign: spaces of all kinds, the Swiss apostrophe.
GAPS = re.compile(r"[\s\u00a0\u2009\u202f']+")

POINT = "point"
COMMA = "comma"
ZERO = "zero"
# Local names of the formats, lower case, without hyphens: 2010 wrote `numcommadot`, 2020 `num-dot-decimal`.
FORMATS = {
    "numdotdecimal": POINT,
    "numcommadot": POINT,
    "numspacedot": POINT,
    "numdotdecimalapos": POINT,
    "numcommadecimal": COMMA,
    "numdotcomma": COMMA,
    "numspacecomma": COMMA,
    "numcomma": COMMA,
    "numcommadecimalapos": COMMA,
    "zerodash": ZERO,
    "numdash": ZERO,
    "fixedzero": ZERO,
}
SCALES = {str(scale): scale for scale in range(SCALE_MIN, SCALE_MAX + 1)}
SCALE = re.compile(r"[+-]?[0-9]{1,4}")
PLAIN = re.compile(r"[0-9]{1,30}(\.[0-9]{0,15})?|\.[0-9]{1,15}")


class Unreadable(Exception):
    """The text is no number under its format. `rule` says which rule it breaks."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


def read_number(text: str, form: str | None, scale: str | None, sign: str | None) -> Decimal:
    """Return the value of a fact: the text read by its format, times ten to the scale, with its sign.

    Without a format a plain number is expected; thousands commas and a leading minus are tolerated.

    Raises: Unreadable("format" | "number" | "scale" | "sign" | "range").
    """
    if sign not in (None, "", "-"):
        raise Unreadable("sign")
    if len(text) > 1_000:
        raise Unreadable("number")
    digits = text if text.isalnum() else GAPS.sub("", text)
    if len(digits) > CHARACTERS_MAX:
        raise Unreadable("number")
    places = _scale(scale)
    value = _unsigned(digits, form)
    value = value.scaleb(places) if places else value
    if abs(value) >= VALUE_MAX:
        raise Unreadable("range")
    return -value if sign == "-" and value else value


def _scale(scale: str | None) -> int:
    text = (scale or "0").strip()
    if text in SCALES:
        return SCALES[text]
    if not SCALE.fullmatch(text) or not SCALE_MIN <= int(text) <= SCALE_MAX:
        raise Unreadable("scale")
    return int(text)


def _unsigned(digits: str, form: str | None) -> Decimal:
    kind = _kind(form)
    if kind is None:
        raise Unreadable("format")
    if kind == ZERO and (not digits or digits in DASHES):
        return Decimal(0)
    if kind == COMMA:
        digits = digits.replace(".", "").replace(",", ".")
    else:
        digits = digits.replace(",", "")
    minus = form is None and digits[:1] == "-"
    if not PLAIN.fullmatch(digits[1:] if minus else digits):
        raise Unreadable("number")
    return Decimal(digits)


@lru_cache(maxsize=256)
def _kind(form: str | None) -> str | None:
    return POINT if form is None else FORMATS.get(form.rpartition(":")[2].lower().replace("-", ""))


def plain(value: Decimal) -> str:
    """Return the shortest decimal text without an exponent: `0.03`, `-7052932`."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def plain_float(value: float) -> str:
    """Return a ratio as the text that is kept and read back to the same number."""
    return repr(float(value))
