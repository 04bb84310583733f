"""What calls used and cost, by month: `/usage/` everybody's own, `/audit/usage/` an auditor's areas and the
file for charging it on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, Final, cast

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import BadRequest
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from audit.models import CallerUsage, GroupUsage
from audit.spreadsheet import CSV_TYPE
from audit.usage.collecting import month_of
from audit.usage.exporting import COLUMNS, TooMany, usage_export
from audit.usage.prices import Prices
from audit.usage.report import BY, Usage, months_before, months_known, report, total_of
from audit.walls import PERMISSION, audited_by, within
from gateway.models import User
from policies.journal import who

OWN: Final = {name: BY[name] for name in ("model", "endpoint", "caller")}
may_view = permission_required(PERMISSION, raise_exception=True)


@require_safe
@never_cache
def own(request: HttpRequest) -> HttpResponse:
    """Of whoever is signed in, and of the programs that they answer for."""
    user = _user(request)
    calls = CallerUsage.objects.filter(Q(caller_id=user.pk) | Q(owner_id=user.pk))
    by = _by(request, OWN)
    context = _context(calls, calls, by, _month(request.GET), OWN)
    return render(request, "console/usage.html", context)


@require_safe
@never_cache
@may_view
def audited(request: HttpRequest) -> HttpResponse:
    areas = audited_by(request.user)
    calls, by = within(CallerUsage.objects.all(), areas), _by(request, BY)
    rows: Usage = within(GroupUsage.objects.all(), areas) if by == "group" else calls
    return render(request, "audit/usage.html", _context(rows, calls, by, _month(request.GET), BY))


@require_POST
@never_cache
@may_view
def export(request: HttpRequest) -> HttpResponse:
    by, month = request.POST.get("by", ""), _month(request.POST)
    if by not in COLUMNS:
        raise BadRequest("by caller or by group")
    reader = replace(who(_user(request)), network=request.META.get("REMOTE_ADDR", ""))
    try:
        data = usage_export(by=by, month=month, areas=audited_by(request.user), who=reader)
    except TooMany as refusal:
        messages.error(request, str(refusal))
        return redirect("audit_usage")
    response = HttpResponse(data, content_type=CSV_TYPE)
    response["Content-Disposition"] = f'attachment; filename="usage-{month:%Y-%m}-by-{by}.csv"'
    return response


def _context(
    rows: Usage, calls: QuerySet[CallerUsage], by: str, month: date, choices: Mapping[str, str]
) -> dict[str, Any]:
    """`rows` are what is grouped; `calls` the sums by caller, which add up over the months."""
    this_month, prices = month_of(timezone.now()), Prices.stored()
    known = sorted({*months_known(calls, this_month), month}, reverse=True)
    return {
        "report": report(rows, by, month, prices),
        "total": total_of(calls, month, prices),
        "by": by,
        "by_label": BY[by],
        "choices": choices.items(),
        "month": month,
        "month_value": f"{month:%Y-%m}",
        "months": [(f"{each:%Y-%m}", f"{each:%B %Y}") for each in known],
        "bars": months_before(calls, this_month, month),
        "running": month == this_month,
    }


def _month(given: Mapping[str, str]) -> date:
    """`2026-11`; the running month where nothing is said."""
    text = given.get("month", "")
    if not text:
        return month_of(timezone.now())
    if not re.fullmatch(r"20[0-9]{2}-(0[1-9]|1[0-2])", text):
        raise BadRequest("month is no month")
    return date(int(text[:4]), int(text[5:]), 1)


def _by(request: HttpRequest, choices: Mapping[str, str]) -> str:
    by = request.GET.get("by") or next(iter(choices))
    if by not in choices:
        raise BadRequest("by what?")
    return by


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)  # LoginRequiredMiddleware lets nobody else in
