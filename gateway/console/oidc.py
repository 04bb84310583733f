"""The pages between here and an OpenID provider: off to it, back from it, signing out of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe
from mozilla_django_oidc.views import OIDCAuthenticationCallbackView, OIDCAuthenticationRequestView

from gateway.identity import logging_out, step_up
from gateway.identity.failures import sign_in_failed
from gateway.identity.oidc import OidcBackend, settings_of
from gateway.identity.oidc_provider import Provider, SignInFailed, provider
from gateway.identity.sessions import (
    SignInRefused,
    network_of,
    sign_in_begin,
    sign_in_of,
    sign_in_renew,
)
from gateway.models import SignInMethod, User

STATES: Final = "oidc_states"  # the library's: state -> nonce and verifier
PATIENCE: Final = 600
"""Seconds that somebody may take at the provider."""

ANONYMOUS: Final = 900
"""Seconds that a session lives which nobody has signed in with yet."""

REFUSED: Final = frozenset({"access_denied", "login_required", "interaction_required", "consent_required"})
AWAY: Final = frozenset({"server_error", "temporarily_unavailable"})
STATUS: Final = {"away": 503, "provider": 502, "code": 502, "not_set_up": 503}


class _Start(OIDCAuthenticationRequestView):  # type: ignore[misc]  # the library carries no types
    def __init__(self, provider: Provider, extra: dict[str, str]) -> None:
        self.provider, self.extra = provider, extra
        super().__init__()

    def get_settings(self, name: str, *default: Any) -> Any:
        return settings_of(self.provider, name, *default)

    def get_extra_params(self, request: HttpRequest) -> dict[str, str]:
        return self.extra


class _Callback(OIDCAuthenticationCallbackView):  # type: ignore[misc]
    """The library's steps up to the person; what follows is ours."""

    def __init__(self, backend: OidcBackend) -> None:
        self.backend = backend
        super().__init__()


@login_not_required
@require_safe
@never_cache
def start(request: HttpRequest) -> HttpResponse:
    """Off to the provider. `next` is where to come back to, `again` asks to prove oneself once more."""
    again = "again" in request.GET and request.user.is_authenticated
    try:
        found = provider()
    except SignInFailed as failure:
        return failed(request, failure)
    answer: HttpResponseRedirect = _Start(found, _extra(again)).get(request)
    (state,) = parse_qs(urlsplit(answer.url).query)["state"]
    states = request.session[STATES]
    states[state] |= {"next": _safe(request, request.GET.get("next", "")), "again": again}
    request.session[STATES] = states
    if not request.user.is_authenticated:
        request.session.set_expiry(ANONYMOUS)
    return answer


@login_not_required
@require_safe
@never_cache
def callback(request: HttpRequest) -> HttpResponse:
    """Back from the provider."""
    try:
        return _returned(request)
    except SignInFailed as failure:
        return failed(request, failure)


def _returned(request: HttpRequest) -> HttpResponse:
    state = request.GET.get("state", "")
    states: dict[str, dict[str, Any]] = request.session.get(STATES) or {}
    waiting = states.pop(state, None)
    if waiting is None:
        _check_error(request)  # some leave the state out of a no; it changes nothing here
    if waiting is None or time.time() - waiting["added_on"] > PATIENCE:
        raise SignInFailed("state", "unknown" if waiting is None else "late")
    request.session[STATES] = states
    request.session.save()  # used up, whatever comes of it
    found = provider()
    _check_answer(request, found)
    backend = OidcBackend(found, time.time())
    person = backend.authenticate(request, nonce=waiting["nonce"], code_verifier=waiting["code_verifier"])
    if person is None or backend.proof is None:
        raise SignInFailed("state", "no_code")
    if waiting.get("again"):
        _once_more(request, person, backend)
    else:
        _begin(request, person, backend, found)
    return HttpResponseRedirect(waiting.get("next") or reverse("home"))


