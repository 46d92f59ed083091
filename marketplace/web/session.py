"""Who is at the door: sessions by Flask-Login, kept on the server; roles asked for before a view runs."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from flask import Flask, Response, current_app, g, redirect, request, session, url_for
from flask.sessions import SecureCookieSessionInterface
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy.exc import DBAPIError

from marketplace.db import db
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.errors import NotPermitted
from marketplace.kernel.ids import new_id
from marketplace.kernel.meeting import Meeting
from marketplace.kernel.words import N_
from marketplace.parties import sessions
from marketplace.parties.sessions import Person

manager = LoginManager()
View = Callable[..., ResponseReturnValue]
Posted = tuple[Person, int] | None  # whose post it is, and the seconds it is to wait; None for nobody's
POSTS, POSTS_MAX = "post_meeting", 64


class SignedIn(UserMixin):  # type: ignore[misc]
    """What Flask-Login carries: the token of the session and the person it belongs to."""

    def __init__(self, token: str, person: Person) -> None:
        self.token = token
        self.person = person

    def get_id(self) -> str:
        """Return what the cookie holds: the token, never a user's id."""
        return self.token


class Cookies(SecureCookieSessionInterface):
    """Flask's signed cookie, whose signer is made once: it depends on nothing but the secret."""

    def __init__(self) -> None:
        self._made: tuple[object, URLSafeTimedSerializer | None] = (None, None)

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """Return what reads and signs cookies."""
        secrets = (app.secret_key, tuple(app.config["SECRET_KEY_FALLBACKS"] or ()))
        known, signer = self._made
        if known != secrets:
            signer = super().get_signing_serializer(app)
            self._made = (secrets, signer)
        return signer


@manager.user_loader  # type: ignore[untyped-decorator]
def _load(token: str) -> SignedIn | None:
    if g.get("without_database"):
        return None
    policy = current_app.extensions["duebill"].policy.session
    if g.pop("count_post", False):
        person, g.post_waits = _looked_up(token) or (None, None)
    else:
        person = sessions.opened_by(db.engine, token, policy.idle_minutes)
    if person is None:
        return None
    if person.stale:
        sessions.touch(db.engine, person.session_id)
    return SignedIn(token, person)


def _looked_up(token: str) -> Posted:
    """Look a post up and count it: together with those of the same moment, alone where that failed."""
    known: Meeting[str, Posted] | None = current_app.extensions.get(POSTS)
    posts = known or current_app.extensions.setdefault(POSTS, Meeting(_opened_and_counted, POSTS_MAX))
    try:
        return posts.ask(token)
    except DBAPIError:
        return _opened_and_counted([token])[0]


def _opened_and_counted(tokens: Sequence[str]) -> list[Posted]:
    policy = current_app.extensions["duebill"].policy.session
    return sessions.opened_and_counted(db.engine, tokens, policy.idle_minutes, policy.posts_per_minute_max)


def signed_in_person() -> Person | None:
    """Return the person whose session this request carries, or None."""
    user = current_user._get_current_object()  # each look through the proxy costs as much as this one
    return user.person if user is not None and user.is_authenticated else None


def current_actor() -> Actor | None:
    """Return the signed-in person as an actor, with this request's id; None for a visitor."""
    person = signed_in_person()
    if person is None:
        return None
    return Actor(person.role, person.user_id, person.organisation_id, request_id=request_id())


def require_actor() -> Actor:
    """Return the actor of a view that `signed_in` guards."""
    actor = current_actor()
    if actor is None:
        raise NotPermitted("not_signed_in", N_("Sign in first."))
    return actor


def request_id() -> Any:
    """Return this request's id, as its log lines and audit events carry it."""
    if "request_id" not in g:
        g.request_id = new_id()
    return g.request_id


def signed_in(*roles: Role) -> Callable[[View], View]:
    """Let only people of these roles into a view. A visitor is sent to sign in and brought back."""

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> ResponseReturnValue:
            person = signed_in_person()
            if person is None:
                return _to_sign_in()
            if roles and person.role not in roles:
                raise NotPermitted("not_permitted", N_("Your role may not do this."))
            return view(*args, **kwargs)

        guarded.roles = frozenset(roles)  # type: ignore[attr-defined]
        return guarded

    return guard


def begin(token: str, person: Person) -> None:
    """Put a new session's token into the cookie; nothing of the earlier cookie survives."""
    session.clear()
    login_user(SignedIn(token, person))


def end() -> bytes | None:
    """Forget the cookie's session; return the hash of its token, to be ended on the server."""
    hash_ = current_token_hash()
    logout_user()
    session.clear()
    return hash_


def current_token_hash() -> bytes | None:
    """Return the hash of the token this request carries, if any."""
    token = session.get("_user_id")
    return sessions.token_hash(token) if isinstance(token, str) else None


def _to_sign_in() -> Response:
    wanted = request.full_path.rstrip("?") if request.method == "GET" else None
    address = url_for("public.sign_in", next=wanted)
    return redirect(address, 303)  # type: ignore[return-value]


def install(app: Flask) -> None:
    """Wire Flask-Login and its cookie: `__Host-` and Secure over https; HttpOnly and SameSite=Lax always."""
    https = app.extensions["duebill"].settings.base_url.startswith("https://")
    app.config.update(
        SESSION_COOKIE_NAME="__Host-duebill" if https else "duebill",
        SESSION_COOKIE_SECURE=https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
    )
    app.session_interface = Cookies()
    manager.session_protection = None  # the server knows every session; an address may change on the way
    manager.init_app(app)
    app.jinja_env.globals["signed_in_person"] = signed_in_person
