"""Trying a payload out: what a policy finds in it, decides about it and lets leave. Sends and keeps nothing.

The data path's own `Exchange` does the work, so that what is shown here is what a call would meet. Digests
are made with keys that die with the call: a playground with the real ones could be asked about values.
"""

from __future__ import annotations

import json
import secrets
import time
from bisect import bisect
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from audit.records import Recordable
from gateway.proxy.approving import needs_approval
from gateway.proxy.errors import ProxyError
from gateway.proxy.exchange import DigestKeys, Exchange, Head, Piece, Unreadable
from gateway.proxy.ledger import ACTIONS, GATES, LEVELS, action_of, enforce
from gateway.proxy.marks import marks_of
from gateway.proxy.operations import CHAT_PATH, MESSAGES_PATH, OPERATIONS, PLAIN
from gateway.proxy.wire.base import Wire
from policies import drafts
from policies.engine import jsontext
from policies.engine.errors import EngineError
from policies.engine.places import places
from policies.engine.policy import Policy
from policies.engine.types import Circumstances, Direction, Finding, Gate, Level, Reason, Verdict
from policies.models import PolicyVersion, SchemaVersion

MAX_BYTES: Final = 256 * 1024
"""Of one payload: enough for a long conversation, little enough for a page that shows all of it."""

WIRES: Final[Mapping[str, Wire]] = {
    "openai": OPERATIONS["openai"][CHAT_PATH],
    "anthropic": OPERATIONS["anthropic"][MESSAGES_PATH],
    "json": PLAIN,
}


