"""What base.html asks for besides the page itself: the market's time, the checkpoint, versions, roles in words."""

from dataclasses import dataclass
from datetime import datetime

from flask import Flask, current_app, g
from flask_babel import gettext
from sqlalchemy.exc import SQLAlchemyError

from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.kernel.clock import utc_now
from marketplace.kernel.words import N_
from marketplace.reports import shell
from marketplace.web.states import SHAPES, look_of

VERSION = "1.0"
ROLES = {
    Role.SELLER: N_("Seller"),
    Role.INVESTOR: N_("Investor"),
    Role.OPERATOR: N_("Operator"),
    Role.REGULATOR: N_("Regulator"),
    Role.DEBTOR: N_("Debtor"),
    Role.SYSTEM: N_("System"),
}


@dataclass(frozen=True)
class Frame:
    """The facts around a page."""

    now: datetime
    checkpoint: shell.Checkpoint | None
    policy_version: str
    version: str = VERSION


def facts() -> Frame:
    """Return the facts around this page, read once a request. Without a database a page still has a frame."""
    if "frame" not in g:
        g.frame = _read()
    frame: Frame = g.frame
    return frame


def _read() -> Frame:
    version = current_app.extensions["duebill"].policy.version
    if not g.get("without_database"):
        try:
            known = shell.shell(db.session())
            return Frame(known.now, known.checkpoint, version)
        except SQLAlchemyError:
            db.session.rollback()
    return Frame(utc_now(), None, version)


def server_now() -> datetime:
    """Return the market's time as this page shows it."""
    return facts().now


def role_word(role: Role) -> str:
    """Return a role in the reader's language."""
    word: str = gettext(ROLES[role])
    return word


def install(app: Flask) -> None:
    """Give every template what its frame needs."""
    app.jinja_env.globals.update(
        shell_facts=facts, server_now=server_now, role_word=role_word, look_of=look_of, shape_of=SHAPES.__getitem__
    )
