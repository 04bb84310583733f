"""`/drift/`: structured fields that calls carried and no data class claims, and what to do about each."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from gateway.console.classifying import field_ignore, field_propose, field_restore
from gateway.console.fields import drift
from gateway.models import Endpoint, StructuredField, User
from policies.engine.fields import MORE
from policies.engine.types import Level
from policies.publishing import PolicyServiceError
from policies.reach import seen

PROPOSE = ("policies.add_dataclass", "policies.add_detector", "policies.change_schemaversion")
IGNORE = "gateway.change_structuredfield"
VIEW = "gateway.view_structuredfield"
may_view = permission_required(VIEW, raise_exception=True)


@require_safe
@never_cache
@may_view
def page(request: HttpRequest) -> HttpResponse:
    endpoint, show = request.GET.get("endpoint", ""), request.GET.get("show", "")
    if show not in ("", "ignored"):
        raise BadRequest("show what?")
    user = cast(User, request.user)  # the permission was checked
    among = user.areas_with(VIEW)
    endpoints = Endpoint.objects.filter(among.q_of(Endpoint), fields__isnull=False).distinct()
    found = drift(endpoint=endpoint, ignored=show == "ignored", among=among)
    context: dict[str, Any] = {
        "drift": found,
        "endpoints": endpoints.order_by("slug"),
        "endpoint": endpoint,
        "show": show,
        "levels": [(level.name.lower(), level.name.capitalize()) for level in reversed(Level)],
        "may_propose": {each.id for each in found.fields if user.has_perms(PROPOSE, each.endpoint)},
        "may_ignore": {each.id for each in found.fields if user.has_perm(IGNORE, each.endpoint)},
    }
    return render(request, "console/drift.html", context)


@require_POST
@may_view
def propose(request: HttpRequest, field_id: UUID) -> HttpResponse:
    field = _field(request, field_id, *PROPOSE)
    try:
        level = Level[request.POST.get("level", "confidential").upper()]
    except KeyError:
        raise BadRequest("no such level") from None
    by_path = request.POST.get("found_by") != "key"
    user = cast(User, request.user)
    try:
        draft, made = field_propose(field=field, level=level, by_path=by_path, by=user)
    except PolicyServiceError as error:
        messages.error(request, str(error))
        return _back(request)
    if made is None:
        messages.info(request, f"{draft} has a class for “{field.path}” already.")
    else:
        messages.success(request, f"{made.slug} was added to {draft}. Look at it, then publish.")
    return redirect(reverse("admin:policies_schemaversion_change", args=[draft.pk]))


@require_POST
@may_view
def ignore(request: HttpRequest, field_id: UUID) -> HttpResponse:
    field = _field(request, field_id, IGNORE)
    field_ignore(field=field, by=cast(User, request.user))
    messages.success(request, f"“{field.path}” is ignored. “Ignored” lists it and takes it back.")
    return _back(request)


@require_POST
@may_view
def restore(request: HttpRequest, field_id: UUID) -> HttpResponse:
    field = _field(request, field_id, IGNORE)
    field_restore(field=field, by=cast(User, request.user))
    messages.success(request, f"“{field.path}” is back on the list.")
    return _back(request)


def _field(request: HttpRequest, field_id: UUID, *perms: str) -> StructuredField:
    """404 for what this person does not see, 403 for what they see and may not do."""
    user = cast(User, request.user)
    fields = StructuredField.objects.select_related("endpoint").exclude(path=MORE.path)
    found = get_object_or_404(seen(user, fields, [VIEW]), pk=field_id)
    if not user.has_perms(perms, found):
        raise PermissionDenied
    return found


def _back(request: HttpRequest) -> HttpResponse:
    """To the list as it was filtered."""
    kept = {name: value for name in ("endpoint", "show") if (value := request.POST.get(name))}
    return redirect(reverse("drift") + (f"?{urlencode(kept)}" if kept else ""))
