"""The deployment's own rules in the admin: one row, and its form is the whole page."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from gateway.admin.person import person
from gateway.admin.proposing import ProposingAdmin, ReasonForm
from gateway.deployment import FLAGS, TARGET, deployment_now, deployment_save
from gateway.models import Deployment
from policies.admin.base import actor, require


class DeploymentForm(ReasonForm[Deployment]):
    where = "here"

    class Meta:
        model = Deployment
        fields = "__all__"

    def clean(self) -> dict[str, Any]:
        """A requirement that is in force stays so until somebody else confirms that it may go."""
        cleaned = super().clean() or {}
        stored = deployment_now()
        let_go = [flag for flag in FLAGS if getattr(stored, flag) and cleaned.get(flag) is False]
        if let_go:
            cleaned |= dict.fromkeys(let_go, True)
            self.want("deployment.two_person", TARGET, dict.fromkeys(let_go, False))
        return cleaned


@admin.register(Deployment)
class DeploymentAdmin(ProposingAdmin[Deployment]):
    form = DeploymentForm
    noted_by_services: ClassVar = frozenset({"added", "changed"})
    fieldsets: ClassVar = [
        (
            "Two people",
            {
                "fields": (*FLAGS, "reason"),
                "description": "Asking for a second person takes one person; no longer asking takes two.",
            },
        ),
        ("API keys", {"fields": ("key_max_days", "personal_key_hours")}),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Deployment | None = None) -> Any:
        return self.fieldsets

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """There is one row only, so the list is its form."""
        require(self.has_view_permission(request))
        return redirect(reverse("admin:gateway_deployment_change", args=[1]))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Unsaved until somebody sets something."""
        return deployment_now() if object_id == "1" else None

    def has_view_permission(self, request: HttpRequest, obj: Deployment | None = None) -> bool:
        return self._may(request, "view") or self._may(request, "change")

    def has_change_permission(self, request: HttpRequest, obj: Deployment | None = None) -> bool:
        return self._may(request, "change")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Deployment | None = None) -> bool:
        return False

    def _may(self, request: HttpRequest, verb: str) -> bool:
        return actor(request).has_perm(f"gateway.{verb}_deployment", Deployment())

    def save_model(self, request: HttpRequest, obj: Deployment, form: Any, change: bool) -> None:
        deployment_save(deployment=obj, by=person(request))
        self.propose_instead(request, form)
