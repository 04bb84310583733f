"""What of a caller's limits is used up, as the store knows it: for whoever explains a call. Reads only.

The processes that let calls in tell the store once a second; a number here may be so much behind theirs.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from django.db.models import Sum

from gateway.models import Running, Sketch, Usage
from gateway.proxy.distinct import ANY, WINDOWS, starts_of
from gateway.proxy.meter import Account, Limits, moment
from gateway.proxy.tally import ALIVE
from policies.engine.policy import Policy
from policies.engine.sketch import Sketch as Registers
from policies.engine.types import Direction, Matcher, Rule


class Different(NamedTuple):
    """A rule about different values, and how many its caller has sent in its window."""

    rule: Rule
    seen: int
    ends: float  # Unix seconds


def account_of(rule: UUID, caller: str, limits: Limits, now: float) -> Account:
    """The account of a caller under a rule, as a process that knows all of the others would have it."""
    account = Account((rule, caller), limits, now)
    starts = [moment(count.starts) for count in account.counts.values()]
    for row in Usage.objects.filter(rule_id=rule, caller=caller, starts_at__in=starts):
        count = account.counts.get(row.window)
        if count is not None and count.starts == row.starts_at.timestamp():
            count.others_calls, count.others_tokens = row.calls, row.tokens
    alive = Running.objects.filter(rule_id=rule, caller=caller, at__gt=moment(now) - ALIVE)
    account.others_running = alive.aggregate(sum=Sum("calls"))["sum"] or 0
    return account


def different(policy: Policy, caller: str, now: float) -> list[Different]:
    """The policy's rules about different values, each with what counts for it now."""
    conditions = [
        each
        for each in policy.side(Direction.REQUEST).conditions
        if each.rule.matcher is Matcher.DISTINCT and each.rule.window in WINDOWS
    ]
    if not conditions:
        return []
    held = _held(UUID(policy.schema.spec.schema_id), caller, now)
    found = []
    for each in conditions:
        names = sorted(each.parts[0]) if each.parts else [ANY]
        window = each.rule.window
        seen = sum(held.get((name, window), 0) for name in names)
        found.append(Different(each.rule, seen, starts_of(window, now) + WINDOWS[window]))
    return found


def _held(schema: UUID, caller: str, now: float) -> dict[tuple[str, str], int]:
    """Estimates by data class and window."""
    rows = Sketch.objects.filter(
        schema_id=schema, caller=caller, starts_at__in=[moment(starts_of(window, now)) for window in WINDOWS]
    )
    return {
        (row.data_class, row.window): len(Registers(bytes(row.registers)))
        for row in rows
        if row.starts_at.timestamp() == starts_of(row.window, now)
    }
