"""`/keys/`: what a client developer needs: endpoints with code to copy, and keys of their own.

Everybody who is signed in has this page, and on it nothing but what is theirs. A key is shown in the answer
to the request that made it and never again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, cast
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from gateway.console.doors import doors_of, keys_of, programs_of
from gateway.console.keyforms import KeyForm
from gateway.credentials.secret import Secret
from gateway.identity.keys import Because, api_key_create, api_key_revoke
from gateway.identity.personal import longest, personal_key_create, personal_keys_end
from gateway.identity.rotation import api_key_rotate
from gateway.identity.scope import KeyRefused
from gateway.models import ApiKey, User

OVERLAPS: Final = ((0, "at once"), (1, "in an hour"), (24, "in a day"), (168, "in a week"))
"""When the old key ends: hours, and words."""

REASONS: Final = (Because.UNNEEDED, Because.REPLACED, Because.LEAKED, Because.MISUSED)
SHOWN: Final = 100


@require_safe
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    return _page(request)


@require_POST
@never_cache
def create(request: HttpRequest) -> HttpResponse:
    user, form = _user(request), _form(request, request.POST)
    if not form.is_valid():
        return _page(request, form, status=422)
    try:
        row, secret = api_key_create(
            name=form.cleaned_data["name"],
            user=user,
            expires_at=form.expires_at(),
            declared_level=form.cleaned_data["declared_level"],
            scope=form.scope,
            by=user,
        )
    except KeyRefused as refusal:
        form.add_error(None, str(refusal))
        return _page(request, form, status=422)
    return _made(request, row, secret)


@require_POST
@never_cache
def personal(request: HttpRequest) -> HttpResponse:
    user = _user(request)
    try:
        row, secret = personal_key_create(user=user, by=user)
    except KeyRefused as refusal:
        return _refused(request, refusal)
    return _made(request, row, secret)


@require_POST
@never_cache
def personal_end(request: HttpRequest) -> HttpResponse:
    user = _user(request)
    ended = personal_keys_end(user=user, by=user, because=Because.UNNEEDED)
    messages.success(request, f"Ended: {', '.join(map(str, ended)) or 'none'}.")
    return redirect("keys")


@require_POST
@never_cache
def rotate(request: HttpRequest, key_id: UUID) -> HttpResponse:
    user = _user(request)
    key = ApiKey.objects.filter(pk=key_id, user=user).first()
    if key is None:
        raise Http404
    hours = request.POST.get("overlap", "")
    if hours not in {str(each) for each, _ in OVERLAPS}:
        return _refused(request, KeyRefused("Choose when the old key ends."))
    try:
        row, secret = api_key_rotate(key=key, by=user, overlap=timedelta(hours=int(hours)))
    except KeyRefused as refusal:
        return _refused(request, refusal)
    key.refresh_from_db()
    return _made(request, row, secret, old=key)


@require_POST
@never_cache
def revoke(request: HttpRequest, key_id: UUID) -> HttpResponse:
    """One's own key, or one of a program that one answers for: stopping it gives nobody anything."""
    user = _user(request)
    mine = ApiKey.objects.filter(user=user) | ApiKey.objects.filter(service_account__owner=user)
    key = mine.select_related("user", "service_account").filter(pk=key_id).first()
    if key is None:
        raise Http404
    because = request.POST.get("because", "")
    if because not in {reason.value for reason in REASONS}:
        return _refused(request, KeyRefused("Say why."))
    done = api_key_revoke(key=key, by=user, because=Because(because))
    messages.success(request, f"{key} has ended." if done else f"{key} had ended before.")
    return redirect("keys")


def _page(request: HttpRequest, form: KeyForm | None = None, *, status: int = 200) -> HttpResponse:
    user, now = _user(request), timezone.now()
    lines = keys_of(user, now, most=SHOWN)
    context: dict[str, Any] = {
        "doors": doors_of(user, now, _site(request)),
        "lines": lines,
        "programs": programs_of(user, now),
        "form": form or _form(request),
        "hours": longest(),
        "overlaps": OVERLAPS,
        "reasons": REASONS,
        "personal_living": any(line.living and line.key.kind == "personal" for line in lines),
        "may_respond": user.has_perm("gateway.change_apikey"),
    }
    return render(request, "console/keys.html", context, status=status)


def _made(request: HttpRequest, row: ApiKey, secret: Secret, *, old: ApiKey | None = None) -> HttpResponse:
    """The page that shows the key is the answer itself: nothing keeps the key for another request."""
    doors = doors_of(_user(request), timezone.now(), _site(request))
    usable = [door for door in doors if not row.allowed_endpoints or door.slug in row.allowed_endpoints]
    context = {"key": row, "plain_key": secret.reveal(), "old": old, "doors": usable}
    return render(request, "console/key_made.html", context)


def _refused(request: HttpRequest, refusal: KeyRefused) -> HttpResponse:
    messages.error(request, str(refusal))
    return _page(request, status=422)


def _form(request: HttpRequest, given: Any = None) -> KeyForm:
    user = _user(request)
    doors = doors_of(user, timezone.now(), "")
    return KeyForm(given, user=user, endpoints=[(door.slug, door.name) for door in doors])


def _site(request: HttpRequest) -> str:
    return request.build_absolute_uri("/").rstrip("/")


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)  # LoginRequiredMiddleware lets nobody else in
