"""What a benchmark says: one record a target, with what it rests on. Ratios, not seconds: machines differ."""

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

Say = Callable[[str], None]


@dataclass(frozen=True)
class Figure:
    """One target of a benchmark: the value measured, in how many runs, and whether it reaches what is asked.

    A value of None says that it could not be measured here, and so does `ok`; the parts say why.
    """

    name: str
    value: float | None
    target: float
    ok: bool | None
    runs: int
    parts: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=lambda: machine())

    def record(self) -> dict[str, Any]:
        """Return it as the line that is printed."""
        return asdict(self)


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    return {"cpus": os.cpu_count(), "memory_gb": round(pages / 2**30, 1), "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}"}  # fmt: skip


def middle(values: list[float]) -> float:
    """Return the median, to four places."""
    return round(median(values), 4)


def ratio(these: list[float], those: list[float]) -> float:
    """Return the median of one measure ÷ another, run by run."""
    return middle([one / other for one, other in zip(these, those, strict=True)])
