"""The pages of the access review: who reaches an endpoint, what one caller reaches, who has looked at it."""

from __future__ import annotations

from typing import Any, Final, cast
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from gateway.access_review.exporting import FORMATS, TooMany, caller_export, endpoint_export
from gateway.access_review.marks import marks_of, review_mark
from gateway.access_review.reading import (
    Caller,
    active_rules,
    callers_of,
    endpoints_in,
    groups_seen,
    locks_on,
    may_see,
    people_in,
    reach_of,
    reached_by,
    rule_facts,
    services_in,
)
from gateway.callers import NO_SUCH, NotFound, caller_named
from gateway.identity.reach import Reach
from gateway.models import ApiKey, Endpoint, ServiceAccount, User
from policies.store import scrubbers

PAGE: Final = 100
HOLDERS: Final[dict[str, type[Caller]]] = {"people": User, "services": ServiceAccount}


@require_safe
@never_cache
def index(request: HttpRequest) -> HttpResponse:
    """The endpoints in this person's areas; `caller` leads to what one caller reaches."""
    reach, problem = _reach(request), ""
    if named := request.GET.get("caller", "").strip()[:300]:
        try:
            return _to(caller_named(named), reach)
        except NotFound as error:
            problem = str(error)
    after = request.GET.get("after", "")
    rows = list(_counted(endpoints_in(reach)).filter(slug__gt=after)[: PAGE + 1])
    marks = marks_of([row.pk for row in rows])
    context = {
        "endpoints": [(row, marks.get(row.pk)) for row in rows[:PAGE]],
        "next": rows[PAGE - 1].slug if len(rows) > PAGE else "",
        "after": after,
        "problem": problem,
    }
    return render(request, "console/access_review.html", context, status=422 if problem else 200)


@require_safe
@never_cache
def endpoint_page(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    endpoint = _endpoint(request, endpoint_id)
    after, now = request.GET.get("after", "")[:300], timezone.now()
    try:
        page = callers_of(endpoint, after=after, now=now)
    except ValueError as error:
        raise BadRequest("no such place") from error
    rules = list(active_rules(now).filter(endpoint=endpoint).select_related("group", "policy"))
    groups = {rule.group_id for rule in rules}
    context = {
        "endpoint": endpoint,
        "page": page,
        "after": after,
        "rules": [(rule, rule_facts(rule)) for rule in rules],
        "people": people_in(groups).count(),
        "services": services_in(groups).count(),
        "locks": locks_on(endpoint, now),
        "mark": marks_of([endpoint.pk]).get(endpoint.pk),
    }
    return render(request, "console/access_review_endpoint.html", context)


@require_safe
@never_cache
def caller_page(request: HttpRequest, kind: str, caller_id: UUID) -> HttpResponse:
    reach = _reach(request)
    caller = _caller(kind, caller_id, reach)
    context = {
        "caller": caller,
        "kind": kind,
        "name": caller.get_full_name() if isinstance(caller, User) else caller.description,
        "groups": list(groups_seen(caller, reach)),
        "rows": reached_by(caller, reach),
        "everywhere": reach.everywhere,
    }
    return render(request, "console/access_review_caller.html", context)


@require_POST
def endpoint_reviewed(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    endpoint = _endpoint(request, endpoint_id)
    scrubbers()  # compiled before the transaction
    review_mark(endpoint=endpoint, by=_person(request), words=request.POST.get("words", ""))
    messages.success(request, "Noted: you have reviewed who reaches this endpoint.")
    return redirect("access_review_endpoint", endpoint_id)


@require_POST
@never_cache
def endpoint_file(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    endpoint, form = _endpoint(request, endpoint_id), _format(request)
    try:
        data = endpoint_export(endpoint=endpoint, form=form, by=_person(request))
    except TooMany as refusal:
        messages.error(request, str(refusal))
        return redirect("access_review_endpoint", endpoint_id)
    return _file(data, form, f"access-{endpoint.slug}")


@require_POST
@never_cache
def caller_file(request: HttpRequest, kind: str, caller_id: UUID) -> HttpResponse:
    reach, form = _reach(request), _format(request)
    caller = _caller(kind, caller_id, reach)
    data = caller_export(caller=caller, reach=reach, form=form, by=_person(request))
    return _file(data, form, f"access-of-{caller.pk}")


def _counted(rows: QuerySet[Endpoint]) -> QuerySet[Endpoint]:
    running = Q(access_rules__enabled=True) & (
        Q(access_rules__expires_at=None) | Q(access_rules__expires_at__gt=timezone.now())
    )
    return rows.annotate(
        rule_count=Count("access_rules", filter=running),
        group_count=Count("access_rules__group", filter=running, distinct=True),
    )


def _reach(request: HttpRequest) -> Reach:
    reach = reach_of(_person(request))
    if not reach:
        raise PermissionDenied
    return reach


def _endpoint(request: HttpRequest, endpoint_id: UUID) -> Endpoint:
    return get_object_or_404(endpoints_in(_reach(request)), pk=endpoint_id)


def _caller(kind: str, caller_id: UUID, reach: Reach) -> Caller:
    model = HOLDERS.get(kind)
    found: Any = model and model._default_manager.filter(pk=caller_id).first()
    if not isinstance(found, User | ServiceAccount) or not may_see(found, reach):
        raise Http404
    return found


def _to(found: ApiKey | Caller, reach: Reach) -> HttpResponse:
    """The page of a caller; a key leads to its holder. One behind a wall is not there."""
    holder: Any = (found.user or found.service_account) if isinstance(found, ApiKey) else found
    if not may_see(holder, reach):
        raise NotFound("caller", NO_SUCH)
    return redirect("access_review_caller", "people" if isinstance(holder, User) else "services", holder.pk)


def _format(request: HttpRequest) -> str:
    form = request.POST.get("format", "")
    if form not in FORMATS:
        raise BadRequest("no such format")
    return form


def _file(data: bytes, form: str, name: str) -> HttpResponse:
    response = HttpResponse(data, content_type=FORMATS[form])
    response["Content-Disposition"] = f'attachment; filename="{name}.{form}"'
    return response


def _person(request: HttpRequest) -> User:
    return cast(User, request.user)
