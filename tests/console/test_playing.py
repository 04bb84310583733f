"""Trying payloads out: the data path's verdict, places in the payload itself, differences of two versions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.console.playing import MAX_BYTES, Setting, TooLarge, play
from gateway.proxy.exchange import Exchange, Unreadable
from gateway.proxy.ledger import action_of
from policies import drafts
from policies.drafts import NotCompilable
from policies.engine import jsontext
from policies.engine.masker import Masker
from policies.engine.places import places
from policies.engine.types import Circumstances, Direction, Gate, Level, Matcher, Style
from policies.models import Detector, DetectorKind
from tests.console import world as trials
from tests.console.world import BADGE, EMAIL, answer, chat
from tests.gateway import world
from tests.proxy.world import API_KEY, CARD, HEAD, KEYS, SSN, policy

pytestmark = pytest.mark.django_db

ANSWER = Setting(direction=Direction.RESPONSE)
PLAIN = Setting(family="json")


@pytest.mark.parametrize(
    ("payload", "setting"),
    [
        (chat(f"mail {EMAIL}, badge {BADGE}"), Setting()),
        (chat("nothing"), Setting()),
        (chat(f"mail {EMAIL}"), Setting(ceiling=Level.INTERNAL)),
        (chat("hello"), Setting(declared=Level.RESTRICTED, ceiling=Level.INTERNAL)),
        (chat([{"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]), Setting()),
        (json.dumps({"a": {"b": [EMAIL, 1]}}), PLAIN),
        ('{"text": "' + EMAIL + '", "text": 1}', PLAIN),
        ("no json", Setting()),
        ('{"model": "m"}', Setting()),
        ('{"n": NaN}', PLAIN),
        ("3", PLAIN),
    ],
)
def test_the_verdict_is_the_data_paths(payload: str, setting: Setting) -> None:
    pair = trials.published()
    played = play(version=pair, payload=payload, setting=setting).one
    call = Exchange(drafts.compiled(*pair), setting.wire, KEYS)
    circumstances = Circumstances(declared=setting.declared, ceiling=setting.ceiling)
    try:
        verdict = call.request(HEAD, payload.encode(), circumstances)
    except Unreadable as error:
        assert (played.error, played.message, played.verdict) == (error.code, str(error), None)
        assert (played.sent, played.recorded) == (b"", None)
        return
    assert played.verdict == verdict
    assert played.action == action_of(verdict)
    assert (played.masked, played.recorded) == (call.outgoing, call.recorded)
    assert bool(played.sent) is (verdict.gate < Gate.HOLD)


def test_an_answer_is_judged_as_an_answer() -> None:
    pair = trials.published()
    played = play(version=pair, payload=answer(f"write to {EMAIL}"), setting=ANSWER).one
    assert played.action == "masked"
    assert EMAIL.encode() not in played.sent
    assert [each.path for each in played.found] == ["choices[0].message.content"]


def test_an_answer_that_is_stopped_leaves_nothing() -> None:
    version, schema = trials.published()
    draft = trials.draft_of(version)
    played = play(version=(draft, schema), payload=answer(f"write to {EMAIL}"), setting=ANSWER).one
    assert (played.action, played.code, played.sent) == ("blocked", "response_blocked", b"")
    assert EMAIL.encode() not in played.masked


@pytest.mark.parametrize(
    "setting",
    [
        Setting(is_text=True),
        Setting(is_text=True, direction=Direction.RESPONSE),
        Setting(is_text=True, family="json"),
        Setting(is_text=True, family="json", direction=Direction.RESPONSE),
    ],
)
def test_text_is_put_into_the_smallest_payload(setting: Setting) -> None:
    played = play(version=trials.published(), payload=f'say "{EMAIL}"', setting=setting)
    assert played.one.action == "masked"
    assert EMAIL in json.dumps(jsontext.loads(played.body))


def test_text_that_json_cannot_carry_is_refused_as_the_data_path_would() -> None:
    played = play(version=trials.published(), payload="\ud800", setting=Setting(is_text=True)).one
    assert played.error == "lone_surrogate"


def test_places_are_those_of_the_payload_itself() -> None:
    text = f"a 🙂 {BADGE} then {EMAIL}."
    played = play(version=trials.published(), payload=chat(text), setting=Setting())
    found = {text[m["start"] : m["start"] + m["length"]] for m in json.loads(played.one.marks)}
    assert found == {BADGE, EMAIL}


def test_more_findings_than_a_page_can_point_at_are_no_error() -> None:
    version, schema = trials.published()
    draft = world.services.schema_version_clone_to_draft(version=schema, by=None)
    twice = world.data_class(draft, "TWICE", DetectorKind.REGEX, r"\bx[0-9]\b")
    Detector.objects.create(data_class=twice, kind=DetectorKind.TERMS, value="x1")
    played = play(version=(version, draft), payload=chat("x1 " * 6000), setting=Setting()).one
    assert played.action == "masked" and played.marks == b"[]"


def test_a_draft_and_the_published_version_are_compared() -> None:
    version, schema = trials.published()
    draft = trials.draft_of(version)
    played = play(version=(version, schema), against=(draft, schema), payload=chat(EMAIL), setting=Setting())
    assert played.changes is not None
    assert played.changes.action == ("masked", "held")
    assert not played.changes.masked
    assert [text for text in played.changes.reasons_added if "Mail waits" in text]


def test_a_schema_draft_is_compared_under_the_same_policy() -> None:
    version, schema = trials.published()
    draft = world.services.schema_version_clone_to_draft(version=schema, by=None)
    world.data_class(draft, "ROOM", DetectorKind.REGEX, r"\broom [0-9]{3}\b")
    played = play(
        version=(version, schema), against=(version, draft), payload=chat("in room 217"), setting=Setting()
    )
    assert played.changes is not None
    assert [each.data_class for each in played.changes.added] == ["ROOM"]
    assert played.changes.action == ("passed", "masked")
    assert played.changes.masked


def test_equal_versions_have_no_difference() -> None:
    pair = trials.published()
    played = play(version=pair, against=pair, payload=chat(EMAIL), setting=Setting())
    assert played.changes is not None
    assert not played.changes


def test_what_cannot_be_published_is_tried_and_said() -> None:
    version, schema = trials.published()
    draft = trials.draft_of(version)
    world.rule(draft, matcher=Matcher.CLASS.value, value="NOBODY", gate=Gate.BLOCK.value)
    played = play(version=(draft, schema), payload=chat("hello"), setting=Setting()).one
    assert any("NOBODY" in problem for problem in played.problems)


def test_a_draft_that_does_not_compile_says_why() -> None:
    version, schema = trials.published()
    draft = world.services.schema_version_clone_to_draft(version=schema, by=None)
    world.data_class(draft, "BROKEN", DetectorKind.REGEX, "(unclosed")
    with pytest.raises(NotCompilable, match="BROKEN"):
        play(version=(version, draft), payload=chat("hello"), setting=Setting())


def test_another_schemas_version_is_refused() -> None:
    version, _ = trials.published()
    other = world.published_schema("other").versions.get()
    with pytest.raises(NotCompilable, match="Acme"):
        play(version=(version, other), payload=chat("hello"), setting=Setting())


def test_an_edited_draft_is_compiled_anew_and_an_unchanged_one_is_not() -> None:
    version, schema = trials.published()
    draft = trials.draft_of(version)
    first = drafts.compiled(draft, schema)
    assert drafts.compiled(draft, schema) is first
    world.rule(draft, name="More", matcher=Matcher.CLASS.value, value="BADGE", gate=Gate.FLAG.value)
    assert drafts.compiled(draft, schema) is not first


def test_too_much_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge, match="256 KB"):
        play(version=trials.published(), payload="x" * (MAX_BYTES + 1), setting=Setting())


def test_the_result_is_data_for_an_api_and_repeats_no_payload() -> None:
    version, schema = trials.published()
    draft = trials.draft_of(version)
    played = play(version=(version, schema), against=(draft, schema), payload=chat(EMAIL), setting=Setting())
    said = json.dumps(played.as_json())
    assert EMAIL not in said
    assert EMAIL not in repr(played)
    assert json.loads(said)["changes"]["action"] == ["masked", "held"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([CARD, EMAIL, SSN, API_KEY, "x", " ", "é", "🙂", "-"]), max_size=12))
def test_places_find_what_the_masker_finds(parts: list[str]) -> None:
    tree: Any = {"a": "".join(parts), "b": ["".join(reversed(parts))]}
    under = policy(default_transform=Style.LABEL)
    masked = Masker(under, Direction.REQUEST).document(tree).findings
    there = places(under, Direction.REQUEST, tree)
    assert {(each.data_class, each.path) for each in masked} == {
        (each.data_class, each.path) for each in there
    }
