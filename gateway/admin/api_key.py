"""API keys in the admin: made here, shown once, revoked; never edited, never shown again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from gateway.admin.person import person
from gateway.identity.beyond import beyond
from gateway.identity.keys import KeyRefused, api_key_create, api_key_revoke, check_expiry
from gateway.models import ApiKey
from policies.admin.base import ModelForm, ToolsAdmin, badge, require

DEFAULT_AGE = timedelta(days=90)


class ApiKeyForm(ModelForm[ApiKey]):
    class Meta:
        model = ApiKey
        fields = ("name", "user", "service_account", "declared_level", "expires_at")

    def clean_expires_at(self) -> Any:
        expires_at = self.cleaned_data["expires_at"]
        try:
            check_expiry(expires_at)
        except KeyRefused as refusal:
            raise ValidationError(str(refusal)) from refusal
        return expires_at


@admin.register(ApiKey)
class ApiKeyAdmin(ToolsAdmin[ApiKey]):
    noted_by_services: ClassVar = frozenset({"added"})
    form = ApiKeyForm
    tools = ("revoke",)
    actions = ("revoke_selected",)
    action_perms: ClassVar = {"revoke": "gateway.change_apikey"}
    list_display = ("prefix", "name", "owner_name", "state_badge", "expires_at", "created_at")
    list_select_related = ("user", "service_account")
    search_fields = ("prefix", "name", "user__username", "service_account__name")
    date_hierarchy = None
    autocomplete_fields = ("user", "service_account")
    fields = ("name", "user", "service_account", "declared_level", "expires_at")

    @admin.display(description="state")
    def state_badge(self, key: ApiKey) -> SafeString:
        now = timezone.now()
        if key.revoked_at is not None:
            return badge("revoked", "Revoked")
        if now >= key.expires_at:
            return badge("expired", "Expired")
        if key.expires_at - now < timedelta(days=7):
            return badge("expiring", "Expires soon")
        return badge("active", "Active")

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        if obj is None:
            return self.fields
        return (*self.list_display, "declared_level", "created_by", "revoked_at")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"expires_at": timezone.now() + DEFAULT_AGE, **super().get_changeform_initial_data(request)}

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return self.may(request, "change", obj)

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        """A key for a program is all that its groups open: also what lies outside of one's areas."""
        key: ApiKey = super().save_form(request, form, change)
        account = key.service_account
        if account and beyond(account.groups.all(), person(request).areas_with("gateway.add_apikey")):
            raise PermissionDenied
        return key

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        row, key = api_key_create(
            name=obj.name,
            user=obj.user,
            service_account=obj.service_account,
            expires_at=obj.expires_at,
            declared_level=obj.declared_level,
            by=person(request),
        )
        obj.pk, obj.prefix = row.pk, row.prefix
        cast(Any, request).created_key = key

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: Any = None) -> HttpResponse:
        """The page that shows the key is this answer itself: nothing keeps the key for another request."""
        context = {
            **self.admin_site.each_context(request),
            "title": "API key created",
            "opts": self.opts,
            "api_key": obj,
            "plain_key": cast(Any, request).created_key.reveal(),
        }
        response = TemplateResponse(request, "admin/gateway/apikey/created.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        key: ApiKey | None = kwargs.get("obj")
        if key is not None:
            context["may_revoke"] = key.revoked_at is None and self.has_revoke_permission(request, key)
        return super().render_change_form(request, context, *args, **kwargs)

    def tool_revoke(self, request: HttpRequest, key: ApiKey) -> HttpResponse:
        require(self.has_revoke_permission(request, key))
        self.revoke_selected(request, ApiKey.objects.filter(pk=key.pk))
        return self.response_post_save_change(request, key)

    @admin.action(description="Revoke selected keys", permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        revoked = [key for key in keys if api_key_revoke(key=key, by=person(request))]
        messages.success(request, f"Revoked: {', '.join(str(key) for key in revoked) or 'none'}.")
