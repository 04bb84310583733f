"""Access rules in the admin."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from gateway.access_rules import FIELDS, access_needs_two, access_rule_delete, access_rule_save
from gateway.admin.person import person
from gateway.admin.proposing import ProposingAdmin, ReasonForm
from gateway.models import AccessRule
from policies.admin.base import badge, words_field
from policies.content import changed, packed


class AccessRuleForm(ReasonForm[AccessRule]):
    class Meta:
        model = AccessRule
        fields = "__all__"

    def _post_clean(self) -> None:
        """After the values are in the row: whether two people are needed depends on where it lies."""
        super()._post_clean()  # type: ignore[misc]  # Django's own hook, absent from the stubs
        if self.errors:
            return
        rule = self.instance
        stored = AccessRule.objects.filter(pk=rule.pk).first()
        if not access_needs_two(rule, stored):
            return
        if stored is None:
            self.want("access_rule.add", None, packed(rule, FIELDS))
        elif fields := changed(stored, rule):
            self.want("access_rule.change", rule.pk, packed(rule, fields))


@admin.register(AccessRule)
class AccessRuleAdmin(ProposingAdmin[AccessRule]):
    form = AccessRuleForm
    flag = "two_person_access"
    names: ClassVar = frozenset({"group"})
    noted_by_services: ClassVar = frozenset({"added", "changed", "deleted"})
    list_display = ("endpoint", "group", "policy", "priority", "models_shown", "state_badge")
    list_display_links = ("endpoint", "group")
    list_filter = ("endpoint", "group", "enabled")
    list_select_related = ("endpoint", "group", "policy")
    search_fields = ("endpoint__slug", "group__name", "policy__name", "note")
    fieldsets: ClassVar = [
        (None, {"fields": ("group", "endpoint", "policy", "priority", "enabled", "expires_at", "note")}),
        ("Only for", {"fields": ("allowed_models", "allowed_paths", "networks")}),
        (
            "Limits of one caller",
            {
                "fields": (
                    "requests_per_minute",
                    "tokens_per_minute",
                    "tokens_per_day",
                    "tokens_per_month",
                    "max_concurrent",
                ),
                "description": "Counted per person or service account, whatever key they use, over all "
                "gateway processes. Who reaches one is answered 429.",
            },
        ),
    ]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in ("allowed_models", "allowed_paths", "networks"):
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

    def save_model(self, request: HttpRequest, obj: AccessRule, form: Any, change: bool) -> None:
        if not self.propose_instead(request, form):
            access_rule_save(rule=obj, by=person(request))

    def has_delete_permission(self, request: HttpRequest, obj: AccessRule | None = None) -> bool:
        """Also asked for what a group or an endpoint would take along."""
        guarded = obj is not None and access_needs_two(obj, None)
        return not guarded and super().has_delete_permission(request, obj)

    def delete_model(self, request: HttpRequest, obj: AccessRule) -> None:
        access_rule_delete(rule=obj, by=person(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[AccessRule]) -> None:
        for rule in queryset:
            access_rule_delete(rule=rule, by=person(request))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        rule: AccessRule | None = kwargs.get("obj")
        if rule is not None:
            deletes = super().has_delete_permission(request, rule)
            context["may_propose_delete"] = deletes and access_needs_two(rule, None)
        return super().render_change_form(request, context, *args, **kwargs)
