"""The pages of a preview on recorded traffic: ask for one, watch it, read what it found."""

from __future__ import annotations

from typing import Any, Final, cast
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from audit.models import Job
from gateway.console import outlook
from gateway.console.playform import VersionChoice
from gateway.console.previewing import (
    KIND,
    MAX_CALLS,
    MAX_DAYS,
    PreviewRefused,
    Span,
    Version,
    calls_for,
    preview_cancel,
    preview_start,
)
from gateway.models import User
from policies.models import PolicyVersion, SchemaVersion

LISTED: Final = 10  # earlier previews of a version
SECONDS: Final = 2  # between two looks at one that is running


class PreviewForm(forms.Form):
    unit = forms.ChoiceField(
        label="Over the latest", choices=(("calls", "calls"), ("days", "days")), initial="calls"
    )
    number = forms.IntegerField(
        label="How many",
        initial=1000,
        min_value=1,
        max_value=MAX_CALLS,
        help_text=f"Up to {MAX_CALLS:,} calls of the last {MAX_DAYS} days.",
    )
    schema = VersionChoice(
        SchemaVersion.objects.none(),
        label="With schema version",
        required=False,
        empty_label="The one in force",
    )

    def __init__(self, version: Version, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        if isinstance(version, PolicyVersion):
            rows = SchemaVersion.objects.filter(schema_id=version.schema_id).select_related("schema")
            cast(VersionChoice, self.fields["schema"]).queryset = rows.order_by("-number")
        else:
            del self.fields["schema"]

    def span(self) -> Span:
        return Span(**{self.cleaned_data["unit"]: self.cleaned_data["number"]})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def policy(request: HttpRequest, version_id: UUID) -> HttpResponse:
    rows = PolicyVersion.objects.select_related("policy", "schema")
    _require(request, "policyversion", "change", "publish")
    return _ask(request, get_object_or_404(rows, pk=version_id))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def schema(request: HttpRequest, version_id: UUID) -> HttpResponse:
    _require(request, "schemaversion", "change", "publish")
    return _ask(request, get_object_or_404(SchemaVersion.objects.select_related("schema"), pk=version_id))


@never_cache
@require_safe
def result(request: HttpRequest, job_id: UUID) -> HttpResponse:
    job = _job(job_id)
    _require(request, f"{job.options['of']}version", "view")
    context: dict[str, Any] = {
        "job": job,
        "view": outlook.outlook(job),
        "again": reverse(f"preview_{job.options['of']}", args=[job.options["version"]]),
        "may_see_calls": _user(request).has_perm("audit.view_call"),
        "may_cancel": _may(request, f"{job.options['of']}version", "change", "publish"),
    }
    response = render(request, "console/preview.html", context)
    if job.finished_at is None:
        response.headers["Refresh"] = str(SECONDS)
    return response


@require_POST
def cancel(request: HttpRequest, job_id: UUID) -> HttpResponse:
    job = _job(job_id)
    _require(request, f"{job.options['of']}version", "change", "publish")
    if not preview_cancel(job=job, by=_user(request)):
        messages.info(request, "It had ended already.")
    return redirect("preview", job_id=job.pk)


def _ask(request: HttpRequest, version: Version) -> HttpResponse:
    posted = request.method == "POST"
    form = PreviewForm(version, request.POST) if posted else PreviewForm(version)
    if posted and form.is_valid():
        try:
            schema_version = form.cleaned_data.get("schema")
            job = preview_start(
                version=version, span=form.span(), by=_user(request), schema_version=schema_version
            )
        except PreviewRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            return redirect("preview", job_id=job.pk)
    kind = "policy" if isinstance(version, PolicyVersion) else "schema"
    context = {
        "form": form,
        "version": version,
        "kind": kind,
        "any_calls": calls_for(version).exists(),
        "earlier": outlook.earlier(Job.objects.filter(kind=KIND, options__version=str(version.pk)), LISTED),
        "admin_url": reverse(f"admin:policies_{kind}version_change", args=[version.pk]),
    }
    return render(request, "console/preview_ask.html", context, status=422 if form.errors else 200)


def _job(job_id: UUID) -> Job:
    return get_object_or_404(Job, pk=job_id, kind=KIND)


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)  # LoginRequiredMiddleware lets nobody else in


def _may(request: HttpRequest, model: str, *verbs: str) -> bool:
    return any(_user(request).has_perm(f"policies.{verb}_{model}") for verb in verbs)


def _require(request: HttpRequest, model: str, *verbs: str) -> None:
    if not _may(request, model, *verbs):
        raise PermissionDenied
