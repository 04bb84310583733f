"""The pages of a preview on recorded traffic: ask for one, watch it, read what it found."""

from __future__ import annotations

from typing import Any, Final, TypeVar, cast
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
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
from policies.reach import may_any, seen

LISTED: Final = 10  # earlier previews of a version
SECONDS: Final = 2  # between two looks at one that is running
VERBS: Final = ("change", "publish")
"""Whoever may do one of these to a version may try it out on recorded calls."""

V = TypeVar("V", PolicyVersion, SchemaVersion)


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
    return _ask(request, version_of(request, rows, version_id))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def schema(request: HttpRequest, version_id: UUID) -> HttpResponse:
    return _ask(request, version_of(request, SchemaVersion.objects.select_related("schema"), version_id))


@never_cache
@require_safe
def result(request: HttpRequest, job_id: UUID) -> HttpResponse:
    job, version = _job(request, job_id)
    context: dict[str, Any] = {
        "job": job,
        "view": outlook.outlook(job),
        "again": reverse(f"preview_{job.options['of']}", args=[job.options["version"]]),
        "may_see_calls": _user(request).has_perm("audit.view_call", version),
        "may_cancel": may_preview(request, version),
    }
    response = render(request, "console/preview.html", context)
    if job.finished_at is None:
        response.headers["Refresh"] = str(SECONDS)
    return response


@require_POST
def cancel(request: HttpRequest, job_id: UUID) -> HttpResponse:
    job, version = _job(request, job_id)
    if not may_preview(request, version):
        raise PermissionDenied
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
        "originals_url": reverse(f"original_preview_{kind}", args=[version.pk]),
        "admin_url": reverse(f"admin:policies_{kind}version_change", args=[version.pk]),
    }
    return render(request, "console/preview_ask.html", context, status=422 if form.errors else 200)


def version_of(request: HttpRequest, rows: QuerySet[V], version_id: UUID) -> V:
    """404 for a version that this person does not see, 403 for one they see and may not try out."""
    name = rows.model._meta.model_name
    perms = [f"policies.{verb}_{name}" for verb in ("view", *VERBS)]
    if not any(_user(request).has_perm(perm) for perm in perms):
        raise PermissionDenied
    version: V = get_object_or_404(seen(_user(request), rows, perms), pk=version_id)
    if not may_preview(request, version):
        raise PermissionDenied
    return version


def _job(request: HttpRequest, job_id: UUID) -> tuple[Job, Version]:
    """A preview and the version that it is of, if this person may see that."""
    job = get_object_or_404(Job, pk=job_id, kind=KIND)
    model: type[Version] = PolicyVersion if job.options["of"] == "policy" else SchemaVersion
    perm = f"policies.view_{model._meta.model_name}"
    if not _user(request).has_perm(perm):
        raise PermissionDenied
    rows = seen(_user(request), model._default_manager.all(), [perm])
    return job, cast(Version, get_object_or_404(rows, pk=job.options["version"]))


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)  # LoginRequiredMiddleware lets nobody else in


def may_preview(request: HttpRequest, version: Version) -> bool:
    perms = [f"policies.{verb}_{version._meta.model_name}" for verb in VERBS]
    return may_any(_user(request), perms, version)
