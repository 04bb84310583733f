"""Approvals in the admin, to look at: deciding has its own page and its own rules."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from approvals.models import Approval
from policies.admin.base import ModelAdmin, badge


@admin.register(Approval)
class ApprovalAdmin(ModelAdmin[Approval]):
    list_display = ("created_at", "requester_name", "endpoint", "model", "status_badge", "expires_at")
    list_filter = ("status", "endpoint")
    show_full_result_count = False
    actions = None
    exclude = ("request_hmac", "sent_digest")

    @admin.display(description="status", ordering="status")
    def status_badge(self, approval: Approval) -> SafeString:
        return badge(approval.status, approval.get_status_display())

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
