"""API keys and service accounts as the API shows and takes them. Never a secret, but for a key just made."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework import serializers

from gateway.api.shapes import Shape, Word
from gateway.callers import reference
from gateway.code.shape import LEVELS
from gateway.identity import keys
from gateway.identity.keys import Because
from gateway.identity.leaks import LARGEST
from gateway.identity.rotation import LONGEST_OVERLAP, OVERLAP
from gateway.identity.scope import groups_carried
from gateway.models import ApiKey, ServiceAccount

_ALL = "Empty: all."


def _names(help_text: str, **options: Any) -> serializers.ListField:
    child = serializers.CharField(max_length=200)
    return serializers.ListField(child=child, help_text=help_text, **options)


class ApiKeyShape(Shape[ApiKey]):
    holder = serializers.SerializerMethodField(help_text="user:name or service:name")
    state = serializers.SerializerMethodField(help_text="active, expiring, expired or revoked")
    groups = serializers.SerializerMethodField(help_text="Those that its calls have now.")
    declared_level = Word(LEVELS, read_only=True, allow_null=True)
    allowed_endpoints = _names(_ALL, read_only=True)
    allowed_models = _names(_ALL, read_only=True)
    networks = _names(_ALL, read_only=True)

    class Meta:
        model = ApiKey
        fields = (
            "id",
            "name",
            "prefix",
            "kind",
            "holder",
            "state",
            "groups",
            "allowed_endpoints",
            "allowed_models",
            "networks",
            "declared_level",
            "created_at",
            "expires_at",
            "revoked_at",
            "revoked_because",
            "last_used_at",
            "last_used_from",
            "rotated_from",
        )

    def get_holder(self, key: ApiKey) -> str:
        holder = key.service_account or key.user
        return reference(holder) if holder else ""

    def get_state(self, key: ApiKey) -> str:
        return keys.state_of(key, timezone.now()).value

    def get_groups(self, key: ApiKey) -> list[str]:
        return sorted(group.name for group in groups_carried(key))


class MadeKeyShape(ApiKeyShape):
    key = serializers.CharField(read_only=True, help_text="The key itself, here and nowhere again.")

    class Meta(ApiKeyShape.Meta):
        fields = (*ApiKeyShape.Meta.fields, "key")  # type: ignore[assignment]


class LeakedKeyShape(ApiKeyShape):
    whole = serializers.BooleanField(read_only=True, help_text="The text has its secret, too.")

    class Meta(ApiKeyShape.Meta):
        fields = (*ApiKeyShape.Meta.fields, "whole")  # type: ignore[assignment]


class KeyAsked(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100, help_text="What it is for.")
    holder = serializers.CharField(
        default="", max_length=300, help_text="service:name or user:name; left out: whoever is signed in."
    )
    expires_at = serializers.DateTimeField()
    groups = _names("Of its holder's groups those that it carries; empty: all.", default=list)
    endpoints = _names(f"Their slugs. {_ALL}", default=list)
    models = _names(_ALL, default=list)
    networks = _names(f"Such as 10.0.0.0/8. {_ALL}", default=list)
    declared_level = serializers.ChoiceField(list(LEVELS), default=None, allow_null=True)


class RotationAsked(serializers.Serializer[Any]):
    overlap = serializers.IntegerField(
        default=int(OVERLAP.total_seconds()),
        min_value=0,
        max_value=int(LONGEST_OVERLAP.total_seconds()),
        help_text="Seconds in which both keys work.",
    )
    expires_at = serializers.DateTimeField(
        default=None, allow_null=True, help_text="Of the new key; left out: it lives as long as the old one."
    )


class RevocationAsked(serializers.Serializer[Any]):
    because = serializers.ChoiceField([each.value for each in Because], default=Because.UNNEEDED.value)


class LeakAsked(serializers.Serializer[Any]):
    text = serializers.CharField(
        max_length=LARGEST, trim_whitespace=False, help_text="Anything. It is read and not kept."
    )
    revoke = serializers.ChoiceField(
        ["none", "whole", "all"],
        default="none",
        help_text="Of what is found: nothing, keys whose secret is in the text, or prefixes as well.",
    )


class LeakShape(serializers.Serializer[Any]):
    keys = LeakedKeyShape(many=True)
    revoked = serializers.ListField(child=serializers.CharField(), help_text="Prefixes.")


class ServiceAccountShape(Shape[ServiceAccount]):
    area = serializers.CharField(source="area.slug", read_only=True)
    owner = serializers.CharField(source="owner.username", read_only=True)
    groups = serializers.SlugRelatedField("name", many=True, read_only=True)  # type: ignore[var-annotated]

    class Meta:
        model = ServiceAccount
        fields = ("id", "area", "name", "description", "owner", "groups", "is_active", "created_at")


class AccountChange(serializers.Serializer[Any]):
    owner = serializers.CharField(required=False, max_length=150, help_text="A person's user name.")
    description = serializers.CharField(required=False, max_length=300, allow_blank=True)
    groups = _names("Their names.", required=False)
    is_active = serializers.BooleanField(required=False)


class AccountAsked(serializers.Serializer[Any]):
    area = serializers.CharField(max_length=80, help_text="Its slug.")
    name = serializers.SlugField(max_length=80)
    owner = serializers.CharField(max_length=150, help_text="A person's user name.")
    description = serializers.CharField(default="", max_length=300, allow_blank=True)
    groups = _names("Their names.", default=list)
