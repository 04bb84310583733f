"""`/approvals/<id>`: how a held request stands, for whoever asked and for nobody else.

A program comes with the credential that its call came with and gets JSON; a person who is signed in gets a
page, where they can say something and withdraw. The owner of a program that asks counts as the requester.
For everybody else, and where there is no such approval, there is nothing here.
"""

from __future__ import annotations

from typing import Any, Final, cast
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from approvals import services, walls
from approvals.models import Approval, Status
from approvals.status import Standing, standing_of
from gateway.api.problems import MEDIA_TYPE, Problem
from gateway.api.requesters import requester
from gateway.identity.presented import CredentialRefused
from gateway.models import User
from policies.journal import who

LOOK_AGAIN: Final = 30
"""Seconds until a pending approval is worth another look."""


@login_not_required
@require_safe
def status(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Whoever is not signed in is asked to be, if a person may stand behind the question."""
    try:
        asker: Any = requester(request)
    except CredentialRefused:
        return _nothing()
    by_credential = asker is not None
    if asker is None:
        asker = request.user
    wants_page = not by_credential and "text/html" in request.headers.get("accept", "")
    if wants_page and not asker.is_authenticated:
        return redirect_to_login(request.get_full_path())
    row = Approval.objects.filter(pk=approval_id).first()
    if row is None or not asker.is_authenticated or not walls.concerns(asker, row):
        if wants_page:
            raise Http404
        return _nothing()
    standing = standing_of(row)
    return _told(_page(request, standing) if wants_page else _json(standing), standing)


@require_POST
def comment(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    person = _requester(request, approval_id)
    try:
        services.approval_comment(approval_id=approval_id, by=person, text=request.POST.get("text", ""))
    except services.ApprovalRefused as refused:
        messages.error(request, str(refused))
    return redirect("approval_status", approval_id)


@require_POST
def withdraw(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    person = _requester(request, approval_id)
    try:
        services.approval_withdraw(approval_id=approval_id, by=who(person), requester_ids=[person.pk])
    except services.ApprovalRefused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, "Withdrawn. Nobody will decide about it any more.")
    return redirect("approval_status", approval_id)


def _requester(request: HttpRequest, approval_id: UUID) -> User:
    person = cast(User, request.user)
    row = Approval.objects.filter(pk=approval_id).first()
    if row is None or not walls.concerns(person, row):
        raise Http404
    return person


def _told(response: HttpResponse, standing: Standing) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    response["Vary"] = "Authorization, X-Api-Key, Api-Key, Cookie, Accept"
    if standing.pending:
        response["Retry-After"] = str(LOOK_AGAIN)
    return response


def _json(standing: Standing) -> HttpResponse:
    return JsonResponse(standing.as_json(settings.PUBLIC_URL))


def _page(request: HttpRequest, standing: Standing) -> HttpResponse:
    row = standing.approval
    context = {
        "standing": standing,
        "approval": row,
        "badge": _BADGES.get(standing.status, "retired"),
        "mine": row.requester_id == cast(User, request.user).pk,
        "longest": services.LONGEST,
    }
    return render(request, "review/status.html", context)


_BADGES: Final[dict[str, str]] = {
    Status.PENDING: "pending",
    Status.APPROVED: "approved",
    Status.CONSUMED: "ok",
    Status.DENIED: "denied",
    Status.EXPIRED: "expired",
    Status.REVOKED: "revoked",
}


def _nothing() -> HttpResponse:
    """The same for what is not there, what is not theirs, and a credential that is not accepted."""
    response = JsonResponse(Problem("not-found").as_json(), status=404, content_type=MEDIA_TYPE)
    response["Cache-Control"] = "no-store"
    return response
