"""What was asked for, and how far the work on it got: a job's two documents as values.

A person asks, or a program by a key. What the key does now is known in a room above (`programs_by`).

    Changed   a document does not read as it was written: somebody wrote to the store
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
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


PERSON: Final = "person"


class Changed(Exception):
    """What was asked for is not what is in the store."""

    def __init__(self) -> None:
        super().__init__("What was asked for was changed in the store afterwards. Ask for it anew.")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One export as it was asked for. `until`: calls that began later are not in it."""

    person: UUID  # or program
    subject: str
    name: str
    form: str
    payloads: bool
    selection: Mapping[str, Any]  # as far as it may be said
    sealed: str  # as it was asked
    areas: list[str] | None
    reason: str
    until: str
    kind: str = PERSON
    owner: str = ""  # of a program
    key: str = ""  # that a program came with
    key_prefix: str = ""

    @classmethod
    def of(cls, job: Job) -> Asked:
        """As it stands in the store. Raises `Changed` where that is nothing that was ever written there."""
        try:
            asked = cls(**{**job.options, "person": UUID(job.options["person"])})
            ids = [UUID(text) for text in (asked.until, asked.owner, asked.key) if text]
        except (TypeError, KeyError, ValueError, AttributeError):
            raise Changed from None
        if not ids or not asked._reads():
            raise Changed
        return asked

    def _reads(self) -> bool:
        texts = (self.subject, self.name, self.form, self.sealed, self.reason, self.kind, self.key_prefix)
        areas = [] if self.areas is None else self.areas
        return (
            all(isinstance(text, str) for text in texts)
            and isinstance(self.payloads, bool)
            and isinstance(self.selection, dict)
            and isinstance(areas, list)
            and all(isinstance(area, str) for area in areas)
        )

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "person": str(self.person)}

    def said(self) -> bytes:
        """All of it in one form: what is sealed with the selection."""
        rest = {name: value for name, value in self.as_json().items() if name != "sealed"}
        return json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()

    @property
    def by(self) -> Who:
        return Who(
            person_id=self.person,
            subject=self.subject,
            name=self.name,
            kind=self.kind,
            owner_id=UUID(self.owner) if self.owner else None,
            key_id=UUID(self.key) if self.key else None,
            key_prefix=self.key_prefix,
        )

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
    stated: int = 0  # the last checkpoint when all of its entries were in one
    since: str = ""  # when waiting for the anchors began
    unanchored: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    problem_count: int = 0

    @classmethod
    def of(cls, job: Job) -> Progress:
        said = (job.result or {}).get("progress")
        try:
            return cls(**said) if said else cls()
        except TypeError:
            raise Changed from None

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


Program = Callable[[Asked], Any]
"""Whoever holds what a program's key does now, as a person holds rights; None: the key has ended."""

_programs: list[Program] = []


def programs_by(program: Program) -> None:
    """Say how programs are looked up. Called once, while applications start."""
    _programs[:] = [program]


def may_have(asked: Asked) -> bool:
    """Whether whoever asked may have it now. Their rows are read anew."""
    asker = _person(asked) if asked.kind == PERSON else _programs[0](asked) if _programs else None
    return asker is not None and asker.has_perm(EXPORTS) and covers(exported_by(asker), asked.within)


def _person(asked: Asked) -> Any:
    return get_user_model()._default_manager.filter(pk=asked.person, is_active=True).first()


def area_of(job: Job) -> str:
    """Where its events lie. In none where nobody can say: whoever audits everywhere sees those."""
    try:
        return Asked.of(job).area
    except Changed:
        return ""