def _check_answer(request: HttpRequest, found: Provider) -> None:
    """Whose answer it is (RFC 9207), and whether it is a no."""
    said = request.GET.get("iss")
    if (said is not None or found.names_itself) and said != found.row.issuer:
        raise SignInFailed("state", "other_issuer")
    _check_error(request)


def _check_error(request: HttpRequest) -> None:
    error = request.GET.get("error")
    if error is not None:
        code = "refused" if error in REFUSED else "away" if error in AWAY else "provider"
        raise SignInFailed(code, error if error in REFUSED | AWAY else "error")


def _begin(request: HttpRequest, person: User, backend: OidcBackend, found: Provider) -> None:
    proof = backend.proof
    assert proof is not None  # noqa: S101  checked by the caller
    try:
        row = sign_in_begin(
            request=request,
            user=person,
            method=SignInMethod.OIDC,
            issuer=found.row.issuer,
            subject=proof.vouched.subject,
            sid=proof.sid,
            acr=proof.acr,
            authenticated_at=_when(proof.authenticated_at),
        )
    except SignInRefused as refusal:
        raise SignInFailed(refusal.code) from None
    logging_out.keep_hint(request.session, row, backend.id_token)


def _once_more(request: HttpRequest, person: User, backend: OidcBackend) -> None:
    proof, row = backend.proof, sign_in_of(request)
    assert proof is not None  # noqa: S101  checked by the caller
    if row is None:
        raise SignInFailed("state", "signed_out")
    if row.user_id != person.pk:
        raise SignInFailed("other_person")
    if not step_up.proves(proof.authenticated_at, proof.acr, time.time()):
        raise SignInFailed("weak", "no_auth_time" if proof.authenticated_at is None else "not_enough")
    sign_in_renew(request=request, sign_in=row, acr=proof.acr, authenticated_at=_when(proof.authenticated_at))
    logging_out.keep_hint(request.session, row, backend.id_token)


def failed(request: HttpRequest, failure: SignInFailed, *, method: str = SignInMethod.OIDC) -> HttpResponse:
    """The page that says why nobody came in. Noted; whoever is signed in stays so."""
    sign_in_failed(
        method=method,
        code=failure.code,
        network=network_of(request),
        issuer=settings.OIDC_ISSUER if method == SignInMethod.OIDC else "",
        detail=failure.detail,
    )
    context = {"code": failure.code, "issuer": settings.OIDC_ISSUER, "reason": failure.detail}
    return render(request, "registration/failed.html", context, status=STATUS.get(failure.code, 403))


def _extra(again: bool) -> dict[str, str]:
    if not again:
        # A provider says when somebody proved who they are only where it is asked about an age.
        return {"max_age": str(settings.SESSION_COOKIE_AGE)} if settings.STEP_UP_SECONDS else {}
    extra = {"prompt": "login", "max_age": str(settings.STEP_UP_SECONDS)}
    return extra | ({"acr_values": settings.STEP_UP_ACR} if settings.STEP_UP_ACR else {})


def _when(said: float | None) -> datetime:
    """Without a word of the provider nobody knows: long ago."""
    return datetime.fromtimestamp(said or 0, UTC)


def _safe(request: HttpRequest, url: str) -> str:
    hosts = {request.get_host()}
    fine = url_has_allowed_host_and_scheme(url, allowed_hosts=hosts, require_https=request.is_secure())
    return url if fine else ""


@csrf_exempt
@login_not_required
@require_POST
@never_cache
def backchannel_logout(request: HttpRequest) -> HttpResponse:
    """The provider says that somebody signed out there. Answers as Back-Channel Logout 1.0, 2.8 has it."""
    try:
        found = provider()
        logging_out.provider_logout(provider=found, token=request.POST.get("logout_token", ""))
    except SignInFailed as failure:
        sign_in_failed(
            method=SignInMethod.OIDC,
            code="logout",
            network=network_of(request),
            issuer=settings.OIDC_ISSUER,
            detail=f"{failure.code}:{failure.detail}",
        )
        status = 503 if failure.code == "away" else 400
        return JsonResponse({"error": "invalid_request"}, status=status)
    return HttpResponse(status=200)
