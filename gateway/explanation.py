"""The answer to a question about access as values, for pages and the REST API; `explaining.py` makes it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """One access rule, and why it does not decide: `why` is a `Misfit`, or empty for the one that does."""

    id: str
    group: str
    policy: str
    priority: int
    note: str
    why: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit of the rule that decides. `ends_at`: when what was used is forgotten; None: as calls end."""

    name: str
    words: str
    limit: int
    used: int
    ends_at: datetime | None

    @property
    def left(self) -> int:
        return max(0, self.limit - self.used)


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """A rule of the policy about different values: from `limit` on its gate applies."""

    rule: str
    gate: str
    value: str  # data class or tag; empty: all
    window: str
    limit: int
    used: int
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a call would get. `code` and `words` are those of the error; empty when it is let in."""

    at: datetime
    caller: str
    key: str  # public prefix; empty: any key of this caller
    groups: tuple[str, ...]
    endpoint: str
    model: str
    path: str  # empty: none in particular
    address: str
    allowed: bool
    code: str
    words: str
    rule: Considered | None
    others: tuple[Considered, ...]
    left_out: int  # rules of groups that the caller is not in, beyond those in `others`
    policy: str = ""  # name@number
    policy_version_id: str = ""
    schema: str = ""
    schema_version_id: str = ""
    observes_until: datetime | None = None  # until then the policy enforces for restricted data only
    declared: str = ""  # the level that the key declares, unless a call says so itself
    ceiling: str = ""  # the highest level that the endpoint takes
    limits: tuple[Limit, ...] = ()
    values: tuple[Values, ...] = ()
    notes: tuple[str, ...] = ()  # what a reader should know besides

    def as_json(self) -> dict[str, Any]:
        """Plain values: times as ISO 8601 in UTC."""
        told: dict[str, Any] = _plain(asdict(self))
        for limit, row in zip(self.limits, told["limits"], strict=True):
            row["left"] = limit.left
        return told


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
