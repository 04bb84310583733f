"""What has to hold of every verdict, whatever the rules, the payload and its circumstances."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gateway.proxy.exchange import Exchange
from gateway.proxy.streaming import StreamExchange
from gateway.proxy.wire import sse
from gateway.proxy.wire.openai import ChatCompletions
from policies.engine.policy import Policy
from policies.engine.schema import Schema
from policies.engine.sketch import OneRequest
from policies.engine.types import (
    Circumstances,
    DataClass,
    Direction,
    FieldSeen,
    Gate,
    KeyDetector,
    Level,
    Matcher,
    PolicySpec,
    RegexDetector,
    Rule,
    SchemaSpec,
    Style,
    Verdict,
)
from policies.engine.verdict import CLEAN

from .world import HEAD, KEYS, chat

NOW = 1_000.0
CLASSES = (
    ("CITY", Level.PUBLIC, 0, (), r"\bcity[0-9]\b"),
    ("NAME", Level.INTERNAL, 1, ("person",), r"\bname[0-9]\b"),
    ("MAIL", Level.CONFIDENTIAL, 2, ("person", "contact"), r"\bmail[0-9]\b"),
    ("LINE", Level.CONFIDENTIAL, 3, ("contact",), r"<[a-z0-9 ]{1,20}>"),  # may hold any of the others
    ("CARD", Level.RESTRICTED, 20, ("pci",), r"\bcard[0-9]\b"),
    ("CODE", Level.RESTRICTED, 30, ("secret",), r"\bcode[0-9]( mail[0-9])?\b"),  # may lie over another
)
SCHEMA = Schema(
    SchemaSpec(
        version_id="s",
        number=1,
        name="s",
        classes=tuple(
            DataClass(
                slug=slug,
                name=slug,
                level=level,
                weight=weight,
                tags=frozenset(tags),
                detectors=(
                    RegexDetector(pattern=pattern, max_len=24),
                    KeyDetector(names=(f"the{slug.lower()}",)),
                ),
            )
            for slug, level, weight, tags, pattern in CLASSES
        ),
    ),
    {},
)
SLUGS = [slug for slug, *_ in CLASSES]
NAMES = [*SLUGS, "person", "contact", "pci", "secret"]
RESTRICTED = {slug for slug, level, *_ in CLASSES if level is Level.RESTRICTED}
ABOUT_THE_CALLER = (Matcher.UNLABELLED, Matcher.UNCLASSIFIED)

SAID = (
    *("hello", "city1", "name1", "name2", "mail1", "mail2", "card1", "card2", "code1", "code1 mail1"),
    *("<", ">", "<mail1>", "<card1 x>", "a<code2 mail2>", "<name1", "mail1>", "", "é", "thecard"),
)
words = st.sampled_from(SAID)
texts = st.lists(words, max_size=8).map(" ".join)
gates = st.sampled_from(Gate)
directions = st.sampled_from([frozenset(Direction), *(frozenset({each}) for each in Direction)])
levels = st.sampled_from(Level)


@st.composite
def rules(draw: st.DrawFn, number: int = 0, *, transforms: bool = True) -> Rule:
    matcher = draw(st.sampled_from(Matcher))
    value, more = "", {}
    if matcher is Matcher.CLASS:
        value = draw(st.sampled_from(SLUGS))
    elif matcher is Matcher.TAG:
        value = draw(st.sampled_from(NAMES[len(SLUGS) :]))
    elif matcher is Matcher.LEVEL:
        value = draw(levels).name.lower()
    elif matcher is Matcher.COMBINATION:
        value = " + ".join(draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=3, unique=True)))
    elif matcher in (Matcher.BULK, Matcher.DISTINCT):
        value = draw(st.sampled_from(["", *NAMES]))
        more["at_least"] = draw(st.integers(1, 4))
    elif matcher is Matcher.UNCLASSIFIED:
        value = draw(st.sampled_from(["", "a", "b.c"]))
    elif matcher is Matcher.OPAQUE:
        value = draw(st.sampled_from(["", "image", "file"]))
    if matcher is Matcher.DISTINCT:
        more["window"] = draw(st.sampled_from(["hour", "day"]))
    if transforms and matcher in (Matcher.CLASS, Matcher.TAG, Matcher.LEVEL):
        more["transform"] = draw(st.sampled_from([None, *Style]))
    return Rule(
        id=f"r{number}",
        name=f"r{number}",
        directions=draw(directions),
        matcher=matcher,
        value=value,
        gate=draw(gates),
        weight=draw(st.sampled_from([0, 0, 5, 20])),
        **more,
    )


@st.composite
def specs(draw: st.DrawFn, *, transforms: bool = True) -> PolicySpec:
    count = draw(st.integers(0, 4))
    return PolicySpec(
        version_id="p",
        number=1,
        name="p",
        rules=tuple(draw(rules(number, transforms=transforms)) for number in range(count)),
        default_transform=draw(st.sampled_from(Style)) if transforms else Style.REDACT,
        opaque_gate=draw(gates),
        hold_score=draw(st.sampled_from([None, None, None, 5, 20, 60])),
        block_score=draw(st.sampled_from([None, None, None, 25, 40, 90])),
        count_cap=draw(st.sampled_from([1, 3, 10])),
    )


circumstances = st.builds(
    Circumstances,
    now=st.just(NOW),
    declared=st.none() | levels,
    ceiling=st.sampled_from([*[Level.RESTRICTED] * 4, Level.CONFIDENTIAL, Level.INTERNAL]),  # mostly none
    distinct=st.none(),
    fields=st.lists(st.sampled_from(["a", "a.b", "b.c[0]"]), max_size=2).map(
        lambda paths: tuple(FieldSeen(path, "string") for path in paths)
    ),
)
opaque = st.sampled_from([(), (), ("image",), ("file", "image")])
PARTS: dict[str, dict[str, Any]] = {
    "image": {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}},
    "file": {"type": "file", "file": {"file_id": "f"}},
}
thorough = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def body(text: str, kinds: tuple[str, ...] = (), **more: Any) -> bytes:
    content: Any = [{"type": "text", "text": text}, *(PARTS[kind] for kind in kinds)] if kinds else text
    return chat(content, **more)


def asked(
    spec: PolicySpec, text: str, around: Circumstances, kinds: tuple[str, ...] = (), **more: Any
) -> tuple[Exchange, Verdict]:
    call = Exchange(Policy(spec, SCHEMA), ChatCompletions(), KEYS)
    verdict = call.request(HEAD, body(text, kinds, **more), around._replace(distinct=OneRequest()))
    return call, verdict


def observing(spec: PolicySpec) -> PolicySpec:
    return replace(spec, observe_until=NOW + 1)


@thorough
@given(specs(), texts, circumstances, opaque)
def test_the_same_call_gets_the_same_verdict(
    spec: PolicySpec, text: str, around: Circumstances, kinds: tuple[str, ...]
) -> None:
    one, first = asked(spec, text, around, kinds)
    other, second = asked(spec, text, around, kinds)
    assert first == second
    assert (one.outgoing, one.recorded, one.fingerprints) == (
        other.outgoing,
        other.recorded,
        other.fingerprints,
    )


@thorough
@given(specs(), texts, circumstances, opaque)
def test_what_observing_says_would_happen_is_what_enforcing_does(
    spec: PolicySpec, text: str, around: Circumstances, kinds: tuple[str, ...]
) -> None:
    _, enforced = asked(spec, text, around, kinds)
    _, observed = asked(observing(spec), text, around, kinds)
    assert observed.observed == enforced.gate or observed == CLEAN == enforced
    assert observed.gate <= enforced.gate
    assert (observed.risk, observed.risk_parts) == (enforced.risk, enforced.risk_parts)
    assert observed.above_ceiling == enforced.above_ceiling
    assert {reason.rule_id for reason in observed.reasons} == {reason.rule_id for reason in enforced.reasons}


@thorough
@given(specs(), texts, circumstances, opaque, st.dictionaries(st.sampled_from(["thecard", "x"]), texts))
def test_observing_lets_nothing_restricted_out_that_enforcing_would_not(
    spec: PolicySpec,
    text: str,
    around: Circumstances,
    kinds: tuple[str, ...],
    more: dict[str, str],
) -> None:
    strict, _ = asked(spec, text, around, kinds, metadata=more)
    loose, _ = asked(observing(spec), text, around, kinds, metadata=more)
    for slug in RESTRICTED:
        plan = strict.policy.plan(Direction.REQUEST, slug)
        if plan is not None and plan.style is Style.NONE:
            continue  # a rule lets it pass, so what lies over it may no longer hide it
        for value in (f"{slug.lower()}1", f"{slug.lower()}2"):
            assert loose.outgoing.count(value.encode()) <= strict.outgoing.count(value.encode())
    assert loose.recorded is not None
    for value in ("mail1", "mail2", "card1", "card2", "code1", "code2"):
        assert value.encode() not in loose.recorded.data + loose.recorded.marks


@thorough
@given(specs(), st.lists(words, max_size=8), circumstances)
def test_observing_lowers_nothing_that_restricted_data_causes(
    spec: PolicySpec, said: list[str], around: Circumstances
) -> None:
    """All that is not restricted may as well be absent: the call is treated at least as strictly."""
    spec = replace(spec, rules=tuple(each for each in spec.rules if each.matcher not in ABOUT_THE_CALLER))
    alone = " ".join(word for word in said if word in ("card1", "card2", "code1", "hello"))
    together = " ".join(word for word in said if not {"<", ">"} & {*word})
    _, restricted = asked(spec, alone, around)
    _, observed = asked(observing(spec), together, around)
    assert observed.gate >= restricted.gate


@thorough
@given(specs(), rules(99, transforms=False), texts, circumstances, opaque)
def test_another_rule_never_loosens_a_verdict(
    spec: PolicySpec, rule: Rule, text: str, around: Circumstances, kinds: tuple[str, ...]
) -> None:
    assume(rule.matcher is not Matcher.OPAQUE or rule.gate >= spec.opaque_gate)  # the default is for the rest
    before, loose = asked(spec, text, around, kinds)
    after, strict = asked(replace(spec, rules=(*spec.rules, rule)), text, around, kinds)
    assert strict.gate >= loose.gate
    assert strict.risk >= loose.risk
    assert after.outgoing == before.outgoing, "only a transform changes the text"


@thorough
@given(specs(), texts, circumstances, levels)
def test_a_lower_ceiling_and_a_lower_declaration_never_loosen(
    spec: PolicySpec, text: str, around: Circumstances, level: Level
) -> None:
    _, verdict = asked(spec, text, around)
    _, under = asked(spec, text, around._replace(ceiling=min(level, around.ceiling)))
    assert under.gate >= verdict.gate
    if around.declared is not None:
        free = around._replace(ceiling=Level.RESTRICTED)  # what is declared lower may pass a ceiling
        _, verdict = asked(spec, text, free)
        _, said = asked(spec, text, free._replace(declared=min(level, around.declared)))
        assert said.gate >= verdict.gate


@thorough
@given(specs(), texts, texts, circumstances)
def test_risk_adds_up(spec: PolicySpec, one: str, other: str, around: Circumstances) -> None:
    _, verdict = asked(spec, one, around)
    assert verdict.risk == sum(part.points for part in verdict.risk_parts)
    plain = replace(spec, rules=(), count_cap=1000)
    parts = [asked(plain, text, around)[1].risk for text in (one, other)]
    both = asked(plain, f"{one}\n{other}", around)[1].risk  # no pattern reaches over a line's end
    assert both == sum(parts)


@thorough
@given(specs(), st.lists(st.sampled_from(["hello", "é", "<", "x"]), max_size=5), circumstances)
def test_a_call_that_concerns_no_rule_is_not_touched(
    spec: PolicySpec, said: list[str], around: Circumstances
) -> None:
    assume(not any(each.matcher in ABOUT_THE_CALLER for each in spec.rules))
    around = around._replace(ceiling=Level.RESTRICTED)
    text = " ".join(said)
    for each in (spec, observing(spec)):
        call, verdict = asked(each, text, around)
        assert verdict is CLEAN
        assert call.recorded is not None and call.recorded.data is call.outgoing
        assert json.loads(call.outgoing) == json.loads(body(text))


def answer(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


def events(pieces: list[str]) -> list[bytes]:
    chunks: list[dict[str, Any]] = [{"index": 0, "delta": {"content": piece}} for piece in pieces]
    chunks.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    data = [json.dumps({"id": "x", "choices": [chunk]}).encode() for chunk in chunks]
    return [sse.encode(each) for each in (*data, b"[DONE]")]


@st.composite
def split(draw: st.DrawFn) -> tuple[str, list[str]]:
    text = draw(texts)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=12)))
    return text, [text[low:high] for low, high in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@thorough
@given(specs(), split(), circumstances, st.booleans(), st.integers(1, 40))
def test_a_stream_split_anywhere_is_judged_as_the_whole_answer(
    spec: PolicySpec, said: tuple[str, list[str]], around: Circumstances, observes: bool, size: int
) -> None:
    text, pieces = said
    spec = observing(spec) if observes else spec
    calls = [asked(spec, "hello", around)[0] for _ in range(2)]
    whole, streamed = calls
    piece = whole.response(answer(text))
    stream = StreamExchange(streamed)
    raw = b"".join(events(pieces))
    stopped = False
    for chunk in (*(raw[at : at + size] for at in range(0, len(raw), size)), None):
        step = stream.flush() if chunk is None else stream.decode(chunk)
        stopped = stopped or step.stop
        if stopped:
            break
    assert stopped == piece.stop
    if stopped:
        assert streamed.response_gate >= Gate.HOLD
        return
    assert streamed.response_gate == whole.response_gate
    assert streamed.counts == whole.counts
    assert streamed.response_masked == whole.response_masked
    assert streamed.response_observed == whole.response_observed
    assert streamed.response_spared == whole.response_spared
