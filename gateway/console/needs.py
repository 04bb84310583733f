"""What the front page puts first: the things that wait for a person, worst first, each with its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from django.db.models import Exists, Model, OuterRef, QuerySet
from django.urls import NoReverseMatch, reverse
from django.utils.formats import date_format

from approvals import queue
from approvals.walls import DECIDES, VIEWS
from audit.flagged.listing import bounded, open_count
from audit.models import Instance
from audit.sinks import sinks_late
from audit.walls import PERMISSION, audited_by
from gateway.console.fields import waiting
from gateway.console.overview import Today
from gateway.identity.keys import living
from gateway.models import (
    AccessRule,
    ApiKey,
    Credential,
    CredentialState,
    Endpoint,
    HealthState,
    KeyKind,
    Lock,
    User,
)
from gateway.models.lock import lock_in_force
from gateway.rotating.standing import standing
from gateway.upstreams.certificates import first_end
from gateway.upstreams.saying import words_for
from policies.models import PolicyVersion, Proposal, SchemaVersion, State
from policies.proposals import waiting_for
from policies.reach import seen

SOON: Final = timedelta(days=14)
CERTIFICATES: Final = timedelta(days=30)
M = TypeVar("M", bound=Model)
SILENT: Final = timedelta(seconds=90)
_ORDER: Final = {"bad": 0, "hold": 1, "warn": 2, "info": 3}


@dataclass(frozen=True, slots=True)
class Need:
    """One line: what it is, why it matters, where to act. `tone` is bad, hold, warn or info."""

    tone: str
    title: str
    detail: str
    url: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Recorder:
    """Whether any process of this store is recording."""

    ok: bool
    text: str


def recorder_state(now: datetime) -> Recorder:
    beats = list(Instance.objects.filter(stopped_at=None).values_list("heartbeat_at", flat=True))
    alive = [beat for beat in beats if now - beat <= SILENT]
    if alive:
        ago = max(0, int((now - max(alive)).total_seconds()))
        return Recorder(True, f"{_count(len(alive), 'process', 'processes')}, last sign {ago} s ago")
    return Recorder(False, "No process has shown a sign for 90 s")


def needs_of(user: User, now: datetime, today: Today | None, recorder: Recorder) -> list[Need]:
    """What this person can see and act on."""
    needs = [] if recorder.ok else [_silent(recorder)]
    needs += _sinks(user, now)
    needs += _approvals(user, now)
    if today is not None:
        needs += [*_stopped(today), *_flagged(user)]
    needs += [
        *_keys(_seen(user, ApiKey.objects.all()), now),
        *_access(_seen(user, AccessRule.objects.all()), now),
        *_credentials(_seen(user, Credential.objects.all())),
        *_endpoints(_seen(user, Endpoint.objects.all()), now),
        *_locks(_seen(user, Lock.objects.all()), now),
        *_drafts(user),
        *_fields(user),
    ]
    needs += _proposals(user)
    return sorted(needs, key=lambda need: _ORDER[need.tone])


def _seen(user: User, rows: QuerySet[M]) -> QuerySet[M]:
    """Those that this person may see; none where they may see none."""
    meta = rows.model._meta
    return seen(user, rows, [f"{meta.app_label}.view_{meta.model_name}"])


def _silent(recorder: Recorder) -> Need:
    return Need("bad", "The recorder is silent.", f"{recorder.text}. Without a record no call is served.")


def _sinks(user: User, now: datetime) -> Iterator[Need]:
    if user.has_perm(PERMISSION) and (late := sinks_late(now)):
        title = f"{_count(len(late), 'sink has', 'sinks have')} not got everything for some minutes."
        detail = f"What is recorded meanwhile waits for {', '.join(late)}, and is told later."
        yield Need("bad", title, detail, _url("audit:integrity"), "See why")


def _stopped(today: Today) -> Iterator[Need]:
    calls = _url("audit:calls")
    if today.held:
        title = f"{_count(today.held, 'call was', 'calls were')} held today."
        detail = "A person decides, or has decided, whether they may pass."
        yield Need("info", title, detail, f"{calls}?action=held", "Look")
    if today.blocked:
        detail = "A rule stopped them before they reached a model."
        title = f"{_count(today.blocked, 'call was', 'calls were')} blocked today."
        yield Need("bad", title, detail, f"{calls}?action=blocked", "See who and why")
    if today.incomplete:
        title = f"{_count(today.incomplete, 'answer', 'answers')} ended early today."
        yield Need("warn", title, "The client left, or the model's service broke off.", calls, "Look")


def _flagged(user: User) -> Iterator[Need]:
    """Whatever day they were made: a flagged call waits until somebody has closed it."""
    waiting = open_count(audited_by(user))
    if waiting:
        title = f"{bounded(waiting)} flagged {'call is' if waiting == 1 else 'calls are'} open."
        detail = "They passed; a rule wants them looked at."
        yield Need("warn", title, detail, _url("flagged"), "Look")


def _approvals(user: User, now: datetime) -> Iterator[Need]:
    """What waits for their decision; for those who only look, that it waits at all."""
    url = _url("review:queue")
    if user.areas_with(DECIDES):
        unseen = len(queue.emergencies(user, now))
        if unseen:
            title = f"{_count(unseen, 'emergency has', 'emergencies have')} to be looked at."
            yield Need("bad", title, "One person let a call through alone.", url, "Look at it")
        if waiting := queue.waiting_for(user, now):
            title = f"{waiting} {'call waits' if waiting.number == 1 else 'calls wait'} for your decision."
            yield Need("hold", title, "Whoever asked is waiting for an answer.", url, "Review")
    elif user.areas_with(VIEWS) and (waiting := queue.waiting_seen(user, now)):
        title = f"{waiting} {'call waits' if waiting.number == 1 else 'calls wait'} for approval."
        yield Need("hold", title, "A person decides whether they may pass.", url, "Look")


def _proposals(user: User) -> Iterator[Need]:
    waiting = Proposal.objects.filter(waiting_for(user)).count()
    if waiting:
        title = f"{_count(waiting, 'proposal waits', 'proposals wait')} for you."
        yield Need(
            "hold", title, "Nothing changes until a second person confirms.", _url("proposals"), "Decide"
        )


def _keys(keys: QuerySet[ApiKey], now: datetime) -> Iterator[Need]:
    ending = keys.filter(revoked_at=None, expires_at__gt=now, expires_at__lte=now + SOON)
    successors = ApiKey.objects.filter(living(now), rotated_from=OuterRef("pk"))
    soon = ending.filter(~Exists(successors), kind=KeyKind.STANDARD).count()
    if soon:
        title = f"{_count(soon, 'API key expires', 'API keys expire')} within 14 days."
        detail = "Create the successor now, so that nobody is locked out."
        yield Need("warn", title, detail, _url("admin:gateway_apikey_changelist"), "API keys")


def _access(rules: QuerySet[AccessRule], now: datetime) -> Iterator[Need]:
    ending = rules.filter(enabled=True, expires_at__gt=now, expires_at__lte=now + SOON).count()
    if ending:
        title = f"{_count(ending, 'access rule ends', 'access rules end')} within 14 days."
        yield Need("warn", title, "Its group loses the endpoint then.", _admin("accessrule"), "Access rules")


def _credentials(credentials: QuerySet[Credential]) -> Iterator[Need]:
    used = credentials.filter(endpoints__enabled=True).distinct()
    empty = used.exclude(versions__state=CredentialState.CURRENT)
    for credential in empty[:5]:
        detail = "Its endpoints cannot reach their model."
        title = f"Credential “{credential.name}” holds no secret."
        yield Need("bad", title, detail, _admin("credential"), "Credentials")
    for credential in used.select_related("plan").filter(versions__state=CredentialState.CURRENT)[:50]:
        found = standing(credential, getattr(credential, "plan", None))
        if found.needs:
            title = f"Credential “{credential.name}”: {found.text[0].lower()}{found.text[1:]}."
            tone = "bad" if found.tone == "error" else "warn"
            yield Need(
                tone, title, "Its secret has to be replaced.", _admin("rotationplan"), "Rotation plans"
            )


def _endpoints(endpoints: QuerySet[Endpoint], now: datetime) -> Iterator[Need]:
    """Services that fail, and authorities of their own that end: then no call reaches them."""
    used = endpoints.filter(enabled=True)
    for endpoint in used.filter(health__state=HealthState.FAILING).select_related("health")[:5]:
        title = f"The model service of “{endpoint.name}” fails."
        detail = words_for(endpoint.health.last_error)
        yield Need("bad", title, detail, _change(endpoint), "Test it")
    for endpoint in used.exclude(ca_certificates=""):
        end = first_end(endpoint.ca_certificates)
        if end is not None and end <= now + CERTIFICATES:
            over = end <= now
            title = f"An authority of “{endpoint.name}” {'has ended' if over else 'ends soon'}."
            detail = f"{date_format(end)}: whoever it vouches for is believed until then."
            yield Need("bad" if over else "warn", title, detail, _change(endpoint), "Replace it")


def _change(endpoint: Endpoint) -> str:
    return reverse("admin:gateway_endpoint_change", args=[endpoint.pk])


def _locks(locks: QuerySet[Lock], now: datetime) -> Iterator[Need]:
    running = locks.filter(lock_in_force(now)).count()
    if running:
        title = f"{_count(running, 'lock is', 'locks are')} in force."
        yield Need("info", title, "Calls that they cover are refused.", _admin("lock"), "Locks")


def _drafts(user: User) -> Iterator[Need]:
    for model, name, word in (
        (SchemaVersion, "schemaversion", "schema draft waits"),
        (PolicyVersion, "policyversion", "policy draft waits"),
    ):
        drafts = _seen(user, model._default_manager.filter(state=State.DRAFT)).count()
        if drafts:
            title = f"{_count(drafts, word, word.replace('draft waits', 'drafts wait'))} to be published."
            url = _url(f"admin:policies_{name}_changelist")
            yield Need("info", title, "What is published keeps deciding until then.", url, "Drafts")


def _fields(user: User) -> Iterator[Need]:
    among = user.areas_with("gateway.view_structuredfield")
    if among and (number := waiting(among)):
        title = f"{_count(number, 'field is', 'fields are')} unclassified."
        yield Need("warn", title, "Calls carry them; no data class claims them.", _url("drift"), "Classify")


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _admin(model: str) -> str:
    return _url(f"admin:gateway_{model}_changelist")


def _url(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""
