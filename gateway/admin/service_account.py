"""Service accounts in the admin."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from gateway.models import ServiceAccount
from policies.admin.base import NotedAdmin, badge


@admin.register(ServiceAccount)
class ServiceAccountAdmin(NotedAdmin[ServiceAccount]):
    list_display = ("name", "area", "owner", "active_badge")
    list_filter = ("area", "is_active")
    list_select_related = ("area", "owner")
    search_fields = ("name", "description")
    autocomplete_fields = ("owner",)
    filter_horizontal = ("groups",)

    @admin.display(description="state", ordering="is_active")
    def active_badge(self, account: ServiceAccount) -> SafeString:
        return badge("active", "Active") if account.is_active else badge("revoked", "Inactive")
