"""Catalogues: their places are kept, they compile, and pages speak them."""

import re
import shutil
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from flask.testing import FlaskClient

from marketplace.web.languages import CATALOGS, CODES, compile_catalogs

PLACES = re.compile(r"%\((\w+)\)[sd]")


@pytest.mark.parametrize("code", [code for code in CODES if code != "en"])
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
