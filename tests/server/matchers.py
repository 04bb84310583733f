"""Publishes policies for `test_matchers.py` and reads what the record says, in a process of its own.

`python -m tests.server.matchers publish` takes a policy as JSON on standard input and prints its number;
`ceiling LEVEL` sets the endpoints' ceiling; `read CALL…` prints one line of JSON per call.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from uuid import UUID

import django


def publish(given: dict[str, Any]) -> None:
    from datetime import timedelta

    from django.utils import timezone

    from policies import services
    from policies.models import DataClass, Detector, DetectorKind, Policy, Rule
    from policies.versions import policy_version_in_force

    last = policy_version_in_force(Policy.objects.get(slug="support").pk)
    assert last is not None
    if not DataClass.objects.filter(version__schema_id=last.schema_id, slug="PERSON").exists():
        _classes(last.schema_id, services, DataClass, Detector, DetectorKind)
    draft = services.policy_version_clone_to_draft(version=last, by=None)
    draft.rules.all().delete()
    for position, rule in enumerate(given.pop("rules")):
        Rule.objects.create(version=draft, position=position, **rule)
    draft.mode, draft.observe_until = "enforce", None
    draft.hold_score = draft.block_score = None
    draft.reviewers = ["reviewers"]
    if given.pop("observe", False):
        draft.mode, draft.observe_until = "observe", timezone.now() + timedelta(days=1)
    for name, value in given.items():
        setattr(draft, name, value)
    draft.save()
    if draft.mode == "observe":
        _by_two(draft.pk)
    else:
        services.policy_version_publish(version=draft, by=None)
    print(json.dumps(draft.number))


def _by_two(draft_id: UUID) -> None:
    """What observes is published by two people."""
    from gateway.models import User
    from policies.proposals import propose
    from tests.gateway import two

    eve, finn = (User.objects.filter(username=name).first() or two.official(name) for name in ("eve", "finn"))
    made = propose(kind="policy.publish", target_id=draft_id, payload={}, by=eve, reason="to try it")
    two.confirm(made, finn)


def _classes(schema_id: object, services: Any, classes: Any, detectors: Any, kinds: Any) -> None:
    """PERSON, DIAGNOSIS and CASE: what the rules are about."""
    from policies.models import SchemaVersion, State

    last = SchemaVersion.objects.get(schema_id=schema_id, state=State.PUBLISHED)
    draft = services.schema_version_clone_to_draft(version=last, by=None)
    for position, (slug, level, weight, tags, words) in enumerate(
        (
            ("PERSON", 2, 1, ["somebody"], "ann\nben"),
            ("DIAGNOSIS", 2, 5, ["health"], "flu"),
            ("CASE", 3, 20, [], "case one\ncase two\ncase three"),
        ),
        90,
    ):
        row = classes.objects.create(
            version=draft, slug=slug, name=slug, level=level, weight=weight, tags=tags, position=position
        )
        detectors.objects.create(data_class=row, kind=kinds.TERMS, value=words)
    services.schema_version_publish(version=draft, by=None)


def ceiling(level: str) -> None:
    from gateway.models import Endpoint
    from policies.engine.types import Level

    for endpoint in Endpoint.objects.all():
        endpoint.ceiling = Level[level.upper()].value
        endpoint.save()


def read(calls: list[str]) -> None:
    from audit import ids
    from audit.evidence import evidence
    from audit.models import Call
    from audit.reader import call_read
    from policies.models import Rule

    for call in calls:
        record = call_read(Call.objects.get(id=call, started_at=ids.time_of(UUID(call))))
        decision = record.parts[0].meta["decision"]
        names = [Rule.objects.get(pk=each).name for each in decision["rules"]]
        shown = evidence(record)
        facts = {
            **decision,
            "rules": names,
            "action": record.call.action,
            "extra": record.call.extra,
            "closed": record.call.closed_at is not None,
            "whole": record.chain_ok,
            "kept": shown["request_view"].kept,
            "text": "" if record.request is None else record.request.data.decode(),
            "would": shown["judged"].would,
        }
        print(json.dumps(facts))


if __name__ == "__main__":
    django.setup()
    what, *rest = sys.argv[1:]
    if what == "publish":
        publish(json.load(sys.stdin))
    elif what == "ceiling":
        ceiling(*rest)
    else:
        read(rest)
