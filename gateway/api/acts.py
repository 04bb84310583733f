"""What is said of the record as a whole: acts of people, checkpoints and who has them, what calls used."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Any, Final

from django.db.models import Q
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from audit.acts import Act, acts
from audit.checkpoints import signed_of
from audit.exporting.facts import moment
from audit.ids import microseconds
from audit.integrity import integrity
from audit.models import CallerUsage, Checkpoint, GroupUsage
from audit.usage.collecting import month_of
from audit.usage.prices import FINE, Prices
from audit.usage.report import BY, Total, Usage, totals_of
from audit.walls import PERMISSION, audited_by, within
from gateway.api.base import ApiView, Question
from gateway.api.callers import asker, who_of
from gateway.api.changes import REFUSED
from gateway.api.evidence import MOST, OwnOrAudited, asked_of, scope_of

LINES: Final = 1_000
"""Lines of usage in one answer."""


def _answers(asks: type[serializers.Serializer[Any]], operation: str) -> Any:
    """How the description tells of a list that is asked in the query."""
    return extend_schema(
        parameters=[asks], responses={200: OpenApiTypes.OBJECT, "4XX": REFUSED}, operation_id=operation
    )


class EventsAsked(serializers.Serializer[Any]):
    limit = serializers.IntegerField(default=50, min_value=1, max_value=MOST)
    before = serializers.IntegerField(
        default=None, min_value=1, max_value=2**63 - 1, help_text="Where the page before ended: its `older`."
    )
    name = serializers.CharField(default="", max_length=100, help_text="How an event's name begins.")
    by = serializers.CharField(default="", max_length=255, help_text="A subject (`local:ada`) or a name.")
    since = serializers.DateTimeField(default=None)


@_answers(EventsAsked, "events_list")
class EventList(Question):
    """What people did, newest first: in the areas that you audit, and what you did yourself anywhere."""

    permissions = (PERMISSION,)
    asks = EventsAsked

    def answer(self, asked: dict[str, Any], request: Request) -> Any:
        page = acts(audited_by(asker(request)), own=who_of(request).subject, **asked)
        older = str(page.older) if page.older is not None else None
        return {"results": [_act(act) for act in page.rows], "older": older, "back_to": page.back_to}


def _act(act: Act) -> dict[str, Any]:
    """`id` as text: it has more digits than a JavaScript number."""
    return {
        "id": str(act.id),
        "at": moment(microseconds(act.at)),
        "event": act.name,
        "by": act.by,
        "subject": act.subject,
        "area": act.area,
        "about": act.about,
        "call": act.call,
        "detail": act.detail,
        "note": act.note,
    }


@extend_schema(responses={200: OpenApiTypes.OBJECT, "4XX": REFUSED}, operation_id="integrity")
class IntegrityOne(ApiView):
    """How far the record is stated, who outside has been told, and how far sinks are."""

    permissions = (PERMISSION,)

    def get(self, request: Request) -> Response:
        state = integrity(recent=1)
        return Response(
            {
                "fine": state.fine,
                "late": state.late,
                "epoch": state.epoch,
                "key": state.key,
                "key_id": state.key_id,
                "last": _checkpoint(state.last) if state.last else None,
                "anchors": [asdict(anchor) for anchor in state.anchors],
                "sinks": [asdict(sink) for sink in state.sinks],
            }
        )


class CheckpointsAsked(serializers.Serializer[Any]):
    limit = serializers.IntegerField(default=MOST, min_value=1, max_value=MOST)
    after = serializers.IntegerField(
        default=0, min_value=0, max_value=2**63 - 1, help_text="The number of the last one that you have."
    )


@_answers(CheckpointsAsked, "checkpoints_list")
class CheckpointList(Question):
    """Checkpoints, oldest first. `line` is what an anchor keeps and `audit.verifier` reads."""

    permissions = (PERMISSION,)
    asks = CheckpointsAsked

    def answer(self, asked: dict[str, Any], request: Request) -> Any:
        limit = asked["limit"]
        rows = list(Checkpoint.objects.filter(number__gt=asked["after"]).order_by("number")[: limit + 1])
        newer = rows[limit - 1].number if len(rows) > limit else None
        return {"results": [_checkpoint(row) for row in rows[:limit]], "newer": newer}


def _checkpoint(row: Checkpoint) -> dict[str, Any]:
    return {
        "number": row.number,
        "epoch": row.epoch,
        "at": row.at,
        "size": row.size,
        "digest": bytes(row.digest).hex(),
        "line": signed_of(row).line().decode().rstrip("\n"),
    }


class UsageAsked(serializers.Serializer[Any]):
    month = serializers.RegexField(
        r"^20[0-9]{2}-(0[1-9]|1[0-2])\Z", default="", help_text="`2026-11`; the running one if left out."
    )
    by = serializers.ChoiceField(list(BY), default="model", help_text="By group for auditors only.")
    mine = serializers.BooleanField(default=False, help_text="One's own only, for whoever audits as well.")


class UsageOne(OwnOrAudited):
    """Calls, tokens and cost of a month: of the areas that you audit, else your own and your programs'."""

    @extend_schema(
        parameters=[UsageAsked],
        responses={200: OpenApiTypes.OBJECT, "4XX": REFUSED},
        operation_id="usage",
    )
    def get(self, request: Request) -> Response:
        asked = asked_of(UsageAsked, request.query_params)
        month, by = _month(asked["month"]), asked["by"]
        rows = _usage(request, by, mine=asked["mine"])
        totals, capped = totals_of(rows, by, month, Prices.stored())
        return Response(
            {
                "month": f"{month:%Y-%m}",
                "by": by,
                "results": [_total(total) for total in totals[:LINES]],
                "left_out": max(0, len(totals) - LINES),
                "capped": capped,
            }
        )


def _usage(request: Request, by: str, *, mine: bool) -> Usage:
    scope = scope_of(request, mine=mine)
    if scope.person is not None:
        if by == "group":
            raise ValidationError({"by": ["Your own usage is not summed by group."]})
        return CallerUsage.objects.filter(Q(caller_id=scope.person) | Q(owner_id=scope.person))
    if by == "group":
        return within(GroupUsage.objects.all(), scope.areas)
    return within(CallerUsage.objects.all(), scope.areas)


def _month(text: str) -> date:
    return date(int(text[:4]), int(text[5:]), 1) if text else month_of(timezone.now())


def _total(total: Total) -> dict[str, Any]:
    """Amounts as text, by currency: nothing is rounded on the way, and what has no price is named."""
    return {
        "name": total.name,
        "subject": total.sub,
        "calls": total.calls,
        "calls_without_tokens": total.uncounted,
        "input_tokens": total.input_tokens,
        "output_tokens": total.output_tokens,
        "cost": {currency: f"{value.quantize(FINE):f}" for currency, value in sorted(total.money.items())},
        "without_price": sorted(total.unpriced),
    }
