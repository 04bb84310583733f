"""Exports: asked for, watched, fetched, ended. Everybody sees their own ones, a program those of its account
that the key it comes with could ask for itself: another key of the same program may reach further."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from audit.exporting.asked import EXPORTS, Asked, Changed, covers, exported_by
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
from audit.exporting.files import Place
from audit.exporting.formats import FORMS
from audit.exporting.shown import Shown, shown
from audit.exporting.views import file_answer
from audit.keys import KeysUnavailable
from audit.models import Job
from audit.walls import EVERYWHERE, Areas
from gateway.api.base import ApiView
from gateway.api.callers import Program, asker, who_of
from gateway.api.calls import typed_by
from gateway.api.changes import REFUSED
from gateway.api.evidence import PageAsked, asked_of
from gateway.api.problems import Conflict


class ExportAsked(serializers.Serializer[Any]):
    selection = serializers.DictField(
        child=serializers.CharField(allow_blank=True, max_length=2000),
        default=dict,
        help_text="Which calls, as in a search; left out: all that you may export.",
    )
    format = serializers.ChoiceField(list(FORMS), default="jsonl")
    payloads = serializers.BooleanField(default=False, help_text="With requests and responses, masked.")
    reason = serializers.CharField(max_length=LONGEST, help_text="What it is for. Masked before it is kept.")


class Zip(BaseRenderer):
    """The file. Problems stay JSON."""

    media_type = "application/zip"
    format = "zip"
    charset = None

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        problem: bytes = JSONRenderer().render(data)
        return problem


class _Exports(ApiView):
    permissions = (EXPORTS,)

    def job(self, request: Request, pk: UUID) -> Job:
        """Somebody else's is not there."""
        job: Job = get_object_or_404(exports_of(asker(request)), pk=pk)
        if not _may_see(request, job, exported_by(asker(request))):
            raise Http404
        return job


def _may_see(request: Request, job: Job, areas: Areas) -> bool:
    """People see all of theirs: they remember what they asked. A program is as many askers as it has keys."""
    if not isinstance(asker(request), Program):
        return True
    try:
        return covers(areas, Asked.of(job).within)
    except Changed:
        return areas is EVERYWHERE


class ExportList(_Exports):
    """Your exports, newest first."""

    @extend_schema(
        parameters=[PageAsked],
        responses={200: OpenApiTypes.OBJECT, "4XX": REFUSED},
        operation_id="exports_list",
    )
    def get(self, request: Request) -> Response:
        asked = asked_of(PageAsked, request.query_params)
        rows = exports_of(asker(request)).order_by("-id")
        if asked["before"] is not None:
            rows = rows.filter(id__lt=asked["before"])
        jobs, areas = list(rows[: asked["limit"] + 1]), exported_by(asker(request))
        page, more = jobs[: asked["limit"]], len(jobs) > asked["limit"]
        results = [_export(shown(job, areas)) for job in page if _may_see(request, job, areas)]
        return Response({"results": results, "older": page[-1].pk if more else None})

    @extend_schema(
        request=ExportAsked,
        responses={202: OpenApiTypes.OBJECT, "4XX": REFUSED},
        operation_id="exports_create",
    )
    def post(self, request: Request) -> Response:
        """Ask for one. A worker makes it; look at it until its `state` is `ready`."""
        person = asker(request)
        asked = asked_of(ExportAsked, request.data)
        try:
            job = export_start(
                person=person,
                by=who_of(request),
                form=asked["format"],
                payloads=asked["payloads"],
                question=typed_by(asked["selection"], exported_by(person)),
                reason=asked["reason"],
            )
        except ExportRefused as refusal:
            raise ValidationError([str(refusal)]) from None
        return Response(_export(shown(job, exported_by(person))), status=202)


class ExportOne(_Exports):
    """One of your exports, and how far it is."""

    @extend_schema(responses={200: OpenApiTypes.OBJECT, "4XX": REFUSED}, operation_id="exports_retrieve")
    def get(self, request: Request, pk: UUID) -> Response:
        return Response(_export(shown(self.job(request, pk), exported_by(asker(request)))))

    @extend_schema(responses={204: None, "4XX": REFUSED}, operation_id="exports_destroy")
    def delete(self, request: Request, pk: UUID) -> Response:
        """Cancel what is under way, or delete the file of what is ready."""
        job, by = self.job(request, pk), who_of(request)
        if not export_cancel(job=job, by=by) and not export_remove(job=job, by=by):
            raise Conflict("It has ended, and there is no file any more.")
        return Response(status=204)


class ExportFile(_Exports):
    """The file of one that is ready. That it is fetched is an event before its first byte leaves."""

    renderer_classes = (JSONRenderer, Zip)

    @extend_schema(
        responses={(200, "application/zip"): OpenApiTypes.BINARY, "4XX": REFUSED},
        operation_id="exports_file",
    )
    def get(self, request: Request, pk: UUID) -> HttpResponseBase:
        job = self.job(request, pk)
        if job.state != "done":
            raise Conflict("It is not ready, or not any more: look at its state.")
        try:
            within = export_asked(job).within
        except Changed as changed:
            raise Conflict(str(changed)) from None
        except KeysUnavailable:
            raise Conflict(NO_KEYS) from None
        if not covers(exported_by(asker(request)), within):
            raise PermissionDenied("It holds calls of areas that you may not export any more.")
        try:
            file = open(Place(job.pk).finished, "rb")  # noqa: SIM115  the response closes it
        except OSError:
            raise Conflict("The file is not here: AUDIT_EXPORT_DIR differs between processes.") from None
        try:
            export_download(job=job, by=who_of(request))
            return file_answer(request._request, job, file)
        except BaseException:
            file.close()
            raise


def _export(row: Shown) -> dict[str, Any]:
    return {
        "id": row.id,
        "asked_at": row.asked_at,
        "state": row.state,
        "format": row.form.lower(),
        "payloads": row.payloads,
        "selection": row.selection,
        "areas": row.areas,
        "reason": row.reason,
        "calls": row.rows,
        "open_calls": row.open_calls,
        "late": row.late,
        "making_proof": row.closing and row.moving,
        "unanchored": list(row.unanchored),
        "problem": row.problem,
        "record_problems": row.problems,
        "record_problem_names": row.problem_names,
        "size": row.size,
        "sha256": row.sha256,
        "until": row.until,
        "file": f"/api/v1/exports/{row.id}/file" if row.may_fetch else None,
    }
