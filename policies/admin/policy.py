"""The policy editor: policies, their versions and the rules of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import AbstractUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.safestring import SafeString

from policies import compiler, drafting, services
from policies.admin.base import ModelForm, NotedAdmin, TabularInline, actor, badge, words_field
from policies.admin.compare import ComparedAdmin
from policies.admin.rules import RulesInline, guide
from policies.admin.versions import VersionAdmin, change_url
from policies.deciding import deciding_problems, unknown_groups
from policies.models import Mode, Policy, PolicyVersion, Schema, Version
from policies.versions import policy_version_in_force

OBSERVING = (
    "Observe to try rules out: what they would do is recorded, the call goes on in clear. "
    "Restricted data, content that cannot be read and the endpoint's ceiling are enforced all the same. "
    "Observing ends by itself, after 30 days at most."
)
RISK = (
    "Every finding adds the weight of its data class, every rule that applies adds its own. "
    "Example: CARD weighs 20, so three cards make 60; hold from 50 lets a person decide about that call, "
    "block from 200 refuses it. An answer cannot wait for a person: only the score that blocks counts there."
)
KEEPING = (
    "Findings only: the record says which classes were found where, and keeps no text of the payloads, "
    "not even masked. An original is sealed to a key that no gateway has; what the record keeps is masked as "
    "before. Without AUDIT_ORIGINALS_KEY such a policy refuses every call."
)
APPROVING = (
    "Who decides about calls that wait, and for how long. Example: reviewers “Privacy, Legal”, 1 approval; "
    "the call waits 50 seconds, a decision may take 60 minutes and may be used for 60 minutes; "
    "after 15 minutes without one “Managers” may decide as well."
)


GROUPS = ("reviewers", "escalate_to")
"""Columns that hold a list of groups, by name."""


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


def deciding_refusals(said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(field, problem) of what was posted about who decides, and about what is approved."""
    for field in GROUPS:
        if missing := unknown_groups(said.get(field) or ()):
            yield field, " ".join(missing)
    minutes, others = said.get("escalate_minutes"), said.get("escalate_to")
    if minutes is None and others and "escalate_minutes" in said:
        yield "escalate_minutes", "Say after how many minutes these groups are asked."
    if minutes is not None and not others:
        yield "escalate_to", "Say which groups are asked then."
    if minutes is not None and minutes >= (said.get("valid_minutes") or minutes + 1):
        yield "escalate_minutes", "Others are asked before the time for a decision is over."
    if others and set(others) <= set(said.get("reviewers") or ()):
        yield "escalate_to", "Escalating asks nobody else: these groups are asked from the beginning."
    if said.get("clear_release") and (said.get("approvals_needed") or 2) < 2:
        yield "clear_release", "What leaves in clear has to be approved by at least two persons."


class PolicyVersionForm(ModelForm[PolicyVersion]):
    """Asks the engine whether the settings can be enforced; the rules' own form set asks about the rules."""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        observes, until = cleaned.get("mode") == Mode.OBSERVE, cleaned.get("observe_until")
        if observes and until is None and "observe_until" not in self.errors:
            self.add_error("observe_until", "Say when observing ends, within 30 days.")
        if not observes and until is not None:
            self.add_error("observe_until", "Leave this empty: only a policy that observes ends observing.")
        hold, block = cleaned.get("hold_score"), cleaned.get("block_score")
        if hold is not None and block is not None and hold >= block:
            self.add_error("block_score", "The score that blocks must be above the score that holds.")
        for field, problem in deciding_refusals(dict(cleaned)):  # a field with an error leaves `cleaned`
            self.add_error(field, problem)
        schema = cleaned.get("schema")
        if schema is not None and schema.area_id != self.instance.policy.area_id:
            self.add_error("schema", f"This schema lies in another area than {self.instance.policy}.")
        return cleaned

    def _post_clean(self) -> None:
        """Only now the instance says what was posted."""
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            for problem in compiler.observing_problems(self.instance, timezone.now()):
                self.add_error("observe_until", problem)


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
    form = PolicyVersionForm
    readonly_fields: ClassVar[tuple[str, ...]] = (
        "policy",
        "reviewers_shown",
        "escalate_to_shown",
        *VersionAdmin.readonly_fields,
    )
    search_fields = ("policy__name", "note")
    inlines = (RulesInline,)

    def get_fieldsets(self, request: HttpRequest, obj: PolicyVersion | None = None) -> Any:
        draft = obj is not None and self.has_change_permission(request, obj)
        reviewers = "reviewers" if draft else "reviewers_shown"
        escalate_to = "escalate_to" if draft else "escalate_to_shown"
        fieldsets = [
            (None, {"fields": ("policy", ("number", "state_badge"), "schema", "note", "effective_at")}),
            ("What happens by default", {"fields": (("default_transform", "opaque_gate"),)}),
            ("Enforcement", {"fields": (("mode", "observe_until"),), "description": OBSERVING}),
            ("Risk", {"fields": (("hold_score", "block_score", "count_cap"),), "description": RISK}),
            ("Record", {"fields": ("keeps", "keeps_original"), "description": KEEPING}),
            (
                "Approvals",
                {
                    "fields": (
                        reviewers,
                        ("approvals_needed", "hold_seconds", "valid_minutes"),
                        ("escalate_minutes", escalate_to),
                        "purpose_required",
                        "keeps_alive",
                        "clear_release",
                    ),
                    "description": APPROVING,
                },
            ),
            ("History", {"fields": (("author", "created_at"), ("published_by", "published_at"))}),
        ]
        if draft and obj is not None:
            text = guide(drafting.schema_specs(obj.schema_id))
            fieldsets.append(("How rules are written", {"fields": (), "description": text}))
        return fieldsets

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in GROUPS:
            return words_field(db_field)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @admin.display(description="reviewers")
    def reviewers_shown(self, version: PolicyVersion) -> str:
        return ", ".join(version.reviewers) or "–"

    @admin.display(description="escalate to")
    def escalate_to_shown(self, version: PolicyVersion) -> str:
        return ", ".join(version.escalate_to) or "–"

    def response_change(self, request: HttpRequest, obj: PolicyVersion) -> HttpResponse:
        """A draft may be saved before it is known who decides; whoever saves it is told."""
        for problem in deciding_problems(compiler.policy_spec(obj)):
            messages.warning(request, f"Before it can be published: {problem}")
        return super().response_change(request, obj)

    def publish(self, version: PolicyVersion, by: AbstractUser) -> Version:
        return services.policy_version_publish(version=version, by=by, effective_at=version.effective_at)

    def clone(self, version: PolicyVersion, by: AbstractUser) -> Version:
        return services.policy_version_clone_to_draft(version=version, by=by)

    def roll_back(self, version: PolicyVersion, by: AbstractUser) -> Version:
        return services.policy_version_rollback(version=version, by=by)
