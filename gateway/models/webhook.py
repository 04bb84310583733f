"""Whom approvals and credentials are told to: webhooks, people by mail, and what became of each message.

A message names one of these and an event and holds no text: its body is made from the approval when it is
sent. Nothing that a caller or a reviewer wrote ever is in it.
"""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

from approvals.webhooks import EVENTS
from audit import ids
from gateway.credentials.origins import validate_origin

FAILED, RECOVERED = "rotation.failed", "rotation.recovered"
REMINDED, ESCALATED = "rotation.reminded", "rotation.escalated"
TOO_OLD, DISABLED = "credential.too_old", "credential.disabled"
NOT_TAKEN_BACK = "credential.not_taken_back"
CREDENTIAL_EVENTS = (FAILED, RECOVERED, REMINDED, ESCALATED, TOO_OLD, DISABLED, NOT_TAKEN_BACK)
TOLD_OF = (*EVENTS, *CREDENTIAL_EVENTS)
"""What a webhook can choose among."""


def validate_events(value: object) -> None:
    known = isinstance(value, list) and set(map(str, value)) <= set(TOLD_OF)
    if not known:
        raise ValidationError(f"Choose among {', '.join(TOLD_OF)}.")


class WebhookKind(models.TextChoices):
    STANDARD = "standard", "Standard Webhooks, signed"
    SLACK = "slack", "Slack message"


class Webhook(models.Model):
    """The path of its address is sealed: Slack's is the secret that lets anybody write there."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    area = models.ForeignKey(
        "gateway.Area",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="webhooks",
        help_text="Tells of held requests in this area; empty means everywhere.",
    )
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=10, choices=WebhookKind, default=WebhookKind.STANDARD)
    origin = models.CharField(max_length=255, validators=[validate_origin], editable=False)
    target = models.BinaryField(editable=False)
    target_key_id = models.CharField(max_length=40, editable=False)
    events = models.JSONField(
        default=list, blank=True, validators=[validate_events], help_text="Which; empty means all."
    )
    allow_private = models.BooleanField(
        default=False, help_text="Allow private addresses: only for receivers inside your own network."
    )
    enabled = models.BooleanField(default=True)
    disabled_because = models.CharField(max_length=100, blank=True, editable=False)
    tells_from = models.DateTimeField(default=timezone.now, editable=False)  # what was before is not told
    failing_since = models.DateTimeField(null=True, editable=False)
    succeeded_at = models.DateTimeField(null=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["area", "name"], name="gateway_webhook_name_unique"),
            models.CheckConstraint(
                condition=Q(kind__in=WebhookKind.values), name="gateway_webhook_kind_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.origin.startswith("http://") and not self.allow_private:
            text = "Its address is plain http://, which is for private addresses only."
            raise ValidationError({"allow_private": text})


class WebhookSecret(models.Model):
    """What signs. While one is replaced both sign, until the older one ends."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="secrets")
    number = models.PositiveIntegerField()
    sealed = models.BinaryField()
    key_id = models.CharField(max_length=40)
    created_at = models.DateTimeField(auto_now_add=True)
    ends_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["webhook", "-number"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["webhook", "number"], name="gateway_webhooksecret_number_unique")
        ]

    def __str__(self) -> str:
        return f"{self.webhook} v{self.number}"


class DeliveryState(models.TextChoices):
    DUE = "due", "Waits"
    DONE = "done", "Delivered"
    FAILED = "failed", "Given up"


class Delivery(models.Model):
    """One message to one webhook or person. Due ones are found by `next_at` and taken by moving it."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    webhook = models.ForeignKey(Webhook, models.CASCADE, null=True, blank=True, related_name="deliveries")
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="mails"
    )
    approval_id = models.UUIDField(null=True, help_text="Empty: about a credential, or a test.")
    credential = models.ForeignKey(
        "gateway.Credential", models.CASCADE, null=True, blank=True, related_name="+"
    )
    event = models.CharField(max_length=40)
    event_at = models.DateTimeField()
    position = models.PositiveSmallIntegerField(default=0)  # an earlier one about the same approval is first
    state = models.CharField(max_length=10, choices=DeliveryState, default=DeliveryState.DUE)
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(null=True)
    queued_at = models.DateTimeField(default=ids.now)  # given up a day after it
    tried_at = models.DateTimeField(null=True)
    status = models.PositiveSmallIntegerField(null=True, help_text="What the receiver answered.")
    error = models.CharField(max_length=60, blank=True)
    duration_ms = models.PositiveIntegerField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["next_at"], condition=Q(next_at__isnull=False), name="gateway_delivery_due"),
            models.Index(fields=["approval_id"], name="gateway_delivery_of_approval"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(webhook__isnull=False, person__isnull=True)
                | Q(webhook__isnull=True, person__isnull=False),
                name="gateway_delivery_to_one",
            ),
            models.CheckConstraint(
                condition=Q(state=DeliveryState.DUE, next_at__isnull=False)
                | ~Q(state=DeliveryState.DUE) & Q(next_at__isnull=True),
                name="gateway_delivery_due_iff_due",
            ),
            models.UniqueConstraint(
                fields=["webhook", "approval_id", "event"], name="gateway_delivery_webhook_once"
            ),
            models.UniqueConstraint(
                fields=["person", "approval_id", "event"], name="gateway_delivery_person_once"
            ),
            models.CheckConstraint(
                condition=Q(approval_id=None) | Q(credential=None), name="gateway_delivery_about_one"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.webhook or self.person}"


class Told(models.Model):
    """How far the sweep has looked at what changed. One row; an older value does no harm."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    upto = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"up to {self.upto}"


class MailsOff(models.Model):
    """Somebody who wants no mail about approvals."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="mails_off"
    )
    since = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.user)
