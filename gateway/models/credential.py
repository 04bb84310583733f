"""An upstream's secret, sealed for one origin. Plain text exists only on its way to that origin."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from audit import ids
from gateway.credentials.origins import validate_origin

header_name = RegexValidator(r"^[A-Za-z][A-Za-z0-9-]{0,62}\Z", "Use a header name such as Authorization.")
scheme_name = RegexValidator(
    r"^[A-Za-z][A-Za-z0-9-]{0,30}\Z", "Use a word such as Bearer, or leave it empty."
)


class Credential(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    area = models.ForeignKey("gateway.Area", models.PROTECT, related_name="credentials")
    name = models.CharField(max_length=100)
    origin = models.CharField(
        max_length=255,
        validators=[validate_origin],
        help_text="The only origin that the secret is ever sent to, such as https://api.example.com.",
    )
    header = models.CharField(max_length=64, default="Authorization", validators=[header_name])
    scheme = models.CharField(
        max_length=32,
        default="Bearer",
        blank=True,
        validators=[scheme_name],
        help_text="Word before the secret, such as Bearer; empty when the header holds the bare secret.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["area", "name"], name="gateway_credential_name_unique")
        ]

    def __str__(self) -> str:
        return self.name


class CredentialState(models.TextChoices):
    PENDING = "pending", "Pending"
    CURRENT = "current", "Current"
    PREVIOUS = "previous", "Previous"
    RETIRED = "retired", "Retired"


class CredentialVersion(models.Model):
    """One secret. `sealed` is nonce, ciphertext and tag; `key_id` names the master key that opens it."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    credential = models.ForeignKey(Credential, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=CredentialState, default=CredentialState.PENDING)
    sealed = models.BinaryField(editable=False)
    key_id = models.CharField(max_length=40, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["credential", "-number"]
        constraints = [
            models.UniqueConstraint(
                fields=["credential", "number"], name="gateway_credentialversion_number_unique"
            ),
            models.UniqueConstraint(
                fields=["credential", "state"],
                condition=~models.Q(state=CredentialState.RETIRED),
                name="gateway_credentialversion_one_per_state",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=CredentialState.values),
                name="gateway_credentialversion_state_known",
            ),
            # A retired secret is gone, not merely unused.
            models.CheckConstraint(
                condition=models.Q(state=CredentialState.RETIRED, retired_at__isnull=False, sealed=b"")
                | ~models.Q(state=CredentialState.RETIRED) & models.Q(retired_at__isnull=True),
                name="gateway_credentialversion_retired_is_empty",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.credential.name} v{self.number}"
