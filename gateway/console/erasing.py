"""`/audit/erasures/`: calls that somebody may ask to have erased, and what became of such requests."""

from __future__ import annotations

from typing import Any, Final, cast

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from audit.models import EvidenceDay, Job
from audit.retention import erasure
from audit.retention.erasure import ErasureRefused
from gateway import evidence_kinds as kinds
from gateway.console.evidence_forms import ErasureForm
from gateway.console.proposing import who_confirms
from gateway.models import User
from policies import proposals
from policies.models import Proposal, ProposalState
from policies.publishing import PolicyServiceError
from policies.reach import reach, seen
from policies.store import scrubbers

VIEW: Final = "audit.view_removal"
KIND: Final = "evidence.erase"
SHOWN: Final = 50


@require_safe
@never_cache
@permission_required(VIEW, raise_exception=True)
def page(request: HttpRequest) -> HttpResponse:
    """Requests in other areas are not shown: whose calls they are is named in them."""
    person = cast(User, request.user)
    rows = seen(
        person, Proposal.objects.filter(kind=KIND).select_related("proposed_by"), ["policies.view_proposal"]
    )
    decided = rows.exclude(state=ProposalState.OPEN).order_by("-decided_at")[:SHOWN]
    context = {
        "waiting": [
            each for each in rows.filter(state=ProposalState.OPEN) if not proposals.has_run_out(each)
        ],
        "decided": [(each, _job(each)) for each in decided],
        "rekeying": EvidenceDay.objects.filter(rekey_asked_at__isnull=False).order_by("day")[:SHOWN],
        "may_ask": bool(reach(person, kinds.ERASE)),
    }
    return render(request, "audit/erasures.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@permission_required(kinds.ERASE, raise_exception=True)
def new(request: HttpRequest) -> HttpResponse:
    """A dry run as often as one likes; then the proposal."""
    known = {name: request.GET[name] for name in ("calls", "subject") if name in request.GET}
    form = ErasureForm(request.POST or None, initial=known)
    context: dict[str, Any] = {"form": form}
    if request.method == "POST" and form.is_valid():
        try:
            reached = reach(cast(User, request.user), kinds.ERASE)
            payload = form.selection(timezone.now(), reached).as_json()
            if "propose" in request.POST:
                return _proposed(request, payload, form.cleaned_data["reason"])
            context["sight"] = proposals.KINDS[KIND].look(None, payload, False)
        except (ErasureRefused, PolicyServiceError) as refusal:
            context["problems"] = getattr(refusal, "problems", None) or (str(refusal),)
    failed = bool(form.errors or context.get("problems"))
    return render(request, "audit/erasure_new.html", context, status=400 if failed else 200)


def _proposed(request: HttpRequest, payload: dict[str, Any], reason: str) -> HttpResponse:
    person = cast(User, request.user)
    scrubbers()  # compiled before the transaction
    made = proposals.propose(kind=KIND, target_id=None, payload=payload, by=person, reason=reason)
    messages.success(request, f"Proposed. {who_confirms(made)}")
    return redirect("proposal", made.pk)


def _job(proposal: Proposal) -> Job | None:
    named = f"proposal {proposal.pk}"
    return Job.objects.filter(kind=erasure.KIND, options__name=named).first()
