"""Which language a page speaks: the reader's choice, else the account's, else what the browser prefers."""

import os
import tempfile
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from flask import Flask, g, request
from flask_babel import Babel, get_locale

from marketplace.web.session import signed_in_person

LANGUAGES = (("en", "English"), ("zh_Hant", "繁體中文"), ("zh_Hans", "简体中文"))
CODES = tuple(code for code, _ in LANGUAGES)
COOKIE = "duebill_language"
CATALOGS = Path(__file__).resolve().parent.parent / "translations"
HANT, HANS = ("zh-hant", "zh-tw", "zh-hk", "zh-mo", "zh-hant-hk", "zh-hant-tw"), ("zh", "zh-hans", "zh-cn", "zh-sg")
PREFERRED = {"en": "en"} | dict.fromkeys(HANT, "zh_Hant") | dict.fromkeys(HANS, "zh_Hans")


def choose() -> str:
    """Return the language of this request."""
    chosen = request.cookies.get(COOKIE)
    if chosen in CODES:
        return str(chosen)
    person = None if g.get("without_database") else signed_in_person()
    if person is not None and person.locale in CODES:
        return person.locale
    for accepted, _ in request.accept_languages:
        tag = accepted.lower()
        found = PREFERRED.get(tag) or PREFERRED.get(tag.split("-")[0])
        if found:
            return found
    return "en"


def language() -> str:
    """Return the code of the language being spoken: en, zh_Hant or zh_Hans."""
    locale = get_locale()
    if locale is None or locale.language == "en":
        return "en"
    return f"{locale.language}_{locale.script}" if locale.script else str(locale)


def html_lang() -> str:
    """Return the language as a page declares it."""
    return {"en": "en-GB"}.get(language(), language().replace("_", "-"))


def compile_catalogs(folder: Path = CATALOGS) -> list[Path]:
    """Compile each catalogue that is newer than its compiled form; return those written.

    Several workers may start at once: each writes a file of its own and renames it. A folder that cannot be
    written is left alone; pages then speak English.
    """
    written = []
    for source in sorted(folder.glob("*/LC_MESSAGES/messages.po")):
        target = source.with_suffix(".mo")
        if target.exists() and target.stat().st_mtime_ns >= source.stat().st_mtime_ns:
            continue
        try:
            with source.open("rb") as text:
                catalog = read_po(text, locale=source.parts[-3])
            handle, draft = tempfile.mkstemp(dir=target.parent, suffix=".tmp")
            with os.fdopen(handle, "wb") as file:
                write_mo(file, catalog)
            Path(draft).chmod(0o644)
            os.replace(draft, target)
        except PermissionError:
            continue
        written.append(target)
    return written


def here() -> str:
    """Return this page's own address, to come back to after a change of language."""
    return request.full_path.rstrip("?") if request.method == "GET" else "/"


def install(app: Flask) -> None:
    """Wire Flask-Babel and give templates the language switch."""
    compile_catalogs()
    app.config.update(BABEL_DEFAULT_LOCALE="en", BABEL_TRANSLATION_DIRECTORIES=str(CATALOGS))
    Babel(app, locale_selector=choose)
    app.jinja_env.globals.update(languages=lambda: LANGUAGES, language=language, html_lang=html_lang, here=here)
