"""Coming in with a password, proving oneself once more, and going out again.

Providers have pages of their own (`gateway.console.oidc`).
"""

from __future__ import annotations

from typing import Any, Final, cast
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from gateway.console.ways_in import way_of, ways_in
from gateway.identity.failures import sign_in_failed
from gateway.identity.logging_out import end_session_url, hint_of
from gateway.identity.oidc_provider import SignInFailed, provider
from gateway.identity.sessions import (
    SignInRefused,
    network_of,
    sign_in_begin,
    sign_in_end,
    sign_in_of,
    sign_in_renew,
)
from gateway.identity.signed_in import ENDED
from gateway.identity.tries import tries
from gateway.models import SignIn, SignInMethod, User

WHY_OUT: Final = {
    "idle": "You were logged out because nothing happened for a while.",
    "expired": "Your sign-in ran out.",
    "revoked": "Your sign-in was ended.",
    "locked": "Your account is locked. Ask a platform admin.",
}
MAY_NOT: Final = {
    "inactive": "This account is not active. Ask a platform admin.",
    "locked": "This account is locked. Ask a platform admin.",
}
TOO_OFTEN: Final = "Too many tries. Wait a quarter of an hour, or ask a platform admin."


class SignInForm(AuthenticationForm):
    """Django's, with a limit before the password is looked at. Whoever waits does not learn what is true."""

    def clean(self) -> dict[str, Any]:
        assert self.request is not None  # noqa: S101  the view gives it
        typed, network = str(self.cleaned_data.get("username") or ""), network_of(self.request)
        if tries.begin(typed, network):
            sign_in_failed(method=SignInMethod.LOCAL, code="too_often", network=network)
            raise ValidationError(TOO_OFTEN, code="too_often")
        try:
            cleaned = super().clean()
        finally:
            if self.user_cache is None:
                self._note(typed, network)
        tries.passed(typed, network)
        return cleaned

    def _note(self, typed: str, network: str) -> None:
        """The account where it is one of ours, never what was typed."""
        known = User.objects.filter(username=typed).values_list("pk", flat=True).first()
        about = f"gateway.user {known}" if known else ""
        sign_in_failed(method=SignInMethod.LOCAL, code="password", network=network, about=about)


class SignInView(LoginView):
    redirect_authenticated_user = True
    authentication_form = SignInForm

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        onward = self.get_redirect_url()
        query = "?" + urlencode({"next": onward}) if onward else ""
        context["ways"] = [(way.label, way.url + query) for way in ways_in()]
        context["local"] = settings.LOCAL_SIGN_IN
        ended = self.request.session.pop(ENDED, "") if ENDED in self.request.session else ""
        context["why_out"] = WHY_OUT.get(ended, "This sign-in was ended." if ended else "")
        return context

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not settings.LOCAL_SIGN_IN:
            return self.get(request, *args, **kwargs)
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        try:
            sign_in_begin(request=self.request, user=form.get_user(), method=SignInMethod.LOCAL)
        except SignInRefused as refusal:
            form.add_error(None, MAY_NOT[refusal.code])
            return self.form_invalid(form)
        return HttpResponseRedirect(self.get_success_url())


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """Here, and on at the provider where it offers that."""
    row, onward = sign_in_of(request), ""
    if row is not None:
        onward = _provider_logout(request, row)
        sign_in_end(sign_in=row, because="signed out", by=row.user)
    logout(request)
    if not onward:
        return redirect(settings.LOGOUT_REDIRECT_URL)
    # Not a redirect: our content policy lets no form lead to another site, redirects included.
    return render(request, "registration/logged_out.html", {"onward": onward})


def _provider_logout(request: HttpRequest, row: SignIn) -> str:
    if row.method != SignInMethod.OIDC or row.issuer != settings.OIDC_ISSUER:
        return ""
    try:
        found = provider()
    except SignInFailed:
        return ""  # it cannot be asked: here we are signed out in any case
    back = request.build_absolute_uri(reverse("login"))
    return end_session_url(found, hint=hint_of(request.session, row), back=back)


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def step_up(request: HttpRequest) -> HttpResponse:
    """Prove once more who one is, then back to the page with the form, which is sent again."""
    row, user = sign_in_of(request), cast(User, request.user)
    onward = request.POST.get("next") or request.GET.get("next", "")
    if not url_has_allowed_host_and_scheme(onward, {request.get_host()}, request.is_secure()):
        onward = reverse("home")
    problem = ""
    if request.method == "POST" and row is not None and row.method == SignInMethod.LOCAL:
        problem = password_problem(user, request.POST.get("password", ""), network_of(request))
        if not problem:
            sign_in_renew(request=request, sign_in=row)
            return HttpResponseRedirect(onward)
    way = way_of(row.method, row.issuer) if row is not None else None
    context = {
        "local": row is not None and row.method == SignInMethod.LOCAL,
        "way": way,
        "way_url": f"{way.url}?{urlencode({'again': '1', 'next': onward})}" if way else "",
        "next": onward,
        "problem": problem,
    }
    return render(request, "registration/step_up.html", context)


def password_problem(user: User, typed: str, network: str) -> str:
    """Why what somebody typed does not prove that they are `user`; tries are counted as at the door."""
    name = user.get_username()
    if tries.begin(name, network):
        sign_in_failed(method=SignInMethod.LOCAL, code="too_often", network=network)
        return TOO_OFTEN
    if user.check_password(typed):
        tries.passed(name, network)
        return ""
    about = f"gateway.user {user.pk}"
    sign_in_failed(method=SignInMethod.LOCAL, code="password", network=network, about=about)
    return "That is not your password."


@login_not_required
@require_safe
def admin_login(request: HttpRequest) -> HttpResponse:
    """The admin's own page would let people in past our service."""
    return redirect(f"{reverse('login')}?{request.META.get('QUERY_STRING', '')}")
