"""The pages of a preview on sealed originals: propose one, see where it stands, let it run, read counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, cast
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from audit.models import Job
from gateway.console import original_previews, outlook
from gateway.console.original_asking import JOB, KINDS, MAX_CALLS, MAX_SPAN, VERBS, Scope, propose
from gateway.console.playform import VersionChoice
from gateway.console.preview import may_preview, version_of
from gateway.console.previewing import PreviewRefused, Version
from gateway.console.proposing import MAY_VIEW, who_confirms
from gateway.models import Endpoint, User
from policies import proposals
from policies.models import PolicyVersion, Proposal, ProposalState, SchemaVersion, State
from policies.publishing import PolicyServiceError
from policies.reach import reach, seen
from policies.store import scrubbers

LISTED: Final = 10


def _moment(label: str, ago: timedelta) -> forms.DateTimeField:
    widget = forms.DateTimeInput({"autocomplete": "off"}, format="%Y-%m-%d %H:%M")
    return forms.DateTimeField(
        label=label, help_text="UTC", widget=widget, initial=lambda: timezone.now() - ago
    )


class OriginalsForm(forms.Form):
    endpoint = forms.ModelChoiceField(Endpoint.objects.none(), label="Calls of", empty_label=None)
    since = _moment("Made from", timedelta(days=1))
    until = _moment("to", timedelta(minutes=-1))
    calls = forms.IntegerField(
        label="At most",
        initial=100,
        min_value=1,
        max_value=MAX_CALLS,
        help_text=f"The latest first, up to {MAX_CALLS} calls of {MAX_SPAN.days} days.",
    )
    schema = VersionChoice(
        SchemaVersion.objects.none(),
        label="With schema version",
        required=False,
        empty_label="The one in force",
    )
    reason = forms.CharField(
        label="Why the originals are needed",
        max_length=proposals.LONGEST,
        widget=forms.TextInput({"autocomplete": "off"}),
        help_text="Whoever confirms it reads this. It is masked before it is kept.",
    )

    def __init__(self, version: Version, person: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        rows = seen(person, Endpoint.objects.all(), [f"policies.{verb}_{_name(version)}" for verb in VERBS])
        fields: dict[str, Any] = self.fields
        fields["endpoint"].queryset = rows.order_by("slug")
        if isinstance(version, PolicyVersion):
            of = SchemaVersion.objects.filter(schema_id=version.schema_id).select_related("schema")
            fields["schema"].queryset = of.order_by("-number")
        else:
            del fields["schema"]

    def scope(self) -> Scope:
        given = self.cleaned_data
        return Scope(
            endpoint_id=given["endpoint"].pk,
            since=given["since"],
            until=given["until"],
            calls=given["calls"],
        )


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def policy(request: HttpRequest, version_id: UUID) -> HttpResponse:
    rows = PolicyVersion.objects.select_related("policy", "schema")
    return _ask(request, version_of(request, rows, version_id))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def schema(request: HttpRequest, version_id: UUID) -> HttpResponse:
    return _ask(request, version_of(request, SchemaVersion.objects.select_related("schema"), version_id))


@never_cache
@require_safe
def page(request: HttpRequest, proposal_id: UUID) -> HttpResponse:
    """Where it stands, for whoever sees the draft."""
    proposal, version = _found(request, proposal_id)
    person = _user(request)
    job = Job.objects.filter(pk=proposal.pk, kind=JOB).first()
    waits = proposal.state == ProposalState.OPEN and not proposals.has_run_out(proposal)
    context: dict[str, Any] = {
        "proposal": proposal,
        "job": job,
        "view": outlook.outlook(job) if job else None,
        "waits": waits,
        "who": who_confirms(proposal) if waits else "",
        "ends": original_previews.ends(proposal),
        "hindrance": original_previews.hindrance(proposal, person) if job else "",
        "may_see_proposal": reach(person, MAY_VIEW).covers(proposal.area_id),
        "may_see_calls": person.has_perm("audit.view_call", version),
        "again": _address(version) if may_preview(request, version) else "",
    }
    return render(request, "console/original_preview.html", context)


@never_cache
@require_POST
def run(request: HttpRequest, proposal_id: UUID) -> HttpResponse:
    proposal, version = _found(request, proposal_id)
    if not may_preview(request, version):
        raise PermissionDenied
    try:
        network = request.META.get("REMOTE_ADDR", "")
        original_previews.run(proposal=proposal, by=_user(request), network=network)
    except PreviewRefused as refusal:
        messages.error(request, str(refusal))
    return redirect("original_preview", proposal_id)


def _ask(request: HttpRequest, version: Version) -> HttpResponse:
    person, problems = _user(request), []
    form = OriginalsForm(version, person, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        scrubbers()  # compiled before the transaction
        try:
            made = propose(
                version=version,
                scope=form.scope(),
                by=person,
                reason=form.cleaned_data["reason"],
                schema_version=form.cleaned_data.get("schema"),
            )
        except (PolicyServiceError, PreviewRefused) as refusal:
            problems = list(getattr(refusal, "problems", None) or (str(refusal),))
        else:
            messages.success(request, f"Proposed. {who_confirms(made)}")
            return redirect("original_preview", made.pk)
    kind = "policy" if isinstance(version, PolicyVersion) else "schema"
    earlier = Proposal.objects.filter(kind=KINDS[kind], target_id=version.pk).select_related("proposed_by")
    context = {
        "form": form,
        "problems": problems,
        "version": version,
        "kind": kind,
        "keeps": _keeps(version),
        "earlier": earlier.order_by("-proposed_at")[:LISTED],
        "record_url": reverse(f"preview_{kind}", args=[version.pk]),
    }
    status = 422 if problems or form.errors else 200
    return render(request, "console/original_preview_ask.html", context, status=status)


def _keeps(version: Version) -> bool:
    """Whether anything that judged calls beside this version keeps their originals, or did."""
    kept = PolicyVersion.objects.exclude(state=State.DRAFT).filter(keeps_original=True)
    if isinstance(version, PolicyVersion):
        return kept.filter(policy_id=version.policy_id).exists()
    return kept.filter(schema_id=version.schema_id).exists()


def _found(request: HttpRequest, proposal_id: UUID) -> tuple[Proposal, Version]:
    """A proposal of these kinds and its draft, if this person may see that."""
    rows = Proposal.objects.select_related("area", "proposed_by", "decided_by")
    proposal = get_object_or_404(rows, pk=proposal_id, kind__in=KINDS.values())
    model: type[Version] = PolicyVersion if proposal.kind == KINDS["policy"] else SchemaVersion
    perm = f"policies.view_{model._meta.model_name}"
    versions = seen(_user(request), model._default_manager.all(), [perm])
    if proposal.target_id is None:
        raise Http404
    return proposal, cast(Version, get_object_or_404(versions, pk=proposal.target_id))


def _address(version: Version) -> str:
    kind = "policy" if isinstance(version, PolicyVersion) else "schema"
    return reverse(f"original_preview_{kind}", args=[version.pk])


def _name(version: Version) -> str:
    return str(version._meta.model_name)


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)  # LoginRequiredMiddleware lets nobody else in
