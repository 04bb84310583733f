"""Preview on recorded traffic: what a draft would have done to calls that were made before it.

A preview is a job row. `sweep` works on what is due, a few calls at a time, and saves after each step how
far it got; so it may be run by anybody, be killed anywhere, and ends once. The row holds numbers, names of
classes and reasons, never text of a payload.

PreviewRefused      in words for the person who asked
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.utils import Error as DatabaseError

from audit import ids, jobs
from audit.models import Call, Job
from audit.reader import admissions_read
from gateway.console import rejudging
from gateway.console.doorbell import ring
from gateway.console.rejudging import Recorded, Rejudged, Unusable
from gateway.console.tally import Tally
from gateway.models import User
from policies import compiler, drafts
from policies.engine import types
from policies.engine.policy import Policy
from policies.journal import note, who
from policies.models import PolicyVersion, SchemaVersion

log = logging.getLogger(__name__)

KIND: Final = "preview"
TASK: Final = "gateway.tasks.preview_traffic"
MAX_CALLS: Final = 10_000
MAX_DAYS: Final = 31
STEP: Final = 50  # calls between two saves
TURN: Final = 20.0  # seconds that one sweep works; others want the worker too

Version = PolicyVersion | SchemaVersion
How = Callable[[Recorded, Policy, Policy], Rejudged]


class PreviewRefused(ValueError):
    """The preview cannot be made."""


class Edited(Exception):
    """The draft says something else than when the preview began."""


@dataclass(frozen=True, slots=True)
class Span:
    """The latest calls: so many, or of so many days; never more than `MAX_CALLS`, none before `MAX_DAYS`."""

    calls: int | None = None
    days: int | None = None

    def __post_init__(self) -> None:
        if (self.calls is None) == (self.days is None):
            raise PreviewRefused("Say how many calls, or how many days.")
        if self.calls is not None and not 1 <= self.calls <= MAX_CALLS:
            raise PreviewRefused(f"Choose 1 to {MAX_CALLS} calls.")
        if self.days is not None and not 1 <= self.days <= MAX_DAYS:
            raise PreviewRefused(f"Choose 1 to {MAX_DAYS} days.")


def preview_start(
    *, version: Version, span: Span, by: User, schema_version: SchemaVersion | None = None
) -> Job:
    """Begin a preview; one that is under way for the same version is returned instead.

    Of a policy version: over the calls that its policy judged, with `schema_version` or the one in force.
    Of a schema version: over the calls that its schema classified, each under the policy that judged it.
    """
    options = options_of(version, schema_version, span)
    with transaction.atomic():
        running = Job.objects.filter(kind=KIND, finished_at=None, options__version=str(version.pk)).first()
        if running is not None:
            return running
        begun = {"tally": Tally().as_json()}
        job = jobs.begin(kind=KIND, options=options, asked_by=who(by).subject, result=begun)
        facts = {"job": str(job.pk), "calls": span.calls, "days": span.days}
        note(action="preview.started", by=by, target=version, facts=facts)
        transaction.on_commit(lambda: ring(TASK))
    return job


def preview_cancel(*, job: Job, by: User) -> bool:
    """End a preview early. False: it had ended."""
    with transaction.atomic():
        if not jobs.cancel(job.pk, kind=KIND):
            return False
        note(action="preview.cancelled", by=by, target=job)
    return True


def sweep() -> int:
    """Work on what is due for a while; returns how many calls were judged."""
    ends, done = time.monotonic() + TURN, 0
    while time.monotonic() < ends and (job := jobs.claim(KIND)) is not None:
        try:
            done += _work(job, ends)
        except Edited:
            _fail(job, "The draft was edited while the preview ran. Start it again.")
        except drafts.NotCompilable as error:
            _fail(job, f"The draft does not compile: {error.problems[0]}")
        except (PolicyVersion.DoesNotExist, SchemaVersion.DoesNotExist):
            _fail(job, "The draft is gone.")
        except DatabaseError as error:  # the lease runs out and the next sweep goes on
            log.warning("preview %s: %s", job.pk, type(error).__name__)
            return done
        except Exception as error:  # whatever it is, it would come again; nothing of a record is said
            log.error("preview %s failed: %s", job.pk, type(error).__name__)
            _fail(job, f"It failed ({type(error).__name__}). The log has the time.")
    return done


def _work(job: Job, ends: float) -> int:
    result = job.result or {}
    if result.get("tries", 0) > jobs.TRIES:
        _fail(job, "The worker stopped several times at the same place.")
        return 0
    judge = Judge(job.options)
    sums, done = Tally.of(result["tally"]), 0
    if sums.total is None:
        sums.total = _calls(job.options).count()
    while True:
        calls = list(_calls(job.options, before=sums.cursor)[: min(STEP, sums.total - sums.seen)])
        if not calls:
            jobs.finish(job, state="done", result={"tally": sums.as_json()})
            return done
        judge.check()
        admissions = admissions_read(calls)
        for call in calls:
            judge.count(call, admissions.get(call.id), sums)
        done += len(calls)
        if not jobs.keep(job, {"tally": sums.as_json()}):
            return done  # cancelled, or another worker's by now
        if time.monotonic() >= ends:
            jobs.release(job)
            return done


def _fail(job: Job, problem: str) -> None:
    jobs.finish(job, state="failed", result={**(job.result or {}), "problem": problem})


def as_json(job: Job, *, with_calls: bool) -> dict[str, Any]:
    """A preview for an API. `with_calls`: the asker may look at recorded calls, so examples name them."""
    result = job.result or {}
    sums: dict[str, Any] = {**result.get("tally", {})}
    sums.pop("cursor", None)
    if not with_calls:
        sums |= {"examples": [], "others": []}
    asked = {name: job.options[name] for name in ("of", "version", "schema_version", "calls", "days")}
    return {
        "id": str(job.pk),
        "state": result.get("ended", job.state),
        "problem": result.get("problem", ""),
        "asked": asked,
        "created_at": job.created_at.isoformat(),
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
        "result": sums,
    }


class Judge:
    """The draft of one job, and the policies that judged its calls then."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._policy, self._schema = _rows(options)
        self._then: dict[tuple[UUID, UUID], Policy | None] = {}
        self._drafts: dict[UUID, Policy] = {}

    def check(self) -> None:
        """Raise `Edited` when the draft's rows say something else by now."""
        if _digest(*_rows(self._options)) != self._options["digest"]:
            raise Edited

    def count(self, call: Call, part: Any, sums: Tally, how: How = rejudging.rejudge) -> None:
        """Judge one call again and add what came of it. `how`: from its record, or from its original."""
        sums.take(call)
        try:
            if part is None:
                raise Unusable("its request was not kept")
            record = rejudging.recorded(part, call.api)
            if record is None:
                sums.refused += 1
                return
            then = self._judged_by(call)
            sums.add(call, how(record, then, self._draft(call)))
        except Unusable as error:
            sums.skip(str(error))
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            if isinstance(error, drafts.NotCompilable):
                raise
            sums.skip(f"its record is not as expected ({type(error).__name__})")

    def _judged_by(self, call: Call) -> Policy:
        """The two versions that judged a call."""
        if call.policy_version_id is None or call.schema_version_id is None:
            raise Unusable("it was judged by no version")
        key = (call.policy_version_id, call.schema_version_id)
        if key not in self._then:
            self._then[key] = _compiled(*key)
        found = self._then[key]
        if found is None:
            raise Unusable("the versions that judged it are gone")
        return found

    def _draft(self, call: Call) -> Policy:
        """The draft with what it is tried with: a schema version, or the policy that judged the call."""
        key = call.policy_version_id if self._policy is None else self._policy.pk
        assert key is not None  # noqa: S101 (`_judged_by` has refused such calls)
        if key not in self._drafts:
            policy = self._policy or PolicyVersion.objects.select_related("policy", "schema").get(pk=key)
            self._drafts[key] = drafts.compiled(policy, self._schema)
        return self._drafts[key]


