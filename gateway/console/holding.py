"""`/audit/holds/`: what is kept whatever a rule says. One person places a hold, two lift it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from audit.models import Call, LegalHold
from audit.retention.holds import facts, held_by, hold_place
from gateway import evidence_kinds as kinds
from gateway.console.evidence_forms import HoldForm
from gateway.models import User
from policies.journal import who
from policies.reach import reach, seen
from policies.services import scrub

VIEW: Final = "audit.view_legalhold"
PLACE: Final = "audit.add_legalhold"
COUNTED: Final = 1_000
LIFTED: Final = 50


@dataclass(frozen=True, slots=True)
class Line:
    hold: LegalHold
    said: dict[str, str]
    calls: str  # a number; with a plus sign when not all were counted
    may_lift: bool


@require_safe
@never_cache
@permission_required(VIEW, raise_exception=True)
def page(request: HttpRequest) -> HttpResponse:
    person = cast(User, request.user)
    found = seen(person, LegalHold.objects.all(), [VIEW])
    context = {
        "holds": [_line(hold, person) for hold in found.filter(lifted_at=None)],
        "lifted": [
            (hold, facts(hold)) for hold in found.exclude(lifted_at=None).order_by("-lifted_at")[:LIFTED]
        ],
        "may_place": bool(reach(person, PLACE)),
    }
    return render(request, "audit/holds.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@permission_required(PLACE, raise_exception=True)
def new(request: HttpRequest) -> HttpResponse:
    person = cast(User, request.user)
    known = {name: request.GET[name] for name in ("call_id", "session_id", "subject") if name in request.GET}
    form = HoldForm(request.POST or None, initial=known, reach=reach(person, PLACE))
    if request.method == "POST" and form.is_valid():
        why = scrub(form.cleaned_data["reason"])
        with transaction.atomic():
            for hold in form.holds():
                hold_place(hold=hold, by=who(person), why=why)
        messages.success(request, "Held. Neither a rule nor a request removes these calls.")
        return redirect("holds")
    return render(request, "audit/hold_new.html", {"form": form}, status=400 if form.errors else 200)


def _line(hold: LegalHold, person: User) -> Line:
    count = len(Call.objects.filter(held_by(hold)).values_list("id", flat=True)[: COUNTED + 1])
    calls = f"{COUNTED}+" if count > COUNTED else str(count)
    return Line(hold, facts(hold), calls, person.has_perm(kinds.LIFT, hold))
