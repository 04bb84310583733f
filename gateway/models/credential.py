"""An upstream's secret, sealed for one origin. Plain text exists only on its way to that origin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from audit import ids
from gateway.credentials.origins import normalise_origin, validate_origin

header_name = RegexValidator(r"^[A-Za-z][A-Za-z0-9-]{0,62}\Z", "Use a header name such as Authorization.")
scheme_name = RegexValidator(
    r"^[A-Za-z][A-Za-z0-9-]{0,30}\Z", "Use a word such as Bearer, or leave it empty."
)
parameter_name = RegexValidator(r"^[A-Za-z_][A-Za-z0-9_.-]{0,62}\Z", "Use a name such as key or api_key.")
user_name = RegexValidator(r"^[\x21-\x39\x3b-\x7e]{1,200}\Z", "Use visible ASCII without spaces and colons.")


class Placement(models.TextChoices):
    """How a secret is sent."""

    HEADER = "header", "In a header"
    QUERY = "query", "In a query parameter"
    BODY = "body", "In a field of the JSON body"
    BASIC = "basic", "As the password of HTTP basic"
    OAUTH = "oauth", "For an access token (OAuth 2 client credentials)"
    CERTIFICATE = "certificate", "As a client certificate (mutual TLS)"


class ClientAuth(models.TextChoices):
    """How a client says to the token address who it is (RFC 6749, section 2.3.1)."""

    BASIC = "client_secret_basic", "HTTP basic"
    POST = "client_secret_post", "In the form"


NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    Placement.HEADER: ("header",),
    Placement.QUERY: ("parameter",),
    Placement.BODY: ("parameter",),
    Placement.BASIC: ("username",),
    Placement.OAUTH: ("header", "token_url", "client_id"),
    Placement.CERTIFICATE: (),
}
"""The columns that a placement cannot do without."""

TAKES: Final[Mapping[str, tuple[str, ...]]] = {
    Placement.HEADER: ("scheme",),
    Placement.OAUTH: ("scheme", "scope", "audience", "client_auth", "token_private"),
}
"""Those that say something under it besides."""

PLACING: Final = (
    "header",
    "scheme",
    "parameter",
    "username",
    "token_url",
    "client_id",
    "client_auth",
    "scope",
    "audience",
    "token_private",
)
"""All of them."""


def columns_of(placement: str) -> frozenset[str]:
    """What of `PLACING` says something under this placement."""
    return frozenset((*NEEDS.get(placement, ()), *TAKES.get(placement, ())))


def _set(*names: str) -> models.Q:
    said = models.Q()
    for name in names:
        said &= ~models.Q(**{name: ""})
    return said


def _empty(*names: str) -> models.Q:
    return models.Q(**dict.fromkeys(names, ""))


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
    placement = models.CharField("how it is sent", max_length=12, choices=Placement, default=Placement.HEADER)
    parameter = models.CharField(
        max_length=64,
        blank=True,
        validators=[parameter_name],
        help_text="Name of the query parameter or of the field, such as key.",
    )
    username = models.CharField(
        max_length=200,
        blank=True,
        validators=[user_name],
        help_text="The secret is the password that goes with it.",
    )
    token_url = models.CharField(
        "token address",
        max_length=500,
        blank=True,
        help_text="Where access tokens are fetched; the secret is sent there and nowhere else. Changing its "
        "host lets go of the secret.",
    )
    client_id = models.CharField(max_length=200, blank=True)
    client_auth = models.CharField(
        "client authentication", max_length=20, choices=ClientAuth, default=ClientAuth.BASIC
    )
    scope = models.CharField(max_length=500, blank=True, help_text="Several are separated by spaces.")
    audience = models.CharField(max_length=500, blank=True)
    token_private = models.BooleanField(
        "token address inside",
        default=False,
        help_text="Allow private addresses and plain http:// there: inside your own network only.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["area", "name"], name="gateway_credential_name_unique"),
            models.CheckConstraint(
                condition=models.Q(placement__in=Placement.values), name="gateway_credential_placement_known"
            ),
            models.CheckConstraint(
                condition=models.Q(client_auth__in=ClientAuth.values), name="gateway_credential_auth_known"
            ),
            models.CheckConstraint(
                condition=~models.Q(placement__in=(Placement.HEADER, Placement.OAUTH)) | _set("header"),
                name="gateway_credential_header_named",
            ),
            models.CheckConstraint(
                condition=models.Q(placement__in=(Placement.QUERY, Placement.BODY)) & _set("parameter")
                | ~models.Q(placement__in=(Placement.QUERY, Placement.BODY)) & _empty("parameter"),
                name="gateway_credential_parameter_iff_sent_in_one",
            ),
            models.CheckConstraint(
                condition=models.Q(placement=Placement.BASIC) & _set("username")
                | ~models.Q(placement=Placement.BASIC) & _empty("username"),
                name="gateway_credential_username_iff_basic",
            ),
            models.CheckConstraint(
                condition=models.Q(placement=Placement.OAUTH) & _set("token_url", "client_id")
                | ~models.Q(placement=Placement.OAUTH)
                & _empty("token_url", "client_id", "scope", "audience")
                & models.Q(token_private=False),
                name="gateway_credential_client_iff_oauth",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def sealed_for(self) -> str:
        """What the seal is bound to: the origin, and where the secret goes first, if that is elsewhere."""
        return self.sealed_at(self.origin)

    def sealed_at(self, origin: str) -> str:
        if self.placement != Placement.OAUTH:
            return origin
        parts = urlsplit(self.token_url)
        return f"{parts.scheme}://{parts.netloc.lower()} for {origin}"

    def clean(self) -> None:
        problems: dict[str, str] = {}
        for name, default in unplaced(self.placement).items():
            if getattr(self, name) != default:
                problems[name] = f"This says nothing where the placement is {self.placement}."
        for name in NEEDS.get(self.placement, ()):
            if not getattr(self, name):
                problems[name] = "This is needed."
        if self.token_url and "token_url" not in problems and (wrong := self._token_url_problem()):
            problems["token_url"] = wrong
        if problems:
            raise ValidationError(problems)

    def _token_url_problem(self) -> str:
        try:
            parts = urlsplit(self.token_url)
            normal = normalise_origin(f"{parts.scheme}://{parts.netloc}")
        except ValueError as error:
            return f"Not an address: {error}."
        if parts.fragment or not self.token_url.isascii() or not self.token_url.isprintable():
            return "Use plain ASCII and no fragment."
        if " " in self.token_url or not self.token_url.startswith(normal):
            return f"Begin it with {normal}."
        if normal.startswith("http://") and not self.token_private:
            return "Use https://; plain http:// is for private addresses only."
        return ""


def unplaced(placement: str) -> dict[str, Any]:
    """The columns that say nothing under this placement, with what they hold then."""
    own, blank = columns_of(placement), Credential()
    return {name: getattr(blank, name) for name in PLACING if name not in own}


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
