"""Catalogues: their places are kept, they compile, and pages speak them."""

import re
import shutil
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from flask import Flask
from flask.testing import FlaskClient

from marketplace.kernel.errors import RuleBroken
from marketplace.ledger.rules import chart
from marketplace.servicing.states import COLLECTION
from marketplace.web.alerts import TO_DO
from marketplace.web.format import translated
from marketplace.web.languages import CATALOGS, CODES, compile_catalogs
from marketplace.web.names import NAMES

PLACES = re.compile(r"%\((\w+)\)[sd]")
HOUSE = Path(__file__).resolve().parents[2]
TEMPLATES = HOUSE / "templates"
# Where the code names what the record keeps, and the pages say in words.
NAMING = {
    "moves of title": r'_carry_out\(tx, [^)]*"([a-z]+_title)"\)',
    "verbs": r'@verb\("(\w+)"', "verbs of events": r'\bverb="(\w+)"', "subjects": r'tx\.record\(\s*"(\w+)"',
    "entries": r'post_entry\(\s*tx, "(\w+)"', "alerts": r'raise_alert\(\s*tx, "(\w+)"',
    "what is called about": r'raise_alert\(\s*tx, "\w+", "(\w+)"', "breaks": r'\.explain\("(\w+)"',
    "jobs": r'Job\("(\w+)"',
}  # fmt: skip
FINISHED = [code for code in CODES if code != "en"]


def messages(code: str) -> dict[str, Message]:
    """Return a catalogue by its English words; of words that count things, by the singular."""
    with (CATALOGS / code / "LC_MESSAGES" / "messages.po").open("rb") as text:
        catalog = read_po(text, locale=code)
    return {told.id if isinstance(told.id, str) else told.id[0]: told for told in catalog if told.id}


def is_told(message: Message | None) -> bool:
    return message is not None and all(message.string if isinstance(message.string, tuple) else (message.string,))


def words_of_templates() -> set[str]:
    """Return every string the templates ask for."""
    options = {"**.html": {"trimmed": "true", "silent": "false", "newstyle_gettext": "true"}}
    found = extract_from_dir(TEMPLATES, [("**.html", "jinja2")], options)
    return {words if isinstance(words, str) else words[0] for _, _, words, _, _ in found}


@pytest.mark.parametrize("code", FINISHED)
def test_every_word_of_a_page_is_translated(code: str) -> None:
    told = messages(code)
    assert sorted(words for words in words_of_templates() if not is_told(told.get(words))) == []


@pytest.mark.parametrize("code", FINISHED)
def test_nothing_in_a_catalogue_is_left_out_or_unsure(code: str) -> None:
    assert [words for words, message in messages(code).items() if message.fuzzy or not is_told(message)] == []


@pytest.mark.parametrize("what", NAMING)
def test_every_name_that_the_record_keeps_has_words(what: str) -> None:
    sources = (path.read_text() for path in (HOUSE / "marketplace").rglob("*.py"))
    found = {name for source in sources for name in re.findall(NAMING[what], source)}
    assert found
    assert sorted(name for name in found if name.replace("_", " ") not in NAMES) == []


def test_every_call_to_an_operator_says_what_is_to_be_done() -> None:
    sources = [path.read_text() for path in (HOUSE / "marketplace").rglob("*.py")]
    called = {kind for source in sources for kind in re.findall(NAMING["alerts"], source)}
    assert called >= {"reconciliation_break", "payout_failed"}
    assert sorted(called - TO_DO.keys()) == []


def test_every_account_of_the_chart_has_words() -> None:
    assert [code for code in chart() if code.replace("_", " ") not in NAMES] == []
    assert {account.pool for account in chart().values()} <= NAMES


@pytest.mark.parametrize("code", FINISHED)
def test_a_translation_shouts_at_nobody(code: str) -> None:
    assert [words for words, message in messages(code).items() if re.search("[!！]", str(message.string))] == []


def test_simplified_writing_has_no_traditional_letters() -> None:
    stray = re.compile("[帳賬應債務發還證書電網檔據請時間額與從這個們會對結構張讓護權屬賣買餘資貼轉]")
    assert [words for words, message in messages("zh_Hans").items() if stray.search(str(message.string))] == []


def test_a_word_within_a_sentence_is_translated_too(app: Flask) -> None:
    with app.test_request_context(headers={"Accept-Language": "zh-Hant"}):
        said = translated("%(what)s is missing.", {"what": "The invoice number"})
        assert said == "欠缺發票編號。"
        fields = translated("An operator compares what you changed with the document: %(fields)s.",
                            {"fields": "invoice number, total"})  # fmt: skip
        assert fields.endswith("發票編號, 總額。")


@pytest.mark.parametrize("code", FINISHED)
def test_the_compiler_finds_no_fault_in_a_catalogue(code: str) -> None:
    with (CATALOGS / code / "LC_MESSAGES" / "messages.po").open("rb") as text:
        catalog = read_po(text, locale=code)
    assert [(message.id, list(map(str, faults))) for message, faults in catalog.check()] == []


def test_a_state_that_allows_no_such_move_is_told_in_words(app: Flask) -> None:
    with pytest.raises(RuleBroken) as refused:
        COLLECTION.check("paid_in_part", "due")
    said = {"en": "A collection that is Paid in part cannot become Not due.", "zh-Hant": "收款程序"}
    for language, words in said.items():
        with app.test_request_context(headers={"Accept-Language": language}):
            assert words in translated(refused.value.words, refused.value.params)


@pytest.mark.parametrize("code", FINISHED)
def test_a_translation_keeps_every_place(code: str) -> None:
    with (CATALOGS / code / "LC_MESSAGES" / "messages.po").open("rb") as text:
        catalog = read_po(text, locale=code)
    for message in catalog:
        told = message.string if isinstance(message.string, tuple) else (message.string,)
        asked = message.id if isinstance(message.id, tuple) else (message.id,)
        for words in filter(None, told if message.id else ()):
            assert set(PLACES.findall(words)) == set(PLACES.findall(asked[-1])), asked
            assert words.count("%%") == asked[-1].count("%%"), asked


@pytest.mark.parametrize(
    ("code", "words"),
    [("zh_Hant", "一張發票，一個物主。"), ("zh_Hans", "一张发票，一个所有人。"), ("en", "One invoice, one owner.")],
)
def test_the_first_page_speaks_it(client: FlaskClient, code: str, words: str) -> None:
    client.get(f"/language/{code}")
    assert words in client.get("/").text


def test_catalogues_compile_once_and_again_when_changed(tmp_path: Path) -> None:
    shutil.copytree(CATALOGS, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.mo"))
    assert len(compile_catalogs(tmp_path)) == 2
    assert compile_catalogs(tmp_path) == []
    source = tmp_path / "zh_Hant" / "LC_MESSAGES" / "messages.po"
    source.write_text(source.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert [path.parts[-3] for path in compile_catalogs(tmp_path)] == ["zh_Hant"]
