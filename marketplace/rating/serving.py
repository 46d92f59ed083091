"""Which model grades now, and every other one that ever did. Models of the market's own learning lie in the database.

What ships with the house lies in its folder; it grades until two people have put another into service.
"""

import json
from threading import Lock
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from marketplace.kernel.errors import IntegrityBreach
from marketplace.rating import model as files
from marketplace.rating.model import CHALLENGER, CHAMPION, Model, load_model, open_model, read_card
from marketplace.rating.tables import RatingModelRow

OPEN_MAX = 4
_opened: dict[str, Model] = {}
_opening = Lock()


def serving_version(session: Session) -> str:
    """Return the version of the model that grades now."""
    version: str | None = session.scalars(
        select(RatingModelRow.version).where(RatingModelRow.state == "serving")
    ).one_or_none()
    return version or str(read_card()["version"])


def serving_model(session: Session) -> Model:
    """Return the model that grades now.

    Raises: IntegrityBreach("model_altered", "model_missing", "model_types").
    """
    return model_of(session, serving_version(session))


def serving_card(session: Session) -> dict[str, Any]:
    """Return the card of the model that grades now."""
    found = session.scalars(select(RatingModelRow.card).where(RatingModelRow.state == "serving")).one_or_none()
    return dict(json.loads(found)) if found else read_card()


def model_of(session: Session, version: str) -> Model:
    """Return the model of a version: the shipped one, a shipped one of the past, or one that was learnt here.

    Raises: IntegrityBreach("model_missing", "model_altered", "model_types").
    """
    if version == read_card()["version"]:
        return load_model()
    with _opening:
        if version not in _opened:
            row = session.scalars(select(RatingModelRow).where(RatingModelRow.version == version)).one_or_none()
            if row is None:
                return files.model_of(version)
            found = open_model(json.loads(row.card), {CHAMPION: row.champion, CHALLENGER: row.challenger})
            if found.version != version:
                raise IntegrityBreach("model_altered", "%(file)s is not the file its model card describes.",
                                      {"file": version})  # fmt: skip
            while len(_opened) >= OPEN_MAX:
                del _opened[next(iter(_opened))]
            _opened[version] = found
        return _opened[version]
