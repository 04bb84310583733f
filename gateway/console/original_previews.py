"""A draft held against the sealed originals of some calls, on which two people have agreed.

For a quarter of an hour whoever proposed it may let it run, where the private key is. Each opening is an
event. What is kept and shown is what a preview of the record keeps: numbers, names of classes, reasons.
Nothing of an original outlives the step that judged it.

The confirmed proposal is what allows it; the job (of the same id) holds how far it got.
"""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.db.utils import Error as DatabaseError

from audit import ids, jobs, originals
from audit.models import Call, Job
from audit.originals import Trial, Tried
from audit.records import Who
from gateway.console import rejudging
from gateway.console.original_asking import JOB, Scope, calls_in, version_of
from gateway.console.previewing import Edited, Judge, PreviewRefused
from gateway.console.rejudging import Recorded, Rejudged, Unusable
from gateway.console.tally import Tally
from gateway.models import User
from gateway.proxy.exchange import DigestKeys
from gateway.reveal_kinds import check_not_own
from policies import drafts, proposals
from policies.engine.policy import Policy
from policies.journal import who
from policies.models import Proposal, ProposalState
from policies.proposals import NotAllowed
from policies.reach import may_any

log = logging.getLogger(__name__)

STEP: Final = 20  # calls whose originals are open at a time
TURN: Final = 10.0  # seconds that one request works

NO_KEY: Final = "The private key is not here: AUDIT_ORIGINALS_KEY_DIR is not set in this process."
OVER: Final = "The time is over. Propose it again if it is still needed."


def ends(proposal: Proposal) -> datetime | None:
    """Until when it may run; None: nobody has confirmed it."""
    if proposal.state != ProposalState.CONFIRMED or proposal.decided_at is None:
        return None
    return proposal.decided_at + originals.LASTS


def hindrance(proposal: Proposal, by: User) -> str:
    """Why this person cannot let it run, here and now; empty when they can."""
    until = ends(proposal)
    if until is None or proposal.proposed_by_id != by.pk:
        return "Only whoever proposed it lets it run, once somebody else has confirmed it."
    if until <= ids.now():
        return OVER
    if not may_any(by, proposals.KINDS[proposal.kind].propose, version_of(proposal.target_id)):
        return "You may not preview this any more."
    return "" if settings.AUDIT_ORIGINALS_KEY_DIR else NO_KEY


def run(*, proposal: Proposal, by: User, network: str = "") -> Job:
    """Judge for some seconds; again, it goes on where it was. Raises `PreviewRefused`."""
    if problem := hindrance(proposal, by):
        raise PreviewRefused(problem)
    job = jobs.take(proposal.pk, kind=JOB)
    if job is None:
        raise PreviewRefused("It has ended, or it runs in another window.")
    trial = _trial(proposal)
    try:
        if proposals.has_moved(proposal):
            raise Edited
        _work(job, Scope.of(proposal.payload), trial, replace(who(by), network=network))
    except Edited:
        _fail(job, "The draft, or what it would replace, has changed since. Propose it anew.")
    except drafts.NotCompilable as error:
        _fail(job, f"The draft does not compile: {error.problems[0]}")
    except PermissionError:  # a moment ago it was not
        _fail(job, OVER)
    except DatabaseError as error:  # the lease runs out, and it can go on
        log.warning("preview %s: %s", job.pk, type(error).__name__)
        raise PreviewRefused("The store was away. Let it go on in a minute.") from None
    except Exception as error:  # whatever it is, a traceback of it may hold what was sent
        log.error("preview %s failed: %s", job.pk, type(error).__name__)
        _fail(job, f"It failed ({type(error).__name__}). The log has the time.")
    return job


def _work(job: Job, scope: Scope, trial: Trial, by: Who) -> None:
    stops, judge, keys = time.monotonic() + TURN, Judge(job.options), _keys()
    sums = Tally.of((job.result or {})["tally"])
    calls = calls_in(job.options["of"], job.options["subject"], scope)
    if sums.total is None:
        sums.total = calls[: scope.calls].count()
    while sums.seen < sums.total:
        some = list(_after(calls, sums.cursor)[: min(STEP, sums.total - sums.seen)])
        if not some:
            break
        judge.check()
        _count(some, judge, sums, trial, by, keys)
        if not jobs.keep(job, {"tally": sums.as_json()}):
            return
        if time.monotonic() >= stops:
            jobs.release(job)
            return
    jobs.finish(job, state="done", result={"tally": sums.as_json()})


def _count(calls: list[Call], judge: Judge, sums: Tally, trial: Trial, by: Who, keys: DigestKeys) -> None:
    """Open the originals of some calls and judge each. Those of the two who agreed stay shut."""
    proposal = Proposal.objects.select_related("proposed_by", "decided_by").get(pk=trial.proposal_id)
    theirs = {call.id for call in calls if _is_own(call, proposal)}
    others = [call for call in calls if call.id not in theirs]
    draft = str(proposal.target_id)
    tried = originals.requests_open(others, trial, by, ids.now(), draft=draft) if others else {}
    for call in calls:
        if call.id in theirs:
            sums.take(call)
            sums.skip("one of the two who agreed on this made it, or answers for it")
        else:
            found = tried[call.id]
            judge.count(
                call, found.admission, sums, lambda *judged, found=found: _judged(found, keys, *judged)
            )


def _judged(tried: Tried, keys: DigestKeys, record: Recorded, then: Policy, now: Policy) -> Rejudged:
    if tried.request.problem:
        raise Unusable(tried.request.problem)
    return rejudging.rejudge_original(record, tried.request.data, then, now, keys)


def _is_own(call: Call, proposal: Proposal) -> bool:
    assert proposal.decided_by is not None  # noqa: S101  it is confirmed
    try:
        for person in (proposal.proposed_by, proposal.decided_by):
            check_not_own(call, person, "look")
    except NotAllowed:
        return True
    return False


def _after(calls: QuerySet[Call], cursor: UUID | None) -> QuerySet[Call]:
    return calls if cursor is None else calls.filter(id__lt=cursor, started_at__lte=ids.time_of(cursor))


def _trial(proposal: Proposal) -> Trial:
    scope, until = Scope.of(proposal.payload), ends(proposal)
    assert until is not None  # noqa: S101  it is confirmed
    return Trial(
        proposal_id=proposal.pk,
        person_id=proposal.proposed_by_id,
        endpoint_id=scope.endpoint_id,
        since=scope.since,
        until=scope.until,
        ends=until,
    )


def _keys() -> DigestKeys:
    request, fingerprint, session = (secrets.token_bytes(32) for _ in range(3))
    return DigestKeys(request, fingerprint, session)


def _fail(job: Job, problem: str) -> None:
    jobs.finish(job, state="failed", result={**(job.result or {}), "problem": problem})
