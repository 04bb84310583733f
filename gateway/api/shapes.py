"""What the API shows of each object, named as in a document of `gateway.code`. Never a secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from gateway.code.shape import ACCESS, AREA, ENDPOINT, GATES, LEVELS, RULE, SETTINGS
from gateway.models import AccessRule, Area, Endpoint, EndpointHealth
from policies.models import (
    DataClass,
    Detector,
    Example,
    Policy,
    PolicyVersion,
    Rule,
    Schema,
    SchemaVersion,
)

VERSION = ("id", "number", "state", "note", "author", "created_at", "published_by", "published_at")
Shape = serializers.ModelSerializer


class Word(serializers.ChoiceField):
    """A level or a gate: a number in the store, a word outside."""

    def __init__(self, words: Mapping[str, int], **options: Any) -> None:
        self._words = {number: word for word, number in words.items()}
        super().__init__(list(words), **options)

    def to_representation(self, value: Any) -> str:
        return self._words[value]


def _name(source: str) -> serializers.CharField:
    """Another object by its name."""
    return serializers.CharField(source=source, read_only=True, default="")


class AreaShape(Shape[Area]):
    class Meta:
        model = Area
        fields = ("id", *AREA.columns)


class HealthShape(Shape[EndpointHealth]):
    """How its service is, by what calls and probes saw; `last_error` is a code of docs/upstreams.md."""

    last_ok_at = serializers.DateTimeField(read_only=True, allow_null=True)
    last_error = serializers.CharField(read_only=True)
    last_error_at = serializers.DateTimeField(read_only=True, allow_null=True)

    class Meta:
        model = EndpointHealth
        fields = ("state", "since", "last_ok_at", "last_error", "last_error_at", "latency_ms")


class EndpointShape(Shape[Endpoint]):
    area = _name("area.slug")
    credential = _name("credential.name")
    ceiling = Word(LEVELS, read_only=True)
    health = HealthShape(read_only=True, allow_null=True, default=None)

    class Meta:
        model = Endpoint
        fields = ("id", "area", "credential", *ENDPOINT.columns, "health", "created_at", "updated_at")


class AccessRuleShape(Shape[AccessRule]):
    area = _name("endpoint.area.slug")
    group = _name("group.name")
    endpoint = _name("endpoint.slug")
    policy = _name("policy.slug")

    class Meta:
        model = AccessRule
        fields = ("id", "area", *ACCESS.names, *ACCESS.columns, "created_at")


class SchemaShape(Shape[Schema]):
    area = _name("area.slug")
    in_force = serializers.IntegerField(read_only=True, allow_null=True, help_text="Number of the version.")

    class Meta:
        model = Schema
        fields = ("id", "area", "slug", "name", "description", "in_force", "created_at")


class PolicyShape(Shape[Policy]):
    area = _name("area.slug")
    in_force = serializers.IntegerField(read_only=True, allow_null=True, help_text="Number of the version.")

    class Meta:
        model = Policy
        fields = ("id", "area", "slug", "name", "description", "in_force", "created_at")


class DetectorShape(Shape[Detector]):
    class Meta:
        model = Detector
        fields = ("kind", "value", "max_len", "ignore_case", "threshold")


class ExampleShape(Shape[Example]):
    class Meta:
        model = Example
        fields = ("kind", "text")


class DataClassShape(Shape[DataClass]):
    level = Word(LEVELS, read_only=True)
    tags = serializers.ListField(child=serializers.CharField(), read_only=True)
    context = serializers.ListField(child=serializers.CharField(), read_only=True)  # type: ignore[assignment]  # a column
    detectors = DetectorShape(many=True, read_only=True)
    examples = ExampleShape(many=True, read_only=True)

    class Meta:
        model = DataClass
        fields = (
            "slug",
            "name",
            "level",
            "weight",
            "tags",
            "description",
            "context",
            "context_needed",
            "detectors",
            "examples",
        )


class RuleShape(Shape[Rule]):
    gate = Word(GATES, read_only=True)

    class Meta:
        model = Rule
        fields = RULE.columns


class SchemaVersionShape(Shape[SchemaVersion]):
    schema = _name("schema.slug")
    author = _name("author.username")
    published_by = _name("published_by.username")

    class Meta:
        model = SchemaVersion
        fields = (*VERSION, "effective_at", "schema")


class SchemaContentShape(SchemaVersionShape):
    classes = DataClassShape(many=True, read_only=True)

    class Meta(SchemaVersionShape.Meta):
        fields = (*SchemaVersionShape.Meta.fields, "classes")  # type: ignore[assignment]


class PolicyVersionShape(Shape[PolicyVersion]):
    policy = _name("policy.slug")
    schema = _name("schema.slug")
    author = _name("author.username")
    published_by = _name("published_by.username")

    class Meta:
        model = PolicyVersion
        fields = (*VERSION, "effective_at", "policy", "schema")


class PolicyContentShape(PolicyVersionShape):
    opaque_gate = Word(GATES, read_only=True)
    reviewers = serializers.ListField(child=serializers.CharField(), read_only=True)
    escalate_to = serializers.ListField(child=serializers.CharField(), read_only=True)
    rules = RuleShape(many=True, read_only=True)

    class Meta(PolicyVersionShape.Meta):
        fields = (*PolicyVersionShape.Meta.fields, *SETTINGS.columns, "rules")  # type: ignore[assignment]


class PublishAsked(serializers.Serializer[Any]):
    effective_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="When it takes effect; at once if left out."
    )


class ExplainAsked(serializers.Serializer[Any]):
    caller = serializers.CharField(max_length=300, help_text="key:pst_…, service:name or user:name")
    endpoint = serializers.CharField(max_length=300, help_text="Its slug.")
    model = serializers.CharField(max_length=300, default="", allow_blank=True)
    path = serializers.CharField(
        max_length=300, default="", allow_blank=True, help_text="Below the endpoint."
    )
    address = serializers.CharField(max_length=300, default="", allow_blank=True, help_text="Of the client.")


class PlanAsked(serializers.Serializer[Any]):
    prune = serializers.BooleanField(default=False, help_text="Take away what may be taken away.")


class ApplyAsked(PlanAsked):
    expect = serializers.CharField(
        default="", max_length=16, help_text="Only if the plan still has this digest."
    )


class ExportAsked(serializers.Serializer[Any]):
    area = serializers.CharField(default="", help_text="Its slug; not needed while there is one area only.")


class FieldChange(serializers.Serializer[Any]):
    field = serializers.CharField()
    before = serializers.CharField()
    after = serializers.CharField()


class ObjectChange(serializers.Serializer[Any]):
    change = serializers.ChoiceField(["+", "~", "-", "?"])
    kind = serializers.CharField()
    name = serializers.CharField()
    fields = FieldChange(many=True)  # type: ignore[assignment]  # a word of the plan, not the framework's


class PlanShape(serializers.Serializer[Any]):
    area = serializers.CharField()
    digest = serializers.CharField()
    changes = ObjectChange(many=True)
    only_in_database = ObjectChange(many=True)


class ProblemShape(serializers.Serializer[Any]):
    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(required=False)
    errors = serializers.ListField(child=serializers.CharField(), required=False)  # type: ignore[assignment]  # RFC 9457
