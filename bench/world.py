"""The world under measurement, in an empty store; prints alice's key.

    python -m bench.world CHAT_ORIGIN [RULES CLASSES]

RULES are access rules beside the demo's, of which alice's groups have one in fifty; they name other models
and come before the one that decides. CLASSES are data classes beside the demo's.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings")

PER_GROUP = 10


def main(origin: str, rules: int = 0, classes: int = 0) -> None:
    import django

    django.setup()
    from django.core.management import call_command

    from gateway.console.seed import seed_world

    call_command("migrate", verbosity=0)
    seeded = seed_world(chat_origin=origin, classifier_origin=origin)
    if classes:
        add_classes(classes)
    if rules:
        add_rules(rules)
    sys.stdout.write(seeded.api_keys["alice"].reveal())


def add_rules(number: int) -> None:
    from django.contrib.auth.models import Group

    from gateway.models import AccessRule, Endpoint, User
    from policies.models import Policy

    chat, policy = Endpoint.objects.get(slug="chat"), Policy.objects.get(slug="support")
    groups = Group.objects.bulk_create(Group(name=f"team-{at}") for at in range(number // PER_GROUP))
    User.objects.get(username="alice").groups.add(*groups[::50])
    AccessRule.objects.bulk_create(
        AccessRule(
            group=group,
            endpoint=chat,
            policy=policy,
            priority=priority,
            allowed_models=[f"model-{at}-{priority}"],
        )
        for at, group in enumerate(groups)
        for priority in range(PER_GROUP)
    )


def add_classes(number: int) -> None:
    """Half of them patterns, half terms."""
    from policies import services
    from policies.models import DataClass, Detector, DetectorKind, SchemaVersion

    draft = services.schema_version_clone_to_draft(version=SchemaVersion.objects.get(), by=None)
    made = DataClass.objects.bulk_create(
        DataClass(version=draft, slug=f"EXTRA_{at}", name=f"Extra {at}", level=at % 4, position=100 + at)
        for at in range(number)
    )
    Detector.objects.bulk_create(
        Detector(data_class=row, kind=DetectorKind.TERMS, value=f"project nightingale {at}\nbluebird-{at}")
        if at % 2
        else Detector(data_class=row, kind=DetectorKind.REGEX, value=rf"\bX{at:03}-[0-9]{{6}}\b")
        for at, row in enumerate(made)
    )
    services.schema_version_publish(version=draft, by=None)


if __name__ == "__main__":
    main(sys.argv[1], *[int(number) for number in sys.argv[2:4]])
