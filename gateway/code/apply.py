"""Carries out a plan through the services that an admin's clicks use, in one transaction: all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import transaction

from gateway.access_rules import access_rule_delete, access_rule_save
from gateway.areas import area_save
from gateway.code.plan import KINDS, REMOVE, Change, Plan
from gateway.code.shape import (
    ACCESS,
    AREA,
    CLASS,
    CREDENTIAL,
    DETECTOR,
    ENDPOINT,
    EXAMPLE,
    RULE,
    SETTINGS,
    put,
)
from gateway.credentials.services import CredentialError, credential_move, endpoint_save
from gateway.models import AccessRule, Area, Credential, Endpoint, User
from policies import services
from policies.history import attributed
from policies.journal import note
from policies.models import (
    DataClass,
    Detector,
    Example,
    Policy,
    PolicyVersion,
    Rule,
    Schema,
    SchemaVersion,
    State,
)
from policies.publishing import PolicyServiceError

REMARK = "From a file"


class ApplyError(Exception):
    """Nothing was changed. `problems` says, object by object, why."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


@attributed
def apply(*, plan: Plan, by: User | None) -> None:
    """Make the database what the document says. Raises `ApplyError`; then nothing has changed."""
    with transaction.atomic():
        for change in plan.changes:
            try:
                _APPLY[change.kind](change, plan.area["slug"], by)
            except (PolicyServiceError, CredentialError) as refusal:
                problems = getattr(refusal, "problems", None) or (str(refusal),)
                raise ApplyError(_told(change, problems)) from refusal
            except ValidationError as refusal:
                raise ApplyError(_told(change, refusal.messages)) from refusal
        if plan.changes:
            area = Area.objects.get(slug=plan.area["slug"])
            done = [f"{each.sign} {KINDS[each.kind]} {each.key}" for each in plan.changes]
            note(action="code.applied", by=by, target=area, facts={"area": area.slug, "changes": done})


def _told(change: Change, problems: Iterable[str]) -> list[str]:
    return [f"{KINDS[change.kind]} {change.key}: {problem}" for problem in problems]


def _area(change: Change, slug: str, by: User | None) -> None:
    row = Area.objects.filter(slug=slug).first() or Area()
    put(row, AREA, change.wanted)
    area_save(area=row, by=by)


def _group(change: Change, slug: str, by: User | None) -> None:
    group = Group.objects.create(name=change.key)
    note(action="group.added", by=by, target=group, facts={"group": change.key})


def _schema(change: Change, slug: str, by: User | None) -> None:
    wanted, area = change.wanted, Area.objects.get(slug=slug)
    schema = Schema.objects.filter(area=area, slug=wanted["slug"]).first()
    if schema is None:
        draft = services.schema_create(
            area_id=area.pk,
            slug=wanted["slug"],
            name=wanted["name"],
            description=wanted["description"],
            by=by,
        )
    else:
        _rename(schema, wanted)
        if not any(name.startswith(("classes", "order of classes")) for name, _, _ in change.rows):
            return
        draft = services.schema_version_clone_to_draft(version=_latest(schema.versions.all()), by=by)
        draft.classes.all().delete()
    _fill_schema(draft, change)
    services.schema_version_publish(version=draft, by=by)


def _fill_schema(draft: SchemaVersion, change: Change) -> None:
    for position, each in enumerate(change.wanted["classes"], 1):
        row = DataClass(version=draft, position=position)
        put(row, CLASS, each)
        row.full_clean()
        row.save()
        for number, found in enumerate(each["detectors"], 1):
            detector = Detector(data_class=row, position=number)
            put(detector, DETECTOR, found)
            detector.save()
        for number, tried in enumerate(each["examples"], 1):
            example = Example(data_class=row, position=number)
            put(example, EXAMPLE, tried)
            example.save()


