"""The operators' page of the model: empty, waiting for two people, in service and out of it; refusals in words."""

from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from marketplace.rating.model import read_card
from tests.rating.test_learning import LEARNT, learnt
from tests.trading.world import World
from tests.web.test_operator import olga, visitor

__all__ = ["olga"]
PAGE = "/operator/model"
WHY = {"reason": "It did better on the newest months."}


def test_an_empty_market_says_what_it_waits_for(olga: FlaskClient) -> None:
    page = olga.get(PAGE)
    assert page.status_code == 200
    for words in ("No outcome is noted yet", "Nothing was learnt yet", "No model was learnt here yet",
                  "ships with the house", read_card()["version"], "DUEBILL_RATING_DATA"):  # fmt: skip
        assert words in page.text, words


def test_two_operators_put_a_model_into_service_through_the_page(app: Flask, world: World, olga: FlaskClient) -> None:
    model_id = learnt()
    oscar = visitor(app, world, "oscar")
    page = olga.get(PAGE).text
    assert "A learnt model waits for two people" in page
    assert 'href="/operator/model#proposed"' in olga.get("/operator/ratings").text
    short = olga.post(f"{PAGE}/{model_id}/decide", data={"approve": "true", "reason": "short"})
    assert short.status_code == 422
    assert "error-summary" in short.text or "is-invalid" in short.text
    assert olga.post(f"{PAGE}/{model_id}/decide", data=WHY | {"approve": "true"}).status_code == 303
    assert "You are for it. A second operator decides." in olga.get(PAGE).text
    twice = olga.post(f"{PAGE}/{model_id}/decide", data=WHY | {"approve": "true"})
    assert twice.status_code == 403
    assert "You have spoken already" in twice.text
    assert oscar.post(f"{PAGE}/{model_id}/decide", data=WHY | {"approve": "true"}).status_code == 303
    page = oscar.get(PAGE).text
    assert "learnt here" in page
    assert "Take the learnt model out of service" in page
    assert LEARNT in oscar.get("/operator/ratings").text
    for who in (olga, oscar):
        assert who.post(f"{PAGE}/{model_id}/withdraw", data=WHY).status_code == 303
    assert "was in service" in olga.get(PAGE).text


def test_a_refusal_needs_a_reason_and_nonsense_is_answered(olga: FlaskClient) -> None:
    model_id = learnt()
    assert olga.post(f"{PAGE}/{model_id}/decide", data={"approve": "false"}).status_code == 422
    assert olga.post(f"{PAGE}/{model_id}/decide", data=WHY | {"approve": "perhaps"}).status_code == 422
    assert olga.post(f"{PAGE}/{UUID(int=5)}/decide", data=WHY | {"approve": "true"}).status_code == 404
    assert olga.post(f"{PAGE}/{model_id}/withdraw", data=WHY).status_code == 422
    assert olga.post(f"{PAGE}/{model_id}/decide", data=WHY | {"approve": "false"}).status_code == 303
    assert "refused" in olga.get(PAGE).text


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_nobody_else_sees_it(app: Flask, world: World, who: str) -> None:
    assert visitor(app, world, who).get(PAGE).status_code in (403, 404)
    assert app.test_client().get(PAGE).status_code in (302, 303, 401)


def test_the_page_speaks_three_languages(olga: FlaskClient) -> None:
    learnt()
    for language in ("zh_Hant", "zh_Hans"):
        olga.get(f"/language/{language}?next={PAGE}")
        page = olga.get(PAGE).text
        assert "Month by month" not in page
        assert "learnt model" not in page
