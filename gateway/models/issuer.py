"""Who vouches for callers: an OpenID provider or authorisation server, or a SAML identity provider.

An issuer belongs to the whole deployment. What it says of groups counts only through its `GroupMapping` rows.
"""

from __future__ import annotations

from typing import Final

from django.contrib.auth.models import Group
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from audit import ids

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures that can be checked without sharing a secret. No HMAC, no `none`."""


def default_algorithms() -> list[str]:
    return ["RS256"]


class IssuerKind(models.TextChoices):
    OIDC = "oidc", "OpenID Connect or OAuth 2.0"
    SAML = "saml", "SAML 2.0"


class Overage(models.TextChoices):
    """What to do where a token says that its groups did not fit."""

    REFUSE = "refuse", "Refuse the token"
    LOOKUP = "lookup", "Ask the lookup that is named here"


class Issuer(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    name = models.CharField(max_length=100, unique=True, help_text="What people call it, such as “Okta”.")
    kind = models.CharField(max_length=10, choices=IssuerKind, default=IssuerKind.OIDC)
    issuer = models.CharField(
        max_length=300,
        unique=True,
        help_text="Exactly as tokens carry it in `iss`; for SAML the provider's entity id.",
    )
    enabled = models.BooleanField(default=True)
    allow_private = models.BooleanField(
        default=False,
        help_text="It may be reached at a private address. Loopback and link-local stay closed.",
    )
    # --- bearer tokens on the data path
    accepts_tokens = models.BooleanField(default=True, help_text="Its access tokens may call models.")
    audiences = models.JSONField(
        default=list, blank=True, help_text="A token must be meant for one of these (`aud`)."
    )
    authorized_parties = models.JSONField(
        default=list,
        blank=True,
        help_text="The clients a token may be issued to (`azp`, `client_id`). Empty: any.",
    )
    algorithms = models.JSONField(default=default_algorithms, help_text="Signatures that are accepted.")
    jwks_uri = models.URLField(max_length=500, blank=True, help_text="Empty: found by discovery.")
    accepts_id_tokens = models.BooleanField(
        default=False, help_text="ID tokens are meant for a client, not for a gateway. Off unless needed."
    )
    required_claims = models.JSONField(
        default=dict, blank=True, help_text="Claims that must have this value, as {“claim”: “value”}."
    )
    leeway = models.PositiveSmallIntegerField(
        default=30,
        validators=[MaxValueValidator(60)],
        help_text="Seconds that clocks may differ, 60 at most.",
    )
    max_stale = models.PositiveIntegerField(
        default=3600,
        validators=[MinValueValidator(60), MaxValueValidator(86_400)],
        help_text="Seconds that its keys are trusted while it cannot be reached.",
    )
    introspection_url = models.URLField(
        max_length=500, blank=True, help_text="For opaque tokens (RFC 7662). Empty: only JWTs are accepted."
    )
    introspection_credential = models.ForeignKey(
        "gateway.Credential", models.PROTECT, null=True, blank=True, related_name="introspecting"
    )
    # --- what its claims mean
    subject_claim = models.CharField(max_length=100, default="sub")
    name_claim = models.CharField(max_length=100, default="name", blank=True)
    groups_claim = models.CharField(
        max_length=200,
        default="groups",
        blank=True,
        help_text="A claim, or a path such as realm_access.roles. Empty: it says nothing of groups.",
    )
    overage = models.CharField(max_length=10, choices=Overage, default=Overage.REFUSE)
    overage_lookup = models.CharField(
        max_length=100, blank=True, help_text="The name of an installed lookup, such as `entra`."
    )
    creates_people = models.BooleanField(
        default=True, help_text="Whoever it vouches for gets an account at first sight. Off: only known ones."
    )
    metadata = models.TextField(blank=True, help_text="SAML: the provider's metadata document.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=IssuerKind.values), name="gateway_issuer_kind_known"
            ),
            models.CheckConstraint(condition=~models.Q(issuer=""), name="gateway_issuer_not_empty"),
            models.CheckConstraint(condition=models.Q(leeway__lte=60), name="gateway_issuer_leeway_bounded"),
        ]

    def __str__(self) -> str:
        return self.name


class Match(models.TextChoices):
    EXACT = "exact", "is"
    PREFIX = "prefix", "begins with"
    REGEX = "regex", "matches"


class GroupMapping(models.Model):
    """One rule from a claim's value to a group. Without a group, the group is the one named by the rest of
    the value (prefix) or by the expression's first group (regex); it must exist."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    issuer = models.ForeignKey(Issuer, models.CASCADE, related_name="mappings")
    match = models.CharField(max_length=10, choices=Match, default=Match.EXACT)
    value = models.CharField(max_length=300)
    group = models.ForeignKey(Group, models.CASCADE, null=True, blank=True, related_name="mappings")

    class Meta:
        ordering = ["issuer", "match", "value", "id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(match__in=Match.values), name="gateway_groupmapping_match_known"
            ),
            models.CheckConstraint(
                condition=~models.Q(match=Match.EXACT) | models.Q(group__isnull=False),
                name="gateway_groupmapping_exact_names_a_group",
                violation_error_message="Choose the group that this value stands for.",
            ),
            models.UniqueConstraint(
                fields=["issuer", "match", "value", "group"], name="gateway_groupmapping_once"
            ),
            models.UniqueConstraint(
                fields=["issuer", "match", "value"],
                condition=models.Q(group=None),
                name="gateway_groupmapping_once_by_name",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_match_display()} “{self.value}” → {self.group or '(its name)'}"


class SeenToken(models.Model):
    """A message of an issuer that may be used once: a SAML assertion, a logout token."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    issuer = models.CharField(max_length=300)
    token_id = models.CharField(max_length=300)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["issuer", "token_id"], name="gateway_seentoken_once"),
        ]

    def __str__(self) -> str:
        return f"{self.token_id} of {self.issuer}"
