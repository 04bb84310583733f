"""What a preview has found so far: numbers, and a few calls as examples. Goes into the job's row as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any, Final
from uuid import UUID

from audit.models import Call
from gateway.console.rejudging import Rejudged

EXAMPLES: Final = 20
ALIKE: Final = 8  # of these, with the same verdicts before and after
REASONS: Final = 12  # different reasons for leaving calls out, and versions, that are told apart


@dataclass(slots=True, kw_only=True)
class Tally:
    """Sums over the calls looked at. `cursor` is the last of them; the walk goes back in time."""

    total: int | None = None  # None: not counted yet
    seen: int = 0
    cursor: UUID | None = None
    newest: str = ""
    oldest: str = ""
    judged: int = 0
    verdicts: int = 0  # calls whose verdict would change
    findings: int = 0  # calls whose findings, or what happens to them, would change
    refused: int = 0  # never judged: refused before
    without_text: int = 0  # judged by their findings alone
    lost: int = 0
    uncertain: int = 0
    skipped: Counter[str] = field(default_factory=Counter)  # reason -> calls that could not be judged
    matrix: Counter[str] = field(default_factory=Counter)  # "from>to" -> calls
    holds: Counter[str] = field(default_factory=Counter)  # day -> calls that would wait for a person
    held: Counter[str] = field(default_factory=Counter)  # day -> calls that did
    versions: Counter[str] = field(default_factory=Counter)  # what judged the calls then
    examples: list[dict[str, Any]] = field(default_factory=list)  # verdict would change
    others: list[dict[str, Any]] = field(default_factory=list)  # only the findings would

    @classmethod
    def of(cls, data: dict[str, Any]) -> Tally:
        """From `as_json`, perhaps an earlier release's."""
        made = cls()
        for each in fields(cls):
            value = data.get(each.name, getattr(made, each.name))
            if isinstance(getattr(made, each.name), Counter):
                value = Counter(value)
            elif each.name == "cursor":
                value = UUID(value) if value else None
            setattr(made, each.name, value)
        return made

    def as_json(self) -> dict[str, Any]:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**values, "cursor": str(self.cursor) if self.cursor else None}

    def take(self, call: Call) -> None:
        """A call was looked at."""
        self.seen += 1
        self.cursor = call.id
        self.oldest = call.started_at.isoformat()
        self.newest = self.newest or self.oldest
        _count(self.versions, f"{call.policy} · {call.schema}")

    def skip(self, why: str) -> None:
        _count(self.skipped, why)

    def add(self, call: Call, result: Rejudged) -> None:
        """A call was judged again."""
        before, after, day = result.before.action, result.after.action, f"{call.started_at:%Y-%m-%d}"
        self.judged += 1
        self.without_text += result.without_text
        self.lost += result.lost
        self.uncertain += result.uncertain
        self.matrix[f"{before}>{after}"] += 1
        if before == "held":
            self.held[day] += 1
        if after == "held":
            self.holds[day] += 1
        if result.verdict_changed:
            self.verdicts += 1
            _show(self.examples, call, result)
        if result.findings_changed:
            self.findings += 1
            if not result.verdict_changed:
                _show(self.others, call, result)


def _count(counter: Counter[str], name: str) -> None:
    """A row must not grow without end: what is rare is summed up."""
    counter[name if name in counter or len(counter) < REASONS else "others"] += 1


def _show(examples: list[dict[str, Any]], call: Call, result: Rejudged) -> None:
    """Keep a call as an example, unless there are enough of its kind."""
    kind = (result.before.action, result.after.action)
    alike = sum((each["before"]["action"], each["after"]["action"]) == kind for each in examples)
    if len(examples) >= EXAMPLES or alike >= ALIKE:
        return
    examples.append(
        {
            "call": str(call.id),
            "at": call.started_at.isoformat(),
            "endpoint": call.endpoint,
            "before": result.before.as_json(),
            "after": result.after.as_json(),
            "treated": _changes(result),
        }
    )


def _changes(result: Rejudged) -> list[str]:
    """What happens to findings differently, in words: `+2 ROOM confidential, redact`."""
    changed = Counter(result.after.treated)
    changed.subtract(result.before.treated)
    return [
        f"{count:+d} {slug} {level}, {style}"
        for (slug, level, style), count in sorted(changed.items())
        if count
    ][:10]
