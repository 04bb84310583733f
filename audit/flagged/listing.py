"""The inbox as its page shows it: newest first by keyset, narrowed, with counts that stop at a bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import QuerySet

from audit.flagged.acts import said
from audit.models import Flag, FlagAct, FlagLabel
from audit.models.flag import FlagState, Outcome
from audit.walls import Areas, within

PAGE: Final = 50
MOST: Final = 1_000
"""Flags that are counted; a number with a plus sign says that there are more."""

SHOWN: Final = 12
"""Names of one kind that the page offers to narrow by."""

ME, NOBODY, ALL = "me", "nobody", "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the page is narrowed to; empty: to nothing."""

    state: str = FlagState.OPEN
    area: str = ""
    rule: str = ""
    data_class: str = ""
    assignee: str = ""  # `me`, `nobody` or a person's id

    @property
    def narrowed(self) -> bool:
        return bool(self.area or self.rule or self.data_class or self.assignee)

    @property
    def parts(self) -> list[tuple[str, str]]:
        """As an address or a form writes it."""
        state = "" if self.state == FlagState.OPEN else self.state
        said = [("state", state), ("area", self.area), ("rule", self.rule), ("class", self.data_class)]
        return [part for part in (*said, ("assignee", self.assignee)) if part[1]]

    def query(self, **other: str) -> str:
        return urlencode(replace(self, **other).parts)


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to narrow the list, and how many flags it leaves."""

    label: str
    count: str
    query: str
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many flags there are. What is open is read once, up to the bound, and added up here."""

    states: Sequence[Choice]
    assignees: Sequence[Choice]
    rules: Sequence[Choice]
    capped: bool  # there are more open ones than were read


@dataclass(frozen=True, slots=True)
class Page:
    rows: Sequence[Flag]
    older: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActLine:
    """One line of a flag's history."""

    at: datetime
    name: str
    said: str
    text: str


def wanted_of(given: Mapping[str, str]) -> Wanted:
    """From an address; what it does not know is left out."""
    state = given.get("state", "")
    return Wanted(
        state=state if state in (FlagState.CLOSED, ALL) else FlagState.OPEN,
        area=given.get("area", "")[:64],
        rule=given.get("rule", "")[:255],
        data_class=given.get("class", "")[:255],
        assignee=given.get("assignee", "")[:36],
    )


def flags_page(wanted: Wanted, me: UUID, before: UUID | None, areas: Areas) -> Page:
    flags = _narrowed(wanted, me, areas).order_by("-id")
    if before is not None:
        flags = flags.filter(id__lt=before)
    found = list(flags[: PAGE + 1])
    return Page(found[:PAGE], found[PAGE - 1].pk if len(found) > PAGE else None)


def _narrowed(wanted: Wanted, me: UUID, areas: Areas) -> QuerySet[Flag]:
    flags = within(Flag.objects.all(), areas)
    if wanted.state != ALL:
        flags = flags.filter(state=wanted.state)
    if wanted.area:
        flags = flags.filter(area=wanted.area)
    if wanted.assignee:
        flags = flags.filter(assignee_id=_assignee(wanted.assignee, me))
    for kind, name in (("rule", wanted.rule), ("class", wanted.data_class)):
        if name:
            named = FlagLabel.objects.filter(kind=kind, name=name)
            flags = flags.filter(pk__in=named.values("flag_id"))
    return flags


def _assignee(text: str, me: UUID) -> UUID | None:
    """Whose; nonsense is nobody who could have any."""
    if text in (ME, NOBODY):
        return me if text == ME else None
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)


def flag_counts(wanted: Wanted, me: UUID, areas: Areas) -> Counts:
    columns = ("assignee_id", "assignee", "rules")
    rows = within(Flag.objects.filter(state=FlagState.OPEN), areas).order_by("-id").values(*columns)
    read = list(rows[: MOST + 1])
    waiting, capped = read[:MOST], len(read) > MOST
    return Counts(
        states=_states(wanted, len(read), areas),
        assignees=_assignees(wanted, waiting, me, capped),
        rules=_rules(wanted, waiting, capped),
        capped=capped,
    )


def _states(wanted: Wanted, waiting: int, areas: Areas) -> list[Choice]:
    done = within(Flag.objects.filter(state=FlagState.CLOSED), areas)[: MOST + 1].count()
    return [
        Choice("Open", bounded(waiting), wanted.query(state=FlagState.OPEN), wanted.state == FlagState.OPEN),
        Choice(
            "Closed", bounded(done), wanted.query(state=FlagState.CLOSED), wanted.state == FlagState.CLOSED
        ),
        Choice("All", "", wanted.query(state=ALL), wanted.state == ALL),
    ]


def _assignees(wanted: Wanted, waiting: Iterable[Mapping[str, Any]], me: UUID, capped: bool) -> list[Choice]:
    """Mine and nobody's first, then whoever has most."""
    held = Counter((row["assignee_id"], row["assignee"]) for row in waiting)
    mine = sum(count for (person, _), count in held.items() if person == me)
    others = [(who, count) for who, count in held.most_common() if who[0] not in (None, me)]
    lines = [("Mine", ME, mine), ("Nobody's", NOBODY, held[(None, "")])]
    lines += [(name, str(person), count) for (person, name), count in others[: SHOWN - 2]]
    return [
        Choice(label, _more(count, capped), wanted.query(assignee=key), wanted.assignee == key)
        for label, key, count in lines
    ]


def _rules(wanted: Wanted, waiting: Iterable[Mapping[str, Any]], capped: bool) -> list[Choice]:
    seen = Counter(rule for row in waiting for rule in row["rules"])
    return [
        Choice(rule, _more(count, capped), wanted.query(rule=rule), wanted.rule == rule)
        for rule, count in seen.most_common(SHOWN)
    ]


def _more(count: int, capped: bool) -> str:
    return f"{count:,}{'+' if capped else ''}"


def bounded(count: int) -> str:
    return f"{MOST:,}+" if count > MOST else f"{count:,}"


def open_count(areas: Areas) -> int:
    """How many are open; `MOST` + 1 stands for any larger number."""
    return within(Flag.objects.filter(state=FlagState.OPEN), areas)[: MOST + 1].count()


def acts_of(flag: Flag) -> list[ActLine]:
    """Newest first."""
    acts = FlagAct.objects.filter(flag_id=flag.pk).order_by("-id")[:200]
    return [ActLine(at=act.at, name=act.name, said=said(act), text=act.text) for act in acts]


OUTCOMES: Final = tuple((value, str(label)) for value, label in Outcome.choices)
