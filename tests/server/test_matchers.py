"""Every kind of rule, published and called through the real gateway: what clients get, what is on record."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from .hammer_house import House, running_house
from .scripted import ScriptedModel, response, scripted_model
from .test_upstreams import answer

pytestmark = pytest.mark.database

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}
FLAG, HOLD, BLOCK = 1, 2, 3


class Desk:
    """A gateway, its model, and what can be done with both."""

    def __init__(self, house: House, model: ScriptedModel) -> None:
        self.house, self.model = house, model

    def publish(self, *rules: dict[str, Any], **settings: Any) -> None:
        """Publish a policy of these rules and wait until calls are judged by it."""
        number = self._run("publish", given={"rules": rules, **settings})[0]
        deadline = time.monotonic() + 10
        while not self.ask("hi").headers["x-postern-policy"].startswith(f"Support@{number}"):
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def ceiling(self, level: str) -> None:
        self._run("ceiling", level)
        time.sleep(2)

    def ask(
        self, content: Any, *, level: str = "", says: str = "hello there", fields: object = None
    ) -> requests.Response:
        self.model.script = response("200 OK", "application/json", answer(says), "connection: close")
        headers = {"Authorization": f"Bearer {self.house.key('alice')}", "Prefer": "wait=0"}
        if level:
            headers["x-postern-classification"] = level
        body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": content}]}
        if fields:
            body["metadata"] = fields
        url = f"http://127.0.0.1:{self.house.port}{self.house.path('openai')}"
        return requests.post(url, json=body, headers=headers, timeout=20)

    def record(self, *calls: requests.Response) -> list[dict[str, Any]]:
        """What the record says of calls, once they are closed."""
        deadline = time.monotonic() + 15
        while True:
            facts = self._run("read", *(got.headers["x-postern-call"] for got in calls))
            if all(each["closed"] for each in facts) or time.monotonic() > deadline:
                assert all(each["whole"] for each in facts)
                return facts
            time.sleep(0.2)

    def _run(self, *words: str, given: object = None) -> list[Any]:
        said = self.house.python("-m", "tests.server.matchers", *words, given=json.dumps(given))
        return [json.loads(line) for line in said.splitlines()]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    root = tmp_path_factory.mktemp("matchers")
    with scripted_model() as model, running_house(root, model_url=model.url) as house:
        yield Desk(house, model)


def rule(name: str, matcher: str, value: str = "", gate: int = FLAG, **more: Any) -> dict[str, Any]:
    return {"name": name, "matcher": matcher, "value": value, "gate": gate, **more}


ONE_OF_EACH = (
    rule("class", "class", "DIAGNOSIS"),
    rule("tag", "tag", "somebody"),
    rule("level", "level", "restricted"),
    rule("together", "combination", "somebody + DIAGNOSIS", weight=50),
    rule("many", "bulk", "PERSON", at_least=3),
    rule("different", "distinct", "CASE", at_least=3, window="day"),
    rule("above", "above_declared"),
    rule("silent", "unlabelled"),
    rule("pictures", "opaque", "image"),
)
CALLS: list[tuple[Any, str, set[str], int]] = [
    ("hello", "internal", set(), 0),
    ("hello", "", {"silent"}, 0),
    ("the flu", "restricted", {"class"}, 5),
    ("ann", "restricted", {"tag"}, 1),
    ("ann ben ann", "restricted", {"tag", "many"}, 3),
    ("ann has the flu", "restricted", {"class", "tag", "together"}, 56),
    ("ann", "internal", {"tag", "above"}, 1),
    ("case one", "restricted", {"level"}, 20),
    ("case two, case one", "restricted", {"level"}, 40),
    ("case three", "restricted", {"level", "different"}, 20),
    ([{"type": "text", "text": "look"}, IMAGE], "restricted", {"pictures"}, 0),
]


def test_every_kind_of_rule_flags_the_calls_that_it_is_about(desk: Desk) -> None:
    desk.publish(*ONE_OF_EACH)
    answers = [desk.ask(content, level=level) for content, level, _, _ in CALLS]
    assert [got.status_code for got in answers] == [200] * len(CALLS)
    recorded = desk.record(*answers)
    for facts, (content, level, rules, risk) in zip(recorded, CALLS, strict=True):
        assert set(facts["rules"]) == set(facts["extra"].get("request_flags", {}).values()) == rules, content
        assert (facts["declared"], facts["ceiling"]) == (level, "restricted")
        assert facts["risk"] == risk == sum(points for points, _ in facts["score"]), content
        assert facts["action"] == ("flagged" if rules else "passed")
        assert facts["observed"] == ""
    assert [50, "rule “together”"] in recorded[5]["score"]


def test_a_score_holds_and_blocks_and_a_combination_stops_an_answer(desk: Desk) -> None:
    together = rule("together", "combination", "PERSON + DIAGNOSIS", gate=BLOCK, directions="response")
    desk.publish(together, hold_score=20, block_score=40)
    held, blocked = desk.ask("case one"), desk.ask("case one and case two")
    assert [(got.status_code, got.json()["error"]["code"]) for got in (held, blocked)] == [
        (403, "approval_required"),
        (403, "policy_blocked"),
    ]
    stopped = desk.ask("hi", says="ann has the flu")
    assert stopped.json()["error"]["code"] == "response_blocked"
    of_held, of_blocked, of_stopped = desk.record(held, blocked, stopped)
    assert of_held["reasons"] == ["The risk is 20; from 20 on the policy holds the call."]
    assert of_blocked["risk"] == 40
    assert of_stopped["extra"]["response_reasons"] == [
        "PERSON + DIAGNOSIS found together; rule “together” blocks the call."
    ]


def test_a_policy_that_observes_lets_pass_what_it_would_stop_and_says_so(desk: Desk) -> None:
    desk.publish(rule("no people", "class", "PERSON", gate=BLOCK), observe=True, block_score=20)
    got = desk.ask("ann", level="internal", says="ben")
    assert (got.status_code, b"ann" in desk.model.requests[-1]) == (200, True)
    (facts,) = desk.record(got)
    assert (facts["gate"], facts["observed"], facts["would"]) == ("allow", "block", "blocked")
    assert facts["spared"] == {"PERSON": 1}
    assert '"ann"' not in facts["text"], "the record is masked all the same"
    assert facts["extra"]["response_observed"] == "block"
    assert facts["extra"]["response_spared"] == {"PERSON": 1}
    assert desk.ask("case one").status_code == 403, "what restricted data causes is enforced"


def test_the_ceiling_holds_while_observing_for_what_is_declared_and_what_is_found(desk: Desk) -> None:
    desk.publish(observe=True)
    desk.ceiling("internal")
    try:
        calls = desk.ask("hello", level="confidential"), desk.ask("ann", level="internal")
        assert [got.json()["error"]["code"] for got in calls] == ["above_ceiling"] * 2
        for facts in desk.record(*calls):
            assert (facts["gate"], facts["ceiling"]) == ("block", "internal")
        assert desk.ask("hello", level="internal").status_code == 200
    finally:
        desk.ceiling("restricted")


def test_a_policy_that_keeps_findings_only_keeps_no_text(desk: Desk) -> None:
    desk.publish(rule("people", "class", "PERSON"), keeps="findings")
    (facts,) = desk.record(desk.ask("ann and nobody else"))
    assert not facts["kept"]
    assert "nobody" not in facts["text"]
    assert facts["counts"] == {"PERSON": 1}
