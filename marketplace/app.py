"""The only wiring: settings, database, doors, and what is said when something is refused."""

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from flask import Blueprint, Flask
from flask.typing import ResponseReturnValue
from flask_bootstrap import Bootstrap5
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from werkzeug.exceptions import HTTPException

from config.settings import Settings, SettingsError, from_environment
from marketplace import api, web
from marketplace.api import errors as api_errors
from marketplace.db import ENGINE, MEETING, db, meeting_engine
from marketplace.jobs import wishes
from marketplace.kernel import failpoints, policy
from marketplace.kernel.errors import IntegrityBreach, MarketplaceError
from marketplace.web import format as formats
from marketplace.web import forms, frame, languages, metrics, navigation, refusals, security, session, spool

log = structlog.get_logger("duebill")


@dataclass(frozen=True)
class Duebill:
    """What the running application carries: `current_app.extensions["duebill"]`."""

    settings: Settings
    policy: policy.Policy


def create_app(settings: Settings | None = None) -> Flask:
    """Return the application, wired to the settings (by default those of the environment)."""
    settings = settings or from_environment()
    if failpoints.ARMED and not settings.stripe_api_key.startswith("sk_test"):
        raise SettingsError(f"{failpoints.VARIABLE} is for trials on the sandbox: unset it")
    app = Flask("marketplace", template_folder="../templates", static_folder="static")
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        # A failed statement is logged without its values: they may be personal.
        SQLALCHEMY_ENGINE_OPTIONS={**ENGINE, "hide_parameters": not settings.testing},
        SQLALCHEMY_BINDS={MEETING: meeting_engine(settings.database_url)},
        TESTING=settings.testing,
        WTF_CSRF_ENABLED=not settings.testing,
        BOOTSTRAP_SERVE_LOCAL=True,
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.extensions["duebill"] = Duebill(settings, policy.parse(settings.policy_table))
    app.extensions["status_of"] = api_errors.status_of
    app.extensions["run_job_again"] = wishes.again  # doors and clock are neighbours: neither imports the other
    db.init_app(app)
    Bootstrap5(app)
    for part in (spool, security, metrics, session, languages, frame, formats, forms, navigation):
        part.install(app)
    for blueprint in doors():
        app.register_blueprint(blueprint)
        if (blueprint.url_prefix or "").startswith("/api"):
            security.csrf.exempt(blueprint)
    _say_no(app)
    return app


def doors() -> Iterator[Blueprint]:
    """Yield every blueprint of `web` and `api` once, when all their modules have hung their pages on it."""
    modules = [
        importlib.import_module(found.name)
        for package in (web, api)
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    seen: set[int] = set()
    for module in modules:
        for thing in vars(module).values():
            if isinstance(thing, Blueprint) and id(thing) not in seen:
                seen.add(id(thing))
                yield thing


def _say_no(app: Flask) -> None:
    """Every refusal ends here: as a page for people, as a problem document for the API."""

    @app.errorhandler(MarketplaceError)
    def refuse(error: MarketplaceError) -> ResponseReturnValue:
        if isinstance(error, IntegrityBreach):
            log.error("integrity_breach", code=error.code)
        return api_errors.refused(error) if refusals.wants_json() else refusals.of_marketplace(error)

    @app.errorhandler(HTTPException)
    def refuse_http(error: HTTPException) -> ResponseReturnValue:
        if refusals.wants_json():
            answer = api_errors.problem_json(
                error.code or 500, (error.name or "error").lower().replace(" ", "_"), error.name
            )
            answer.headers.extend((name, value) for name, value in error.get_headers() if name == "Retry-After")
            return answer
        return refusals.of_http(error)

    @app.errorhandler(OperationalError)
    @app.errorhandler(InterfaceError)
    def unreachable(error: DBAPIError) -> ResponseReturnValue:
        log.error("database_unreachable", sqlstate=getattr(error.orig, "sqlstate", None))
        db.session.rollback()
        if refusals.wants_json():
            return api_errors.problem_json(503, "unreachable", "The market's database does not answer.")
        return refusals.page(503)

    @app.errorhandler(Exception)
    def failed(error: Exception) -> ResponseReturnValue:
        log.error("failed", exc_info=error)
        if app.testing:
            raise error
        if refusals.wants_json():
            return api_errors.problem_json(500, "failed", "Something failed here.")
        return refusals.page(500)
