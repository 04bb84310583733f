"""Carries out a plan through the services that an admin's clicks use, in one transaction: all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, transaction

from gateway.access_rules import access_rule_delete, access_rule_save
from gateway.areas import area_save
from gateway.code.document import told
from gateway.code.fill import fill_classes, fill_rules, schema_spec_of
from gateway.code.plan import CHANGE, KINDS, REFERS, REMOVE, Change, Plan, again
from gateway.code.shape import (
    ACCESS,
    AREA,
    CREDENTIAL,
    ENDPOINT,
    HELD,
    ROTATION_PLAN,
    SETTINGS,
    Normal,
    inert,
    put,
)
from gateway.credentials.services import CredentialError, credential_save, endpoint_save
from gateway.models import AccessRule, Area, Credential, Endpoint, RotationPlan, User
from gateway.rotating.services import plan_drop, plan_save
from policies import services
from policies.compiler import SchemaError, compile_schema
from policies.grants import NeedsSecondPerson
from policies.history import acting, current_reason
from policies.journal import note
from policies.models import Policy, Schema, State
from policies.publishing import PolicyServiceError
from policies.store import database_cache
from policies.versions import policy_version_in_force, schema_version_in_force

REMARK = "From a file"
TITLES = ("name", "description")
"""What a schema or policy says outside its versions."""


class ApplyError(Exception):
    """Nothing was changed. `problems` says, object by object, why. `second_person`: it takes two people."""

    def __init__(self, problems: Iterable[str], *, second_person: bool = False) -> None:
        self.problems = list(problems)
        self.second_person = second_person
        super().__init__("\n".join(self.problems))


class PlanMoved(ApplyError):
    """The database is no longer what the plan was made from."""


def apply(*, plan: Plan, by: User | None, expect: str = "") -> None:
    """Make the database what the document says. Raises `ApplyError`; then nothing has changed.

    `expect` is the digest of the plan that somebody looked at. Patterns are compiled before the transaction:
    on SQLite a transaction keeps the record from being written.
    """
    if expect and expect != plan.digest:
        raise PlanMoved([f"The plan is not {inert(expect)} any more but {plan.digest}. Look at it again."])
    _warm(plan)
    reason = "; ".join(filter(None, (REMARK, current_reason())))
    with acting(by, reason), transaction.atomic():
        if again(plan).digest != plan.digest:
            raise PlanMoved(["The database changed meanwhile. Look at the plan again."])
        _carry_out(plan, by)
        _settled(again(plan))


def _settled(left: Plan) -> None:
    """What one object does to another must not bring it to where the document does not want it."""
    problems: list[str] = []
    for change in left.changes:
        rows = [f"{name} {before} → {after}" for name, before, after in change.rows[:3]]
        problem = f"this would still differ afterwards ({'; '.join(rows)}). Change the file to what fits."
        problems += _told(change, [problem])
    if problems:
        raise ApplyError(problems)


def _warm(plan: Plan) -> None:
    """Compile each schema as it will be; what cannot be compiled is refused here, all of it at once."""
    problems: list[str] = []
    for change in plan.changes:
        if change.kind == "schemas":
            try:
                compile_schema(schema_spec_of(change.wanted), database_cache())
            except SchemaError as error:
                problems += _told(change, error.problems)
    if problems:
        raise ApplyError(problems)


def _carry_out(plan: Plan, by: User | None) -> None:
    """Every change in its own savepoint, so that one refusal does not hide the others."""
    refused = _Refused()
    for change in plan.changes:
        if refused.leans_on(change):
            continue
        try:
            with transaction.atomic():
                _APPLY[change.kind](change, plan.area["slug"], by)
        except (PolicyServiceError, CredentialError) as refusal:
            second = isinstance(refusal, NeedsSecondPerson)
            refused.add(change, getattr(refusal, "problems", None) or (str(refusal),), second)
        except ValidationError as refusal:
            refused.add(change, refusal.messages)
        except (IntegrityError, DataError):
            refused.add(change, ["The database refuses it: it contradicts something that is there."])
    if refused.problems:
        raise ApplyError(refused.problems, second_person=refused.second_person)
    if plan.changes:
        area = Area.objects.get(slug=plan.area["slug"])
        done = [f"{each.sign} {KINDS[each.kind]} {inert(each.key, 200)}" for each in plan.changes]
        facts = {"area": area.slug, "plan": plan.digest, "changes": done}
        note(action="code.applied", by=by, target=area, facts=facts)


class _Refused:
    """What was refused so far. What refers to it is not tried: it would only be refused for that."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.second_person = False
        self._objects: set[tuple[str, str]] = set()

    def add(self, change: Change, problems: Iterable[str], second_person: bool = False) -> None:
        self.problems += _told(change, problems)
        self.second_person |= second_person
        self._objects.add((change.kind, change.key))

    def leans_on(self, change: Change) -> bool:
        if change.kind != "areas" and any(kind == "areas" for kind, _ in self._objects):
            return True
        columns = REFERS.get(change.kind, {})
        return any((kind, change.wanted.get(name)) in self._objects for name, kind in columns.items())


