"""Webhooks in the admin, with what became of each message; a secret is shown once."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from gateway.admin.pasted import PastedLine
from gateway.admin.person import person
from gateway.credentials.secret import Secret
from gateway.models import Delivery, DeliveryState, Webhook, WebhookKind
from gateway.models.webhook import TOLD_OF
from gateway.notifying.sending import deliver_now
from gateway.notifying.services import (
    WebhookRefused,
    address_of,
    delivery_again,
    trial_queue,
    webhook_add,
    webhook_change,
    webhook_clear,
    webhook_delete,
    webhook_rotate,
)
from policies.admin.base import ModelForm, ToolsAdmin, badge, require

NO_BASE = "Nothing: PUBLIC_URL is not set, so links in messages are relative."


class WebhookForm(ModelForm[Webhook]):
    events = forms.MultipleChoiceField(
        choices=[(name, name) for name in TOLD_OF],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None chosen: all of them.",
    )

    class Meta:
        model = Webhook
        fields = ("area", "name", "kind", "events", "allow_private", "enabled")


class NewWebhookForm(WebhookForm):
    url = forms.CharField(
        max_length=2000,
        label="Address",
        widget=PastedLine(attrs={"class": "vTextField", "autocomplete": "off"}),
        help_text="Where messages are posted to. It stays as it is: add another webhook for another one.",
    )

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or self.cleaned_data
        if "url" in said:
            try:
                address_of(said["url"], allow_private=bool(said.get("allow_private")))
            except WebhookRefused as refused:
                raise ValidationError({"url": str(refused)}) from None
        return said


@admin.register(Webhook)
class WebhookAdmin(ToolsAdmin[Webhook]):
    noted_by_services: ClassVar = frozenset({"added", "changed", "deleted"})
    form = WebhookForm
    tools = ("rotate", "attempt", "clear")
    actions = None
    list_display = ("name", "where", "kind", "address", "state_badge", "succeeded_at")
    list_select_related = ("area",)
    search_fields = ("name", "origin")
    fields: ClassVar = (
        "area",
        "name",
        "kind",
        "url",
        "events",
        "allow_private",
        "enabled",
        "links_begin_with",
    )
    _shown = ("area", "kind", "address", "state_badge", "links_begin_with", "succeeded_at", "failing_since")

    @admin.display(description="area", ordering="area")
    def where(self, hook: Webhook) -> str:
        return str(hook.area or "Everywhere")

    @admin.display(description="address")
    def address(self, hook: Webhook) -> str:
        """The rest may be a secret."""
        return f"{hook.origin}/…"

    @admin.display(description="links begin with")
    def links_begin_with(self, hook: Webhook | None = None) -> str:
        return settings.PUBLIC_URL or NO_BASE

    @admin.display(description="state")
    def state_badge(self, hook: Webhook) -> SafeString:
        if not hook.enabled:
            return badge("revoked", f"Off: {hook.disabled_because}" if hook.disabled_because else "Off")
        if hook.failing_since:
            return badge("warning", "Fails")
        return badge("active", "Works") if hook.succeeded_at else badge("pending", "Not tried yet")

    def get_readonly_fields(self, request: HttpRequest, obj: Webhook | None = None) -> Any:
        return self._shown if obj else ("links_begin_with",)

    def get_fields(self, request: HttpRequest, obj: Webhook | None = None) -> Any:
        if obj is None:
            return self.fields
        return ("name", *self._shown, "events", "allow_private", "enabled")

    def get_form(
        self, request: HttpRequest, obj: Webhook | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Its address is neither shown nor changed."""
        if obj is None:
            kwargs["form"] = NewWebhookForm
        return super().get_form(request, obj, change, **kwargs)

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:
        if change:
            webhook_change(webhook=obj, by=person(request))
            return
        secret = webhook_add(webhook=obj, url=form.cleaned_data["url"], by=person(request))
        cast(Any, request).shown_secret = secret

    def delete_model(self, request: HttpRequest, obj: Webhook) -> None:
        webhook_delete(webhook=obj, by=person(request))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Its log goes with it, whoever may read that."""
        found = super().get_deleted_objects(objs, request)
        return (*found[:2], set(), found[3])

    def response_add(self, request: HttpRequest, obj: Webhook, post_url_continue: Any = None) -> HttpResponse:
        secret = cast(Any, request).shown_secret
        if secret is None:
            return super().response_add(request, obj, post_url_continue)
        return self._shown_once(request, obj, secret)

    def _shown_once(self, request: HttpRequest, hook: Webhook, secret: Secret) -> HttpResponse:
        """The page that shows the secret is this answer itself: nothing keeps it for another request."""
        context = {
            **self.admin_site.each_context(request),
            "title": "The webhook's secret",
            "opts": self.opts,
            "webhook": hook,
            "plain_secret": secret.reveal(),
        }
        response = TemplateResponse(request, "admin/gateway/webhook/created.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        hook: Webhook | None = kwargs.get("obj")
        if hook is not None and self.has_change_permission(request, hook):
            context["may_work"] = True
            context["may_rotate"] = hook.kind == WebhookKind.STANDARD
            context["may_clear"] = not hook.enabled or hook.failing_since is not None
        return super().render_change_form(request, context, *args, **kwargs)

    def tool_rotate(self, request: HttpRequest, hook: Webhook) -> HttpResponse:
        require(self.has_change_permission(request, hook))
        try:
            secret = webhook_rotate(webhook=hook, by=person(request))
        except WebhookRefused as refused:
            messages.error(request, str(refused))
            return self.response_post_save_change(request, hook)
        return self._shown_once(request, hook, secret)

    def tool_attempt(self, request: HttpRequest, hook: Webhook) -> HttpResponse:
        require(self.has_change_permission(request, hook))
        outcome = deliver_now(trial_queue(webhook=hook, by=person(request)))
        if outcome is None:
            messages.info(request, "The test is on its way: see the deliveries.")
        elif outcome.ok:
            messages.success(request, f"It arrived: the receiver answered {outcome.status}.")
        else:
            said = f"the receiver answered {outcome.status}" if outcome.status else outcome.error
            messages.error(request, f"It did not arrive: {said}.")
        return self.response_post_save_change(request, hook)

    def tool_clear(self, request: HttpRequest, hook: Webhook) -> HttpResponse:
        require(self.has_change_permission(request, hook))
        webhook_clear(webhook=hook, by=person(request))
        messages.success(request, f"{hook} is switched on; what waited is tried at once.")
        return self.response_post_save_change(request, hook)


@admin.register(Delivery)
class DeliveryAdmin(ToolsAdmin[Delivery]):
    """Mails lie in no area: their log is for those who look everywhere."""

    tools = ("again",)
    actions = None
    list_display = ("event", "to", "state_badge", "attempts", "tried_at", "status", "error", "about")
    list_filter = ("state", "event")
    list_select_related = ("webhook", "person", "credential")
    search_fields = ("=approval_id",)
    fields = (*list_display, "event_at", "next_at", "duration_ms")

    @admin.display(description="about")
    def about(self, row: Delivery) -> str:
        return str(row.credential or row.approval_id or "A test")

    @admin.display(description="to")
    def to(self, row: Delivery) -> str:
        return str(row.webhook or row.person)

    @admin.display(description="state")
    def state_badge(self, row: Delivery) -> SafeString:
        colours = {DeliveryState.DONE: "ok", DeliveryState.FAILED: "error", DeliveryState.DUE: "pending"}
        return badge(colours[DeliveryState(row.state)], DeliveryState(row.state).label)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        return False

    def may_again(self, request: HttpRequest, row: Delivery) -> bool:
        """Whoever manages the webhook; a mail was the sweep's own decision."""
        return row.webhook is not None and person(request).has_perm("gateway.change_webhook", row.webhook)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row: Delivery | None = kwargs.get("obj")
        if row is not None:
            context["may_again"] = row.state != DeliveryState.DUE and self.may_again(request, row)
        return super().render_change_form(request, context, *args, **kwargs)

    def tool_again(self, request: HttpRequest, row: Delivery) -> HttpResponse:
        require(self.may_again(request, row))
        if delivery_again(delivery=row, by=person(request)):
            messages.success(request, "It will be sent again, under the same id.")
        return self.response_post_save_change(request, row)
