"""What proposals refuse.

PolicyServiceError
├── NeedsSecondPerson   the service was called directly where two people are needed
└── ProposalError
    ├── NotAllowed      the permission is missing, the account is inactive, or it is the same person
    ├── NotAsSeen       what was displayed is not what is proposed
    ├── AlreadyDecided  somebody was faster
    ├── AlreadyProposed there is an open proposal for the same change of the same thing
    ├── Gone            there is nothing (left) to change
    ├── Stale           the target changed since, or time ran out; it is closed and nothing was applied
    └── CannotApply     the change itself is refused; the proposal stays open. `problems` lists why
"""

from __future__ import annotations

from collections.abc import Iterable

from policies.publishing import PolicyServiceError


class ProposalError(PolicyServiceError):
    """Root of what these services refuse, in words for the person who asked."""


class NotAllowed(ProposalError):
    pass


class NotAsSeen(ProposalError):
    pass


class AlreadyDecided(ProposalError):
    pass


class AlreadyProposed(ProposalError):
    pass


class Gone(ProposalError):
    pass


class Stale(ProposalError):
    pass


class CannotApply(ProposalError):
    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(" ".join(self.problems))
