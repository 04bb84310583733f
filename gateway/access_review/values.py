"""Who reaches what, as values: for pages, the REST API and exports."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFacts:
    """An access rule as a reviewer reads it. Empty lists: all of them, from anywhere."""

    id: str
    priority: int
    policy: str
    models: tuple[str, ...]
    paths: tuple[str, ...]
    networks: tuple[str, ...]
    limits: tuple[str, ...]
    until: datetime | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to an endpoint: through a group, under a rule. `since` None: before memberships were kept."""

    group: str
    source: str  # manual | system | oidc | saml | token | scim, "" where nobody knows
    source_words: str
    since: datetime | None
    group_locked: bool
    rule: RuleFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """A key that is valid now and reaches the endpoint: its public prefix, never more."""

    prefix: str
    name: str
    kind: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """One caller at one endpoint. `states` say why they cannot call now: inactive, locked …"""

    kind: str  # person | service
    id: str
    caller: str  # user name, or the service account's
    name: str
    owner: str  # of a service account
    states: tuple[str, ...]
    endpoint_id: str
    endpoint: str
    area: str
    ways: tuple[Way, ...]  # in deciding order
    keys: tuple[KeyFacts, ...]
    last_call: datetime | None

    def as_json(self) -> dict[str, Any]:
        """Plain values: times as ISO 8601 in UTC."""
        told: dict[str, Any] = plain(asdict(self))
        return told


@dataclass(frozen=True, slots=True)
class Page:
    """Some callers of an endpoint; `after` is where the next page begins, empty at the end."""

    rows: tuple[Reached, ...]
    after: str


def plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value
