"""How figures, rates and dates read on a page: the template filters. Whole numbers in, markup out.

Money stays in minor units to the last moment; nothing here divides into a fraction.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time, get_timezone_name
from babel.numbers import format_decimal, get_currency_symbol, get_decimal_symbol
from flask import Flask, current_app, g, has_app_context
from flask_babel import get_locale, gettext, ngettext
from markupsafe import Markup, escape

from marketplace.kernel.money import exponent
from marketplace.web.names import level_word, named, ratio_word
from marketplace.web.states import look_of

MINUS = "\u2212"
NOTHING = "–"
PLACES_MAX = 20  # of an exact decimal that is still set with separators
GRADES = ("A+", "A", "A−", "B+", "B", "B−", "C", "D", "E")
SEGMENTS = ("seg1", "seg2", "seg3", "seg4")
DAYS_PAST_DUE = (0, 30, 60, 90)
BRITISH = Locale("en", "GB")


def locale() -> Locale:
    """Return the reader's locale; English is British where it matters for symbols."""
    found = get_locale()
    return BRITISH if found is None or found.language == "en" else found


def zone_name() -> str:
    """Return the zone times are told in: a regulator's page sets `g.zone` to UTC, others use the market's."""
    if has_app_context():
        if "zone" in g:
            return str(g.zone)
        house = current_app.extensions.get("duebill")
        if house is not None:
            return str(house.policy.zone)
    return "UTC"


def _digits(value: int, found: Locale | None = None) -> str:
    return f"{value:,}".replace(",", _separator(found or locale()))


@cache
def _separator(found: Locale) -> str:
    """Return what a locale sets between groups of three digits."""
    return str(format_decimal(1_000_000, format="#,##0", locale=found))[1]


@cache
def _point(found: Locale) -> str:
    return str(get_decimal_symbol(found))


@cache
def _symbol(currency: str, found: Locale) -> str:
    return str(get_currency_symbol(currency, found))


def _fraction(value: int, digits: int, found: Locale | None = None) -> str:
    return f"{_point(found or locale())}{value:0{digits}d}" if digits else ""


def money(minor: int | None, currency: str) -> Markup:
    """Return `£48,600` with its minor units lighter, never wrapped. None is an en dash, minus is U+2212."""
    if minor is None:
        return escape(NOTHING)
    digits = exponent(currency)
    whole, rest = divmod(abs(minor), 10**digits)
    sign, found = MINUS if minor < 0 else "", locale()
    text = f"{sign}{_symbol(currency, found)}{_digits(whole, found)}"
    decimals = Markup('<span class="dec">{}</span>').format(_fraction(rest, digits, found)) if digits else ""
    return Markup('<span class="nw">{}{}</span>').format(text, decimals)


def money_text(minor: int | None, currency: str) -> str:
    """Return `£48,600.00` as plain text, for attributes, titles and sentences."""
    if minor is None:
        return NOTHING
    digits = exponent(currency)
    whole, rest = divmod(abs(minor), 10**digits)
    sign, found = MINUS if minor < 0 else "", locale()
    return f"{sign}{_symbol(currency, found)}{_digits(whole, found)}{_fraction(rest, digits, found)}"


