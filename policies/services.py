"""Changes to schemas and policies: create, publish, clone, roll back. Each notes an event as it commits."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import orjson
from django.contrib.auth.models import AbstractUser
from django.db import transaction
from django.utils import timezone

from audit.records import Recordable
from policies import compiler, examples, publishing, store, versions
from policies.deciding import deciding_problems
from policies.engine import types
from policies.engine.masker import Masker
from policies.grants import Grant, require
from policies.history import attributed
from policies.journal import note
from policies.library.templates import TEMPLATES
from policies.models import Mode, Policy, PolicyVersion, Schema, SchemaVersion, Version
from policies.publishing import DraftChanged, PublishRefused, key_of
from policies.writing import write_classes

TWO_TO_PUBLISH = "Publishing needs two people in this area."
TWO_TO_OBSERVE = "A policy that only observes needs two people, whatever its area says."
EDITED = "The draft was edited meanwhile. Look at it again and publish again."


@attributed
def schema_create(
    *,
    area_id: UUID,
    slug: str,
    name: str,
    by: AbstractUser | None,
    description: str = "",
    template: str = "",
) -> SchemaVersion:
    """A schema; returns its first draft: empty, or with the data classes of a template."""
    with transaction.atomic():
        schema = Schema.objects.create(area_id=area_id, slug=slug, name=name, description=description)
        draft = SchemaVersion.objects.create(schema=schema, number=1, author_id=key_of(by))
        if template:
            write_classes(draft, TEMPLATES[template].classes)
        note(action="schema.created", by=by, target=schema, facts={"name": name, "template": template})
    return draft


@attributed
def policy_create(
    *, area_id: UUID, slug: str, name: str, schema: Schema, by: AbstractUser | None, description: str = ""
) -> PolicyVersion:
    """A policy; returns its empty first draft."""
    with transaction.atomic():
        policy = Policy.objects.create(area_id=area_id, slug=slug, name=name, description=description)
        draft = PolicyVersion.objects.create(policy=policy, number=1, schema=schema, author_id=key_of(by))
        note(action="policy.created", by=by, target=policy, facts={"name": name})
    return draft


def schema_version_check(*, version: SchemaVersion) -> list[str]:
    """Everything that speaks against publishing, at once; empty when it may be published."""
    spec = compiler.schema_spec(version)
    problems = compiler.schema_problems(spec)
    try:
        schema = compiler.compile_schema(spec, store.database_cache())
    except compiler.SchemaError as error:
        problems += error.problems
    else:
        problems += examples.problems(examples.tried(schema))
    return problems + _policies_left_behind(version, spec)


@attributed
def schema_version_publish(
    *,
    version: SchemaVersion,
    by: AbstractUser | None,
    effective_at: datetime | None = None,
    grant: Grant | None = None,
) -> SchemaVersion:
    """Check and freeze; in force at once or at `effective_at`. Raises `NeedsSecondPerson`."""
    spec = compiler.schema_spec(version)
    if problems := schema_version_check(version=version):
        raise PublishRefused(problems)
    with transaction.atomic():
        draft = publishing.lock_draft(SchemaVersion.objects.select_related("schema"), version)
        if compiler.schema_spec(draft) != spec:
            raise DraftChanged(EDITED)
        _require_two(draft, "schema.publish", grant)
        siblings = SchemaVersion.objects.filter(schema_id=draft.schema_id)
        publishing.freeze(siblings, draft, by=by, effective_at=effective_at)
        note(action="schema.published", by=by, target=draft.schema, facts=_facts(draft))
    return draft


@attributed
def schema_version_clone_to_draft(*, version: SchemaVersion, by: AbstractUser | None) -> SchemaVersion:
    """A new draft with the same content. Refused while there is another draft."""
    with transaction.atomic():
        Schema.objects.select_for_update().get(pk=version.schema_id)
        publishing.refuse_second_draft(SchemaVersion.objects.filter(schema_id=version.schema_id))
        return _schema_draft(version, by, text="")


@attributed
def schema_version_rollback(
    *, version: SchemaVersion, by: AbstractUser | None, grant: Grant | None = None
) -> SchemaVersion:
    """Put an earlier version's content in force again, as a new version: history is never rewritten."""
    if problems := schema_version_check(version=version):
        raise PublishRefused(problems)
    with transaction.atomic():
        Schema.objects.select_for_update().get(pk=version.schema_id)
        _require_two(version, "schema.rollback", grant)
        draft = _schema_draft(version, by, text=f"Back to v{version.number}")
        onward = grant.onto("schema.publish", draft.pk) if grant else None
        return schema_version_publish(version=draft, by=by, grant=onward)


def policy_version_check(*, version: PolicyVersion) -> list[str]:
    """Everything that speaks against publishing, at once; empty when it may be published."""
    problems = compiler.observing_problems(version, timezone.now())
    if version.schema.area_id != version.policy.area_id:
        problems.append(f"The schema {version.schema} lies in another area than the policy.")
    published = versions.published(SchemaVersion.objects.filter(schema_id=version.schema_id))
    if not published:
        problems.append(f"The schema {version.schema} has no published version.")
    spec = compiler.policy_spec(version)
    problems += deciding_problems(spec)
    for schema_version in published:
        problems += compiler.rule_problems(spec, store.load_schema(schema_version).spec)
    return problems