def _told(change: Change, problems: Iterable[str]) -> list[str]:
    line = getattr(change.wanted, "line", 0)
    return [told(line, f"{KINDS[change.kind]} {inert(change.key, 200)}: {problem}") for problem in problems]


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
        draft = services.schema_create(area_id=area.pk, by=by, **_titles(wanted), slug=wanted["slug"])
    else:
        _rename(schema, wanted)
        if _only_titles(change):
            return
        before = schema_version_in_force(schema.pk) or _latest(schema.versions.all())
        draft = services.schema_version_clone_to_draft(version=before, by=by)
    fill_classes(draft, wanted["classes"])
    services.schema_version_publish(version=draft, by=by)


def _policy(change: Change, slug: str, by: User | None) -> None:
    wanted, area = change.wanted, Area.objects.get(slug=slug)
    schema = Schema.objects.get(area=area, slug=wanted["schema"])
    policy = Policy.objects.filter(area=area, slug=wanted["slug"]).first()
    if policy is None:
        own = _titles(wanted) | {"slug": wanted["slug"]}
        draft = services.policy_create(area_id=area.pk, schema=schema, by=by, **own)
    else:
        _rename(policy, wanted)
        if _only_titles(change):
            return
        before = policy_version_in_force(policy.pk) or _latest(policy.versions.all())
        draft = services.policy_version_clone_to_draft(version=before, by=by)
    put(draft, SETTINGS, wanted)
    draft.schema = schema
    draft.full_clean()
    draft.save()
    fill_rules(draft, wanted["rules"])
    services.policy_version_publish(version=draft, by=by)


def _titles(wanted: Normal) -> dict[str, str]:
    return {name: wanted[name] for name in TITLES}


def _only_titles(change: Change) -> bool:
    return change.sign == CHANGE and all(name in TITLES for name, _, _ in change.rows)


def _rename(row: Schema | Policy, wanted: dict[str, str]) -> None:
    if (row.name, row.description) != (wanted["name"], wanted["description"]):
        row.name, row.description = wanted["name"], wanted["description"]
        row.save(update_fields=TITLES)


def _latest(rows: Any) -> Any:
    """What to start from where nothing is in force: the latest version that ever was, or the only draft."""
    return rows.exclude(state=State.DRAFT).order_by("-number").first() or rows.order_by("-number").first()


def _credential(change: Change, slug: str, by: User | None) -> None:
    """Without a secret: it has to be put in afterwards, and its endpoints are closed until then."""
    area = Area.objects.get(slug=slug)
    row = Credential.objects.filter(area=area, name=change.key).first() or Credential(area=area)
    put(row, CREDENTIAL, change.wanted)
    credential_save(credential=row, by=by)


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
    for held in HELD:
        name = change.wanted[held]
        setattr(row, held, Credential.objects.get(area=area, name=name) if name else None)
    endpoint_save(endpoint=row, by=by)


def _access(change: Change, slug: str, by: User | None) -> None:
    said = change.wanted
    row = AccessRule.objects.filter(
        endpoint__area__slug=slug,
        endpoint__slug=said["endpoint"],
        group__name=said["group"],
        priority=said["priority"],
    ).first()
    if change.sign == REMOVE:
        if row is not None:
            access_rule_delete(rule=row, by=by)
        return
    row = row or AccessRule()
    put(row, ACCESS, said)
    row.group = Group.objects.get(name=change.wanted["group"])
    row.endpoint = Endpoint.objects.get(area__slug=slug, slug=change.wanted["endpoint"])
    row.policy = Policy.objects.get(area__slug=slug, slug=change.wanted["policy"])
    access_rule_save(rule=row, by=by)


def _rotation_plan(change: Change, slug: str, by: User | None) -> None:
    credentials = Credential.objects.filter(area__slug=slug)
    credential = credentials.get(name=change.key)
    row = RotationPlan.objects.filter(credential=credential).first()
    if change.sign == REMOVE:
        if row is not None:
            plan_drop(plan=row, by=by)
        return
    row = row or RotationPlan(credential=credential)
    put(row, ROTATION_PLAN, change.wanted)
    opens = change.wanted["admin_credential"]
    row.admin_credential = credentials.get(name=opens) if opens else None
    plan_save(plan=row, by=by)


_APPLY: dict[str, Callable[[Change, str, User | None], None]] = {
    "areas": _area,
    "groups": _group,
    "schemas": _schema,
    "policies": _policy,
    "credentials": _credential,
    "endpoints": _endpoint,
    "access_rules": _access,
    "rotation_plans": _rotation_plan,
}
