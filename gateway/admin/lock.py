"""Locks in the admin: set, then lifted; never edited."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from gateway.admin.person import person
from gateway.models import Lock
from gateway.services import lock_lift, lock_set
from policies.admin.base import ToolsAdmin, badge, require
from policies.store import scrubbers


@admin.register(Lock)
class LockAdmin(ToolsAdmin[Lock]):
    noted_by_services: ClassVar = frozenset({"added"})
    tools = ("lift",)
    actions = None
    list_display = ("target_name", "state_badge", "reason", "created_by", "created_at", "expires_at")
    list_select_related = ("user", "service_account", "endpoint", "area", "created_by")
    search_fields = ("reason", "user__username", "service_account__name", "endpoint__slug", "area__slug")
    autocomplete_fields = ("user", "service_account", "endpoint", "area")
    fields = ("user", "service_account", "endpoint", "area", "reason", "expires_at")

    @admin.display(description="state")
    def state_badge(self, lock: Lock) -> SafeString:
        if lock.is_active_at(timezone.now()):
            return badge("locked", "Locked")
        return badge("retired", "Lifted" if lock.lifted_at else "Ran out")

    def get_fields(self, request: HttpRequest, obj: Lock | None = None) -> Any:
        if obj is None:
            return self.fields
        return (*self.list_display, "lifted_by", "lifted_at")

    def has_change_permission(self, request: HttpRequest, obj: Lock | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Lock | None = None) -> bool:
        return False

    def may_lift(self, request: HttpRequest, lock: Lock) -> bool:
        return self.may(request, "change", lock)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Compiles what scrubs the reason before the transaction: inside, it would hold up the recorder."""
        if request.method == "POST":
            scrubbers()
        return super().changeform_view(request, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Lock, form: Any, change: bool) -> None:
        lock = lock_set(
            by=person(request),
            reason=obj.reason,
            user=obj.user,
            service_account=obj.service_account,
            endpoint=obj.endpoint,
            area=obj.area,
            expires_at=obj.expires_at,
        )
        obj.pk = lock.pk

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        lock: Lock | None = kwargs.get("obj")
        if lock is not None:
            context["may_lift"] = lock.is_active_at(timezone.now()) and self.may_lift(request, lock)
        return super().render_change_form(request, context, *args, **kwargs)

    def tool_lift(self, request: HttpRequest, lock: Lock) -> HttpResponse:
        require(self.may_lift(request, lock))
        if lock_lift(lock=lock, by=person(request)):
            messages.success(request, f"{lock.target_name} is free again.")
        return self.response_post_save_change(request, lock)
