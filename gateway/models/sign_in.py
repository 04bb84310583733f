"""Signed-in browsers, and command lines that wait to be let in.

A sign-in is one browser's session and how it came about; ending the row ends the session at its next
request.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models

from audit import ids


class SignInMethod(models.TextChoices):
    LOCAL = "local", "Password"
    OIDC = "oidc", "OpenID Connect"
    SAML = "saml", "SAML"


class SignIn(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="sign_ins")
    method = models.CharField(max_length=10, choices=SignInMethod)
    session_key = models.CharField(max_length=40, unique=True)
    issuer = models.CharField(max_length=300, blank=True)
    subject = models.CharField(max_length=255, blank=True)
    sid = models.CharField(max_length=255, blank=True)  # the provider's own session
    acr = models.CharField(max_length=255, blank=True)  # how strong it was, in the provider's words
    authenticated_at = models.DateTimeField()  # when the person last proved who they are (`auth_time`)
    network = models.CharField(max_length=64, blank=True)
    started_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ended_because = models.CharField(max_length=40, blank=True)

    class Meta:
        ordering = ["-started_at"]
        verbose_name = "sign-in"
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                condition=models.Q(method__in=SignInMethod.values), name="gateway_signin_method_known"
            ),
        ]
        indexes = [
            models.Index(fields=["issuer", "sid"], name="gateway_signin_sid"),
            models.Index(fields=["user"], condition=models.Q(ended_at=None), name="gateway_signin_open"),
        ]

    def __str__(self) -> str:
        return f"{self.user} since {self.started_at:%Y-%m-%d %H:%M}"


class DeviceState(models.TextChoices):
    """pending -> approved | denied, approved -> used. It runs out by `expires_at`."""

    PENDING = "pending", "Waiting"
    APPROVED = "approved", "Approved"
    DENIED = "denied", "Denied"
    USED = "used", "Used"


class DeviceGrant(models.Model):
    """One command line's wish to act for a person (RFC 8628). Codes are kept as digests."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    device_code = models.BinaryField(max_length=32, unique=True)
    user_code = models.BinaryField(max_length=32, unique=True)
    client = models.CharField(max_length=100, blank=True)  # what it calls itself; shown, never believed
    network = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=10, choices=DeviceState, default=DeviceState.PENDING)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)
    asked_at = models.DateTimeField(null=True)  # the last poll

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=DeviceState.values), name="gateway_devicegrant_state_known"
            ),
            models.CheckConstraint(
                condition=models.Q(state=DeviceState.PENDING) | models.Q(user__isnull=False),
                name="gateway_devicegrant_decided_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.client or 'A device'}: {self.state}"
