"""Publishes in a process of its own: `python -m tests.server.publisher TIMES PAUSE`, one line of JSON each.

Every turn publishes a schema whose class for a marker has another name, then a policy that treats it another
way: whatever a call did says which two versions it was judged by.
"""

from __future__ import annotations

import json
import sys
import time

import django

MARKER = "mark-77"
SHOWN = ("label", "redact")
"""How policy versions treat the marker, by their number."""


def main(times: int, pause: float) -> None:
    django.setup()
    for _ in range(times):
        schema = _schema()
        time.sleep(pause / 2)
        policy = _policy()
        print(json.dumps({"schema": schema, "policy": policy, "at": time.time()}), flush=True)
        time.sleep(pause / 2)


def _schema() -> int:
    from policies import services
    from policies.models import DataClass, Detector, DetectorKind, Schema
    from policies.versions import schema_version_in_force

    schema = Schema.objects.get(slug="acme")
    last = schema_version_in_force(schema.pk)
    assert last is not None
    draft = services.schema_version_clone_to_draft(version=last, by=None)
    marker = draft.classes.filter(name="Marker").first()
    if marker is None:
        marker = DataClass.objects.create(
            version=draft, slug="M", name="Marker", tags=["marker"], position=99
        )
        Detector.objects.create(
            data_class=marker, kind=DetectorKind.REGEX, value=r"\bmark-[0-9]{1,4}\b", position=1
        )
    marker.slug = class_of(draft.number)
    marker.save()
    return services.schema_version_publish(version=draft, by=None).number


def _policy() -> int:
    from policies import services
    from policies.models import Policy
    from policies.versions import policy_version_in_force

    last = policy_version_in_force(Policy.objects.get(slug="support").pk)
    assert last is not None
    draft = services.policy_version_clone_to_draft(version=last, by=None)
    draft.default_transform = SHOWN[draft.number % 2]
    draft.save()
    return services.policy_version_publish(version=draft, by=None).number


def class_of(schema: int) -> str:
    """What the class is called in this version of the schema."""
    return f"MARK_{schema}"


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
