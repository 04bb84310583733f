"""Locks in the admin: set, then lifted; never edited."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from gateway.admin.person import person
from gateway.models import Lock, User
from gateway.models.lock import TARGETS
from gateway.services import lock_lift, lock_set, locked_row, locks_seen, may_lock
from policies.admin.base import ModelForm, ToolsAdmin, actor, badge, require
from policies.store import scrubbers


class LockForm(ModelForm[Lock]):
    by: ClassVar[User]

    class Meta:
        model = Lock
        fields = (*TARGETS, "everything", "reason", "expires_at")
        labels: ClassVar = {"user": "Person", "api_key": "API key"}

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or self.cleaned_data
        chosen = [said[name] for name in TARGETS if said.get(name) is not None]
        if len(chosen) + bool(said.get("everything")) == 1 and not may_lock(self.by, *(chosen or [None])):
            raise ValidationError("This lies outside the areas in which you may lock.")
        return said


@admin.register(Lock)
class LockAdmin(ToolsAdmin[Lock]):
    noted_by_services: ClassVar = frozenset({"added"})
    form = LockForm
    tools = ("lift",)
    actions = None
    list_display = ("target_name", "kind", "state_badge", "reason", "created_by", "created_at", "expires_at")
    list_select_related = ("user", "service_account", "api_key", "group", "endpoint", "area", "created_by")
    search_fields = (
        "reason",
        "user__username",
        "service_account__name",
        "api_key__prefix",
        "group__name",
        "endpoint__slug",
        "area__slug",
    )
    autocomplete_fields = TARGETS
    fields = (*TARGETS, "everything", "reason", "expires_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Lock]:
        return locks_seen(cast(User, actor(request)))

    def get_form(
        self, request: HttpRequest, obj: Lock | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)  # a class made for this request
        form.by = actor(request)
        return form

    @admin.display(description="kind", ordering=None)
    def kind(self, lock: Lock) -> str:
        return "" if lock.everything else lock.target_words

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
        return may_lock(cast(User, actor(request)), locked_row(lock), "gateway.change_lock")

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Compiles what scrubs the reason before the transaction: inside, it would hold up the recorder."""
        if request.method == "POST":
            scrubbers()
        return super().changeform_view(request, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Lock, form: Any, change: bool) -> None:
        lock = lock_set(
            by=person(request),
            reason=obj.reason,
            **{name: getattr(obj, name) for name in (*TARGETS, "everything")},
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
