"""Settings from the environment: frozen, complete, and naming the variable that is wrong."""

import os
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONFIG = Path(__file__).resolve().parent
HOUSE = CONFIG.parent
EXCHANGE_KEY_LENGTH_MIN = 32


class SettingsError(ValueError):
    """A variable of the environment cannot be used. The message names it and what it should be."""


@dataclass(frozen=True)
class Exchange:
    """How this market tells its claims from other markets': a consortium's key, and a registry if there is one.

    Off without a key. `public_key` is what an oblivious registry commits to; it is pinned.
    """

    key: bytes = field(default=b"", repr=False)
    url: str = ""
    key_id: str = ""
    secret: bytes = field(default=b"", repr=False)
    mode: str = "hmac"
    public_key: bytes = b""

    @property
    def asks(self) -> bool:
        """Whether there is a registry to ask."""
        return bool(self.key and self.url)


@dataclass(frozen=True)
class CompaniesRegister:
    """How the companies register (Companies House) is asked. Nothing is asked without a key, which is free."""

    key: str = field(default="", repr=False)
    base: str = "https://api.company-information.service.gov.uk"
    document_base: str = "https://document-api.company-information.service.gov.uk"

    @property
    def asks(self) -> bool:
        """Whether there is a key to ask with."""
        return bool(self.key)


@dataclass(frozen=True)
class Settings:
    """What one installation needs to know. Secrets do not show in its representation."""

    home: Path
    database_url: str = field(repr=False)
    secret_key: str = field(repr=False)
    pepper: bytes = field(repr=False)
    policy_table: Mapping[str, Any] = field(repr=False)
    reader_database_url: str = field(default="", repr=False)  # of a role that may only read; else the one above
    base_url: str = "http://127.0.0.1:8000"
    stripe_api_key: str = field(default="sk_test_sandbox", repr=False)
    stripe_webhook_secret: str = field(default="", repr=False)
    stripe_api_base: str = "http://127.0.0.1:8001"
    demo: bool = False
    demo_password: str = "demonstration only"
    testing: bool = False
    metrics_token: str = field(default="", repr=False)  # nobody is shown any figure without one
    exchange: Exchange = field(default_factory=Exchange)
    companies_register: CompaniesRegister = field(default_factory=CompaniesRegister)
    rating_data_place: Path | None = None

    @property
    def rating_dir(self) -> Path:
        """Where the shipped rating model lies."""
        return CONFIG / "rating"

    @property
    def rating_data(self) -> Path:
        """Where the public firm-years lie, if they are at hand: the month's learning adds its own rows to them."""
        return self.rating_data_place or self.home / "rating-data"

    @property
    def chart_file(self) -> Path:
        """The chart of accounts."""
        return CONFIG / "chart_of_accounts.toml"


