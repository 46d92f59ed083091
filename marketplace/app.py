"""The only wiring: settings, database, doors."""

from dataclasses import dataclass

from flask import Flask

from config.settings import Settings, from_environment
from marketplace.db import db
from marketplace.kernel import policy


@dataclass(frozen=True)
class Duebill:
    """What the running application carries: `current_app.extensions["duebill"]`."""

    settings: Settings
    policy: policy.Policy


def create_app(settings: Settings | None = None) -> Flask:
    """Return the application, wired to the settings (by default those of the environment)."""
    settings = settings or from_environment()
    app = Flask("marketplace", template_folder="../templates", static_folder="static")
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        TESTING=settings.testing,
    )
    app.extensions["duebill"] = Duebill(settings, policy.parse(settings.policy_table))
    db.init_app(app)
    return app
