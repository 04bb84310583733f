"""Approvals: read by whoever reviews or audits, decided by people only, commented on and withdrawn by whoever
asked. The rules are those of the pages: `approvals.walls` and `approvals.services`. No payload.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import services, walls
from approvals.counting import weighed
from approvals.digests import seen_digest
from approvals.links import review_link, status_link
from approvals.models import Approval, Choice, Status
from approvals.status import comment_as_json
from gateway.api.base import ApiView, Throttle
from gateway.api.callers import Program, Session, changing
from gateway.api.changes import REFUSED
from gateway.api.readers import Kind, List, One
from gateway.api.requesters import Presented, Requester
from gateway.models import User
from policies.journal import who

PEOPLE_ONLY: Final = "A program decides nothing here: a person does, signed in as themselves."

FACTS: Final = (
    "id",
    "status",
    "area",
    "endpoint",
    "model",
    "requester_name",
    "requester_kind",
    "policy",
    "schema",
    "reasons",
    "counts",
    "highest",
    "risk",
    "reviewers",
    "needed",
    "clear",
    "emergency",
    "created_at",
    "changed_at",
    "expires_at",
    "escalated_at",
    "decided_at",
    "consumed_at",
    "looked_at",
)


class ApprovalShape(serializers.ModelSerializer[Approval]):
    links = serializers.SerializerMethodField(help_text="`status` for the requester, `review` for reviewers.")

    class Meta:
        model = Approval
        fields: tuple[str, ...] = (*FACTS, "links")

    def get_links(self, row: Approval) -> dict[str, str]:
        base = settings.PUBLIC_URL
        return {"status": status_link(row.pk, base), "review": review_link(row.pk, base)}


class ApprovalWhole(ApprovalShape):
    """`seen` is what a decision sends back: it is about what was read, and about nothing that came later."""

    seen = serializers.SerializerMethodField(help_text="To be sent with a decision.")
    votes = serializers.SerializerMethodField()
    comments = serializers.SerializerMethodField()

    class Meta(ApprovalShape.Meta):
        fields = (*FACTS, "call_id", "score", "purpose", "escalate_to", "votes", "comments", "seen", "links")

    def get_seen(self, row: Approval) -> str:
        return seen_digest(row).hex()

    def get_votes(self, row: Approval) -> list[dict[str, Any]]:
        return [
            {
                "by": each.vote.name,
                "choice": each.vote.choice,
                "reason": each.vote.reason,
                "emergency": each.vote.emergency,
                "at": each.vote.at.isoformat(),
                "why_not": each.why_not,  # why it does not count; empty where it does
            }
            for each in weighed([row])[row.pk]
        ]

    def get_comments(self, row: Approval) -> list[dict[str, Any]]:
        return [comment_as_json(each) for each in row.comments.order_by("at")]


class ApprovalFilter(serializers.Serializer[Any]):
    status = serializers.ChoiceField(Status.choices, required=False)
    area = serializers.CharField(required=False, max_length=50)
    endpoint = serializers.CharField(required=False, max_length=50)
    requester = serializers.CharField(required=False, max_length=150, help_text="Their name.")


class DecisionAsked(serializers.Serializer[Any]):
    choice = serializers.ChoiceField(Choice.choices)
    reason = serializers.CharField(default="", allow_blank=True, max_length=services.LONGEST)
    seen = serializers.RegexField(r"^[0-9a-f]{64}\Z", help_text="As the approval was shown.")
    emergency = serializers.BooleanField(default=False, help_text="Let it through alone.")


class CommentAsked(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=services.LONGEST)


class ReasonAsked(serializers.Serializer[Any]):
    reason = serializers.CharField(default="", allow_blank=True, max_length=services.LONGEST)


class NoteAsked(serializers.Serializer[Any]):
    note = serializers.CharField(default="", allow_blank=True, max_length=services.LONGEST)


class _Approvals(Kind[Approval]):
    permissions = (walls.VIEWS,)
    serializer_class: type[ApprovalShape] = ApprovalShape
    queryset = Approval.objects.all()


class ApprovalList(List, _Approvals):
    """Approvals in the areas that you review or audit, oldest first."""

    def get_queryset(self) -> QuerySet[Approval]:
        asked = ApprovalFilter(data=self.request.query_params)
        asked.is_valid(raise_exception=True)
        said = dict(asked.validated_data)
        if "requester" in said:
            said["requester_name"] = said.pop("requester")
        return super().get_queryset().filter(**said)

    @extend_schema(parameters=[ApprovalFilter])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class ApprovalOne(One, _Approvals):
    """One approval with its votes and comments."""

    serializer_class = ApprovalWhole


class _Act(ApiView):
    """What one person does about an approval that they see."""

    permissions = (walls.VIEWS,)
    asks: type[serializers.Serializer[Any]]

    def post(self, request: Request, pk: Any) -> Response:
        row = get_object_or_404(walls.seen_by(request.user), pk=pk)
        if not isinstance(request.user, User):
            raise PermissionDenied(PEOPLE_ONLY)
        asked = self.asks(data=request.data)
        asked.is_valid(raise_exception=True)
        said = asked.validated_data
        self.check(request.user, row, said)
        with changing(request) as person:
            self.act(person, row.pk, said)
        return Response(ApprovalWhole(Approval.objects.get(pk=row.pk)).data)

    def check(self, person: User, row: Approval, said: Mapping[str, Any]) -> None:
        """Who may not is told that, however the approval stands. The service asks once more."""
        if refusal := walls.why_not(person, row, emergency=bool(said.get("emergency"))):
            raise services.NotYours(refusal)

    def act(self, person: User, pk: UUID, said: Mapping[str, Any]) -> None:
        raise NotImplementedError


@extend_schema(
    request=DecisionAsked, responses={200: ApprovalWhole, "4XX": REFUSED}, operation_id="approval_decide"
)
class ApprovalDecide(_Act):
    """Vote. One denial decides; approvals count by persons. `seen` is the digest of what you were shown."""

    asks = DecisionAsked

    def act(self, person: User, pk: UUID, said: Mapping[str, Any]) -> None:
        services.approval_decide(
            approval_id=pk,
            by=person,
            choice=Choice(said["choice"]),
            reason=said["reason"],
            seen=bytes.fromhex(said["seen"]),
            emergency=said["emergency"],
        )


@extend_schema(
    request=ReasonAsked, responses={200: ApprovalWhole, "4XX": REFUSED}, operation_id="approval_revoke"
)
class ApprovalRevoke(_Act):
    """Take back an approval that nobody has used yet."""

    asks = ReasonAsked

    def check(self, person: User, row: Approval, said: Mapping[str, Any]) -> None:
        if (refusal := walls.why_not(person, row)) and walls.why_not(person, row, emergency=True):
            raise services.NotYours(refusal)

    def act(self, person: User, pk: UUID, said: Mapping[str, Any]) -> None:
        services.approval_revoke(approval_id=pk, by=person, reason=said["reason"])


@extend_schema(
    request=NoteAsked, responses={200: ApprovalWhole, "4XX": REFUSED}, operation_id="approval_look"
)
class ApprovalLook(_Act):
    """Note that you have looked at what somebody else let through alone."""

    asks = NoteAsked

    def act(self, person: User, pk: UUID, said: Mapping[str, Any]) -> None:
        services.emergency_look_at(approval_id=pk, by=person, note=said["note"])


class WriteThrottle(Throttle):
    """What a requester writes; events are kept for good."""

    scope = "approvals"
    rate = "30/min"


class _Own(ApiView):
    """For whoever asked, with their own credential or signed in, and the owner of a program that asks."""

    authentication_classes: Any = (Presented, Session)
    throttle_classes: Any = (Throttle, WriteThrottle)

    def row(self, request: Request, pk: Any) -> Approval:
        """404 for what they may not see."""
        row = Approval.objects.filter(pk=pk).first()
        if row is None or not (walls.concerns(request.user, row) or walls.may_see(request.user, row)):
            raise Http404
        return row


@extend_schema(
    request=CommentAsked,
    responses={201: OpenApiTypes.OBJECT, "4XX": REFUSED},
    operation_id="approval_comment",
)
class ApprovalComment(_Own):
    """Say something to whoever reviews, or to whoever asked. It is scrubbed before it is kept."""

    def post(self, request: Request, pk: Any) -> Response:
        row = self.row(request, pk)
        asked = CommentAsked(data=request.data)
        asked.is_valid(raise_exception=True)
        made = services.approval_comment(
            approval_id=row.pk, by=request.user, text=asked.validated_data["text"], said_by=_who(request)
        )
        return Response(comment_as_json(made), status=201)


@extend_schema(request=None, responses={204: None, "4XX": REFUSED}, operation_id="approval_withdraw")
class ApprovalWithdraw(_Own):
    """Need it no more: by whoever asked, or answers for the program that did."""

    def post(self, request: Request, pk: Any) -> Response:
        row = self.row(request, pk)
        asker: Any = request.user
        if not walls.concerns(asker, row):
            raise services.NotYours("Only whoever asked can withdraw it.")
        services.approval_withdraw(approval_id=row.pk, by=_who(request), requester_ids=[asker.pk])
        return Response(status=204)


def _who(request: Request) -> Any:
    """The person or program, as the record names them."""
    asker: Any = request.user
    assert not isinstance(asker, Program)  # noqa: S101  keys come as `Requester` here
    return asker.who() if isinstance(asker, Requester) else who(asker)