def _policy(change: Change, slug: str, by: User | None) -> None:
    wanted, area = change.wanted, Area.objects.get(slug=slug)
    schema = Schema.objects.get(area=area, slug=wanted["schema"])
    policy = Policy.objects.filter(area=area, slug=wanted["slug"]).first()
    if policy is None:
        draft = services.policy_create(
            area_id=area.pk,
            slug=wanted["slug"],
            name=wanted["name"],
            description=wanted["description"],
            schema=schema,
            by=by,
        )
    else:
        _rename(policy, wanted)
        if all(name in ("name", "description") for name, _, _ in change.rows):
            return
        draft = services.policy_version_clone_to_draft(version=_latest(policy.versions.all()), by=by)
        draft.rules.all().delete()
    _fill_policy(draft, change, schema)
    services.policy_version_publish(version=draft, by=by)


def _fill_policy(draft: PolicyVersion, change: Change, schema: Schema) -> None:
    put(draft, SETTINGS, change.wanted)
    draft.schema = schema
    draft.full_clean()
    draft.save()
    for position, each in enumerate(change.wanted["rules"], 1):
        row = Rule(version=draft, position=position)
        put(row, RULE, each)
        row.full_clean()
        row.save()


def _rename(row: Schema | Policy, wanted: dict[str, str]) -> None:
    if (row.name, row.description) != (wanted["name"], wanted["description"]):
        row.name, row.description = wanted["name"], wanted["description"]
        row.save(update_fields=("name", "description"))


def _latest(rows: Any) -> Any:
    """A version to start a draft from: what is in it is replaced."""
    return rows.exclude(state=State.DRAFT).order_by("-number").first() or rows.get()


def _credential(change: Change, slug: str, by: User | None) -> None:
    """Without a secret: it has to be put in afterwards, and its endpoints are closed until then."""
    area = Area.objects.get(slug=slug)
    row = Credential.objects.filter(area=area, name=change.key).first()
    if row is not None and row.origin != change.wanted["origin"]:
        credential_move(credential=row, origin=change.wanted["origin"], by=by)
        row.refresh_from_db()
    added = row is None
    row = row or Credential(area=area)
    put(row, CREDENTIAL, change.wanted)
    row.full_clean()
    row.save()
    action = "credential.added" if added else "credential.changed"
    fields = [name for name, _, _ in change.rows]
    note(action=action, by=by, target=row, facts={"name": row.name, "fields": fields})


def _endpoint(change: Change, slug: str, by: User | None) -> None:
    area = Area.objects.get(slug=slug)
    if change.sign == REMOVE:
        row = Endpoint.objects.get(area=area, slug=change.key)
        row.enabled = False
        endpoint_save(endpoint=row, by=by)
        return
    row = Endpoint.objects.filter(slug=change.key).first() or Endpoint(area=area)
    if row.area_id != area.pk:
        raise ValidationError("An endpoint of this name lies in another area.")
    put(row, ENDPOINT, change.wanted)
    name = change.wanted["credential"]
    row.credential = Credential.objects.get(area=area, name=name) if name else None
    endpoint_save(endpoint=row, by=by)


def _access(change: Change, slug: str, by: User | None) -> None:
    held = {_key(row): row for row in AccessRule.objects.filter(endpoint__area__slug=slug)}
    row = held.get(change.key)
    if change.sign == REMOVE:
        if row is not None:
            access_rule_delete(rule=row, by=by)
        return
    row = row or AccessRule()
    put(row, ACCESS, change.wanted)
    row.group = Group.objects.get(name=change.wanted["group"])
    row.endpoint = Endpoint.objects.get(area__slug=slug, slug=change.wanted["endpoint"])
    row.policy = Policy.objects.get(area__slug=slug, slug=change.wanted["policy"])
    access_rule_save(rule=row, by=by)


def _key(row: AccessRule) -> str:
    return f"{row.group.name} → {row.endpoint.slug} #{row.priority}"


_APPLY: dict[str, Callable[[Change, str, User | None], None]] = {
    "areas": _area,
    "groups": _group,
    "schemas": _schema,
    "policies": _policy,
    "credentials": _credential,
    "endpoints": _endpoint,
    "access_rules": _access,
}