def _compiled(policy_version: UUID, schema_version: UUID) -> Policy | None:
    policies = PolicyVersion.objects.select_related("policy", "schema")
    policy = policies.filter(pk=policy_version).first()
    schema = SchemaVersion.objects.select_related("schema").filter(pk=schema_version).first()
    try:
        return drafts.compiled(policy, schema) if policy and schema else None
    except drafts.NotCompilable:
        return None


def options_of(version: Version, schema_version: SchemaVersion | None, span: Span) -> dict[str, Any]:
    """What a job needs to know of a preview. Raises `PreviewRefused` for a draft that does not compile."""
    try:
        policy, schema = _pair(version, schema_version)
        if policy is not None:
            drafts.compiled(policy, schema)
        else:
            drafts.compiled_specs(rejudging.NO_RULES, compiler.schema_spec(schema))
    except drafts.NotCompilable as error:
        raise PreviewRefused(" ".join(error.problems)) from None
    options: dict[str, Any] = {
        "of": "schema" if policy is None else "policy",
        "version": str(version.pk),
        "schema_version": str(schema.pk),
        "label": str(version),
        "schema_label": str(schema),
        "subject": str(policy.policy_id if policy else schema.schema_id),
        "digest": _digest(policy, schema),
        "calls": span.calls,
        "days": span.days,
        "until": str(ids.new()),
    }
    return options


