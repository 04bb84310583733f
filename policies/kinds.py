"""The proposals that are about versions: publishing one, and putting an earlier one in force again."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from policies import content, services
from policies.grants import Grant
from policies.models import Policy, PolicyVersion, Schema, SchemaVersion, State, Version
from policies.proposals import Apply, Gone, Kind, Look, Payload, Row, Sight, register, there
from policies.publishing import PublishRefused
from policies.versions import policy_version_in_force, schema_version_in_force

V = TypeVar("V", bound=Version)


def register_all() -> None:
    for kind in (
        _kind("schema.publish", "Publish a schema version", _look_schema, _publish_schema),
        _kind("schema.rollback", "Go back to an earlier schema", _look_schema_back, _roll_back_schema),
        _kind("policy.publish", "Publish a policy version", _look_policy, _publish_policy),
        _kind("policy.rollback", "Go back to an earlier policy", _look_policy_back, _roll_back_policy),
    ):
        register(kind)


def _kind(name: str, title: str, look: Look, apply: Apply) -> Kind:
    """Editors and publishers propose, publishers confirm."""
    model = f"{name.partition('.')[0]}version"
    publish = f"policies.publish_{model}"
    propose = (f"policies.change_{model}", publish)
    return Kind(
        name=name, title=title, propose=propose, confirm=publish, look=look, check=_check, apply=apply
    )


def effective(payload: Payload) -> datetime | None:
    """When the proposal says that the version takes effect; None if it does not say."""
    if unknown := set(payload) - {"effective_at"}:
        raise ValidationError(f"This cannot be set here: {', '.join(sorted(unknown))}.")
    text = payload.get("effective_at")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValidationError("Say when it takes effect with a zone, such as 2030-01-31T08:00:00Z.")
    return moment


def _look_schema(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    return _sight(_schema_version(there(target_id), lock, State.DRAFT), payload)


def _look_schema_back(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    return _sight(_schema_version(there(target_id), lock, State.RETIRED), payload)


def _look_policy(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    return _sight(_policy_version(there(target_id), lock, State.DRAFT), payload)


def _look_policy_back(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    return _sight(_policy_version(there(target_id), lock, State.RETIRED), payload)


def _schema_version(target_id: UUID, lock: bool, state: State) -> SchemaVersion:
    rows = SchemaVersion.objects.select_related("schema")
    return _in_state(rows, Schema.objects.all(), target_id, lock, state)


def _policy_version(target_id: UUID, lock: bool, state: State) -> PolicyVersion:
    rows = PolicyVersion.objects.select_related("policy", "schema")
    return _in_state(rows, Policy.objects.all(), target_id, lock, state)


def _in_state(rows: QuerySet[V], parents: QuerySet[Any], target_id: UUID, lock: bool, state: State) -> V:
    """The version; locked as publishing locks it, so that nobody edits it between look and apply."""
    if lock:
        rows = rows.select_for_update(of=("self",))
        parents.select_for_update().filter(versions__pk=target_id).first()
    version = rows.filter(pk=target_id, state=state).first()
    if version is None:
        raise Gone("This version can no longer be put in force that way.")
    return version


def _sight(version: SchemaVersion | PolicyVersion, payload: Payload) -> Sight:
    before: Version | None
    if isinstance(version, SchemaVersion):
        before = schema_version_in_force(version.schema_id)
        old = content.schema_texts(before) if before else {}
        texts, area_id = content.schema_texts(version), version.schema.area_id
    else:
        before = policy_version_in_force(version.policy_id)
        old = content.policy_texts(before) if before else {}
        texts, area_id = content.policy_texts(version), version.policy.area_id
    when = _when(version, payload)
    head: tuple[Row, ...] = (
        ("In force", f"v{before.number}" if before else content.NOTHING, _after(version)),
        ("Takes effect", content.NOTHING, content.plain(when) if when else "at once"),
    )
    state = {
        "in_force": str(before.pk) if before else "",
        "version": str(version.pk),
        "content": content.digest(version),
    }
    return Sight(area_id=area_id, name=str(version), rows=head + content.changes(old, texts), state=state)


def _when(version: Version, payload: Payload) -> datetime | None:
    """What the proposal says, else what the draft says. An earlier version comes back at once."""
    return effective(payload) or (version.effective_at if version.is_draft else None)


def _after(version: Version) -> str:
    return (
        f"v{version.number}" if version.is_draft else f"a new version with the content of v{version.number}"
    )


def _check(target_id: UUID | None, payload: Payload) -> None:
    """What speaks against publishing, before a second person is asked and again before it is done."""
    if schema_version := SchemaVersion.objects.filter(pk=there(target_id)).first():
        problems = services.schema_version_check(version=schema_version)
    elif policy_version := PolicyVersion.objects.filter(pk=there(target_id)).first():
        problems = services.policy_version_check(version=policy_version)
    else:
        raise Gone("This version is gone.")
    if problems:
        raise PublishRefused(problems)


def _publish_schema(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> Any:
    version = SchemaVersion.objects.get(pk=there(target_id))
    when = _when(version, payload)
    return services.schema_version_publish(version=version, by=by, effective_at=when, grant=grant)


def _publish_policy(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> Any:
    version = PolicyVersion.objects.get(pk=there(target_id))
    when = _when(version, payload)
    return services.policy_version_publish(version=version, by=by, effective_at=when, grant=grant)


def _roll_back_schema(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> Any:
    version = SchemaVersion.objects.get(pk=there(target_id))
    return services.schema_version_rollback(version=version, by=by, grant=grant)


def _roll_back_policy(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> Any:
    version = PolicyVersion.objects.get(pk=there(target_id))
    return services.policy_version_rollback(version=version, by=by, grant=grant)
