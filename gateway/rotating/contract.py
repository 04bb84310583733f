"""What a rotator is: who makes a provider's keys and takes them back. An extension point: docs/rotation.md.

A rotator makes keys at a provider and takes them back. It keeps nothing: what it made is sealed by whoever
called it, and what it is asked twice it may do twice, since every key that is not on record is taken back
again. It never sees the store, and what it raises holds no secret:

    RotatorError
    ├── Failed      it may work later: unreachable, busy, an answer that cannot be read
    ├── Refused     it will not work until somebody changes something: permission, options, quota
    └── Waiting     nothing is wrong, there is nothing to take yet: a person's turn, a slot that is in use
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Final, Protocol, runtime_checkable
from uuid import UUID

from gateway.credentials.secret import Secret

SECONDS: Final = 40.0
"""For all that one step asks of a provider: less than the lease under which it is taken."""


class RotatorError(Exception):
    """`code` is one word for the record, the text is for people. Neither holds a secret."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


class Failed(RotatorError):
    pass


class Refused(RotatorError):
    pass


class Waiting(RotatorError):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """The provider's admin API: where it is and what opens it."""

    origin: str
    headers: Mapping[str, Secret]
    secret: Secret
    """The same by itself, for a provider that wants it otherwise."""
    allow_private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What a rotator is told."""

    credential_id: UUID
    label: str
    """The name of the key to make: unique to this attempt, so that it is found again."""
    family: str
    """What the labels of all keys of this credential begin with."""
    origin: str
    """Where the secret will be sent."""
    options: Mapping[str, Any]
    door: Door | None
    current: Secret | None
    """To be compared with what is found. It is sent to `origin` and nowhere else."""
    in_use: frozenset[str] = frozenset()
    """What the provider calls the keys that are on record and still good."""
    leaving: frozenset[str] = frozenset()
    """The same of those that have still to be taken back."""
    ends: float = field(default=float("inf"))
    """`time.monotonic()` by which it has to be back."""


@dataclass(frozen=True, slots=True)
class Made:
    """A new key. `provider_id` is what it is taken back by; not a secret."""

    secret: Secret
    provider_id: str
    good_for: timedelta | None = None
    """How long its provider takes it; the next rotation comes before."""


@dataclass(frozen=True, slots=True)
class FromList:
    """Take the next of the spare secrets that were sealed beforehand."""


@dataclass(frozen=True, slots=True)
class Found:
    """A key that the provider has, and whose label is of the family."""

    provider_id: str
    label: str


class Rotator(Protocol):
    """One file of `gateway/rotating/rotators`, or of a package that the setting ROTATORS names."""

    name: ClassVar[str]
    title: ClassVar[str]
    needs_door: ClassVar[bool]
    """Whether it needs an admin credential."""

    def complaints(self, options: Mapping[str, Any]) -> Sequence[str]:
        """What is wrong with these options, in words; nothing if they will do."""
        ...

    def create(self, errand: Errand) -> Made | FromList:
        """Make a key under `errand.label`."""
        ...

    def revoke(self, errand: Errand, provider_id: str) -> None:
        """Take a key back. One that is gone already is no error."""
        ...

    def living(self, errand: Errand) -> Sequence[Found] | None:
        """The keys of the family that the provider has. None: it cannot tell."""
        ...


@runtime_checkable
class Settling(Protocol):
    """What a rotator may have besides, where replicas learn of a key one after the other: one good answer
    says little then."""

    def settles(self, options: Mapping[str, Any]) -> timedelta:
        """How long every try of a new key has to succeed before it is used."""
        ...

    def ready(self, errand: Errand) -> bool:
        """Whether every replica has started since the key was made, as far as the provider can tell."""
        ...
