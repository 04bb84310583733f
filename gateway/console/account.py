"""A person's own sign-ins: where they are signed in, and how to end that."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse_lazy
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from gateway.console.signing_in import password_problem
from gateway.identity.sessions import network_of, sign_in_end, sign_in_end_all, sign_in_of
from gateway.models import MailsOff, SignIn, User
from gateway.notifying.recipients import mails_go_out, mails_switch
from policies.journal import note

MOST = 100


@require_safe
def account(request: HttpRequest) -> HttpResponse:
    user = cast(User, request.user)
    rows = _open(user).order_by("-started_at")[:MOST]
    here = sign_in_of(request)
    context = {
        "sign_ins": [(row, here is not None and row.pk == here.pk) for row in rows],
        "identities": user.identities.all(),
        "mails_go_out": mails_go_out(),
        "mails_on": not MailsOff.objects.filter(user=user).exists(),
    }
    return render(request, "console/account.html", context)


@require_POST
def mails(request: HttpRequest) -> HttpResponse:
    user, on = cast(User, request.user), request.POST.get("mails") == "on"
    mails_switch(user=user, on=on, by=user)
    messages.success(request, "You get mails about held requests." if on else "You get no more mails.")
    return redirect("account")


class NewPasswordForm(PasswordChangeForm):
    """Whoever finds a browser open does not guess the old password here for as long as they like."""

    def __init__(self, *args: Any, network: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._network = network

    def clean_old_password(self) -> str:
        typed: str = self.cleaned_data["old_password"]
        if problem := password_problem(self.user, typed, self._network):
            raise ValidationError(problem)
        return typed


class NewPassword(PasswordChangeView):
    """For people who sign in with one. Their other sign-ins are over with the old one."""

    template_name = "registration/password.html"
    success_url = reverse_lazy("account")
    form_class = NewPasswordForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "network": network_of(self.request)}

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not cast(User, request.user).has_usable_password():
            return redirect("account")
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        user, here = cast(User, self.request.user), sign_in_of(self.request)
        answer = super().form_valid(form)
        sign_in_end_all(user=user, because="new password", by=user, keep=here)
        note(action="person.password_changed", by=user, target=user)
        messages.success(self.request, "Your password is changed. You are signed out everywhere else.")
        return answer


@require_POST
def end_one(request: HttpRequest, sign_in_id: UUID) -> HttpResponse:
    user, here = cast(User, request.user), sign_in_of(request)
    row = get_object_or_404(_open(user), pk=sign_in_id)
    sign_in_end(sign_in=row, because="ended by its owner", by=user)
    if here is not None and here.pk == row.pk:
        logout(request)
        return redirect("login")
    messages.success(request, "That sign-in is over.")
    return redirect("account")


@require_POST
def end_all(request: HttpRequest) -> HttpResponse:
    """Everywhere, this browser included: whoever fears a stranger wants to be sure."""
    user = cast(User, request.user)
    sign_in_end_all(user=user, because="signed out everywhere", by=user)
    logout(request)
    return redirect("login")


def _open(user: User) -> QuerySet[SignIn]:
    now = timezone.now()
    return SignIn.objects.filter(user=user, ended_at=None, expires_at__gt=now).select_related("user")