class TooLarge(ValueError):
    """The payload is larger than the playground takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How a payload is read, and what is known beside it."""

    family: str = "openai"  # openai | anthropic | json
    direction: Direction = Direction.REQUEST
    is_text: bool = False  # plain text, to be put into the smallest payload of the family
    declared: Level | None = None
    ceiling: Level = Level.RESTRICTED

    @property
    def wire(self) -> Wire:
        return WIRES[self.family]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One finding, and the rule that chose its style."""

    data_class: str
    level: str
    detector: str
    path: str
    style: str
    rule: str  # empty: the policy's default
    counted: bool  # False: inside a stronger finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one pair of versions makes of the payload. Bytes are as the proxy would send and record them."""

    policy: str
    schema: str
    problems: tuple[str, ...]  # what keeps the pair from being published
    error: str = ""  # code of the refusal, where the payload cannot be read; nothing else is known then
    message: str = ""  # of the error that the client would get
    action: str = "refused"  # as the record would name it
    code: str = ""  # of the error that the client would get
    verdict: Verdict | None = None
    found: tuple[Found, ...] = ()
    marks: bytes = b"[]"  # places of the findings in the payload as it was pasted
    sent: bytes = field(default=b"", repr=False)  # empty when nothing may leave
    masked: bytes = field(default=b"", repr=False)  # the payload masked, whether or not it may leave
    recorded: Recordable | None = None

    @property
    def reasons(self) -> tuple[Reason, ...]:
        return self.verdict.reasons if self.verdict else ()

    def as_json(self) -> dict[str, Any]:
        """For an API. The payload is not repeated, but for the names of keys in the places of findings."""
        return {
            "policy": self.policy,
            "schema": self.schema,
            "problems": list(self.problems),
            "error": {"code": self.error, "message": self.message} if self.error else None,
            "action": self.action,
            "code": self.code,
            "message": self.message,
            "verdict": _verdict_json(self.verdict) if self.verdict else None,
            "findings": [_found_json(each) for each in self.found],
            "places": orjson.loads(self.marks),
            "masked": _text(self.masked),
            "leaves": bool(self.sent),
            "recorded": _text(self.recorded.data) if self.recorded else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What the second pair of versions does differently."""

    added: tuple[Found, ...]
    removed: tuple[Found, ...]
    restyled: tuple[tuple[Found, Found], ...]  # the same finding, masked in another way or of another level
    action: tuple[str, str] | None  # from, to
    reasons_added: tuple[str, ...]
    reasons_removed: tuple[str, ...]
    risk: tuple[int, int] | None
    masked: bool  # the masked payloads differ

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)

    def as_json(self) -> dict[str, Any]:
        return {
            "findings_added": [_found_json(each) for each in self.added],
            "findings_removed": [_found_json(each) for each in self.removed],
            "findings_restyled": [[_found_json(each) for each in pair] for pair in self.restyled],
            "action": list(self.action) if self.action else None,
            "reasons_added": list(self.reasons_added),
            "reasons_removed": list(self.reasons_removed),
            "risk": list(self.risk) if self.risk else None,
            "masked_differs": self.masked,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """The result. `body` is the payload as it was read: the pasted text, or what that was put into."""

    setting: Setting
    body: bytes
    one: Outcome
    other: Outcome | None = None
    changes: Changes | None = None

    def __repr__(self) -> str:
        return f"Played({len(self.body)} bytes, {self.one.action})"

    def as_json(self) -> dict[str, Any]:
        return {
            "family": self.setting.family,
            "direction": self.setting.direction.value,
            "declared": LEVELS[self.setting.declared] if self.setting.declared is not None else None,
            "ceiling": LEVELS[self.setting.ceiling],
            "outcome": self.one.as_json(),
            "compared": self.other.as_json() if self.other else None,
            "changes": self.changes.as_json() if self.changes is not None else None,
        }


def play(
    *,
    version: tuple[PolicyVersion, SchemaVersion],
    payload: str,
    setting: Setting,
    against: tuple[PolicyVersion, SchemaVersion] | None = None,
) -> Played:
    """Try a payload under one pair of versions, and under a second one to compare.

    Raises `TooLarge` and `drafts.NotCompilable`. A payload that cannot be read is an outcome, not an error.
    """
    if len(payload.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise TooLarge(f"The payload is larger than {MAX_BYTES // 1024} KB.")
    policies = [drafts.compiled(*pair) for pair in (version, against) if pair is not None]
    body = _wrapped(payload, setting) if setting.is_text else payload.encode("utf-8", "surrogatepass")
    now = time.time()
    one, *rest = [_outcome(policy, body, setting, now) for policy in policies]
    other = rest[0] if rest else None
    changes = changes_between(one, other) if other else None
    return Played(setting=setting, body=body, one=one, other=other, changes=changes)


def changes_between(one: Outcome, other: Outcome) -> Changes:
    """From the first outcome to the second."""
    before, after = [each.text for each in one.reasons], [each.text for each in other.reasons]
    risks = (one.verdict.risk if one.verdict else 0, other.verdict.risk if other.verdict else 0)
    removed, added, restyled = _compared(one.found, other.found)
    return Changes(
        added=added,
        removed=removed,
        restyled=restyled,
        action=(one.action, other.action) if one.action != other.action else None,
        reasons_added=tuple(text for text in after if text not in before),
        reasons_removed=tuple(text for text in before if text not in after),
        risk=risks if risks[0] != risks[1] else None,
        masked=one.masked != other.masked,
    )


def _compared(
    these: Sequence[Found], those: Sequence[Found]
) -> tuple[tuple[Found, ...], tuple[Found, ...], tuple[tuple[Found, Found], ...]]:
    """What only the first has, what only the second has, and what both have but treat differently."""
    left: dict[tuple[str, str, str], deque[Found]] = {}
    for each in those:
        left.setdefault((each.data_class, each.detector, each.path), deque()).append(each)
    removed, restyled = [], []
    for each in these:
        same = left.get((each.data_class, each.detector, each.path))
        if not same:
            removed.append(each)
        elif replace(other := same.popleft(), rule=each.rule) != each:  # another rule is no difference
            restyled.append((each, other))
    return tuple(removed), tuple(each for group in left.values() for each in group), tuple(restyled)


def _outcome(policy: Policy, body: bytes, setting: Setting, now: float) -> Outcome:
    known = Outcome(
        policy=f"{policy.spec.name} v{policy.spec.number}",
        schema=f"{policy.schema.spec.name} v{policy.schema.spec.number}",
        problems=tuple(drafts.problems_of(policy)),
    )
    request, fingerprint, session = (secrets.token_bytes(32) for _ in range(3))
    keys = DigestKeys(request, fingerprint, session)
    exchange = Exchange(policy, setting.wire, keys)
    circumstances = Circumstances(now, setting.declared, setting.ceiling)
    try:
        if setting.direction is Direction.REQUEST:
            done = _asked(known, exchange, body, circumstances)
        else:
            done = _answered(known, exchange, body, circumstances)
    except Unreadable as error:
        return replace(known, error=error.code, code=error.code, message=str(error))
    return replace(done, marks=marks_of(_strongest(_places(exchange.policy, body, setting))))


def _asked(known: Outcome, exchange: Exchange, body: bytes, circumstances: Circumstances) -> Outcome:
    verdict = exchange.request(Head("POST", ""), body, circumstances)
    code, message = _refusal(verdict)
    return replace(
        known,
        action=action_of(verdict),
        code=code,
        message=message,
        verdict=verdict,
        found=_found(exchange.policy, verdict),
        sent=b"" if code else exchange.outgoing,
        masked=exchange.outgoing,
        recorded=exchange.recorded,
    )


def _refusal(verdict: Verdict) -> tuple[str, str]:
    """Code and words of the error that the client would get; empty when it gets none."""
    try:
        enforce(verdict)
    except ProxyError as error:
        return error.code, error.message
    return ("approval_required", needs_approval(verdict)) if verdict.gate is Gate.HOLD else ("", "")


def _answered(known: Outcome, exchange: Exchange, body: bytes, circumstances: Circumstances) -> Outcome:
    """A whole answer: judged by what its request's circumstances were."""
    exchange.circumstances = circumstances
    exchange.policy = exchange.policy.at(circumstances.now)
    piece = exchange.response(body)
    verdict = piece.verdict
    action = "passed"
    if verdict is not None:
        action = ACTIONS[Gate.BLOCK] if piece.stop else action_of(verdict)
    return replace(
        known,
        action=action,
        code="response_blocked" if piece.stop else "",
        verdict=verdict,
        found=_found(exchange.policy, verdict) if verdict else (),
        sent=piece.sent,
        masked=piece.sent or _masked(piece),
        recorded=piece.record,
    )


def _masked(piece: Piece) -> bytes:
    """Of an answer that is stopped nothing is sent; its record shows what it was, masked."""
    return piece.record.data


def _found(policy: Policy, verdict: Verdict) -> tuple[Found, ...]:
    rules = {rule.id: rule.name for rule in policy.spec.rules}
    return tuple(
        Found(
            data_class=each.data_class,
            level=LEVELS[each.level],
            detector=each.detector,
            path=each.path,
            style=each.style.value,
            rule=rules.get(each.rule_id, ""),
            counted=each.counted,
        )
        for each in verdict.findings
    )


def _places(policy: Policy, body: bytes, setting: Setting) -> tuple[Finding, ...]:
    """Where the findings lie in the payload itself, which the exchange does not tell."""
    tree = jsontext.loads(body)
    asked = setting.direction is Direction.REQUEST
    shape = setting.wire.request(tree) if asked else setting.wire.response(tree)
    try:
        return places(policy, setting.direction, tree, shape.embedded)
    except EngineError:  # more than a page could point at: those that overlap are counted one by one here
        return ()


def _strongest(found: Sequence[Finding]) -> list[Finding]:
    """Of findings that overlap the one that is shown: the highest level, then the longest."""
    taken: dict[str, list[tuple[int, int]]] = {}  # by path: where what is shown begins and ends, in order
    chosen: list[Finding] = []
    for each in sorted(found, key=lambda one: (-one.level, -one.length, one.start)):
        beside, span = taken.setdefault(each.path, []), (each.start, each.start + each.length)
        at = bisect(beside, span)
        clear = (not at or beside[at - 1][1] <= span[0]) and (at == len(beside) or span[1] <= beside[at][0])
        if clear:
            beside.insert(at, span)
            chosen.append(each)
    return chosen


def _wrapped(text: str, setting: Setting) -> bytes:
    """Plain text in the smallest payload of its family; what JSON cannot carry stays to be refused."""
    if setting.family == "json":
        return json.dumps({"text": text}).encode()
    if setting.direction is Direction.REQUEST:
        turn = {"role": "user", "content": text}
        return json.dumps({"model": "playground", "messages": [turn]}).encode()
    if setting.family == "anthropic":
        said = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": text}]}
        return json.dumps({**said, "stop_reason": "end_turn"}).encode()
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"object": "chat.completion", "choices": [choice]}).encode()


def _found_json(found: Found) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Found.__slots__}


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "gate": GATES[verdict.gate],
        "reasons": [
            {"gate": GATES[each.gate], "rule": each.rule_name, "text": each.text, "enforced": each.enforced}
            for each in verdict.reasons
        ],
        "counts": dict(verdict.counts),
        "masked": dict(verdict.masked),
        "highest": LEVELS[verdict.highest] if verdict.highest is not None else None,
        "risk": verdict.risk,
        "risk_parts": [{"points": each.points, "text": each.text} for each in verdict.risk_parts],
        "observed": GATES[verdict.observed] if verdict.observed is not None else None,
        "spared": dict(verdict.spared),
        "above_ceiling": verdict.above_ceiling,
    }


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