def _pair(version: Version, schema: SchemaVersion | None) -> tuple[PolicyVersion | None, SchemaVersion]:
    if isinstance(version, SchemaVersion):
        return None, version
    return version, schema or drafts.schema_version_for(version)


def _rows(options: Mapping[str, Any]) -> tuple[PolicyVersion | None, SchemaVersion]:
    policy = None
    if options["of"] == "policy":
        policy = PolicyVersion.objects.select_related("policy", "schema").get(pk=options["version"])
    return policy, SchemaVersion.objects.select_related("schema").get(pk=options["schema_version"])


def _digest(policy: PolicyVersion | None, schema: SchemaVersion) -> str:
    """What both say, as one number."""
    said: list[types.PolicySpec | types.SchemaSpec] = [compiler.schema_spec(schema)]
    if policy is not None:
        said.append(compiler.policy_spec(policy))
    text = json.dumps([asdict(each) for each in said], sort_keys=True, default=sorted)
    return hashlib.sha256(text.encode()).hexdigest()


def calls_for(version: Version) -> QuerySet[Call]:
    """The calls that a preview of a version can be over."""
    if isinstance(version, PolicyVersion):
        return _calls_of("policy", version.policy_id, ids.new(), MAX_DAYS)
    return _calls_of("schema", version.schema_id, ids.new(), MAX_DAYS)


def _calls(options: Mapping[str, Any], before: UUID | None = None) -> QuerySet[Call]:
    """The calls of a preview, newest first; `before`: those that are left."""
    until = UUID(options["until"])
    calls = _calls_of(options["of"], options["subject"], until, options["days"] or MAX_DAYS)
    if before is not None:
        calls = calls.filter(id__lt=before, started_at__lte=ids.time_of(before))
    # An id begins with its time, so both orders are one; each database has an index for its own.
    order = ("-id",) if connection.vendor == "sqlite" else ("-started_at", "-id")
    return calls.order_by(*order)[: options["calls"] or MAX_CALLS]


def _calls_of(kind: str, subject: UUID | str, until: UUID, days: int) -> QuerySet[Call]:
    """The calls of the days before `until` that the versions of a policy, or schema, had a part in."""
    ends = ids.time_of(until)
    begins = ends - timedelta(days=days)
    floor = ids.uuid7(int(begins.timestamp() * 1000), 0)
    calls = Call.objects.filter(id__lt=until, id__gte=floor, started_at__lte=ends, started_at__gte=begins)
    return judged_by(calls, kind, subject)


def judged_by(calls: QuerySet[Call], kind: str, subject: UUID | str) -> QuerySet[Call]:
    """Of these calls those that the versions of a policy, or schema, had a part in."""
    if kind == "policy":
        policies = PolicyVersion.objects.filter(policy_id=subject).values_list("pk", flat=True)
        return calls.filter(policy_version_id__in=list(policies))
    schemas = SchemaVersion.objects.filter(schema_id=subject).values_list("pk", flat=True)
    return calls.filter(schema_version_id__in=list(schemas))
