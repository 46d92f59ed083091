"""What the room's verbs are asked to do."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from marketplace.exchange.rules import Answer


@dataclass(frozen=True)
class CheckClaims:
    """Work out a receivable's claims and look for them among what other markets' files say."""

    receivable_id: UUID


@dataclass(frozen=True)
class Answered:
    """What a registry answered about one claim of ours."""

    claim_id: UUID
    operation: str
    answer: Answer
    pseudonym: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class RecordExchangeAnswer:
    """What a registry answered about one receivable."""

    receivable_id: UUID
    answers: Sequence[Answered]


@dataclass(frozen=True)
class NoteRegistry:
    """How the registry behaved: a state and, unless it answered, a stable code of what was wrong."""

    state: str
    code: str | None = None


@dataclass(frozen=True)
class TrustIssuer:
    """Take another market's files, signed with this key (name+id+base64), from now on; or no longer."""

    verifier_key: str
    revoke: bool = False


@dataclass(frozen=True)
class ImportClaims:
    """Take a file of claims. `issuer` names whose it must be; None takes any issuer that is trusted."""

    content: bytes = field(repr=False)
    issuer: str | None = None


@dataclass(frozen=True)
class ExportClaims:
    """Note that a file of claims was made for others."""

    sha256: str
    claims: int


@dataclass(frozen=True)
class OpenRegistry:
    """Open this database as a registry in one mode, for good."""

    mode: str
    public_key: bytes | None = None


@dataclass(frozen=True)
class AddPeer:
    """Let a market ask: a new peer, or a further key of one that is known."""

    name: str
    key_id: str


@dataclass(frozen=True)
class RevokePeer:
    """End one key."""

    key_id: str


@dataclass(frozen=True)
class AnswerPeer:
    """A request whose signature was right. A release has a reason for each claim; `elements` counts blinded ones."""

    key_id: str
    peer_id: UUID
    seconds: int
    nonce: bytes
    operation: str
    claims: Sequence[bytes] = ()
    reasons: Sequence[str] = ()
    elements: int = 0


@dataclass(frozen=True)
class SweepRegistry:
    """Let leases lapse whose time is over, and forget requests too old to come again."""

    batch: int = 1_000
