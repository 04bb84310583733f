"""The pages of exports: ask for one, watch it, fetch it. Everybody sees their own ones only."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Any, Final, final
from uuid import UUID

from asgiref.sync import sync_to_async
from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import BadRequest
from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST, require_safe

from audit.askers import asker
from audit.exporting.asked import EXPORTS, Changed, covers, exported_by
from audit.exporting.asking import (
    LONGEST,
    NO_KEYS,
    ExportRefused,
    export_asked,
    export_cancel,
    export_download,
    export_remove,
    export_start,
    exports_of,
)
from audit.exporting.chosen import in_words, public
from audit.exporting.files import Place
from audit.exporting.shown import shown
from audit.keys import KeysUnavailable
from audit.models import Job
from audit.search.selection import SelectionError
from audit.search.typed import Typed, typed

LISTED: Final = 50
SECONDS: Final = 3  # between two looks at one that is moving
PIECE: Final = 1 << 16
_CHOICES: Final = (
    ("jsonl", "JSONL: everything, one call a line"),
    ("csv", "CSV: one call a row, for spreadsheets"),
    ("ocsf", "OCSF: API Activity events, for a SIEM"),
)

may_export = permission_required(EXPORTS, raise_exception=True)


class ExportForm(forms.Form):
    format = forms.ChoiceField(label="Format", choices=_CHOICES, widget=forms.RadioSelect, initial="jsonl")
    payloads = forms.BooleanField(
        label="With requests and responses",
        required=False,
        help_text="As their pages show them: masked. JSONL only.",
    )
    reason = forms.CharField(
        label="What is it for?",
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Kept with the export and in the evidence, masked.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if found.get("payloads") and found.get("format") != "jsonl":
            self.add_error("payloads", "Only JSONL holds requests and responses.")
        return found


@require_safe
@never_cache
@may_export
def exports(request: HttpRequest) -> HttpResponse:
    areas = exported_by(request.user)
    rows = [shown(job, areas) for job in exports_of(request.user).order_by("-created_at")[:LISTED]]
    moving = any(row.moving for row in rows)
    response = render(request, "audit/exports.html", {"rows": rows, "moving": moving, "seconds": SECONDS})
    if moving:
        response.headers["Refresh"] = str(SECONDS)
    return response


@require_POST
@never_cache
@may_export
def export_new(request: HttpRequest) -> HttpResponse:
    """With `selection`, JSON text: the form. With `start` as well: begin."""
    areas = exported_by(request.user)
    try:
        question = typed(_criteria(request), areas)
    except SelectionError as error:
        return render(request, "audit/export_new.html", {"problem": str(error)}, status=400)
    started = bool(request.POST.get("start"))
    form = ExportForm(request.POST) if started else ExportForm()
    if started and form.is_valid():
        try:
            _start(request, form, question)
        except ExportRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            return redirect("audit:exports")
    context = {
        "form": form,
        "selection": json.dumps(question.selection.said()),
        "words": in_words(public(question.selection)),
        "areas": "all areas" if areas is None else ", ".join(sorted(areas)),
    }
    return render(request, "audit/export_new.html", context, status=422 if form.errors else 200)


def _start(request: HttpRequest, form: ExportForm, question: Typed) -> None:
    said = form.cleaned_data
    export_start(
        person=request.user,
        by=asker(request),
        form=said["format"],
        payloads=said["payloads"],
        question=question,
        reason=said["reason"],
    )


def _criteria(request: HttpRequest) -> dict[str, Any]:
    try:
        said = json.loads(request.POST.get("selection") or "{}")
    except (ValueError, RecursionError):
        raise BadRequest("no selection of calls") from None
    if not isinstance(said, dict):
        raise BadRequest("no selection of calls")
    return said


@require_POST
@may_export
def export_cancelled(request: HttpRequest, job_id: UUID) -> HttpResponse:
    if not export_cancel(job=_job(request, job_id), by=asker(request)):
        messages.info(request, "It had ended already.")
    return redirect("audit:exports")


@require_POST
@may_export
def export_deleted(request: HttpRequest, job_id: UUID) -> HttpResponse:
    if not export_remove(job=_job(request, job_id), by=asker(request)):
        messages.info(request, "There was no file any more.")
    return redirect("audit:exports")


@require_GET
@never_cache
@may_export
def export_file(request: HttpRequest, job_id: UUID) -> HttpResponseBase:
    """That it is fetched is durable before its first byte leaves."""
    job = _job(request, job_id)
    if job.state != "done":
        raise Http404
    try:
        if not covers(exported_by(request.user), export_asked(job).within):
            raise Http404
        file = open(Place(job.pk).finished, "rb")  # noqa: SIM115  the response closes it
    except Changed as changed:
        messages.error(request, str(changed))
        return redirect("audit:exports")
    except KeysUnavailable:
        messages.error(request, NO_KEYS)
        return redirect("audit:exports")
    except OSError:
        messages.error(
            request, "The file is not here. AUDIT_EXPORT_DIR has to be the same for all processes."
        )
        return redirect("audit:exports")
    try:
        export_download(job=job, by=asker(request))
        return file_answer(request, job, file)
    except BaseException:
        file.close()
        raise


def file_answer(request: HttpRequest, job: Job, file: IO[bytes]) -> HttpResponseBase:
    """Piece by piece in each shape: under ASGI Django would read the whole of a plain iterator at once."""
    name = f"postern-export-{job.created_at:%Y-%m-%d}-{str(job.pk)[-8:]}.zip"
    response: StreamingHttpResponse
    if isinstance(request, ASGIRequest):
        response = StreamingHttpResponse(_Pieces(file), content_type="application/zip")
        response.headers["Content-Length"] = str(Path(file.name).stat().st_size)
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    else:
        response = FileResponse(file, as_attachment=True, filename=name, content_type="application/zip")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@final
class _Pieces:
    """A file piece by piece. Closed with its response, also where nobody took any."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.close = file.close

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await sync_to_async(self._file.read, thread_sensitive=False)(PIECE):
            yield piece


def _job(request: HttpRequest, job_id: UUID) -> Job:
    """Somebody else's is not there."""
    job: Job = get_object_or_404(exports_of(request.user), pk=job_id)
    return job
