"""Who does something: a person in a role, or the system on behalf of a job."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from marketplace.kernel.ids import new_id
from marketplace.kernel.log_lines import run_id


class Role(StrEnum):
    """The kinds of people Duebill knows. A user has exactly one, through the organisation."""

    SELLER = "seller"
    INVESTOR = "investor"
    OPERATOR = "operator"
    REGULATOR = "regulator"
    DEBTOR = "debtor"
    SYSTEM = "system"


@dataclass(frozen=True)
class Actor:
    """The one who acts, as every audit event names him."""

    role: Role
    user_id: UUID | None = None
    organisation_id: UUID | None = None
    on_behalf_of: str | None = None
    request_id: UUID = field(default_factory=new_id)

    @classmethod
    def system(cls, job: str) -> "Actor":
        """Return the actor of a scheduled job or of a command at the console; within a run, with the run's id."""
        return cls(Role.SYSTEM, on_behalf_of=job, request_id=run_id() or new_id())
