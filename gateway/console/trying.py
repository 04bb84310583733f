"""The page that tries a token: which groups its claims give, by which rules, and who it would be.

What is pasted is read and forgotten: not stored, not logged, and not sent back in the page.
"""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from gateway.identity.trying import CannotRead, tried
from gateway.models import Issuer, User


@sensitive_post_parameters("token")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    if not cast(User, request.user).has_perm("gateway.view_issuer", Issuer()):
        raise PermissionDenied
    given = request.POST if request.method == "POST" else request.GET
    issuers = list(Issuer.objects.order_by("name"))
    chosen = next((each for each in issuers if each.pk == _id(given.get("issuer", ""))), None)
    context: dict[str, Any] = {"issuers": issuers, "chosen": chosen, "problem": "", "tried": None}
    if request.method == "POST":
        try:
            if chosen is None:
                raise CannotRead("Choose an issuer.")
            context["tried"] = tried(issuer=chosen, text=request.POST.get("token", ""))
        except CannotRead as refusal:
            context["problem"] = str(refusal)
    return render(request, "console/try_token.html", context, status=422 if context["problem"] else 200)


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
