"""Coming in with a password, and going out again. Providers have their own pages (`gateway.console.oidc`)."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_POST, require_safe

from gateway.console.ways_in import ways_in
from gateway.identity.sessions import SignInRefused, sign_in_begin, sign_in_end, sign_in_of
from gateway.identity.signed_in import ENDED
from gateway.models import SignInMethod

WHY_OUT: Final = {
    "idle": "You were signed out because nothing happened for a while.",
    "expired": "Your sign-in ran out.",
    "revoked": "Your sign-in was ended.",
    "locked": "Your account is locked. Ask a platform admin.",
}
MAY_NOT: Final = {
    "inactive": "This account is not active. Ask a platform admin.",
    "locked": "This account is locked. Ask a platform admin.",
}


class SignInView(LoginView):
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        onward = self.get_redirect_url()
        query = "?" + urlencode({"next": onward}) if onward else ""
        context["ways"] = [(way.label, way.url + query) for way in ways_in()]
        context["local"] = settings.LOCAL_SIGN_IN
        ended = self.request.session.pop(ENDED, "") if ENDED in self.request.session else ""
        context["why_out"] = WHY_OUT.get(ended, "This sign-in was ended." if ended else "")
        return context

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        try:
            sign_in_begin(request=self.request, user=form.get_user(), method=SignInMethod.LOCAL)
        except SignInRefused as refusal:
            form.add_error(None, MAY_NOT[refusal.code])
            return self.form_invalid(form)
        return HttpResponseRedirect(self.get_success_url())


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    sign_in = sign_in_of(request)
    if sign_in is not None:
        sign_in_end(sign_in=sign_in, because="signed out", by=sign_in.user)
    logout(request)
    return redirect(settings.LOGOUT_REDIRECT_URL)


@require_safe
def admin_login(request: HttpRequest) -> HttpResponse:
    """The admin's own page would let people in past our service."""
    return redirect(f"{reverse('login')}?{request.META.get('QUERY_STRING', '')}")
