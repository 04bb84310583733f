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
    disabled_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Since when it is not sent: its rotation is overdue."
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
    """A spare waits in a list, a pending one is being tried, a previous one is still good at its provider."""

    SPARE = "spare", "Spare"
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
    provider_id = models.CharField(
        max_length=200, blank=True, editable=False, help_text="What its provider calls it: no secret."
    )
    activated_at = models.DateTimeField(null=True, blank=True)
    retire_at = models.DateTimeField(
        null=True, blank=True, help_text="When it is taken back at the provider and wiped."
    )
    retire_next_at = models.DateTimeField(null=True, blank=True, editable=False)  # moves while it is done
    retire_tries = models.PositiveIntegerField(default=0, editable=False)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["credential", "-number"]
        indexes = [
            models.Index(
                fields=["retire_next_at"],
                condition=models.Q(retire_next_at__isnull=False),
                name="gateway_version_retire_due",
            )
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["credential", "number"], name="gateway_credentialversion_number_unique"
            ),
            models.UniqueConstraint(
                fields=["credential", "state"],
                condition=models.Q(state__in=(CredentialState.PENDING, CredentialState.CURRENT)),
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
            # What is in use, or not yet, is never taken back.
            models.CheckConstraint(
                condition=models.Q(retire_at__isnull=True, retire_next_at__isnull=True)
                | models.Q(state__in=(CredentialState.PREVIOUS, CredentialState.RETIRED)),
                name="gateway_credentialversion_none_in_use_taken_back",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.credential.name} v{self.number}"
