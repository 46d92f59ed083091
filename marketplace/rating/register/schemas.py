"""Commands about the companies register. None comes from a form but the wish to ask again."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from marketplace.rating.register.answers import CompanyAnswer


@dataclass(frozen=True)
class RecordRegisterAnswer:
    """Keep what the register said of a party. `source` is api or snapshot; `said_on` the day it speaks of."""

    organisation_id: UUID
    answer: CompanyAnswer
    source: str = "api"
    said_on: date | None = None


@dataclass(frozen=True)
class NoteRegisterTrouble:
    """Note that asking about a party failed, with the code of the failure; it is asked again, later each time."""

    organisation_id: UUID
    code: str


@dataclass(frozen=True)
class NoteRegisterLine:
    """Note how the register itself does. `seconds`: for how long it is left alone."""

    state: str
    code: str | None = None
    seconds: int = 0


@dataclass(frozen=True)
class NoteRegisterDocument:
    """Note what became of the newest accounts at the register: filed, on_file, not_digital or refused, and why."""

    organisation_id: UUID
    document_id: str
    outcome: str
    words: str | None = None


@dataclass(frozen=True)
class AskRegisterAgain:
    """Ask about a party at the next opportunity rather than when it is due."""

    organisation_id: UUID
