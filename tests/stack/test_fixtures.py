"""The tests' own ground: a database of one's own, the application on it, a browser."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text


def test_a_database_is_fresh_and_migrated(session: Any) -> None:
    assert session.execute(text("SELECT count(*) FROM event")).scalar() == 0
    assert session.execute(text("SELECT current_user")).scalar() == "duebill_application"


def test_an_application_can_be_had_with_another_role(make_app: Any) -> None:
    from marketplace.db import db

    app: Flask = make_app(role="duebill_web")
    with app.app_context():
        assert db.session.execute(text("SELECT current_user")).scalar() == "duebill_web"


@pytest.mark.browser
def test_a_browser_reaches_the_live_server(page: Any, live_server: str) -> None:
    answer = page.goto(live_server + "/no-such-page")
    assert answer.status == 404
