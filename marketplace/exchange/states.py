"""The life of a claim: as this market knows its own, and as a registry keeps everybody's."""

from enum import StrEnum

from marketplace.kernel.states import Machine


class ClaimState(StrEnum):
    """What the registry last said of a claim of ours. `elsewhere`: somebody else has it."""

    UNASKED = "unasked"
    REGISTERED = "registered"
    FINANCED = "financed"
    RELEASED = "released"
    ELSEWHERE = "elsewhere"


class HeldState(StrEnum):
    """How a registry holds a claim for a peer. A registered one lapses with its lease, a financed one never."""

    REGISTERED = "registered"
    FINANCED = "financed"
    RELEASED = "released"


_C = ClaimState

CLAIM = Machine(
    "exchange_claim",
    ClaimState,
    {
        _C.UNASKED: (_C.REGISTERED, _C.FINANCED, _C.RELEASED, _C.ELSEWHERE),
        _C.REGISTERED: (_C.FINANCED, _C.RELEASED, _C.ELSEWHERE, _C.UNASKED),
        _C.FINANCED: (_C.RELEASED, _C.ELSEWHERE, _C.UNASKED),
        _C.RELEASED: (_C.REGISTERED, _C.FINANCED, _C.ELSEWHERE, _C.UNASKED),
        _C.ELSEWHERE: (_C.REGISTERED, _C.FINANCED, _C.RELEASED, _C.UNASKED),
    },
)

_H = HeldState

HELD = Machine(
    "registry_claim",
    HeldState,
    {
        _H.REGISTERED: (_H.FINANCED, _H.RELEASED),
        _H.FINANCED: (_H.RELEASED,),
    },
)
