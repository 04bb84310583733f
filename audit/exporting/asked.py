"""What was asked for, and how far the work on it got: a job's two documents as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, final
from uuid import UUID

from django.contrib.auth import get_user_model

from audit.models import Job
from audit.records import Who
from audit.walls import EVERYWHERE, PERMISSION, Areas, areas_with

KIND: Final = "export"
EXPORTS: Final = "audit.export_call"
NAMED: Final = 20
"""Problems of the record that a job names; their number is kept in any case."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One export as it was asked for. `until`: calls that began later are not in it."""

    person: UUID
    subject: str
    name: str
    form: str
    payloads: bool
    selection: Mapping[str, Any]  # as far as it may be said
    sealed: str  # as it was asked
    areas: list[str] | None
    reason: str
    until: str

    @classmethod
    def of(cls, job: Job) -> Asked:
        return cls(**{**job.options, "person": UUID(job.options["person"])})

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "person": str(self.person)}

    @property
    def by(self) -> Who:
        return Who(person_id=self.person, subject=self.subject, name=self.name, kind="person")

    @property
    def within(self) -> Areas:
        return EVERYWHERE if self.areas is None else frozenset(self.areas)

    @property
    def area(self) -> str:
        """Where its events lie: in its area, or in none where it is about several."""
        return self.areas[0] if self.areas and len(self.areas) == 1 else ""


@final
@dataclass(slots=True)
class Progress:
    """How far the work got. `data`, `entries`: bytes of the two files that belong to it."""

    cursor: str = ""
    rows: int = 0
    open_calls: int = 0
    entry_count: int = 0
    data: int = 0
    entries: int = 0
    stage: str = "reading"
    problems: list[str] = field(default_factory=list)
    problem_count: int = 0

    @classmethod
    def of(cls, job: Job) -> Progress:
        said = (job.result or {}).get("progress")
        return cls(**said) if said else cls()

    def as_json(self) -> dict[str, Any]:
        return {"progress": asdict(self)}

    def problem(self, text: str) -> None:
        """Something in the record that is not as it should be: the export says so, and holds the rest."""
        self.problem_count += 1
        if len(self.problems) < NAMED:
            self.problems.append(text)


def exported_by(person: Any) -> Areas:
    """Where this person may export calls: where they may look at them, too."""
    one, other = areas_with(person, EXPORTS), areas_with(person, PERMISSION)
    if one is None or other is None:
        return other if one is None else one
    return one & other


def covers(areas: Areas, asked: Areas) -> bool:
    """Whether whoever may export in `areas` may have what lies in `asked`."""
    if areas is None:
        return True
    return asked is not None and asked <= areas


def may_have(asked: Asked) -> bool:
    """Whether the person who asked may have it now. Their rows are read anew."""
    person = get_user_model()._default_manager.filter(pk=asked.person, is_active=True).first()
    return person is not None and person.has_perm(EXPORTS) and covers(exported_by(person), asked.within)
