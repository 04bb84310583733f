"""One recorded request judged again, by versions that were not there then. Pure but for the rows it is given.

`rejudge` judges the record: findings as they were marked, and the masked text scanned again for what only the
other schema looks for. What was masked already counts as what it was then. `rejudge_original` has what was
sent, and puts it through the exchange as the data path does.
Whether a record says enough is tried first: judged by its own versions it must give what it gave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import orjson

from audit.reader import Part
from audit.records import NOT_KEPT
from gateway.proxy.exchange import DigestKeys, Exchange, Head, Unreadable
from gateway.proxy.ledger import LEVELS, action_of
from gateway.proxy.operations import WIRES
from gateway.proxy.wire.base import Json, ShapeError, dotted
from policies import compiler, store
from policies.engine import jsontext
from policies.engine.errors import EngineError
from policies.engine.places import places
from policies.engine.policy import Policy
from policies.engine.problems import OPAQUE_KINDS
from policies.engine.types import (
    Circumstances,
    DataClass,
    Direction,
    Finding,
    Level,
    Opaque,
    PolicySpec,
    SchemaSpec,
    Style,
)
from policies.engine.verdict import decide

_NAMED: Final = {name: level for level, name in LEVELS.items()}
_BY_FIELD: Final = frozenset({"key", "path"})
NO_RULES: Final = PolicySpec(version_id="", number=0, name="", rules=())
Treated = Counter[tuple[str, str, str]]  # (class, level, style) -> findings


class Unusable(Exception):
    """The record does not say enough to judge the call again. The text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the record says of one request."""

    api: str
    at: float  # Unix seconds
    action: str
    reasons: tuple[str, ...]
    counts: Mapping[str, int]
    declared: Level | None
    ceiling: Level
    marks: tuple[Finding, ...]
    tree: Json | None  # None: the policy keeps findings only


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How a call ended, or would have."""

    action: str
    reasons: tuple[str, ...]
    counts: Mapping[str, int]
    treated: Treated

    def as_json(self) -> dict[str, Any]:
        return {"action": self.action, "reasons": list(self.reasons[:5]), "counts": dict(self.counts)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejudged:
    """A call before and after. `lost` and `uncertain` count findings of the record, see `_kept`."""

    before: Judged
    after: Judged
    lost: int
    uncertain: int
    without_text: bool

    @property
    def verdict_changed(self) -> bool:
        return self.before.action != self.after.action

    @property
    def findings_changed(self) -> bool:
        return self.before.treated != self.after.treated


def recorded(part: Part, api: str) -> Recorded | None:
    """Read one admission entry; None for a call that was refused before any verdict. Raise `Unusable`."""
    decision = part.meta.get("decision")
    if isinstance(decision, dict) and decision.get("action") == "refused":
        return None
    if part.problem or part.payload is None or not isinstance(decision, dict):
        raise Unusable(part.problem or "its request was not kept")
    data = part.payload.data
    try:
        rows = orjson.loads(part.payload.marks)
        tree = None if data == NOT_KEPT else jsontext.loads(data)
        marks = tuple(_marks(rows, decision["counts"]))
    except (ValueError, KeyError, TypeError, EngineError):
        raise Unusable("its record cannot be read") from None
    return Recorded(
        api=api,
        at=part.at / 1_000_000,
        action=decision["action"],
        reasons=tuple(decision["reasons"]),
        counts=decision["counts"],
        declared=_NAMED.get(decision.get("declared", "")),
        ceiling=_NAMED.get(decision.get("ceiling", ""), Level.RESTRICTED),
        marks=marks,
        tree=tree,
    )


def rejudge(record: Recorded, then: Policy, now: Policy) -> Rejudged:
    """What `now` would have made of a call that `then` judged; raise `Unusable`."""
    opaque = list(_opaque(record.tree, ()))
    if _judged(record, then, record.marks, opaque).action != record.action:
        raise Unusable("its record does not hold all that decided it")
    found, lost, uncertain = _found(record, then.schema.spec, now)
    return Rejudged(
        before=Judged(
            action=record.action,
            reasons=record.reasons,
            counts=record.counts,
            treated=_treated(record.marks),
        ),
        after=_judged(record, now, found, opaque),
        lost=lost,
        uncertain=uncertain,
        without_text=record.tree is None,
    )


def rejudge_original(record: Recorded, body: bytes, then: Policy, now: Policy, keys: DigestKeys) -> Rejudged:
    """The same of what was sent. `keys`: that nobody else has. Raises `Unusable`, which quotes nothing."""
    before = _exchanged(record, body, then, keys)
    if before.action != record.action:
        raise Unusable("what was sent does not hold all that decided it")
    after = _exchanged(record, body, now, keys)
    return Rejudged(before=before, after=after, lost=0, uncertain=0, without_text=False)


def _exchanged(record: Recorded, body: bytes, policy: Policy, keys: DigestKeys) -> Judged:
    exchange = Exchange(policy, WIRES[record.api], keys)
    circumstances = Circumstances(record.at, record.declared, record.ceiling)
    try:
        verdict = exchange.request(Head("POST", ""), body, circumstances)
    except Unreadable as error:
        raise Unusable(f"what was sent cannot be read now ({error.code})") from None
    return Judged(
        action=action_of(verdict),
        reasons=tuple(reason.text for reason in verdict.reasons),
        counts=verdict.counts,
        treated=_treated(verdict.findings),
    )


def _judged(
    record: Recorded, policy: Policy, findings: Sequence[Finding], opaque: Sequence[Opaque]
) -> Judged:
    """One verdict, by a policy as it judges at the time of the call."""
    policy = policy.at(record.at)
    styled = _styled(findings, policy)
    circumstances = Circumstances(record.at, record.declared, record.ceiling)
    verdict = decide(policy, Direction.REQUEST, styled, opaque, circumstances)
    return Judged(
        action=action_of(verdict),
        reasons=tuple(reason.text for reason in verdict.reasons),
        counts=verdict.counts,
        treated=_treated(styled),
    )


def _styled(findings: Sequence[Finding], policy: Policy) -> list[Finding]:
    """Findings with the level, style and rule that a policy gives their classes; what it has not is gone."""
    plans = policy.side(Direction.REQUEST).by_slug
    return [
        finding._replace(level=plan.level, style=plan.style, rule_id=plan.rule_id)
        for finding in findings
        if (plan := plans.get(finding.data_class)) is not None
    ]


def _found(record: Recorded, then: SchemaSpec, now: Policy) -> tuple[list[Finding], int, int]:
    """The findings that the other schema would have; how many were lost, and how many nobody can tell."""
    spec = now.schema.spec
    if spec.classes == then.classes:
        return list(record.marks), 0, 0
    known = {each.slug: each for each in then.classes}
    changed = tuple(each for each in spec.classes if _seeks(each) != _seeks(known.get(each.slug)))
    fresh = _scanned(record, changed)
    kept, lost, uncertain = _kept(record, now, {each.slug for each in changed}, fresh)
    return kept + [each for each in fresh if _is_new(each, record.marks)], lost, uncertain


def _kept(
    record: Recorded, now: Policy, changed: set[str], fresh: Sequence[Finding]
) -> tuple[list[Finding], int, int]:
    """Findings of the record that stand.

    A class that is gone loses its own. One whose detectors changed keeps them, since what was found is masked
    and cannot be asked again; only what a field's name or place found is told by the field.
    """
    claimed = {(each.data_class, each.path) for each in fresh if each.detector in _BY_FIELD}
    kept: list[Finding] = []
    lost = uncertain = 0
    for mark in record.marks:
        slug = mark.data_class
        by_field = mark.detector in _BY_FIELD and record.tree is not None and mark.length > 0
        if slug not in now.schema.classes:
            lost += 1
        elif slug not in changed:
            kept.append(mark)
        elif not by_field:
            uncertain += 1
            kept.append(mark)
        elif (slug, mark.path) in claimed:
            kept.append(mark)
        else:
            lost += 1
    return kept, lost, uncertain


def _scanned(record: Recorded, changed: tuple[DataClass, ...]) -> tuple[Finding, ...]:
    """What the changed classes find in the masked text."""
    if record.tree is None or not changed:
        return ()
    try:
        embedded = WIRES[record.api].request(record.tree).embedded
    except (ShapeError, KeyError):  # masking may have taken what the shape needs
        embedded = ()
    try:
        return places(_scanner(changed), Direction.REQUEST, record.tree, embedded)
    except EngineError:
        raise Unusable("its masked text cannot be scanned") from None


@lru_cache(maxsize=16)
def _scanner(classes: tuple[DataClass, ...]) -> Policy:
    spec = SchemaSpec(version_id="", number=0, name="changed", classes=classes)
    return compiler.compile_policy(NO_RULES, compiler.compile_schema(spec, store.database_cache()))


def _is_new(found: Finding, marks: Sequence[Finding]) -> bool:
    """Whether a finding in masked text is none that stood there before, under whatever name.

    A field's name says something about the whole value, so that counts beside what was found inside it.
    """
    for mark in marks:
        if mark.path != found.path:
            continue
        if found.detector in _BY_FIELD:
            if mark.data_class == found.data_class:
                return False
        elif mark.start < found.start + found.length and found.start < mark.start + mark.length:
            return False
    return True


def _seeks(data_class: DataClass | None) -> DataClass | None:
    """A class as far as it decides what is found; names, levels and examples do not."""
    if data_class is None:
        return None
    return replace(
        data_class, name="", level=Level.PUBLIC, weight=0, tags=frozenset(), positive=(), negative=()
    )


def _marks(rows: Sequence[Mapping[str, Any]], counts: Mapping[str, int]) -> Iterator[Finding]:
    """The record's findings. It does not say which count; of each class as many as were counted do."""
    left = Counter(counts)
    for row in rows:
        slug = row["class"]
        left[slug] -= 1
        yield Finding(
            data_class=slug,
            level=_NAMED[row["level"]],
            detector=row["detector"],
            path=row["path"],
            start=row["start"],
            length=row["length"],
            style=Style(row["style"]),
            rule_id=row["rule"],
            counted=left[slug] >= 0,
        )


def _treated(findings: Sequence[Finding]) -> Treated:
    return Counter((each.data_class, LEVELS[each.level], each.style.value) for each in findings)


def _opaque(node: Json, path: tuple[str | int, ...]) -> Iterator[Opaque]:
    """The notes that the record keeps in place of content that could not be read."""
    if isinstance(node, dict):
        kind = node.get("opaque")
        if len(node) == 1 and isinstance(kind, str) and kind in OPAQUE_KINDS:
            yield Opaque(kind, dotted(path))
            return
        for key, value in node.items():
            yield from _opaque(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _opaque(value, (*path, index))
