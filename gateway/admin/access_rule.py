"""Access rules in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from gateway.models import AccessRule
from policies.admin.base import NotedAdmin, badge, words_field


@admin.register(AccessRule)
class AccessRuleAdmin(NotedAdmin[AccessRule]):
    list_display = ("endpoint", "group", "policy", "priority", "models_shown", "state_badge")
    list_display_links = ("endpoint", "group")
    list_filter = ("endpoint", "group", "enabled")
    list_select_related = ("endpoint", "group", "policy")
    search_fields = ("endpoint__slug", "group__name", "policy__name", "note")
    fields = ("group", "endpoint", "policy", "priority", "allowed_models", "enabled", "expires_at", "note")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "allowed_models":
            return words_field(db_field)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @admin.display(description="models")
    def models_shown(self, rule: AccessRule) -> str:
        return ", ".join(rule.allowed_models) or "all"

    @admin.display(description="state")
    def state_badge(self, rule: AccessRule) -> SafeString:
        if rule.is_active_at(timezone.now()):
            return badge("active", "Active")
        return badge("expired", "Ran out") if rule.enabled else badge("retired", "Disabled")
