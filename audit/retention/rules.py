"""Which rule keeps a call, and for how long. Pure but for `rules_in_force`.

The most specific rule wins: the one that names most of endpoint, policy, level and area. Of several equally
specific ones nothing is removed that any of them keeps. Without a rule everything is kept for ever.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, final

from audit.models import LegalHold, RetentionRule


@final
@dataclass(frozen=True, slots=True)
class Scope:
    """What a rule looks at in a call. `policy` is its name, without the version."""

    area: str
    endpoint: str
    policy: str
    level: str


@final
@dataclass(frozen=True, slots=True)
class Term:
    """How long; None is for ever. `rule` names the rules that say so."""

    payload_days: int | None = None
    row_days: int | None = None
    rule: str = ""

    def payloads_due(self, day: date) -> date | None:
        """The first day on which the payloads of `day` may go."""
        return _due(day, self.payload_days)

    def rows_due(self, day: date) -> date | None:
        return _due(day, self.row_days)


FOREVER: Final = Term()


def rules_in_force() -> list[RetentionRule]:
    return list(RetentionRule.objects.order_by("name"))


def scope_of(row: dict[str, Any]) -> Scope:
    """From a call's columns."""
    return Scope(
        row["area"], row["endpoint"], row["policy"].rpartition("@")[0] or row["policy"], row["highest"]
    )


def term_of(scope: Scope, rules: Iterable[RetentionRule]) -> Term:
    found = [(_named(rule), rule) for rule in rules if _fits(rule, scope)]
    if not found:
        return FOREVER
    most = max(named for named, _ in found)
    best = [rule for named, rule in found if named == most]
    return Term(
        _longest([rule.payload_days for rule in best]),
        _longest([rule.row_days for rule in best]),
        " and ".join(rule.name for rule in best),
    )


def digest_of(rules: Sequence[RetentionRule], holds: Sequence[LegalHold]) -> str:
    """Changes with whatever could change a decision."""
    said = [
        [[str(r.pk), r.name, *_scope(r), r.payload_days, r.row_days] for r in rules],
        sorted(str(hold.pk) for hold in holds),
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _due(day: date, days: int | None) -> date | None:
    try:
        return None if days is None else day + timedelta(days=days + 1)
    except OverflowError:
        return None


def _scope(rule: RetentionRule) -> tuple[str, str, str, str]:
    return rule.area, rule.endpoint, rule.policy, rule.level


def _fits(rule: RetentionRule, scope: Scope) -> bool:
    wanted = zip(_scope(rule), (scope.area, scope.endpoint, scope.policy, scope.level), strict=True)
    return all(not said or said == is_so for said, is_so in wanted)


def _named(rule: RetentionRule) -> int:
    return sum(bool(part) for part in _scope(rule))


def _longest(days: list[int | None]) -> int | None:
    known = [each for each in days if each is not None]
    return max(known) if len(known) == len(days) else None
