"""Every payment test has a sandbox process and a market pointed at it."""

from tests.payments.playing import market, sandbox

__all__ = ["market", "sandbox"]
