"""What the admission says of its verdict beside the reasons: levels, risk, what observing left undone.

Pure. Read from the entry's own metadata, which the chain covers. An entry that somebody changed may hold
anything: what does not read as it should is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from audit.listing import Found, found_of

GATES: Final = ("allow", "flag", "hold", "block")
LEVELS: Final = ("public", "internal", "confidential", "restricted")
_DONE: Final = {"flag": "flagged", "hold": "held", "block": "blocked"}
LEFT: Final = {
    "too_large": "it was larger than what is kept.",
    "repeated": "it repeated the secret that the gateway called with.",
    "no_room": "too many streams were kept at that moment.",
    "unrecorded": "the store was away, or its end could not be written.",
}
"""Why the original of a streamed answer is not on record, by what its close says."""


@dataclass(frozen=True, slots=True)
class Points:
    """A line of the score."""

    points: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict's circumstances as the page shows them. Empty text: not said."""

    declared: str = ""
    ceiling: str = ""
    highest: str = ""
    risk: int = 0
    score: tuple[Points, ...] = ()
    observing: bool = False
    would: str = ""  # `blocked`, where the policy was observing and would have done more than was done
    spared: tuple[Found, ...] = ()  # left in clear for the same reason
    above_ceiling: bool = False

    def __bool__(self) -> bool:
        return bool(self.declared or self.ceiling or self.highest or self.risk or self.observing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The same of the response, as the close says it."""

    reasons: tuple[str, ...] = ()
    would: str = ""
    spared: tuple[Found, ...] = ()
    left: str = ""  # why its original is not kept, though the policy keeps originals


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """Who said who the caller was, where that was not a key of ours."""

    issuer: str = ""
    subject: str = ""  # the caller's name there
    actors: tuple[str, ...] = ()  # who acted for the caller, nearest first


def vouched(meta: Mapping[str, Any]) -> Vouched:
    """Of an admission entry's metadata."""
    who = meta.get("who")
    if not isinstance(who, dict):
        return Vouched()
    issuer, subject, actors = who.get("issuer"), who.get("issued_subject"), who.get("actor")
    return Vouched(
        issuer=issuer if isinstance(issuer, str) else "",
        subject=subject if isinstance(subject, str) else "",
        actors=tuple(str(each) for each in actors) if isinstance(actors, list) else (),
    )


def answered(extra: object) -> Answered:
    """Of a close's further facts."""
    if not isinstance(extra, dict):
        return Answered()
    reasons = extra.get("response_reasons")
    return Answered(
        reasons=tuple(str(each) for each in reasons) if isinstance(reasons, list) else (),
        would=_DONE.get(_word(extra, "response_observed", GATES), ""),
        spared=found_of(_counts(extra.get("response_spared"))),
        left=LEFT.get(str(extra.get("original_left", "")), ""),
    )


def judgement(meta: Mapping[str, Any]) -> Judgement:
    """Of an admission entry's metadata."""
    said = meta.get("decision")
    if not isinstance(said, dict):
        return Judgement()
    observed, gate = _word(said, "observed", GATES), _word(said, "gate", GATES)
    more = observed and GATES.index(observed) > GATES.index(gate or "allow")
    return Judgement(
        declared=_word(said, "declared", LEVELS),
        ceiling=_word(said, "ceiling", LEVELS),
        highest=_word(said, "highest", LEVELS),
        risk=_number(said.get("risk")),
        score=_score(said.get("score")),
        observing=bool(observed),
        would=_DONE.get(observed, "") if more else "",
        spared=found_of(_counts(said.get("spared"))),
        above_ceiling=said.get("code") == "above_ceiling",
    )


def _word(said: Mapping[str, Any], name: str, known: tuple[str, ...]) -> str:
    value = said.get(name)
    return value if isinstance(value, str) and value in known else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _score(lines: Any) -> tuple[Points, ...]:
    if not isinstance(lines, list):
        return ()
    pairs = [line for line in lines if isinstance(line, list) and len(line) == 2]
    return tuple(Points(_number(points), str(text)) for points, text in pairs)


def _counts(value: Any) -> dict[str, int]:
    return {str(name): _number(count) for name, count in value.items()} if isinstance(value, dict) else {}
