"""`/audit/retention/`: which rules there are, what would go today, what has gone. A change is a proposal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from audit.models import Job, Removal, RetentionRule
from audit.retention import due, run
from audit.retention.changing import rule_check
from audit.retention.due import DryRun
from audit.retention.rules import rules_in_force
from gateway import evidence_kinds as kinds
from gateway.console.evidence_forms import RuleForm
from gateway.console.proposing import who_confirms
from gateway.models import User
from policies import proposals
from policies.models import Proposal, ProposalState
from policies.publishing import PolicyServiceError
from policies.reach import reach, seen
from policies.store import scrubbers

VIEW: Final = "audit.view_retentionrule"
RUNS: Final = 10
REMOVALS: Final = 30

may_view = permission_required(VIEW, raise_exception=True)


@dataclass(frozen=True, slots=True)
class Asked:
    """An open proposal, and how many calls would lose their payloads today if it were confirmed."""

    proposal: Proposal
    title: str
    going: int


@require_safe
@never_cache
@may_view
def page(request: HttpRequest) -> HttpResponse:
    person = cast(User, request.user)
    everywhere = reach(person, VIEW).everywhere
    dry = due.dry_run()
    context = {
        "rules": seen(person, RetentionRule.objects.all(), [VIEW]),
        "lines": _reached(person, dry),
        "more": dry.more,
        "asked": _asked(person),
        "overdue": due.oldest_overdue() if everywhere else None,
        "runs": Job.objects.filter(kind=run.KIND).order_by("-created_at")[:RUNS] if everywhere else (),
        "removals": seen(person, Removal.objects.order_by("-id"), ["audit.view_removal"])[:REMOVALS],
        "may_add": bool(reach(person, kinds.ADD)),
        "may_change": bool(reach(person, kinds.CHANGE)),
        "may_delete": bool(reach(person, kinds.DELETE)),
    }
    return render(request, "audit/retention.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@permission_required(kinds.ADD, raise_exception=True)
def new(request: HttpRequest) -> HttpResponse:
    return _edit(request, None)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@permission_required(kinds.CHANGE, raise_exception=True)
def change(request: HttpRequest, rule_id: UUID) -> HttpResponse:
    rows = seen(cast(User, request.user), RetentionRule.objects.all(), [kinds.CHANGE])
    return _edit(request, get_object_or_404(rows, pk=rule_id))


def _edit(request: HttpRequest, rule: RetentionRule | None) -> HttpResponse:
    """Look at what it would do as often as one likes; then propose it."""
    person = cast(User, request.user)
    reached = reach(person, kinds.CHANGE if rule else kinds.ADD)
    initial = {field: getattr(rule, field) for field in kinds.FIELDS} if rule else None
    form = RuleForm(request.POST or None, initial=initial, rule=rule, reach=reached)
    context: dict[str, Any] = {"form": form, "rule": rule}
    if request.method == "POST" and form.is_valid():
        try:
            wanted = _checked(rule, form)
            if "propose" in request.POST:
                return _proposed(request, rule, form)
            context["lines"] = _reached(person, due.dry_run(_with(wanted)))
            context["looked"] = True
        except ValidationError as refusal:
            context["problems"] = refusal.messages
        except PolicyServiceError as refusal:
            context["problems"] = getattr(refusal, "problems", None) or (str(refusal),)
    failed = bool(form.errors or context.get("problems"))
    return render(request, "audit/retention_rule.html", context, status=400 if failed else 200)


def _checked(rule: RetentionRule | None, form: RuleForm) -> RetentionRule:
    _, wanted = kinds.proposed_rule(rule.pk if rule else None, form.payload())
    rule_check(wanted)
    return wanted


def _proposed(request: HttpRequest, rule: RetentionRule | None, form: RuleForm) -> HttpResponse:
    scrubbers()  # compiled before the transaction
    made = proposals.propose(
        kind="retention.change" if rule else "retention.add",
        target_id=rule.pk if rule else None,
        payload=form.payload(),
        by=cast(User, request.user),
        reason=form.cleaned_data["reason"],
    )
    messages.success(request, f"Proposed. {who_confirms(made)}")
    return redirect("proposal", made.pk)


def _with(wanted: RetentionRule) -> list[RetentionRule]:
    return [*(rule for rule in rules_in_force() if rule.pk != wanted.pk), wanted]


def _asked(person: User) -> list[Asked]:
    rows = Proposal.objects.filter(kind__startswith="retention.", state=ProposalState.OPEN)
    found = seen(person, rows, ["policies.view_proposal"])
    return [_outcome(each) for each in found if not proposals.has_run_out(each)]


def _outcome(proposal: Proposal) -> Asked:
    title = f"{proposals.KINDS[proposal.kind].title}: {proposal.target}"
    others = [rule for rule in rules_in_force() if rule.pk != proposal.target_id]
    try:
        _, wanted = kinds.proposed_rule(proposal.target_id, proposal.payload)
    except proposals.Gone:
        return Asked(proposal, title, 0)
    rules = others if proposal.kind == "retention.delete" else [*others, wanted]
    return Asked(proposal, title, due.dry_run(rules).going)


def _reached(person: User, dry: DryRun) -> list[due.Line]:
    reached = reach(person, VIEW)
    return [line for line in dry.lines if reached.everywhere or line.area in reached.slugs]
