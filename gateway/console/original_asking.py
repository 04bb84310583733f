"""The proposal to hold a draft against the sealed originals of some calls.

Whoever may preview the draft proposes it and an auditor confirms, who is shown what it does otherwise: a
draft could be written to ask after somebody. `original_previews` lets it run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.contrib.auth.models import AbstractUser
from django.db.models import Exists, OuterRef, QuerySet

from audit import ids, jobs, originals
from audit.models import Call, Entry
from gateway.console.previewing import PreviewRefused, Span, Version, judged_by, options_of
from gateway.console.tally import Tally
from gateway.models import Endpoint, User
from policies import content, drafts, proposals
from policies.grants import Grant
from policies.journal import note, who
from policies.models import PolicyVersion, Proposal, SchemaVersion
from policies.proposals import CannotApply, Gone, Kind, Payload, Row, Sight, register, there
from policies.versions import policy_version_in_force, schema_version_in_force

KINDS: Final = {"policy": "original.preview_policy", "schema": "original.preview_schema"}
JOB: Final = "preview.originals"
MAX_CALLS: Final = 500
MAX_SPAN: Final = timedelta(days=31)
VERBS: Final = ("change", "publish")
NONE: Final = (
    "There is no call in this time whose original was kept and that the draft could be held against."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which calls: of one endpoint, made between two times, at most so many, the latest first."""

    endpoint_id: UUID
    since: datetime
    until: datetime
    calls: int

    @classmethod
    def of(cls, payload: Payload) -> Scope:
        """Raises `CannotApply` for anything else."""
        try:
            scope = cls(
                endpoint_id=UUID(payload["endpoint"]),
                since=datetime.fromisoformat(payload["since"]),
                until=datetime.fromisoformat(payload["until"]),
                calls=int(payload["calls"]),
            )
            in_order = scope.since < scope.until <= scope.since + MAX_SPAN and scope.since.tzinfo is not None
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise CannotApply(["Say which endpoint, from when to when, and how many calls."]) from None
        if not in_order:
            raise CannotApply([f"Choose a time of at most {MAX_SPAN.days} days that ends after it begins."])
        if not 1 <= scope.calls <= MAX_CALLS:
            raise CannotApply([f"Choose 1 to {MAX_CALLS} calls."])
        return scope

    def payload(self, schema_version: SchemaVersion) -> dict[str, Any]:
        """What a proposal keeps of it, and with which schema version a policy is tried."""
        return {
            "endpoint": str(self.endpoint_id),
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "calls": self.calls,
            "schema_version": str(schema_version.pk),
        }


def register_all() -> None:
    for of, name in KINDS.items():
        register(
            Kind(
                name=name,
                title="Try on sealed originals",
                propose=tuple(f"policies.{verb}_{of}version" for verb in VERBS),
                confirm="audit.confirm_reveal",
                look=_look,
                apply=_apply,
                check=_check,
            )
        )


def propose(
    *, version: Version, scope: Scope, by: User, reason: str, schema_version: SchemaVersion | None = None
) -> Proposal:
    """Ask that a draft is tried on originals. Raises `PolicyServiceError` and `PreviewRefused`."""
    kind = KINDS["policy" if isinstance(version, PolicyVersion) else "schema"]
    try:
        payload = scope.payload(schema_version or _beside(version))
    except drafts.NotCompilable as error:
        raise PreviewRefused(" ".join(error.problems)) from None
    return proposals.propose(kind=kind, target_id=version.pk, payload=payload, by=by, reason=reason)


def calls_in(of: str, subject: UUID | str, scope: Scope) -> QuerySet[Call]:
    """The calls in scope whose original was kept, be it gone by now; the latest first."""
    kept = Entry.objects.filter(call_id=OuterRef("id"), started_at=OuterRef("started_at"), kind="original")
    calls = Call.objects.filter(
        endpoint_id=scope.endpoint_id,
        started_at__gte=scope.since,
        started_at__lte=scope.until,
        id__gte=ids.uuid7(int(scope.since.timestamp() * 1000), 0),
    )
    return judged_by(calls, of, subject).filter(Exists(kept)).order_by("-started_at", "-id")


