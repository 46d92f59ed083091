"""Every payment test has a sandbox process and a market pointed at it."""

from tests.payments.playing import kept_app, market, sandbox

__all__ = ["kept_app", "market", "sandbox"]
