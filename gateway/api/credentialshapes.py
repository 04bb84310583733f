"""Credentials and their rotation as the API shows and takes them. Never a secret, nor what is made of one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from gateway.api.shapes import Shape
from gateway.code.shape import CREDENTIAL, ROTATION_PLAN
from gateway.credentials.secret import Secret
from gateway.models import Credential, CredentialState, CredentialVersion, Rotation, RotationPlan

SHOWN = 20
"""Versions in the answer about one credential or plan, the newest first; all of them come in pages."""


class CredentialVersionShape(Shape[CredentialVersion]):
    created_by = serializers.CharField(source="created_by.username", read_only=True, default="")
    provider_id = serializers.CharField(
        read_only=True, help_text="What its provider calls it: no secret. Empty: made by hand."
    )
    left_at_provider = serializers.SerializerMethodField(
        help_text="It is retired, and its provider has still to be told."
    )

    class Meta:
        model = CredentialVersion
        fields = (
            "number",
            "state",
            "created_at",
            "created_by",
            "activated_at",
            "retire_at",
            "retired_at",
            "provider_id",
            "left_at_provider",
        )

    def get_left_at_provider(self, version: CredentialVersion) -> bool:
        return version.state == CredentialState.RETIRED and version.retire_next_at is not None


class RotationShape(Shape[Rotation]):
    version = serializers.IntegerField(
        source="version.number", read_only=True, allow_null=True, default=None, help_text="What it made."
    )
    asked_by = serializers.CharField(source="asked_by.username", read_only=True, default="")

    class Meta:
        model = Rotation
        fields = (
            "id",
            "cause",
            "step",
            "version",
            "asked_by",
            "attempt",
            "tries",
            "started_at",
            "next_at",
            "ended_at",
            "error",
            "detail",
        )


class _Stands(serializers.Serializer[Any]):
    # What `gateway.rotating.standing` says; the view has put it on the row as `stands`.

    state = serializers.CharField(source="stands.text", read_only=True, help_text="In words.")
    needs_somebody = serializers.BooleanField(source="stands.needs", read_only=True)
    version = serializers.IntegerField(
        source="stands.number", read_only=True, allow_null=True, help_text="The one in use; null: none."
    )
    in_use_since = serializers.DateTimeField(source="stands.since", read_only=True, allow_null=True)
    age = serializers.SerializerMethodField(help_text="Seconds since then.")
    longest_age = serializers.SerializerMethodField(
        help_text="Seconds that it may be in use, by what its endpoints may see; null: no limit."
    )
    too_old_at = serializers.DateTimeField(source="stands.too_old_at", read_only=True, allow_null=True)

    def get_age(self, row: Any) -> int | None:
        since: datetime | None = row.stands.since
        return int((timezone.now() - since).total_seconds()) if since else None

    def get_longest_age(self, row: Any) -> int | None:
        since, too_old_at = row.stands.since, row.stands.too_old_at
        return int((too_old_at - since).total_seconds()) if too_old_at else None


STANDS = ("state", "needs_somebody", "version", "in_use_since", "age", "longest_age", "too_old_at")


class CredentialShape(_Stands, Shape[Credential]):
    """How a credential is sent, how it stands and when it is rotated next."""

    area = serializers.CharField(source="area.slug", read_only=True)
    endpoints = serializers.SerializerMethodField(help_text="The slugs of those that send or show it.")
    rotation_plan = serializers.UUIDField(source="plan.pk", read_only=True, allow_null=True, default=None)
    next_rotation_at = serializers.SerializerMethodField(help_text="Null: none is due by itself.")

    class Meta:
        model = Credential
        fields: Any = (
            "id",
            "area",
            *CREDENTIAL.columns,
            "endpoints",
            *STANDS,
            "rotation_plan",
            "next_rotation_at",
            "disabled_at",
            "created_at",
        )

    def get_endpoints(self, row: Credential) -> list[str]:
        used = (*row.endpoints.all(), *row.certified.all())
        return sorted({endpoint.slug for endpoint in used})

    def get_next_rotation_at(self, row: Credential) -> datetime | None:
        plan: RotationPlan | None = getattr(row, "plan", None)
        return None if plan is None or plan.paused else plan.next_at


class WholeCredentialShape(CredentialShape):
    """A credential with its versions."""

    versions = CredentialVersionShape(
        many=True,
        read_only=True,
        source="shown",
        allow_null=True,
        help_text=f"The newest {SHOWN}, newest first; null for who may not see versions here.",
    )

    class Meta(CredentialShape.Meta):
        fields = (*CredentialShape.Meta.fields, "versions")


class RotationPlanShape(_Stands, Shape[RotationPlan]):
    """What a plan says, how its credential stands, and what is under way."""

    area = serializers.CharField(source="credential.area.slug", read_only=True)
    credential = serializers.CharField(source="credential.name", read_only=True)
    credential_id = serializers.UUIDField(read_only=True)
    admin_credential = serializers.CharField(source="admin_credential.name", read_only=True, default="")
    options = serializers.DictField(read_only=True)
    windows = serializers.ListField(child=serializers.DictField(), read_only=True)
    under_way = RotationShape(source="stands.running", read_only=True, allow_null=True)

    class Meta:
        model = RotationPlan
        fields: Any = (
            "id",
            "area",
            "credential",
            "credential_id",
            "admin_credential",
            *ROTATION_PLAN.columns,
            *STANDS,
            "next_at",
            "failures",
            "under_way",
            "created_at",
        )


class WholeRotationPlanShape(RotationPlanShape):
    """A plan with its credential's versions."""

    versions = CredentialVersionShape(
        many=True, read_only=True, source="shown", help_text=f"The newest {SHOWN}, newest first."
    )

    class Meta(RotationPlanShape.Meta):
        fields = (*RotationPlanShape.Meta.fields, "versions")


class ByNameAsked(serializers.Serializer[Any]):
    """Narrows a list."""

    area = serializers.CharField(default="", allow_blank=True, max_length=80, help_text="Its slug.")
    name = serializers.CharField(
        default="", allow_blank=True, max_length=100, help_text="The credential's name, all of it."
    )


class SecretField(serializers.CharField):
    """Comes in as text and is a type that does not print from there on."""

    def to_internal_value(self, data: Any) -> Any:
        return Secret(super().to_internal_value(data))


class SecretAsked(serializers.Serializer[Any]):
    secret = SecretField(
        write_only=True,
        help_text="Sealed for where the credential is sent. For a client certificate: the certificate, those "
        "that vouch for it and its private key, in PEM.",
    )


class VersionAsked(serializers.Serializer[Any]):
    version = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, help_text="The number of a version that is previous."
    )


class VersionUsed(serializers.Serializer[Any]):
    version = serializers.IntegerField(help_text="The number of the version that is in use now.")


class ConfirmationAsked(serializers.Serializer[Any]):
    confirm = serializers.CharField(max_length=100, help_text="The credential's name: this is meant.")


class Revoked(serializers.Serializer[Any]):
    revoked = serializers.IntegerField(help_text="How many secrets went.")
