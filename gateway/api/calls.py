"""Calls and sessions on record: listed, searched, opened. An auditor's opening is an event first (P16)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from audit import deriving, ids, pages
from audit.models import Call
from audit.reader import CallRecord, call_open, calls_read
from audit.search.finding import Found, found
from audit.search.selection import Selection, SelectionError
from audit.search.typed import Typed, typed
from audit.walls import EVERYWHERE, PERMISSION, Areas, audited_by
from gateway.api.base import ApiView
from gateway.api.callers import asker, who_of
from gateway.api.changes import REFUSED
from gateway.api.evidence import (
    MOST,
    ListAsked,
    OwnOrAudited,
    PageAsked,
    Scope,
    asked_of,
    audits,
    is_own,
    scope_of,
    sessions_seen,
)
from gateway.api.evidence_shapes import (
    CallShape,
    CallsShape,
    own_as_json,
    record_as_json,
    session_as_json,
)
from gateway.console.searching import CATCH_UP, search_note

_NO_TIME: Final = (Call.DoesNotExist, ValueError, OverflowError)
"""There is no such call; the latter two: an id that holds no time."""

NO_PLACE: Final = {"before": ["This is no place that a page ended at."]}


class SearchAsked(PageAsked):
    selection = serializers.DictField(
        child=serializers.CharField(allow_blank=True, max_length=2000),
        help_text="Criteria by name, all of which have to hold: `words`, `model`, `since` …",
    )


class AfterAsked(serializers.Serializer[Any]):
    limit = serializers.IntegerField(default=50, min_value=1, max_value=MOST)
    after = serializers.UUIDField(default=None, help_text="Where the page before ended: its `newer`.")


class CallList(OwnOrAudited):
    """Calls, newest first: of the areas that you audit, else your own. Open ones say so in `state`."""

    @extend_schema(
        parameters=[ListAsked], responses={200: CallsShape, "4XX": REFUSED}, operation_id="calls_list"
    )
    def get(self, request: Request) -> Response:
        asked = asked_of(ListAsked, request.query_params)
        scope = scope_of(request, mine=asked["mine"])
        try:
            page, back_to = _made(scope, asked["before"], asked["limit"])
        except (ValueError, OverflowError):
            raise ValidationError(NO_PLACE) from None
        return Response(_page(Found(page.rows, page.older, back_to)))


def _made(scope: Scope, before: UUID | None, limit: int) -> tuple[pages.Page[Call], datetime | None]:
    if scope.person is None:
        return pages.calls_made(before, scope.areas, at_most=limit), None
    return pages.own_calls(before, scope.person, at_most=limit)


class CallSearch(ApiView):
    """Find calls of the areas that you audit. That you asked, and what, is an event before the answer."""

    permissions = (PERMISSION,)

    @extend_schema(
        request=SearchAsked, responses={200: CallsShape, "4XX": REFUSED}, operation_id="calls_search"
    )
    def post(self, request: Request) -> Response:
        asked = asked_of(SearchAsked, request.data)
        areas = audited_by(asker(request))
        question = typed_by(asked["selection"], areas)
        deriving.derive(seconds=CATCH_UP)
        search_note(by=who_of(request), areas=areas, question=question, before=asked["before"])
        return Response(_page(_found(question.selection, areas, asked["before"], asked["limit"])))


def typed_by(said: dict[str, str], areas: Areas) -> Typed:
    try:
        return typed(said, areas)
    except SelectionError as error:
        raise ValidationError({"selection": [str(error)]}) from None


def _found(selection: Selection, areas: Areas, before: UUID | None, limit: int) -> Found:
    try:
        return found(selection, areas, before=before, limit=limit)
    except (ValueError, OverflowError):
        raise ValidationError(NO_PLACE) from None


def _page(page: Found) -> dict[str, Any]:
    calls = CallShape(page.calls, many=True).data
    return {"results": calls, "older": page.older, "back_to": page.back_to}


class CallOne(OwnOrAudited):
    """One call: facts, findings, timings, what was looked at, entries with their digests. Whoever audits it
    gets the masked request and response as well, and the opening is an event first."""

    @extend_schema(responses={200: OpenApiTypes.OBJECT, "4XX": REFUSED}, operation_id="calls_retrieve")
    def get(self, request: Request, pk: UUID) -> Response:
        if audits(request):
            try:
                areas = audited_by(asker(request))
                record = call_open(call_id=pk, by=who_of(request), areas=areas)
            except _NO_TIME:
                pass  # it may be their own still
            else:
                return Response(record_as_json(record))
        return Response(own_as_json(_own(request, pk)))


def _own(request: Request, pk: UUID) -> CallRecord:
    try:
        call = Call.objects.get(id=pk, started_at=ids.time_of(pk))
    except _NO_TIME:
        raise NotFound from None
    if not is_own(request, call):
        raise NotFound
    (record,) = calls_read([call], payloads=False)
    return record


class SessionList(OwnOrAudited):
    """Sessions, newest first: those of the areas that you audit, else your own."""

    @extend_schema(
        parameters=[ListAsked],
        responses={200: OpenApiTypes.OBJECT, "4XX": REFUSED},
        operation_id="sessions_list",
    )
    def get(self, request: Request) -> Response:
        asked = asked_of(ListAsked, request.query_params)
        scope = scope_of(request, mine=asked["mine"])
        page = pages.sessions_page(asked["before"], scope.areas, person=scope.person, at_most=asked["limit"])
        return Response({"results": [session_as_json(row) for row in page.rows], "older": page.older})


class SessionOne(OwnOrAudited):
    """One session with its calls, oldest first."""

    @extend_schema(
        parameters=[AfterAsked],
        responses={200: OpenApiTypes.OBJECT, "4XX": REFUSED},
        operation_id="sessions_retrieve",
    )
    def get(self, request: Request, pk: UUID) -> Response:
        session = get_object_or_404(sessions_seen(request), pk=pk)
        asked = asked_of(AfterAsked, request.query_params)
        areas = EVERYWHERE if is_own(request, session) else audited_by(asker(request))
        made = pages.made_in(session, asked["after"], areas, at_most=asked["limit"])
        return Response(
            {
                **session_as_json(pages.session_row(session, areas)),
                "results": CallShape(made.rows, many=True).data,
                "newer": made.older,
            }
        )