def money_short(minor: int | None, currency: str) -> str:
    """Return `£4.21m` or `£381k`, rounded half up to three figures: only for figures and strips, never in tables."""
    if minor is None:
        return NOTHING
    whole = abs(minor) // 10 ** exponent(currency)
    symbol = (MINUS if minor < 0 else "") + _symbol(currency, locale())
    for size, letter in ((10**9, "bn"), (10**6, "m"), (10**3, "k")):
        if whole >= size:
            places = max(0, 3 - len(str(whole // size)))
            scaled = (whole * 10**places * 2 + size) // (2 * size)
            units, rest = divmod(scaled, 10**places)
            return f"{symbol}{_digits(units)}{_fraction(rest, places)}{letter}"
    return f"{symbol}{_digits(whole)}"


def _percent(value: int, scale: int, places: int) -> str:
    """Return a share as per cent; `scale` units make 100 %. Half up."""
    unit = 10**places
    rounded = (abs(value) * 100 * unit * 2 + scale) // (2 * scale)
    whole, rest = divmod(rounded, unit)
    sign = MINUS if value < 0 and rounded else ""
    return f"{sign}{_digits(whole)}{_fraction(rest, places)}%"


def bps(value: int | None, places: int = 2) -> str:
    """Return basis points as per cent: 735 → `7.35%`."""
    return NOTHING if value is None else _percent(value, 10_000, places)


def basis_points(value: int | None) -> str:
    """Return `735 bp` (基點, 基点)."""
    return NOTHING if value is None else gettext("%(count)s bp", count=_digits(value))


def ppm(value: int | None, places: int | None = None) -> str:
    """Return parts per million as per cent: 3400 → `0.34%`. Below 0.1 % a third place is shown."""
    if value is None:
        return NOTHING
    if places is None:
        places = 3 if 0 < abs(value) < 1_000 else 2
    return _percent(value, 1_000_000, places)


def number(value: int | None) -> str:
    """Return a whole number with the locale's grouping."""
    if value is None:
        return NOTHING
    return (MINUS if value < 0 else "") + _digits(abs(value))


def days(value: int | None) -> str:
    """Return `50 days`, in the reader's language."""
    if value is None:
        return NOTHING
    words: str = ngettext("%(num)s day", "%(num)s days", value)
    return words


def day(value: date | datetime | None) -> str:
    """Return a date: `2 Oct 2026`, 2026年10月2日."""
    if value is None:
        return NOTHING
    return _day(value, "d MMM y")


def month_name(value: date) -> str:
    """Return a month: `Oct 2026`, 2026年10月."""
    pattern = "y年M月" if locale().language == "zh" else "MMM y"
    return str(format_date(value, pattern, locale=locale() if locale().language == "zh" else "en"))


def day_short(value: date | datetime | None) -> str:
    """Return a date without its year, for tables: `2 Oct`, 10月2日."""
    if value is None:
        return NOTHING
    return _day(value, "d MMM")


def _day(value: date | datetime, pattern: str) -> str:
    if isinstance(value, datetime):
        value = value.astimezone(ZoneInfo(zone_name())).date()
    here = locale()
    if here.language == "zh":
        pattern = "y年M月d日" if "y" in pattern else "M月d日"
        return str(format_date(value, pattern, locale=here))
    return str(format_date(value, pattern, locale="en"))


def clock(value: datetime | None, zone: str | None = None, seconds: bool = False) -> str:
    """Return the time of day with its zone: `16:00 BST`, `14:31:58 UTC`."""
    if value is None:
        return NOTHING
    there = ZoneInfo(zone or zone_name())
    local = value.astimezone(there)
    pattern = "HH:mm:ss" if seconds else "HH:mm"
    return f"{format_time(local, pattern, locale='en')} {zone_short(value, zone)}"


def zone_short(value: datetime, zone: str | None = None) -> str:
    """Return the zone's short name at that instant."""
    name = zone or zone_name()
    if name in {"UTC", "Etc/UTC"}:
        return "UTC"
    local = value.astimezone(ZoneInfo(name))
    return str(get_timezone_name(local, width="short", locale="en_GB"))


def moment(value: datetime | None, zone: str | None = None, seconds: bool = False) -> Markup:
    """Return an instant as a `time` element, with its zone: `12 Aug 2026, 16:00 BST`."""
    if value is None:
        return escape(NOTHING)
    there = zone or zone_name()
    local = value.astimezone(ZoneInfo(there))
    words = gettext("%(day)s, %(time)s", day=_day(local.date(), "d MMM y"), time=clock(value, there, seconds))
    iso = value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time class="nw" datetime="{}">{}</time>').format(iso, words)


def instant(value: datetime) -> str:
    """Return an instant for machines: `2026-08-12T15:00:00.000Z`."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time_left(closes_at: datetime, now: datetime) -> str:
    """Return the time left as the countdown shows it: `1:27:53`, `0:48`; days from 48 hours on."""
    left = max(0, -int((now - closes_at).total_seconds() // 1))
    if left >= 48 * 3600:
        return days(left // 86400)
    hours, rest = divmod(left, 3600)
    minutes, second = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{second:02d}" if hours else f"{minutes}:{second:02d}"


def count_class(closes_at: datetime, now: datetime) -> str:
    """Return the urgency of a countdown: amber under 15 minutes, red in the last."""
    left = (closes_at - now).total_seconds()
    return "now" if left < 60 else "soon" if left < 900 else ""


def grade_class(letter: str) -> str:
    """Return `g1` … `g9` for A+ … E; a plain hyphen counts as the minus sign."""
    plain = str(letter).replace("-", "−")
    return f"g{GRADES.index(plain) + 1}" if plain in GRADES else "d0"


def dpd_class(past_due: int) -> str:
    """Return `d0` … `d4`: none, 1–30, 31–60, 61–90, over 90 days past due."""
    return f"d{sum(past_due > bound for bound in DAYS_PAST_DUE)}"


def hash_short(value: str | bytes) -> str:
    """Return a long hash by its ends: `9d41 c07e 55b2 … 1f08`."""
    text = value.hex() if isinstance(value, (bytes, bytearray, memoryview)) else str(value)
    if len(text) <= 16:
        return text
    return f"{text[:4]} {text[4:8]} {text[8:12]} … {text[-4:]}"


def bars(amounts: Sequence[int], least: int = 1_000) -> list[dict[str, Any]]:
    """Return the pieces of a split bar: x and width in per cent, summing to 100, slivers at least 1 % wide.

    `least` is in thousandths of a per cent. Zero amounts get no piece. Amounts are not negative.
    """
    total = sum(amounts)
    if total <= 0:
        return []
    widths = [0 if amount <= 0 else max(least, amount * 100_000 // total) for amount in amounts]
    widest = max(range(len(widths)), key=lambda index: widths[index])
    widths[widest] += 100_000 - sum(widths)
    pieces, at = [], 0
    for index, width in enumerate(widths):
        if width:
            pieces.append(
                {"x": _thousandths(at), "width": _thousandths(width), "css": SEGMENTS[index % 4], "first": at == 0}
            )
        at += width
    return pieces


def share(value: int, whole: int) -> str:
    """Return `value` of `whole` as an SVG percentage, between 0 % and 100 %."""
    if whole <= 0:
        return "0%"
    return _thousandths(min(100_000, max(0, value * 100_000 // whole)))


def _thousandths(value: int) -> str:
    return f"{value // 1000}.{value % 1000:03d}%"


def initials(name: str) -> str:
    """Return the first letters of the first and last word of a name."""
    words = [word for word in name.split() if word]
    return "".join(word[0].upper() for word in (words[:1] + words[-1:] if len(words) > 1 else words))


def translated(words: str, params: Any = None) -> str:
    """Return words marked by `N_` in the reader's language, with parameters filled in."""
    said: str = gettext(words)
    if not params:
        return said
    spoken = {name: _spoken(name, value) for name, value in params.items()}
    if "days" in params:  # a finding about two dates, which are kept as ISO 8601
        spoken |= {name: dated(params[name]) for name in ("new", "old") if name in params}
    if params.keys() >= {"noun", "before", "after"}:  # a move that a state does not allow, see kernel.states
        states = {name: look_of(params["noun"], params[name]).word for name in ("before", "after")}
        spoken |= {"noun": named(params["noun"])} | states
    return said % spoken


def dated(value: Any) -> Any:
    """Return an ISO 8601 date as the reader writes dates; anything else as it is."""
    try:
        return str(day(date.fromisoformat(value)))
    except (TypeError, ValueError):
        return value


def grouped(value: Any) -> str:
    """Return an exact decimal with the reader's separators and every place it has: 61250.00 is 61,250.00."""
    try:
        exact = Decimal(str(value))
    except InvalidOperation:
        return str(value)
    power = exact.as_tuple().exponent
    if not isinstance(power, int) or not -PLACES_MAX <= power <= 0:
        return str(value)
    return str(format_decimal(exact, "#,##0" + "." * (power < 0) + "0" * -power, locale=locale()))


def _spoken(name: str, value: Any) -> Any:
    """Return a date, or a parameter that is itself marked words, in the reader's language; any other as it is."""
    if name == "what" and isinstance(value, str):
        return gettext(value)
    if name == "fields" and isinstance(value, str):
        return ", ".join(gettext(word) for word in value.split(", "))
    return day(value) if isinstance(value, date) else value


def install(app: Flask) -> None:
    """Give every template these filters and helpers."""
    filters = {
        "money": money, "money_text": money_text, "money_short": money_short, "bps": bps, "bp": basis_points,
        "ppm": ppm, "number": number, "days": days, "day": day, "day_short": day_short, "clock": clock,
        "moment": moment, "instant": instant, "hash_short": hash_short, "initials": initials,
        "translated": translated, "grouped": grouped, "named": named, "level_word": level_word,
        "ratio_word": ratio_word, "grade_class": grade_class, "dpd_class": dpd_class,
    }  # fmt: skip
    app.jinja_env.filters.update(filters)
    app.jinja_env.globals.update(
        bars=bars,
        split_pieces=bars,
        share=share,
        time_left=time_left,
        count_class=count_class,
        zone_name=zone_name,
        zone_short=zone_short,
        said=said,
        translated=translated,
    )


def said(thing: Any) -> Markup:
    """Return the words of anything with `words` and `params` (an error, a problem, a reason), translated, escaped."""
    return escape(translated(thing.words, getattr(thing, "params", None) or None))
