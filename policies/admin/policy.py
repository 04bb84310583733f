"""The policy editor: policies, their versions and the rules of each."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import AbstractUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.safestring import SafeString

from policies import services
from policies.admin.base import ModelForm, NotedAdmin, TabularInline, actor, badge
from policies.admin.compare import ComparedAdmin
from policies.admin.versions import DraftInline, VersionAdmin, change_url
from policies.engine.types import Gate
from policies.models import Policy, PolicyVersion, Rule, Schema, Version
from policies.versions import policy_version_in_force


class VersionsInline(TabularInline[PolicyVersion, Policy]):
    model = PolicyVersion
    fields = readonly_fields = ("number", "state", "schema", "note", "published_by", "effective_at")
    ordering = ("-number",)
    show_change_link = True
    can_delete = False
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class PolicyForm(ModelForm[Policy]):
    """A new policy names the schema that its first draft goes by."""

    schema = forms.ModelChoiceField(Schema.objects.all(), help_text="What the policy's rules can name.")

    class Meta:
        model = Policy
        fields = ("name", "slug", "area", "description")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        schema, area = cleaned.get("schema"), cleaned.get("area")
        if schema and area and schema.area_id != area.pk:
            self.add_error("schema", f"This schema lies in another area than {area}.")
        return cleaned


@admin.register(Policy)
class PolicyAdmin(NotedAdmin[Policy]):
    noted_by_services: ClassVar = frozenset({"added"})
    list_display = ("name", "area", "slug", "in_force")
    list_filter = ("area",)
    search_fields = ("name", "slug")
    list_select_related = ("area",)
    prepopulated_fields: ClassVar = {"slug": ("name",)}
    fields = ("name", "slug", "area", "description")
    inlines = (VersionsInline,)

    @admin.display(description="in force")
    def in_force(self, policy: Policy) -> SafeString:
        version = policy_version_in_force(policy.pk)
        return badge("published", f"v{version.number}") if version else badge("warning", "Nothing published")

    def get_form(
        self, request: HttpRequest, obj: Policy | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is None:
            kwargs["form"] = PolicyForm
        return super().get_form(request, obj, change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Policy | None = None) -> Any:
        return self.fields if obj else ("name", "slug", "area", "schema", "description")

    def get_inlines(self, request: HttpRequest, obj: Policy | None) -> Any:
        return self.inlines if obj else ()

    def get_readonly_fields(self, request: HttpRequest, obj: Policy | None = None) -> Any:
        return ("area", "slug") if obj else ()

    def get_prepopulated_fields(self, request: HttpRequest, obj: Policy | None = None) -> Any:
        return {} if obj else self.prepopulated_fields

    def save_model(self, request: HttpRequest, obj: Policy, form: Any, change: bool) -> None:
        if change:
            return super().save_model(request, obj, form, change)
        draft = services.policy_create(
            area_id=obj.area_id,
            slug=obj.slug,
            name=obj.name,
            description=obj.description,
            schema=form.cleaned_data["schema"],
            by=actor(request),
        )
        obj.pk = draft.policy_id
        return None

    def response_add(self, request: HttpRequest, obj: Policy, post_url_continue: Any = None) -> HttpResponse:
        messages.success(request, "Created. Add rules to its first draft, then publish it.")
        return redirect(change_url(obj.versions.get()))


class RuleForm(ModelForm[Rule]):
    class Meta:
        model = Rule
        fields = ("position", "name", "directions", "matcher", "value", "gate", "transform")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("matcher") == "level":
            cleaned["value"] = cleaned.get("value", "").lower()
        return cleaned


class RulesInline(DraftInline[Rule, PolicyVersion]):
    model = Rule
    form = RuleForm
    fields = ("position", "name", "directions", "matcher", "value", "gate", "transform")
    shown = ("position", "name", "directions", "matcher", "value", "gate_badge", "transform")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if self._is_draft(obj) else self.shown

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if self._is_draft(obj) else self.shown

    @admin.display(description="gate")
    def gate_badge(self, rule: Rule) -> SafeString:
        return badge(Gate(rule.gate).name, rule.get_gate_display())


@admin.register(PolicyVersion)
class PolicyVersionAdmin(ComparedAdmin[PolicyVersion], VersionAdmin[PolicyVersion]):
    list_display = (
        "policy",
        "number",
        "state_badge",
        "compare",
        "schema",
        "note",
        "published_by",
        "effective_at",
    )
    list_display_links = ("policy", "number")
    list_select_related = ("policy", "schema", "published_by")
    fields = (
        "policy",
        ("number", "state_badge"),
        "schema",
        ("default_transform", "opaque_gate"),
        "note",
        "effective_at",
        ("author", "created_at"),
        ("published_by", "published_at"),
    )
    readonly_fields: ClassVar[tuple[str, ...]] = ("policy", *VersionAdmin.readonly_fields)
    search_fields = ("policy__name", "note")
    inlines = (RulesInline,)

    def publish(self, version: PolicyVersion, by: AbstractUser) -> Version:
        return services.policy_version_publish(version=version, by=by, effective_at=version.effective_at)

    def clone(self, version: PolicyVersion, by: AbstractUser) -> Version:
        return services.policy_version_clone_to_draft(version=version, by=by)

    def roll_back(self, version: PolicyVersion, by: AbstractUser) -> Version:
        return services.policy_version_rollback(version=version, by=by)
