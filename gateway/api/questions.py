"""Questions that are answered and change nothing. Each is a view of ten lines over what the pages use."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request

from gateway import callers, explaining
from gateway.api import shapes
from gateway.api.base import BodyParser, Question, mine
from gateway.api.callers import asker
from gateway.api.changes import REFUSED
from gateway.api.problems import TooLarge
from gateway.code.shape import LEVELS
from gateway.console import playing
from policies import drafts
from policies.engine.types import Direction, Level
from policies.models import PolicyVersion, SchemaVersion

Pair = tuple[PolicyVersion, SchemaVersion]


@extend_schema(
    request=shapes.ExplainAsked, responses={200: OpenApiTypes.OBJECT, "4XX": REFUSED}, operation_id="explain"
)
class Explain(Question):
    """Which access rule decides a call, under which versions and limits, and why the others do not."""

    permissions = ("gateway.view_accessrule",)
    asks = shapes.ExplainAsked
    http_method_names = ["post", "options"]

    def answer(self, asked: dict[str, Any], request: Request) -> Any:
        among = asker(request).areas_with(self.permissions[0])
        try:
            return explaining.explain(**asked, among=among).as_json()
        except callers.NotFound as error:
            raise NotFound(str(error)) from error


class PlayAsked(serializers.Serializer[Any]):
    payload = serializers.CharField(trim_whitespace=False, help_text="JSON as it travels, or plain text.")
    form = serializers.ChoiceField(["json", "text"], default="json", help_text="What the payload is.")
    family = serializers.ChoiceField(list(playing.WIRES), default="openai")
    direction = serializers.ChoiceField([each.value for each in Direction], default=Direction.REQUEST.value)
    version = serializers.UUIDField(help_text="A policy version, published or a draft.")
    schema = serializers.UUIDField(default=None, allow_null=True, help_text="The one in force if left out.")
    against = serializers.UUIDField(default=None, allow_null=True, help_text="To compare with.")
    against_schema = serializers.UUIDField(default=None, allow_null=True)
    declared = serializers.ChoiceField(list(LEVELS), default=None, allow_null=True)
    ceiling = serializers.ChoiceField(list(LEVELS), default="restricted")


class PayloadParser(BodyParser):
    most = 4 * playing.MAX_BYTES  # a character of the payload may travel as several


@extend_schema(
    request=PlayAsked, responses={200: OpenApiTypes.OBJECT, "4XX": REFUSED}, operation_id="playground"
)
class Playground(Question):
    """What a policy version finds in a payload and would do about it. Sends nothing and keeps nothing."""

    http_method_names = ["post", "options"]
    permissions = ("policies.view_policyversion", "policies.view_schemaversion")
    parser_classes = (PayloadParser,)
    asks = PlayAsked

    def answer(self, asked: dict[str, Any], request: Request) -> Any:
        try:
            pair = self._pair(request, asked["version"], asked["schema"])
            against = (
                self._pair(request, asked["against"], asked["against_schema"]) if asked["against"] else None
            )
            played = playing.play(
                version=pair, payload=asked["payload"], setting=_setting(asked), against=against
            )
        except playing.TooLarge as refusal:
            raise TooLarge(str(refusal)) from None
        except drafts.NotCompilable as refusal:
            raise ValidationError(refusal.problems) from None
        return played.as_json()

    def _pair(self, request: Request, version_id: Any, schema_id: Any) -> Pair:
        policy_perm, schema_perm = self.permissions
        versions = PolicyVersion.objects.select_related("policy", "schema")
        version = get_object_or_404(mine(request, versions, [policy_perm]), pk=version_id)
        if schema_id:
            schemas = SchemaVersion.objects.select_related("schema")
            return version, get_object_or_404(mine(request, schemas, [schema_perm]), pk=schema_id)
        return version, drafts.schema_version_for(version)


def _setting(asked: dict[str, Any]) -> playing.Setting:
    return playing.Setting(
        family=asked["family"],
        direction=Direction(asked["direction"]),
        is_text=asked["form"] == "text",
        declared=Level(LEVELS[asked["declared"]]) if asked["declared"] else None,
        ceiling=Level(LEVELS[asked["ceiling"]]),
    )
