"""Service accounts in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from gateway.admin.kept import KeepingForm
from gateway.admin.person import person
from gateway.identity.membership import membership_set
from gateway.models import ServiceAccount
from policies.admin.base import NotedAdmin, badge


@admin.register(ServiceAccount)
class ServiceAccountAdmin(NotedAdmin[ServiceAccount]):
    form = KeepingForm
    list_display = ("name", "area", "owner", "active_badge")
    list_filter = ("area", "is_active")
    list_select_related = ("area", "owner")
    search_fields = ("name", "description")
    autocomplete_fields = ("owner",)
    filter_horizontal = ("groups",)

    @admin.display(description="state", ordering="is_active")
    def active_badge(self, account: ServiceAccount) -> SafeString:
        return badge("active", "Active") if account.is_active else badge("revoked", "Inactive")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Groups go through the service that notes who came and went, and why."""
        groups = form.cleaned_data.pop("groups", None)
        super().save_related(request, form, formsets, change)
        if groups is not None:
            membership_set(member=form.instance, groups=groups, by=person(request))
