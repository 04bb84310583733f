"""The device flow over HTTP: two endpoints for programs and a page for the person who lets one in.

Programs send forms and get JSON, errors as RFC 8628 names them. They carry no session, so no CSRF token.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from gateway.identity import devices
from gateway.identity.devices import DeviceError
from gateway.identity.personal import longest
from gateway.models import User

GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
TRIES: Final = 10
TRIES_SECONDS: Final = 600
"""Wrong codes of one person, in each process, within that time."""

_STATUS: Final = {"temporarily_unavailable": 429}


@csrf_exempt
@login_not_required
@require_POST
@never_cache
def authorize(request: HttpRequest) -> HttpResponse:
    try:
        device_code, user_code = devices.device_begin(
            client=request.POST.get("client_id", ""), address=_address(request)
        )
    except DeviceError as error:
        return _problem(error)
    return _answer(
        {
            "device_code": device_code.reveal(),
            "user_code": devices.shown(user_code),
            "verification_uri": request.build_absolute_uri(reverse("device")),
            "expires_in": int(devices.LASTS.total_seconds()),
            "interval": devices.INTERVAL,
        }
    )


@csrf_exempt
@login_not_required
@sensitive_post_parameters("device_code")
@require_POST
@never_cache
def token(request: HttpRequest) -> HttpResponse:
    try:
        if request.POST.get("grant_type") != GRANT:
            raise DeviceError("unsupported_grant_type")
        device_code, client = request.POST.get("device_code", ""), request.POST.get("client_id", "")
        if not device_code or not client:
            raise DeviceError("invalid_request", "Send device_code and client_id.")
        key, secret = devices.device_poll(device_code=device_code, client=client)
    except DeviceError as error:
        return _problem(error)
    left = int((key.expires_at - timezone.now()).total_seconds())
    return _answer({"access_token": secret.reveal(), "token_type": "Bearer", "expires_in": left})


@sensitive_post_parameters("code")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """Type the code; then see who asks."""
    if request.method != "POST":
        return render(request, "console/device.html", {})
    code = request.POST.get("code", "")
    grant = None if _tried_out(request) else devices.device_asking(code)
    if grant is None:
        return _unknown(request)
    context: dict[str, Any] = {
        "grant": grant,
        "code": devices.normalised(code),
        "shown": devices.shown(devices.normalised(code)),
        "here": _address(request),
        "hours": longest(),
    }
    return render(request, "console/device.html", context)


@sensitive_post_parameters("code")
@require_POST
@never_cache
def decide(request: HttpRequest) -> HttpResponse:
    decision = request.POST.get("decision", "")
    grant = None if _tried_out(request) else devices.device_asking(request.POST.get("code", ""))
    if grant is None or decision not in ("approve", "deny"):
        return _unknown(request)
    approve = decision == "approve"
    if not devices.device_decide(grant=grant, by=_user(request), approve=approve):
        messages.error(request, "Too late: it was decided, or its time was up.")
    elif approve:
        messages.success(request, f"Let in: {grant.client}. Its key is among yours; revoke it when you like.")
    else:
        messages.success(request, f"Turned away: {grant.client}.")
    return redirect("keys")


def _unknown(request: HttpRequest) -> HttpResponse:
    """A wrong code, or one too many of them: the page does not tell a code that ran out from no code."""
    if _tried_out(request):
        problem = "Too many codes were wrong. Wait ten minutes and begin again."
    else:
        _count(request)
        problem = "No program waits under this code. It runs out after ten minutes: begin again there."
    return render(request, "console/device.html", {"problem": problem}, status=422)


def _tried_out(request: HttpRequest) -> bool:
    return bool(cache.get(_tries(request), 0) >= TRIES)


def _count(request: HttpRequest) -> None:
    name = _tries(request)
    if not cache.add(name, 1, TRIES_SECONDS):
        with suppress(ValueError):  # it ran out just now
            cache.incr(name)


def _tries(request: HttpRequest) -> str:
    return f"device-tries-{_user(request).pk}"


def _problem(error: DeviceError) -> HttpResponse:
    said = {"error": error.code}
    if error.words:
        said["error_description"] = error.words
    return _answer(said, _STATUS.get(error.code, 400))


def _answer(said: dict[str, Any], status: int = 200) -> HttpResponse:
    return JsonResponse(said, status=status)


def _address(request: HttpRequest) -> str:
    return request.META.get("REMOTE_ADDR") or ""


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)  # LoginRequiredMiddleware lets nobody else in
