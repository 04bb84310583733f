"""Who is signed in, from where and with what; an administrator ends it here. Never edited."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from gateway.admin.person import person
from gateway.identity.sessions import sign_in_end
from gateway.models import SignIn
from policies.admin.base import ToolsAdmin, actor, badge, require


@admin.register(SignIn)
class SignInAdmin(ToolsAdmin[SignIn]):
    tools = ("end",)
    list_display = ("user", "state_badge", "method", "network", "started_at", "expires_at")
    list_filter = ("method", ("ended_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("user__username", "network")
    actions = ("end_selected",)
    fields: ClassVar = (
        "user",
        "state_badge",
        "method",
        "issuer",
        "subject",
        "network",
        "started_at",
        "authenticated_at",
        "acr",
        "expires_at",
        "ended_at",
        "ended_because",
    )

    @admin.display(description="state")
    def state_badge(self, row: SignIn) -> SafeString:
        if row.ended_at is not None:
            return badge("retired", "Ended")
        return badge("active", "Open") if row.expires_at > timezone.now() else badge("retired", "Ran out")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: SignIn | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: SignIn | None = None) -> bool:
        return False

    def may_end(self, request: HttpRequest) -> bool:
        """Whoever may make a person inactive may also sign them out."""
        return actor(request).has_perm("gateway.change_user")

    def get_actions(self, request: HttpRequest) -> Any:
        return super().get_actions(request) if self.may_end(request) else {}

    @admin.action(description="End these sign-ins", permissions=["view"])
    def end_selected(self, request: HttpRequest, rows: QuerySet[SignIn]) -> None:
        require(self.may_end(request))
        ended = [
            row for row in rows if sign_in_end(sign_in=row, because="ended by an admin", by=person(request))
        ]
        messages.success(request, f"{len(ended)} sign-ins ended.")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row: SignIn | None = kwargs.get("obj")
        context["may_end"] = row is not None and row.ended_at is None and self.may_end(request)
        return super().render_change_form(request, context, *args, **kwargs)

    def tool_end(self, request: HttpRequest, row: SignIn) -> HttpResponse:
        require(self.may_end(request))
        if sign_in_end(sign_in=row, because="ended by an admin", by=person(request)):
            messages.success(request, f"{row.user} is signed out there.")
        return self.response_post_save_change(request, row)
