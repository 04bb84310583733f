"""What closed calls used, added up by month: a derivation of the record, each call once.

A call counts once it was on its way to a model, also where nobody knows how it ended there. Tokens are those
that the model's service reported; nothing is estimated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from django.db.models import F

from audit.models import Call, CallerUsage, GroupUsage
from audit.models.usage import NOBODY

if TYPE_CHECKING:
    from audit.deriving import New

_NUMBERS: Final = ("calls", "uncounted", "input_tokens", "output_tokens")
_UNHEARD: Final = frozenset({"client_gone", "instance_lost"})
"""Ends of which nobody knows whether the model had answered."""

Key = tuple[Any, ...]


@dataclass(slots=True)
class Sum:
    """What calls of one key add up to."""

    calls: int = 0
    uncounted: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    last: Call | None = None

    def take(self, call: Call) -> None:
        self.calls += 1
        self.uncounted += call.input_tokens is None and call.output_tokens is None
        self.input_tokens += call.input_tokens or 0
        self.output_tokens += call.output_tokens or 0
        if self.last is None or call.id > self.last.id:
            self.last = call


def usage_derive(new: New) -> Callable[[], None]:
    """Adds these calls to the sums. To be written once, in the transaction that says that it was."""
    callers: defaultdict[Key, Sum] = defaultdict(Sum)
    groups: defaultdict[Key, Sum] = defaultdict(Sum)
    for call in filter(reached_a_model, new.closed):
        key = (month_of(call.started_at), call.area, call.endpoint, call.model)
        callers[(*key, call.person_id or NOBODY)].take(call)
        for group in _groups(call):
            groups[(*key, group)].take(call)

    def write() -> None:
        _add_callers(callers)
        _add_groups(groups)

    return write


def month_of(moment: datetime) -> date:
    """The first day of its month, UTC."""
    return moment.astimezone(UTC).date().replace(day=1)


def reached_a_model(call: Call) -> bool:
    if call.input_tokens is not None or call.output_tokens is not None:
        return True
    if "upstream_first_byte" in (call.timings or {}):
        return True
    let_out = call.gate in ("allow", "flag") or call.action == "released"
    return let_out and call.code in _UNHEARD


def _groups(call: Call) -> list[str]:
    """Each once; a caller in none counts under the empty name."""
    names = call.groups if isinstance(call.groups, list) else []
    return list(dict.fromkeys(str(name)[:150] for name in names)) or [""]


def _add_callers(sums: Mapping[Key, Sum]) -> None:
    """Rows that are not there yet are made empty, then all are added to: two writers lose nothing."""
    CallerUsage.objects.bulk_create(
        [_row(CallerUsage, key, "caller_id", **_caller(total.last)) for key, total in _sorted(sums)],
        ignore_conflicts=True,
    )
    for key, total in _sorted(sums):
        month, area, endpoint, model, caller = key
        rows = CallerUsage.objects.filter(
            month=month, area=area, endpoint=endpoint, model=model, caller_id=caller
        )
        rows.update(**_more(total), **_caller(total.last))


def _add_groups(sums: Mapping[Key, Sum]) -> None:
    GroupUsage.objects.bulk_create(
        [_row(GroupUsage, key, "group") for key, _ in _sorted(sums)], ignore_conflicts=True
    )
    for key, total in _sorted(sums):
        month, area, endpoint, model, group = key
        rows = GroupUsage.objects.filter(month=month, area=area, endpoint=endpoint, model=model, group=group)
        rows.update(**_more(total))


def _sorted(sums: Mapping[Key, Sum]) -> Iterable[tuple[Key, Sum]]:
    """Always in the same order, so that no two writers wait for each other."""
    return sorted(sums.items(), key=lambda item: tuple(map(str, item[0])))


def _row(model: Any, key: Key, last: str, **more: Any) -> Any:
    return model(**dict(zip(("month", "area", "endpoint", "model", last), key, strict=True)), **more)


def _more(total: Sum) -> dict[str, Any]:
    return {name: F(name) + getattr(total, name) for name in _NUMBERS}


def _caller(call: Call | None) -> dict[str, Any]:
    """What the caller was called last."""
    assert call is not None  # noqa: S101  a sum has at least one call
    return {"owner_id": call.owner_id, "name": call.name, "subject": call.subject, "kind": call.kind}
