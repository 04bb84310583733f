"""The small world of the console's trials: eve edits policies, dave audits, carol may do nothing here."""

from __future__ import annotations

import json
from typing import Any

from django.apps import apps
from django.contrib.auth.models import Group, Permission

from gateway.identity.authz import role_grant
from gateway.models import User
from policies import services
from policies.engine.types import Gate, Matcher, Style
from policies.models import PolicyVersion, SchemaVersion
from tests.gateway import world

EMAIL, BADGE, CARD = "ana@example.com", "B-123456", "4111 1111 1111 1111"


def editor(name: str = "eve", *extra: str) -> User:
    """Edits schemas and policies; `extra` are permissions beside."""
    return holder(name, "policy_editor", *extra)


def holder(name: str, role: str, *extra: str) -> User:
    person = world.person(name, password="pw", is_staff=True)
    group, _ = Group.objects.get_or_create(name=role)
    role_grant(group=group, role=role, by=None)
    person.groups.add(group)
    person.user_permissions.add(*Permission.objects.filter(codename__in=extra))
    return person


def published() -> tuple[PolicyVersion, SchemaVersion]:
    """A schema with EMAIL and BADGE; a policy that labels badges and redacts the rest."""
    policy = world.published_policy()
    return policy.versions.get(), policy.versions.get().schema.versions.get()


def draft_of(version: PolicyVersion) -> PolicyVersion:
    """The next version of a policy: e-mail addresses are held."""
    draft = services.policy_version_clone_to_draft(version=version, by=None)
    world.rule(draft, name="Mail waits", matcher=Matcher.CLASS.value, value="EMAIL", gate=Gate.HOLD.value)
    return draft


def passing(version: PolicyVersion) -> PolicyVersion:
    """The next version of a policy: e-mail addresses pass in clear."""
    draft = services.policy_version_clone_to_draft(version=version, by=None)
    world.rule(
        draft, name="Mail passes", matcher=Matcher.CLASS.value, value="EMAIL", transform=Style.NONE.value
    )
    return draft


def chat(content: Any, **more: Any) -> str:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}], **more})


def answer(content: str) -> str:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return json.dumps({"object": "chat.completion", "choices": [choice]})


def rows() -> dict[str, int]:
    """How many rows each table has."""
    return {model._meta.label: model._default_manager.count() for model in apps.get_models()}
