"""How the exchange is switched on, and which variable is named when it is switched on wrongly."""

import pytest

from config.settings import SettingsError, read_exchange

KEY = "k" * 32
PEER = {"EXCHANGE_KEY": KEY, "REGISTRY_URL": "https://registry.example/", "REGISTRY_KEY_ID": "k-1",
        "REGISTRY_SECRET": "s"}  # fmt: skip


def test_off_unless_there_is_a_key() -> None:
    assert not read_exchange({}).key
    alone = read_exchange({"EXCHANGE_KEY": KEY})
    assert (alone.key, alone.asks) == (KEY.encode(), False)


def test_with_a_registry() -> None:
    found = read_exchange(PEER)
    assert (found.asks, found.url, found.mode) == (True, "https://registry.example", "hmac")
    assert read_exchange(PEER | {"REGISTRY_MODE": "oblivious", "REGISTRY_PUBLIC_KEY": "ab" * 32}).public_key == (
        b"\xab" * 32
    )
    assert KEY not in repr(found)
    assert "'s'" not in repr(found)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"EXCHANGE_KEY": "short"}, "EXCHANGE_KEY"),
        ({"EXCHANGE_KEY": ""}, "EXCHANGE_KEY"),
        ({"REGISTRY_URL": "registry.example"}, "REGISTRY_URL"),
        ({"REGISTRY_KEY_ID": ""}, "REGISTRY_KEY_ID"),
        ({"REGISTRY_SECRET": ""}, "REGISTRY_SECRET"),
        ({"REGISTRY_MODE": "secret"}, "REGISTRY_MODE"),
        ({"REGISTRY_MODE": "oblivious"}, "REGISTRY_PUBLIC_KEY"),
        ({"REGISTRY_MODE": "oblivious", "REGISTRY_PUBLIC_KEY": "zz" * 32}, "REGISTRY_PUBLIC_KEY"),
    ],
)
def test_the_variable_at_fault_is_named(change: dict[str, str], name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_exchange(PEER | change)
