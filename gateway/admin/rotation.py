"""How credentials are rotated, in the admin: the plan, what happened, and what a person may do about it."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.views.decorators.debug import sensitive_post_parameters

from gateway.admin.pasted import Pasted
from gateway.admin.person import person
from gateway.credentials.secret import Secret
from gateway.models import Rotation, RotationPlan, RotationStep
from gateway.models.endpoint import endpoints_using
from gateway.models.rotation import under_way
from gateway.rotating.registry import known
from gateway.rotating.services import (
    RotationError,
    plan_check,
    plan_drop,
    plan_save,
    roll_back,
    rotate_now,
    rotation_cancel,
    secret_revoke_now,
    spares_add,
)
from gateway.rotating.standing import standing, standings
from policies.admin.base import ModelForm, ToolsAdmin, badge, require

SHOWN: Final = 20
"""Versions and rotations on a plan's page, the newest first."""

CONFIRM: Final = {
    "compromised": (
        "Replace it at once",
        "A new secret is made, tried and used, and all secrets before it are taken back without overlap."
        " Calls that begin within the two seconds until every process knows may fail.",
    ),
    "revoke": (
        "Revoke it now, without another",
        "Every secret of this credential is wiped now, and its provider takes back what it made. Calls to the"
        " endpoints that use it are refused until there is another.",
    ),
}


