"""How many examples a property is tried on: 2,000 by default, more on demand.

`DUEBILL_EXAMPLES=100000 bin/test tests/auction` runs the long profile.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("DUEBILL_EXAMPLES", "2000"))


def properties(share: int = 1) -> settings:
    """Return the settings of a property; `share` divides the examples among that many tests of one rule."""
    return settings(
        max_examples=max(EXAMPLES // share, 1),
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large],
    )
