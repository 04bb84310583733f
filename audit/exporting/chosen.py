"""Which calls an export holds: the search's selection, and the calls that it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from audit import ids
from audit.models import Call
from audit.pages import ACTIONS
from audit.walls import Areas, within


class Chosen(Protocol):
    """Criteria that can be written down."""

    def said(self) -> dict[str, Any]:
        """As plain JSON."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """Every call, or those of one outcome."""

    action: str = ""

    def said(self) -> dict[str, Any]:
        return {"action": self.action} if self.action else {}


def chosen(said: Mapping[str, Any]) -> Chosen:
    """The opposite of `said`. Raises ValueError for anything else."""
    if set(said) - {"action"} or said.get("action", "") not in ("", *ACTIONS):
        raise ValueError("no such selection")
    return Outcome(said.get("action", ""))


def found(selection: Chosen, areas: Areas, *, before: UUID, limit: int) -> list[Call]:
    """The newest calls before one, newest first."""
    calls = within(Call.objects.filter(id__lt=before, started_at__lte=ids.time_of(before)), areas)
    if action := selection.said().get("action"):
        calls = calls.filter(action=action)
    return list(calls.order_by("-id")[:limit])


def in_words(said: Mapping[str, Any]) -> str:
    """For people: what was asked for."""
    given = {name.replace("_", " "): value for name, value in said.items() if value or value == 0}
    parts = [f"{name}: {_value(value)}" for name, value in given.items()]
    return "; ".join(parts) or "every call"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_value(each)}" for name, each in value.items())
    return ", ".join(map(_value, value)) if isinstance(value, list | tuple) else str(value)