class PlanForm(ModelForm[RotationPlan]):
    rotator = forms.ChoiceField(help_text="Who makes the next secret.")
    spares = forms.CharField(
        required=False,
        label="Spare secrets",
        widget=Pasted(attrs={"rows": 3, "autocomplete": "off", "spellcheck": "false"}),
        help_text="For a list: one on each line, sealed and never shown again. They are used in this order.",
    )

    class Meta:
        model = RotationPlan
        fields = (
            "credential",
            "rotator",
            "options",
            "admin_credential",
            "allow_private",
            "spares",
            "every",
            "cron",
            "timezone",
            "jitter",
            "windows",
            "overlap",
            "test_path",
            "paused",
            "escalate_after",
            "disable_after",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, rows in (("options", 6), ("windows", 2)):
            if name in self.fields:  # who may only look has none
                self.fields[name].widget.attrs["rows"] = rows
        if "rotator" in self.fields:
            self.fields["rotator"].choices = [(name, each.title) for name, each in known().items()]  # type: ignore[attr-defined]  # a choice field

    def clean_spares(self) -> list[Secret]:
        """Types that do not print, from here on."""
        return [Secret(line.strip()) for line in self.cleaned_data["spares"].splitlines() if line.strip()]

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # the hook behind `instance`, which the stubs leave out
        if self.instance.credential_id:
            try:
                plan_check(self.instance)
            except ValidationError as wrong:
                self.add_error(None, wrong)


@admin.register(RotationPlan)
class RotationPlanAdmin(ToolsAdmin[RotationPlan]):
    noted_by_services: ClassVar = frozenset({"added", "changed", "deleted"})
    form = PlanForm
    tools = ("rotate", "compromised", "revoke", "cancel", "back")
    actions = None
    list_display = ("credential", "rotator_title", "state_badge", "age", "next_at", "failures")
    list_select_related = ("credential",)
    search_fields = ("credential__name", "credential__origin")
    fieldsets: ClassVar = [
        (
            None,
            {"fields": ("credential", "rotator", "options", "admin_credential", "allow_private", "spares")},
        ),
        ("When", {"fields": ("every", "cron", "timezone", "jitter", "windows", "paused")}),
        ("How", {"fields": ("overlap", "test_path")}),
        ("By hand", {"fields": ("escalate_after", "disable_after")}),
    ]

    @admin.display(description="made by")
    def rotator_title(self, plan: RotationPlan) -> str:
        rotator = known().get(plan.rotator)
        return rotator.title if rotator else f"{plan.rotator}, which is gone"

    @admin.display(description="state")
    def state_badge(self, plan: RotationPlan) -> SafeString:
        return badge(plan.stands.tone, plan.stands.text)  # type: ignore[attr-defined]  # set for the list

    @admin.display(description="age of the secret")
    def age(self, plan: RotationPlan) -> str:
        since = plan.stands.since  # type: ignore[attr-defined]  # set for the list
        return timesince(since) if since else "None"

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """How its rows stand is read at once, however many they are."""
        found = super().get_changelist_instance(request)
        stand = standings([(plan.credential, plan) for plan in found.result_list])
        for plan in found.result_list:
            plan.stands = stand[plan.credential_id]
        return found

    def get_readonly_fields(self, request: HttpRequest, obj: RotationPlan | None = None) -> Any:
        return ("credential",) if obj else ()

    @method_decorator(sensitive_post_parameters("spares"))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().changeform_view(request, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: RotationPlan, form: Any, change: bool) -> None:
        plan_save(plan=obj, by=person(request))
        if spares := form.cleaned_data["spares"]:
            try:
                count = spares_add(credential=obj.credential, secrets=spares, by=person(request))
                messages.success(request, f"{count} spare secrets were sealed.")
            except RotationError as refused:
                messages.error(request, f"No spare secret was kept. {refused}")

    def delete_model(self, request: HttpRequest, obj: RotationPlan) -> None:
        plan_drop(plan=obj, by=person(request))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        plan: RotationPlan | None = kwargs.get("obj")
        if plan is not None:
            context |= {
                "standing": standing(plan.credential, plan),
                "versions": plan.credential.versions.all()[:SHOWN],
                "rotations": plan.credential.rotations.select_related("version", "asked_by")[:SHOWN],
                "may_work": self.has_change_permission(request, plan),
                "under_way": under_way(plan.credential) is not None,
            }
        return super().render_change_form(request, context, *args, **kwargs)

    # --- what a person may do -----------------------------------------------------------------------

    def tool_rotate(self, request: HttpRequest, plan: RotationPlan) -> HttpResponse:
        return self._done(request, plan, rotate_now, "A rotation has begun: this page shows how far it is.")

    def tool_cancel(self, request: HttpRequest, plan: RotationPlan) -> HttpResponse:
        return self._done(request, plan, rotation_cancel, "Called off. The secret in use stays.")

    def tool_compromised(self, request: HttpRequest, plan: RotationPlan) -> HttpResponse:
        if "sure" not in request.POST:
            return self._ask(request, plan, "compromised")
        words = "It is being replaced: the secrets before it go with the switch."
        return self._done(request, plan, rotate_now, words, compromised=True)

    def tool_revoke(self, request: HttpRequest, plan: RotationPlan) -> HttpResponse:
        if "sure" not in request.POST:
            return self._ask(request, plan, "revoke")
        return self._done(request, plan, secret_revoke_now, "Revoked. Enter or make another secret.")

    def tool_back(self, request: HttpRequest, plan: RotationPlan) -> HttpResponse:
        require(self.has_change_permission(request, plan))
        number = request.POST.get("number", "")
        rows = plan.credential.versions.filter(number=int(number)) if number.isdecimal() else None
        version = rows.first() if rows is not None else None
        try:
            if version is None:
                raise RotationError("There is no such version.")
            roll_back(version=version, by=person(request))
            messages.success(request, f"Version {version.number} is in use again.")
        except RotationError as refused:
            messages.error(request, str(refused))
        return self.response_post_save_change(request, plan)

    def _ask(self, request: HttpRequest, plan: RotationPlan, tool: str) -> HttpResponse:
        require(self.has_change_permission(request, plan))
        title, words = CONFIRM[tool]
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "words": words,
            "opts": self.opts,
            "plan": plan,
            "tool": f"admin:gateway_rotationplan_{tool}",
            "endpoints": endpoints_using(plan.credential).order_by("slug"),
        }
        return TemplateResponse(request, "admin/gateway/rotationplan/confirm.html", context)

    def _done(
        self, request: HttpRequest, plan: RotationPlan, service: Any, words: str, **more: Any
    ) -> HttpResponse:
        require(self.has_change_permission(request, plan))
        try:
            service(credential=plan.credential, by=person(request), **more)
            messages.success(request, words)
        except RotationError as refused:
            messages.error(request, str(refused))
        return self.response_post_save_change(request, plan)


@admin.register(Rotation)
class RotationAdmin(ToolsAdmin[Rotation]):
    """What happened; nobody edits it."""

    actions = None
    list_display = ("credential", "cause", "step_badge", "version", "started_at", "ended_at", "error")
    list_filter = ("step", "cause")
    list_select_related = ("credential", "version__credential")
    search_fields = ("credential__name",)
    fields = (*list_display, "detail", "attempt", "tries", "next_at", "asked_by")

    @admin.display(description="step")
    def step_badge(self, row: Rotation) -> SafeString:
        colours = {RotationStep.DONE: "ok", RotationStep.FAILED: "error"}
        return badge(colours.get(RotationStep(row.step), "pending"), RotationStep(row.step).label)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Rotation | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Rotation | None = None) -> bool:
        return False
