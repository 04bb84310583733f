"""An upstream model service: where it is, which API it speaks, which secret it gets and what it may see."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q, QuerySet

from audit import ids
from gateway.credentials.origins import validate_origin
from gateway.models.credential import Credential
from gateway.upstreams.certificates import validate_authorities
from policies.engine.types import Level
from policies.models.choices import LEVEL_VALUES, LEVELS

MAX_BODY_BYTES = 64 * 1024 * 1024

_PATH = r"^(/(?!\.{1,2}(/|\Z))[A-Za-z0-9._~-]+)+\Z"
base_path = RegexValidator(
    _PATH,
    "Begin with a slash and end without one, such as /v1; no query, no dots alone.",
)

probe_path = RegexValidator(
    _PATH, "Begin with a slash and end without one, such as /v1/models; no query, no dots alone."
)


class EndpointKind(models.TextChoices):
    OPENAI = "openai", "OpenAI API"
    ANTHROPIC = "anthropic", "Anthropic API"
    JSON = "json", "Plain JSON"


def _number(default: int, least: int, most: int, text: str) -> models.PositiveSmallIntegerField[int, int]:
    return models.PositiveSmallIntegerField(
        default=default, validators=[MinValueValidator(least), MaxValueValidator(most)], help_text=text
    )


def _seconds(default: int, text: str) -> models.PositiveSmallIntegerField[int, int]:
    return _number(default, 1, 3600, text)


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
    client_certificate = models.ForeignKey(
        "gateway.Credential",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="certified",
        help_text="Shown to the service when it asks who is there (mutual TLS).",
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
    ca_certificates = models.TextField(
        blank=True,
        validators=[validate_authorities],
        help_text="Authorities in PEM that alone vouch for this service. Empty: those of the system.",
    )
    breaker_failures = _number(
        5, 0, 1000, "Failures in a row after which calls are refused for a while. 0: never."
    )
    breaker_rate = _number(
        50,
        0,
        100,
        "The same for this percentage of failures among at least 20 calls of 30 s. 0: not looked at.",
    )
    breaker_seconds = _number(
        5, 1, 60, "Seconds until one call may try again; doubled each time it fails, up to 60."
    )
    probe_path = models.CharField(
        max_length=200,
        blank=True,
        validators=[probe_path],
        help_text="Asked for by GET with the credential, such as /v1/models. Empty: no probes.",
    )
    probe_status = _number(200, 100, 599, "The status that a probe expects.")
    probe_seconds = _number(60, 10, 3600, "Seconds between two probes.")
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
            models.CheckConstraint(
                condition=models.Q(
                    breaker_rate__lte=100,
                    breaker_seconds__gte=1,
                    breaker_seconds__lte=60,
                    probe_seconds__gte=10,
                ),
                name="gateway_endpoint_health_settings_range",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.origin.startswith("http://") and not self.allow_private:
            raise ValidationError({"origin": "Use https://; plain http:// is for private addresses only."})


def endpoints_using(credential: Credential) -> QuerySet[Endpoint]:
    """As the key that is sent, or as the certificate that is shown."""
    return Endpoint.objects.filter(Q(credential=credential) | Q(client_certificate=credential))
