"""What the editors of schema versions and policy versions share: drafts are edited, the rest is read."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from django.contrib import admin, messages
from django.contrib.auth.models import AbstractUser
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from policies.admin.base import P, TabularInline, ToolsAdmin, actor, badge, listed, require
from policies.models import State, Version
from policies.proposals import KINDS
from policies.publishing import PolicyServiceError, PublishRefused
from policies.reach import may_any
from policies.services import publishing_needs_two

V = TypeVar("V", bound=Version)
C = TypeVar("C", bound=Model)


class VersionAdmin(ToolsAdmin[V]):
    """Subclasses say which services publish and clone."""

    tools: ClassVar = ("publish", "clone", "rollback")
    actions = None
    list_filter = ("state",)
    readonly_fields: ClassVar[tuple[str, ...]] = (
        "number",
        "state_badge",
        "author",
        "created_at",
        "published_by",
        "published_at",
    )

    def publish(self, version: V, by: AbstractUser) -> Version:
        raise TypeError("a subclass names the service")

    def clone(self, version: V, by: AbstractUser) -> Version:
        raise TypeError("a subclass names the service")

    def roll_back(self, version: V, by: AbstractUser) -> Version:
        raise TypeError("a subclass names the service")

    @admin.display(description="state", ordering="state")
    def state_badge(self, version: V) -> SafeString:
        if (
            version.state == State.PUBLISHED
            and version.effective_at
            and version.effective_at > timezone.now()
        ):
            return badge("pending", "Scheduled")
        return badge(version.state, version.get_state_display())

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Versions begin as the first draft of something new or as a clone."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: V | None = None) -> bool:
        return (obj is None or obj.is_draft) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: V | None = None) -> bool:
        return (obj is None or obj.is_draft) and super().has_delete_permission(request, obj)

    def may_publish(self, request: HttpRequest, version: V) -> bool:
        return actor(request).has_perm(f"policies.publish_{self.opts.model_name}", version)

    def may_edit(self, request: HttpRequest, version: V) -> bool:
        return self.may(request, "change", version)

    def to_propose(self, request: HttpRequest, version: V) -> str:
        """The kind of proposal that this person may make of this version; empty when there is none."""
        verb = {State.DRAFT: "publish", State.RETIRED: "rollback"}.get(State(version.state))
        kind = KINDS.get(f"{self.opts.model_name}".removesuffix("version") + f".{verb}")
        if kind is None or not publishing_needs_two(version):
            return ""
        return kind.name if may_any(actor(request), kind.propose, version) else ""

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        version: V | None = kwargs.get("obj")
        if version is not None:
            alone = self.may_publish(request, version) and not publishing_needs_two(version)
            context |= {
                "may_publish": version.is_draft and alone,
                "may_clone": not version.is_draft and self.may_edit(request, version),
                "may_roll_back": version.state == State.RETIRED and alone,
                "propose": self.to_propose(request, version),
                "tools_base": f"admin:{self.opts.app_label}_{self.opts.model_name}",
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def tool_publish(self, request: HttpRequest, version: V) -> HttpResponse:
        require(self.may_publish(request, version))
        return self._run(request, version, self.publish, "is published.")

    def tool_clone(self, request: HttpRequest, version: V) -> HttpResponse:
        require(self.may_edit(request, version))
        return self._run(request, version, self.clone, "is a draft now: edit and publish it.")

    def tool_rollback(self, request: HttpRequest, version: V) -> HttpResponse:
        require(self.may_publish(request, version))
        return self._run(request, version, self.roll_back, "is published with the earlier content.")

    def refused_at(self, version: V, refusal: PublishRefused) -> str:
        """The page that helps with what was refused."""
        return change_url(version)

    def _run(self, request: HttpRequest, version: V, service: Any, done: str) -> HttpResponse:
        try:
            version = service(version, actor(request))
        except PublishRefused as refusal:
            for problem in listed(refusal.problems):
                messages.error(request, problem)
            return redirect(self.refused_at(version, refusal))
        except PolicyServiceError as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, f"{version} {done}")
        return redirect(change_url(version))


class DraftInline(TabularInline[C, P]):
    """Rows that can be written only while the version above them is a draft."""

    extra = 0

    def _is_draft(self, obj: Any) -> bool:
        version = getattr(obj, "version", obj)
        return not isinstance(version, Version) or version.is_draft

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_draft(obj) and super().has_add_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_draft(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_draft(obj) and super().has_delete_permission(request, obj)


def change_url(obj: Model) -> str:
    return reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])