def policy_in_force(env: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the policy that an environment names, by default the one beside this file, as a table."""
    return read_policy(Path(env["DUEBILL_POLICY"]) if env.get("DUEBILL_POLICY") else None)


def read_policy(path: Path | None = None) -> Mapping[str, Any]:
    """Return the policy file as a table."""
    return tomllib.loads((path or CONFIG / "policy.toml").read_text(encoding="utf-8"))


def home_dir(environ: Mapping[str, str]) -> Path:
    """Return the folder that holds this installation's data: DUEBILL_HOME, else `var` beside the code."""
    return Path(environ.get("DUEBILL_HOME") or HOUSE / "var").expanduser().resolve()


def from_environment(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Raises: SettingsError naming the variable.
    """
    env = os.environ if environ is None else environ
    home = home_dir(env)
    url = env.get("DATABASE_URL", "")
    if not url:
        raise SettingsError("DATABASE_URL is not set: start with bin/run, or name a PostgreSQL of your own")
    reader = env.get("DUEBILL_READER_DATABASE_URL", "")
    return Settings(
        home=home,
        database_url=sqlalchemy_url(url),
        reader_database_url=sqlalchemy_url(reader) if reader else "",
        secret_key=env.get("DUEBILL_SECRET_KEY") or kept_secret(home, "web-session"),
        pepper=(env.get("DUEBILL_PEPPER") or kept_secret(home, "title-pepper")).encode(),
        policy_table=policy_in_force(env),
        base_url=_web_address(env, "DUEBILL_BASE_URL", "http://127.0.0.1:8000"),
        stripe_api_key=env.get("STRIPE_API_KEY", "sk_test_sandbox"),
        stripe_webhook_secret=env.get("STRIPE_WEBHOOK_SECRET") or kept_secret(home, "stripe-webhook"),
        stripe_api_base=_web_address(env, "STRIPE_API_BASE", "http://127.0.0.1:8001"),
        demo=_flag(env, "DUEBILL_DEMO"),
        metrics_token=env.get("DUEBILL_METRICS_TOKEN") or kept_secret(home, "metrics"),
        exchange=read_exchange(env),
        companies_register=read_companies_register(env),
        rating_data_place=Path(env["DUEBILL_RATING_DATA"]) if env.get("DUEBILL_RATING_DATA") else None,
    )


def read_companies_register(env: Mapping[str, str]) -> CompaniesRegister:
    """Read how the companies register is asked: REGISTRY_API_KEY, and its addresses where they are not the usual ones.

    Raises: SettingsError naming the variable.
    """
    usual, key = CompaniesRegister(), env.get("REGISTRY_API_KEY", "").strip()
    if not key.isascii() or not key.isprintable() or ":" in key:
        raise SettingsError("REGISTRY_API_KEY must be the key as Companies House gave it, without a colon")
    return CompaniesRegister(key, _web_address(env, "REGISTRY_API_BASE", usual.base),
                             _web_address(env, "REGISTRY_DOCUMENT_BASE", usual.document_base))  # fmt: skip


def read_exchange(env: Mapping[str, str]) -> Exchange:
    """Read how claims are exchanged: EXCHANGE_KEY, and the variables REGISTRY_… where a registry is asked.

    Raises: SettingsError naming the variable.
    """
    key, url = env.get("EXCHANGE_KEY", ""), env.get("REGISTRY_URL", "")
    if key and len(key) < EXCHANGE_KEY_LENGTH_MIN:
        raise SettingsError("EXCHANGE_KEY must have 32 characters or more: bin/market claims new-key makes one")
    if not url:
        return Exchange(key.encode())
    if not key:
        raise SettingsError("REGISTRY_URL needs EXCHANGE_KEY, the key that the consortium shares")
    mode, public_key = env.get("REGISTRY_MODE") or "hmac", env.get("REGISTRY_PUBLIC_KEY", "")
    if mode not in {"hmac", "oblivious"}:
        raise SettingsError("REGISTRY_MODE must be hmac or oblivious")
    for name in ("REGISTRY_KEY_ID", "REGISTRY_SECRET"):
        if not env.get(name):
            raise SettingsError(f"{name} is not set: it comes with the registry’s “peer add”")
    if mode == "oblivious" and not _is_hex(public_key, 32):
        raise SettingsError("REGISTRY_PUBLIC_KEY must be the registry’s key, 64 hexadecimal digits, in oblivious mode")
    pinned = bytes.fromhex(public_key) if mode == "oblivious" else b""
    return Exchange(key.encode(), _web_address(env, "REGISTRY_URL", url), env["REGISTRY_KEY_ID"],
                    env["REGISTRY_SECRET"].encode(), mode, pinned)  # fmt: skip


def sqlalchemy_url(url: str) -> str:
    """Return the URL with the psycopg 3 driver named.

    Raises: SettingsError when it is not a PostgreSQL URL.
    """
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in {"postgres", "postgresql", "postgresql+psycopg"}:
        raise SettingsError("DATABASE_URL must begin with postgresql://")
    return f"postgresql+psycopg://{rest}"


def kept_secret(home: Path, name: str) -> str:
    """Return a secret of this installation, made once and kept in a file only its owner may read."""
    folder = home / "secrets"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / name
    while not path.exists():
        draft = folder / f".{name}.{os.getpid()}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text(encoding="utf-8")


def _web_address(env: Mapping[str, str], name: str, otherwise: str) -> str:
    value = env.get(name) or otherwise
    if not value.startswith(("http://", "https://")):
        raise SettingsError(f"{name} must begin with http:// or https://")
    return value.rstrip("/")


def _is_hex(text: str, size: int) -> bool:
    try:
        return len(bytes.fromhex(text)) == size
    except ValueError:
        return False


def _flag(env: Mapping[str, str], name: str) -> bool:
    value = env.get(name, "0")
    if value not in {"0", "1"}:
        raise SettingsError(f"{name} must be 0 or 1")
    return value == "1"
