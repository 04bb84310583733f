"""What a second person's confirmation lets a service do. `policies.proposals` alone makes a `Grant`.

A service that may need two people takes `grant` and calls `require` in its own transaction, so that every way
to it (admin, REST, YAML, a task) meets the same question.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from policies.publishing import PolicyServiceError


class NeedsSecondPerson(PolicyServiceError):
    """The change has to be proposed; `kind` is what `policies.proposals.propose` wants to hear."""

    def __init__(self, kind: str, target_id: UUID | None, why: str) -> None:
        super().__init__(f"{why} Propose it, and somebody else confirms it.")
        self.kind, self.target_id = kind, target_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One confirmed change of one target. `target_id` is None for what does not exist yet."""

    proposal_id: UUID
    kind: str
    target_id: UUID | None

    def covers(self, kind: str, target_id: UUID | None) -> bool:
        return (self.kind, self.target_id) == (kind, target_id)

    def onto(self, kind: str, target_id: UUID) -> Grant:
        """The same grant for the step that the confirmed change is made of: a rollback publishes a draft."""
        return replace(self, kind=kind, target_id=target_id)


def require(grant: Grant | None, *, kind: str, target_id: UUID | None, needed: bool, why: str) -> None:
    """Raises `NeedsSecondPerson` where two people are needed and this grant is not for this change."""
    if needed and not (grant and grant.covers(kind, target_id)):
        raise NeedsSecondPerson(kind, target_id, why)
