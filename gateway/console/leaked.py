"""`/keys/leaked/`: paste what was found, see whose keys are in it, revoke them. The text is never kept."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from gateway.console.doors import line_of
from gateway.identity.leaks import TooMuch, leak_noted, leak_respond, leaked_keys
from gateway.models import ApiKey, User

may_respond = permission_required("gateway.change_apikey", raise_exception=True)


@sensitive_post_parameters("text")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@may_respond
def page(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return render(request, "console/leaked.html", {})
    user, now = cast(User, request.user), timezone.now()
    try:
        found = leaked_keys(request.POST.get("text", ""), among=_within_reach(user))
    except TooMuch as refusal:
        return render(request, "console/leaked.html", {"problem": str(refusal)}, status=422)
    leak_noted(found=found, by=user)
    lines = [(line_of(leaked.key, now), leaked.whole) for leaked in found]
    context: dict[str, Any] = {"asked": True, "lines": lines}
    context["living"] = any(line.living for line, _ in lines)
    return render(request, "console/leaked.html", context)


@require_POST
@never_cache
@may_respond
def revoke(request: HttpRequest) -> HttpResponse:
    user = cast(User, request.user)
    try:
        keys = list(_within_reach(user).filter(pk__in=request.POST.getlist("key")))
    except ValidationError:  # no id at all
        keys = []
    if not keys:
        messages.error(request, "No key was chosen.")
        return redirect("keys_leaked")
    done = leak_respond(keys=keys, by=user)
    messages.success(request, f"Revoked: {', '.join(map(str, done)) or 'none, they had ended before'}.")
    return redirect("keys_leaked")


def _within_reach(user: User) -> QuerySet[ApiKey]:
    """Keys that this person may revoke; of others the page says nothing."""
    rows = ApiKey.objects.filter(user.areas_with("gateway.change_apikey").q_of(ApiKey))
    return rows.select_related("user", "service_account")