def _look(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    version, scope = version_of(target_id), Scope.of(payload)
    schema = _schema_version(payload)
    endpoint = Endpoint.objects.filter(pk=scope.endpoint_id).first()
    if endpoint is None:
        raise Gone("There is no such endpoint.")
    minutes = int(originals.LASTS.total_seconds() // 60)
    rows: tuple[Row, ...] = (
        ("Draft", content.NOTHING, str(version)),
        ("Schema version", content.NOTHING, str(schema)),
        ("Calls of", content.NOTHING, endpoint.slug),
        ("Made", content.NOTHING, f"{scope.since:%d %b %Y %H:%M} to {scope.until:%d %b %Y %H:%M} UTC"),
        ("At most", content.NOTHING, f"{scope.calls} calls"),
        ("Originals", "sealed", f"judged by the draft for {minutes} minutes after this is confirmed"),
        ("Shown then", content.NOTHING, "counts, classes and reasons; no text"),
    )
    area_id = version.policy.area_id if isinstance(version, PolicyVersion) else version.schema.area_id
    also = (endpoint.area_id,) if endpoint.area_id != area_id else ()
    state = [content.digest(version), content.digest(schema)]
    return Sight(area_id=area_id, name=str(version), rows=rows + _changes(version), state=state, also=also)


def _changes(version: Version) -> tuple[Row, ...]:
    """What the draft says otherwise: it could be written to ask after somebody."""
    if isinstance(version, SchemaVersion):
        known = schema_version_in_force(version.schema_id)
        return content.changes(content.schema_texts(known) if known else {}, content.schema_texts(version))
    before = policy_version_in_force(version.policy_id)
    return content.changes(content.policy_texts(before) if before else {}, content.policy_texts(version))


def _check(target_id: UUID | None, payload: Payload) -> None:
    options = _options(target_id, payload)
    if not calls_in(options["of"], options["subject"], Scope.of(payload)).exists():
        raise CannotApply([NONE])


def _apply(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> object:
    proposal = Proposal.objects.select_related("proposed_by").get(pk=grant.proposal_id)
    job = jobs.begin(
        kind=JOB,
        options=_options(target_id, payload),
        asked_by=who(proposal.proposed_by).subject,
        result={"tally": Tally().as_json()},
        job_id=proposal.pk,
    )
    facts = {"proposal": str(proposal.pk), "for": str(proposal.proposed_by_id), "calls": payload["calls"]}
    note(action="original.preview_allowed", by=by, target=version_of(target_id), facts=facts)
    return job


def _options(target_id: UUID | None, payload: Payload) -> Mapping[str, Any]:
    version, scope = version_of(target_id), Scope.of(payload)
    schema = _schema_version(payload) if isinstance(version, PolicyVersion) else None
    try:
        options = options_of(version, schema, Span(calls=scope.calls))
    except PreviewRefused as refusal:
        raise CannotApply([str(refusal)]) from None
    return {**options, "since": payload["since"], "until": payload["until"]}


def version_of(target_id: UUID | None) -> Version:
    number = there(target_id)
    policy = PolicyVersion.objects.select_related("policy", "schema").filter(pk=number).first()
    found = policy or SchemaVersion.objects.select_related("schema").filter(pk=number).first()
    if found is None:
        raise Gone("This version is gone.")
    return found


def _schema_version(payload: Payload) -> SchemaVersion:
    try:
        number = UUID(payload["schema_version"])
        return SchemaVersion.objects.select_related("schema").get(pk=number)
    except (KeyError, TypeError, ValueError, AttributeError, SchemaVersion.DoesNotExist):
        raise Gone("Its schema version is gone.") from None


def _beside(version: Version) -> SchemaVersion:
    return version if isinstance(version, SchemaVersion) else drafts.schema_version_for(version)
