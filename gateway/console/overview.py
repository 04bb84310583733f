"""The front page's figures and charts, from the recorded calls of the last 24 hours and nothing else.

One bounded read: the newest `LIMIT` calls. When there were more, the page says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final
from uuid import UUID

from audit.models import Call
from audit.walls import EVERYWHERE, Areas, within
from policies.engine.types import Level
from policies.models import DataClass, State

LIMIT: Final = 10_000
HOURS: Final = 24
STOPPED: Final = frozenset({"held", "denied", "blocked", "refused"})
AWAY: Final = frozenset({"total", "body", "send", "upstream_first_byte", "upstream_body", "upstream_stream"})
"""Phases that are not ours: the client's upload and the model's time."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bar:
    """One class of the chart; `width` in thousandths of the longest."""

    name: str
    level: str
    count: int
    width: int


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of the chart, in a box of 480 × 100."""

    title: str
    x: int
    y: float
    height: float
    stopped_y: float
    stopped_height: float


@dataclass(frozen=True, slots=True)
class Hours:
    bars: tuple[Hour, ...]
    first: str
    middle: str
    last: str
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """Since midnight UTC."""

    calls: int
    found: int
    blocked: int
    held: int
    refused: int
    incomplete: int
    classes: tuple[Bar, ...]
    overhead: str
    capped: int  # 0, or how many calls the figures cover when there were more

    @property
    def stopped(self) -> int:
        return self.blocked + self.held + self.refused


def rows_since(now: datetime, areas: Areas) -> list[Row]:
    """The newest calls of the last 24 hours. The id bound lets an index on ids do the work."""
    since = _hour(now) - timedelta(hours=HOURS - 1)
    floor = UUID(int=int(since.timestamp() * 1000) << 80)
    calls = within(Call.objects.filter(started_at__gte=since, id__gte=floor), areas).order_by("-id")
    columns = ("started_at", "action", "counts", "response_counts", "complete", "timings")
    return list(calls.values(*columns)[:LIMIT])


def today_of(rows: Sequence[Row], now: datetime, areas: Areas = EVERYWHERE) -> Today:
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    current = [row for row in rows if row["started_at"] >= midnight]
    actions = Counter(row["action"] for row in current)
    found = found_in(current)
    return Today(
        calls=len(current),
        found=sum(found.values()),
        blocked=actions["blocked"],
        held=actions["held"],
        refused=actions["refused"],
        incomplete=sum(row["complete"] is False for row in current),
        classes=_bars(found, areas),
        overhead=_overhead(current),
        capped=LIMIT if len(rows) == LIMIT else 0,
    )


def found_in(rows: Iterable[Row]) -> Counter[str]:
    """Findings by data class, both directions."""
    found: Counter[str] = Counter()
    for row in rows:
        found.update(row["counts"] or {})
        found.update(row["response_counts"] or {})
    return found


def _bars(found: Counter[str], areas: Areas) -> tuple[Bar, ...]:
    most = max(found.values(), default=1)
    levels = _levels(areas) if found else {}
    return tuple(
        Bar(name, levels.get(name, ""), count, max(8, round(1000 * count / most)))
        for name, count in found.most_common(12)
    )


def _levels(areas: Areas) -> dict[str, str]:
    """The highest level that a published schema of these areas gives each class."""
    published = DataClass.objects.filter(version__state=State.PUBLISHED).order_by("level")
    if areas is not EVERYWHERE:
        published = published.filter(version__schema__area__slug__in=areas)
    return {slug: Level(level).name.lower() for slug, level in published.values_list("slug", "level")}


def _overhead(rows: Iterable[Row]) -> str:
    ours = [
        sum(spent for phase, spent in row["timings"].items() if phase not in AWAY)
        for row in rows
        if row["timings"] and "scan" in row["timings"]
    ]
    return f"{median(ours):.1f} ms" if ours else ""


def hours_of(rows: Iterable[Row], now: datetime) -> Hours:
    """Calls by hour, the stopped ones apart."""
    last = _hour(now)
    starts = [last - timedelta(hours=HOURS - 1 - at) for at in range(HOURS)]
    all_calls: Counter[datetime] = Counter()
    stopped: Counter[datetime] = Counter()
    for row in rows:
        hour = _hour(row["started_at"])
        all_calls[hour] += 1
        stopped[hour] += row["action"] in STOPPED
    most = max((all_calls[start] for start in starts), default=0) or 1
    bars = tuple(_bar(at, start, all_calls[start], stopped[start], most) for at, start in enumerate(starts))
    total, halted = sum(all_calls.values()), sum(stopped.values())
    summary = f"{total} calls in 24 hours, {halted} of them stopped; at most {most} in one hour"
    return Hours(bars, f"{starts[0]:%H:00}", f"{starts[HOURS // 2]:%H:00}", f"{last:%H:00} UTC", summary)


def _bar(at: int, start: datetime, calls: int, stopped: int, most: int) -> Hour:
    height, red = 98 * calls / most, 98 * stopped / most
    title = f"{start:%d %b %H:00}: {calls} calls, {stopped} stopped"
    return Hour(title, at * 20 + 2, _r(100 - height), _r(height - red), _r(100 - red), _r(red))


def _r(value: float) -> float:
    return round(value, 2)


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
