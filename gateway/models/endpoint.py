"""An upstream model service: where it is, which API it speaks, which secret it gets and what it may see."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from audit import ids
from gateway.credentials.origins import validate_origin
from policies.engine.types import Level
from policies.models.choices import LEVEL_VALUES, LEVELS

MAX_BODY_BYTES = 64 * 1024 * 1024

base_path = RegexValidator(
    r"^(/(?!\.{1,2}(/|\Z))[A-Za-z0-9._~-]+)+\Z",
    "Begin with a slash and end without one, such as /v1; no query, no dots alone.",
)


class EndpointKind(models.TextChoices):
    OPENAI = "openai", "OpenAI API"
    ANTHROPIC = "anthropic", "Anthropic API"
    JSON = "json", "Plain JSON"


def _seconds(default: int, text: str) -> models.PositiveSmallIntegerField[int, int]:
    return models.PositiveSmallIntegerField(
        default=default, validators=[MinValueValidator(1), MaxValueValidator(3600)], help_text=text
    )


class Endpoint(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    area = models.ForeignKey("gateway.Area", models.PROTECT, related_name="endpoints")
    slug = models.SlugField(
        max_length=50, unique=True, help_text="Part of the address that clients call, such as /proxy/chat/v1."
    )
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=20, choices=EndpointKind, default=EndpointKind.OPENAI)
    origin = models.CharField(
        max_length=255,
        validators=[validate_origin],
        help_text="Scheme, host and port of the model service. Changing it detaches the credential.",
    )
    base_path = models.CharField(
        max_length=200,
        blank=True,
        validators=[base_path],
        help_text="Put before every path, such as /openai.",
    )
    allow_private = models.BooleanField(
        default=False,
        help_text="Allow loopback and private addresses: only for models inside your own network.",
    )
    credential = models.ForeignKey(
        "gateway.Credential", models.PROTECT, null=True, blank=True, related_name="endpoints"
    )
    ceiling = models.PositiveSmallIntegerField(
        choices=LEVELS,
        default=Level.RESTRICTED.value,
        help_text="Calls declared above this level are refused.",
    )
    max_body_bytes = models.PositiveIntegerField(
        default=8 * 1024 * 1024, validators=[MinValueValidator(1024), MaxValueValidator(MAX_BODY_BYTES)]
    )
    connect_timeout = _seconds(5, "Seconds until the connection must stand.")
    first_byte_timeout = _seconds(120, "Seconds until the answer must begin.")
    idle_timeout = _seconds(60, "Seconds that a begun answer may pause.")
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ceiling__in=LEVEL_VALUES), name="gateway_endpoint_ceiling_known"
            ),
            models.CheckConstraint(
                condition=models.Q(kind__in=EndpointKind.values), name="gateway_endpoint_kind_known"
            ),
            models.CheckConstraint(
                condition=models.Q(max_body_bytes__gte=1024, max_body_bytes__lte=MAX_BODY_BYTES),
                name="gateway_endpoint_body_limit_range",
            ),
            models.CheckConstraint(
                condition=models.Q(connect_timeout__gte=1, first_byte_timeout__gte=1, idle_timeout__gte=1),
                name="gateway_endpoint_timeouts_positive",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.origin.startswith("http://") and not self.allow_private:
            raise ValidationError({"origin": "Use https://; plain http:// is for private addresses only."})
