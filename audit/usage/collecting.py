"""What closed calls used, added up by month: a derivation of the record, each call once.

A call counts once it was on its way to a model, also where nobody knows how it ended there. Tokens are those
that the model's service reported; nothing is estimated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.db import connection

from audit.models import Call, CallerUsage, GroupUsage
from audit.models.usage import NOBODY, Used

if TYPE_CHECKING:
    from audit.deriving import New

AT_ONCE: Final = 100
"""Rows in one statement."""

_KEY: Final = ("month", "area", "endpoint", "model")
_NUMBERS: Final = ("calls", "uncounted", "input_tokens", "output_tokens")
_CALLED: Final = ("owner_id", "name", "subject", "kind")
_UNHEARD: Final = frozenset({"client_gone", "instance_lost"})
"""Ends of which nobody knows whether the model had answered."""

Key = tuple[Any, ...]
M = TypeVar("M", bound=Used)


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
    rows = [_row(CallerUsage, key, "caller_id", total, **_caller(total.last)) for key, total in _sorted(sums)]
    _add(CallerUsage, rows, "caller_id", _CALLED)


def _add_groups(sums: Mapping[Key, Sum]) -> None:
    _add(GroupUsage, [_row(GroupUsage, key, "group", total) for key, total in _sorted(sums)], "group")


def _add(model: type[Used], rows: Sequence[Used], last: str, newest: Sequence[str] = ()) -> None:
    """Rows that are not there yet are made, the others added to by the database: two writers lose nothing."""
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    table = model._meta.db_table
    added = [f"{name} = {table}.{name} + EXCLUDED.{name}" for name in _NUMBERS]
    added += [f"{name} = EXCLUDED.{name}" for name in newest]
    with connection.cursor() as cursor:
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            marks = ", ".join([f"({', '.join(['%s'] * len(fields))})"] * len(some))
            sql = (
                f"INSERT INTO {table} ({_names(field.attname for field in fields)}) VALUES {marks} "  # noqa: S608 (names)
                f"ON CONFLICT ({_names((*_KEY, last))}) DO UPDATE SET {', '.join(added)}"
            )
            stored = (f.get_db_prep_save(getattr(row, f.attname), connection) for row in some for f in fields)
            cursor.execute(sql, list(stored))


def _names(columns: Iterable[str]) -> str:
    return ", ".join(map(connection.ops.quote_name, columns))


def _sorted(sums: Mapping[Key, Sum]) -> Iterable[tuple[Key, Sum]]:
    """Always in the same order, so that no two writers wait for each other."""
    return sorted(sums.items(), key=lambda item: tuple(map(str, item[0])))


def _row(model: type[M], key: Key, last: str, total: Sum, **more: Any) -> M:
    numbers = {name: getattr(total, name) for name in _NUMBERS}
    return model(**dict(zip((*_KEY, last), key, strict=True)), **numbers, **more)


def _caller(call: Call | None) -> dict[str, Any]:
    """What the caller was called last."""
    assert call is not None  # noqa: S101  a sum has at least one call
    return {name: getattr(call, name) for name in _CALLED}