@attributed
def policy_version_publish(
    *,
    version: PolicyVersion,
    by: AbstractUser | None,
    effective_at: datetime | None = None,
    grant: Grant | None = None,
) -> PolicyVersion:
    """Check and freeze; in force at once or at `effective_at`. Raises `NeedsSecondPerson`."""
    spec = compiler.policy_spec(version)
    if problems := policy_version_check(version=version):
        raise PublishRefused(problems)
    with transaction.atomic():
        draft = publishing.lock_draft(PolicyVersion.objects.select_related("policy", "schema"), version)
        if (compiler.policy_spec(draft), draft.schema_id) != (spec, version.schema_id):
            raise DraftChanged(EDITED)
        _require_two(draft, "policy.publish", grant)
        siblings = PolicyVersion.objects.filter(policy_id=draft.policy_id)
        publishing.freeze(siblings, draft, by=by, effective_at=effective_at)
        note(action="policy.published", by=by, target=draft.policy, facts=_facts(draft))
    return draft


@attributed
def policy_version_clone_to_draft(*, version: PolicyVersion, by: AbstractUser | None) -> PolicyVersion:
    """A new draft with the same content. Refused while there is another draft."""
    with transaction.atomic():
        Policy.objects.select_for_update().get(pk=version.policy_id)
        publishing.refuse_second_draft(PolicyVersion.objects.filter(policy_id=version.policy_id))
        return _policy_draft(version, by, text="")


@attributed
def policy_version_rollback(
    *, version: PolicyVersion, by: AbstractUser | None, grant: Grant | None = None
) -> PolicyVersion:
    """Put an earlier version's content in force again, as a new version: history is never rewritten."""
    if problems := policy_version_check(version=version):
        raise PublishRefused(problems)
    with transaction.atomic():
        Policy.objects.select_for_update().get(pk=version.policy_id)
        _require_two(version, "policy.rollback", grant)
        draft = _policy_draft(version, by, text=f"Back to v{version.number}")
        onward = grant.onto("policy.publish", draft.pk) if grant else None
        return policy_version_publish(version=draft, by=by, grant=onward)


def scrub(text: str, scrubbers: store.Scrubbers = store.scrubbers) -> Recordable:
    """A person's own words (a reason, a comment, a search term) made fit for the record.

    Masked by all that ships with Postern and by every schema in force: a comment belongs to none.
    `scrubbers` is what `store.scrubbers_prepared` has read, where words are scrubbed apart from the database.
    """
    findings: list[types.Finding] = []
    for policy in scrubbers():
        masked = Masker(policy, types.Direction.REQUEST).text(text, "text")
        text = masked.recorded
        findings += masked.findings
    # Offsets of one pass do not hold after the next, so only the classes are kept.
    marks = [{"class": each.data_class, "level": each.level.name.lower()} for each in findings]
    return Recordable(text.encode(), orjson.dumps(marks))


def publishing_needs_two(version: Version) -> str:
    """Why publishing this version takes two people; empty when one is enough."""
    if isinstance(version, PolicyVersion):
        if version.mode == Mode.OBSERVE:
            return TWO_TO_OBSERVE
        return TWO_TO_PUBLISH if version.policy.area.two_person_publish else ""
    needed = isinstance(version, SchemaVersion) and version.schema.area.two_person_publish
    return TWO_TO_PUBLISH if needed else ""


def _require_two(version: SchemaVersion | PolicyVersion, kind: str, grant: Grant | None) -> None:
    """Asked in the transaction that publishes, of rows that were read in it."""
    fresh = type(version)._default_manager.get(pk=version.pk)
    why = publishing_needs_two(fresh)
    require(grant, kind=kind, target_id=version.pk, needed=bool(why), why=why)


def _policies_left_behind(version: SchemaVersion, spec: types.SchemaSpec) -> list[str]:
    """Rules of published policies that name what this version no longer has."""
    users = PolicyVersion.objects.filter(schema_id=version.schema_id).select_related("policy", "schema")
    return [
        f"{policy_version}: {problem}"
        for policy_version in versions.published(users)
        for problem in compiler.rule_problems(compiler.policy_spec(policy_version), spec)
    ]


def _schema_draft(source: SchemaVersion, by: AbstractUser | None, *, text: str) -> SchemaVersion:
    number = publishing.next_number(SchemaVersion.objects.filter(schema_id=source.schema_id))
    draft = SchemaVersion.objects.create(schema=source.schema, number=number, author_id=key_of(by), note=text)
    publishing.copy_classes(source, draft)
    facts = {"from": source.number, "number": number}
    note(action="schema.draft_created", by=by, target=source.schema, facts=facts)
    return draft


def _policy_draft(source: PolicyVersion, by: AbstractUser | None, *, text: str) -> PolicyVersion:
    number = publishing.next_number(PolicyVersion.objects.filter(policy_id=source.policy_id))
    own = {name: getattr(source, name) for name in publishing.POLICY_SETTINGS}
    draft = PolicyVersion.objects.create(
        policy=source.policy, number=number, author_id=key_of(by), note=text, schema=source.schema, **own
    )
    publishing.copy_rules(source, draft)
    facts = {"from": source.number, "number": number}
    note(action="policy.draft_created", by=by, target=source.policy, facts=facts)
    return draft


def _facts(version: Version) -> dict[str, object]:
    effective = version.effective_at.isoformat() if version.effective_at else ""
    return {"version": str(version.pk), "number": version.number, "effective_at": effective}
