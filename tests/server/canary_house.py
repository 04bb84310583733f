"""A house that tells all that it may tell, and whoever is told: what canaries are sent through."""

from __future__ import annotations

import json
import random
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from approvals.webhooks import secret_of
from audit.originals import private_key_make
from tests.gateway.receiver import Mailbox, Receiver, receiver
from tests.gateway.siem import siem
from tests.services import quiet_port, redis

from .canaries import Canary, Place, control, hatch
from .canary_calls import Caller
from .canary_model import CanaryModel
from .canary_people import Person
from .canary_places import Listener
from .hammer_house import House
from .scripted import scripted_model
from .world import on_postgresql, private_database

PREPARE = """
import json, sys, django
django.setup()
from gateway.models import User, Webhook
from gateway.notifying.services import webhook_add
from policies import services
from policies.models import DataClass, Detector, DetectorKind, Policy, Schema
from policies.versions import policy_version_in_force, schema_version_in_force
given = json.load(sys.stdin)
schema = schema_version_in_force(Schema.objects.get().pk)
draft = services.schema_version_clone_to_draft(version=schema, by=None)
listed = DataClass.objects.get(version=draft, slug="PROJECT")
Detector.objects.create(data_class=listed, kind=DetectorKind.TERMS, value="\\n".join(given["words"]))
services.schema_version_publish(version=draft, by=None)
for policy in Policy.objects.all():
    draft = services.policy_version_clone_to_draft(version=policy_version_in_force(policy.pk), by=None)
    draft.keeps_original = True
    draft.save()
    version = services.policy_version_publish(version=draft, by=None)
services.policy_version_clone_to_draft(version=version, by=None)
for kind in ("standard", "slack"):
    hook = Webhook(name=kind, kind=kind, allow_private=True)
    webhook_add(webhook=hook, url=given["hook"], by=None)
User.objects.create_superuser("frank", "frank@acme.example", given["password"])
"""
"""Originals are kept, one draft is there, words are listed, webhooks are told, and admin has a second."""

BROODS = ("bodies", "headers", "people", "model")
"""Who brings them: each has canaries of its own, so that what is found says where it came in."""


@dataclass(slots=True)
class Scene:
    house: House
    model: CanaryModel
    canaries: dict[str, list[Canary]]
    control: str
    heard: Listener | None
    outside: dict[str, Receiver]
    mails: Mailbox
    siem: Path
    told: list[Place] = field(default_factory=list)  # what clients and people were shown
    acted: Counter[str] = field(default_factory=Counter)  # acts with words, by their event
    revealed: list[bytes] = field(default_factory=list)  # the page of an original, for whoever may look

    @property
    def everyone(self) -> list[Canary]:
        return [each for brood in self.canaries.values() for each in brood]

    def person(self, name: str) -> Person:
        return Person(self.house, name, self.told, self.acted)

    def caller(self, brood: str) -> Caller:
        return Caller(self.house, self.canaries[brood], self.control, self.told)


@contextmanager
def running_scene(root: Path, seed: int) -> Iterator[Scene]:
    chance = random.Random(seed)
    canaries, word = {brood: hatch(chance, brood) for brood in BROODS}, control(chance)
    with ExitStack() as stack:
        model = stack.enter_context(scripted_model(CanaryModel))
        assert isinstance(model, CanaryModel)
        model.learn(canaries["model"], word)
        url = stack.enter_context(redis() if on_postgresql() else nullcontext(""))
        database = stack.enter_context(private_database())
        outside = {name: stack.enter_context(receiver()) for name in ("sink", "anchor", "webhook")}
        port, mails, lines = quiet_port(), Mailbox(), root.parent / "siem.bytes"
        stack.callback(mails.close)
        stack.enter_context(siem("tcp", port, lines))
        house = House(root, model_url=model.url, database_url=database, redis_url=url)
        house.env |= _told(root, port, outside, mails) | _originals(root)
        prepare(house, outside["webhook"].url, [each for brood in canaries.values() for each in brood])
        heard = Listener(url) if url else None
        stack.callback(house.stop)
        house.start()
        house.wait_ready()
        yield Scene(house, model, canaries, word, heard, outside, mails, lines)


def prepare(house: House, hook: str, canaries: Iterable[Canary]) -> None:
    frank = {"name": "frank", "password": secrets.token_urlsafe(12)}
    words = [each.text for each in canaries if each.name.endswith(" listed word")]
    given = {"hook": hook, "words": words, "password": frank["password"]}
    house.python("-c", PREPARE, given=json.dumps(given))
    house.facts["people"].append(frank)


def _told(root: Path, port: int, outside: dict[str, Receiver], mails: Mailbox) -> dict[str, str]:
    http = {name: "private+" + each.url for name, each in outside.items()}
    return {
        "LOG_LEVEL": "DEBUG",
        "AUDIT_SINKS": f"syslog+tcp://127.0.0.1:{port},{http['sink']},file:{root / 'sink.jsonl'}?rotate=100K",
        "AUDIT_SINKS_BEGIN": "start",
        "AUDIT_SINK_SECRET": secret_of(bytes(32)),
        "AUDIT_ANCHORS": f"dir:{root / 'checkpoints'},{http['anchor']}",
        "EMAIL_HOST": "127.0.0.1",
        "EMAIL_PORT": str(mails.port),
        "EMAIL_SECURITY": "none",
        "PUBLIC_URL": "http://127.0.0.1",
    }


def _originals(root: Path) -> dict[str, str]:
    """Originals are kept. The key that opens them lies outside of what is searched."""
    path, public = private_key_make(root.parent / "apart")
    return {"AUDIT_ORIGINALS_KEY": public.text(), "AUDIT_ORIGINALS_KEY_DIR": str(path.parent)}
