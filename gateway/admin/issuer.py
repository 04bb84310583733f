"""Issuers in the admin, with their mapping rules. One form is one change: all of it is saved, or proposed."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from gateway.admin.issuer_saml import SamlTool
from gateway.admin.person import person
from gateway.admin.proposing import ProposingAdmin, ReasonForm, Wanted
from gateway.identity import issuer_checks, provider
from gateway.identity.kinds import issuer_payload
from gateway.issuers import (
    FIELDS,
    change_needs_two,
    issuer_delete,
    issuer_save,
    issuers_need_two,
    rules_differ,
)
from gateway.models import GroupMapping, Issuer, IssuerKind
from gateway.models.issuer import ALGORITHMS, default_algorithms
from policies.admin.base import (
    BaseInlineFormSet,
    TabularInline,
    ToolsAdmin,
    actor,
    badge,
    require,
    words_field,
)
from policies.content import changed


def _url(name: str) -> forms.URLField:
    """Django 5.2 would take `http` where no scheme is written."""
    field = cast(Any, Issuer._meta.get_field(name))
    widget = forms.URLInput(attrs={"class": "vURLField"})
    return forms.URLField(
        required=False, max_length=500, assume_scheme="https", widget=widget, help_text=field.help_text
    )


class IssuerForm(ReasonForm[Issuer]):
    jwks_uri = _url("jwks_uri")
    introspection_url = _url("introspection_url")
    algorithms = forms.MultipleChoiceField(
        choices=[(each, each) for each in ALGORITHMS],
        widget=forms.CheckboxSelectMultiple,
        initial=default_algorithms,
        help_text="Signatures that are accepted.",
    )

    class Meta:
        model = Issuer
        fields = "__all__"

    def clean_required_claims(self) -> Any:
        return self.cleaned_data.get("required_claims") or {}

    def _post_clean(self) -> None:
        """After the values are in the row: what they mean together."""
        super()._post_clean()  # type: ignore[misc]  # Django's own hook, absent from the stubs
        if self.errors:
            return
        stored = Issuer.objects.filter(pk=self.instance.pk).first()
        for field, texts in issuer_checks.issuer_problems(self.instance, stored).items():
            self.add_error(field if field in self.fields else None, texts)
        needed = change_needs_two(self.instance, None, stored)
        if needed and not (self.cleaned_data.get("reason") or "").strip():
            self.add_error("reason", "This takes two people here. Say why, for whoever confirms it.")


class RuleFormSet(BaseInlineFormSet[GroupMapping, Issuer, Any]):
    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        rows = self.kept()
        rules = [cast(GroupMapping, form.instance) for form in rows]
        for number, text in issuer_checks.mapping_problems(self.instance, rules):
            rows[number - 1].add_error("value", text)

    def kept(self) -> list[Any]:
        """The forms of the rules that there are to be."""
        gone = self.deleted_forms
        return [
            form
            for form in self.forms
            if form not in gone and (not form.instance._state.adding or form.has_changed())
        ]


class RulesInline(TabularInline[GroupMapping, Issuer]):
    model = GroupMapping
    formset = RuleFormSet
    fields = ("match", "value", "group")
    autocomplete_fields = ("group",)
    extra = 1
    verbose_name = "mapping rule"
    verbose_name_plural = "From claims to groups"

    def _follows(self, request: HttpRequest) -> bool:
        return actor(request).has_perm("gateway.change_issuer", Issuer())

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return actor(request).has_perm("gateway.view_issuer", Issuer())

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._follows(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._follows(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._follows(request)


@admin.register(Issuer)
class IssuerAdmin(SamlTool, ProposingAdmin[Issuer], ToolsAdmin[Issuer]):
    form = IssuerForm
    tools = ("discovery", "saml")
    inlines = (RulesInline,)
    noted_by_services: ClassVar = frozenset({"added", "changed", "deleted"})
    list_display = ("name", "issuer", "kind", "rule_count", "use", "state_badge")
    list_filter = ("kind", "enabled")
    search_fields = ("name", "issuer")
    actions = None
    fieldsets: ClassVar = [
        (None, {"fields": ("name", "kind", "issuer", "enabled", "allow_private")}),
        (
            "Access tokens",
            {
                "fields": (
                    "accepts_tokens",
                    "audiences",
                    "authorized_parties",
                    "algorithms",
                    "required_claims",
                    "accepts_id_tokens",
                    ("leeway", "max_stale"),
                    "jwks_uri",
                ),
                "description": "A token calls models if all of this fits. Words are separated by commas.",
            },
        ),
        ("Opaque tokens", {"fields": ("introspection_url", "introspection_credential")}),
        (
            "What its claims mean",
            {
                "fields": (
                    ("subject_claim", "name_claim"),
                    "groups_claim",
                    "overage",
                    "overage_lookup",
                    "creates_people",
                )
            },
        ),
        ("SAML", {"fields": ("metadata",), "classes": ("collapse",)}),
    ]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in ("audiences", "authorized_parties"):
            field = words_field(db_field)
            field.widget.attrs["class"] = "vTextField"
            return field
        if db_field.name == "required_claims":
            kwargs["widget"] = forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"})
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Issuer]:
        return super().get_queryset(request).annotate(rules=Count("mappings"))

    @admin.display(description="rules")
    def rule_count(self, issuer: Issuer) -> str:
        return str(getattr(issuer, "rules", 0)) if issuer.groups_claim else "no groups"

    @admin.display(description="lets in")
    def use(self, issuer: Issuer) -> str:
        tokens = "sign-in and tokens" if issuer.accepts_tokens else "sign-in"
        return "sign-in" if issuer.kind == IssuerKind.SAML else tokens

    @admin.display(description="state", ordering="enabled")
    def state_badge(self, issuer: Issuer) -> SafeString:
        return badge("active", "On") if issuer.enabled else badge("retired", "Off")

    def get_fieldsets(self, request: HttpRequest, obj: Issuer | None = None) -> Any:
        return (
            [*self.fieldsets, ("Two people", {"fields": ("reason",)})]
            if issuers_need_two()
            else self.fieldsets
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Issuer | None = None) -> Any:
        return ("kind", "issuer") if obj else ()

    # --- who may: an issuer lies in no area, so only a role that is held everywhere reaches it

    def has_view_permission(self, request: HttpRequest, obj: Issuer | None = None) -> bool:
        return self._may(request, "view") or self._may(request, "change")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._may(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Issuer | None = None) -> bool:
        return self._may(request, "change")

    def has_delete_permission(self, request: HttpRequest, obj: Issuer | None = None) -> bool:
        return self._may(request, "delete") and not issuers_need_two()

    def _may(self, request: HttpRequest, verb: str) -> bool:
        return actor(request).has_perm(f"gateway.{verb}_issuer", Issuer())

    # --- saving: the issuer and its rules are one

    def save_model(self, request: HttpRequest, obj: Issuer, form: Any, change: bool) -> None:
        """Nothing yet: `save_related` has the rules, too."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        issuer: Issuer = form.instance
        for formset in formsets:
            formset.save(commit=False)  # tells what was added and deleted; writes nothing
        rules = [row.instance for formset in formsets for row in formset.kept()]
        stored = Issuer.objects.filter(pk=issuer.pk).first()
        if change_needs_two(issuer, rules, stored):
            form.wanted = self._wanted(issuer, rules, stored)
            self.propose_instead(request, form)
            return
        try:
            issuer_save(issuer=issuer, mappings=rules, by=person(request))
        except ValidationError as refusal:  # somebody else was faster
            messages.error(request, " ".join(refusal.messages))
            cast(Any, request).proposed = None
            return
        for text in issuer_checks.warnings(issuer, rules):
            messages.warning(request, text)

    def _wanted(self, issuer: Issuer, rules: list[GroupMapping], stored: Issuer | None) -> Wanted:
        if stored is None:
            return Wanted("issuer.add", None, issuer_payload(issuer, FIELDS, rules))
        moved = rules if rules_differ(stored, rules) else None
        return Wanted("issuer.change", stored.pk, issuer_payload(issuer, changed(stored, issuer), moved))

    def delete_model(self, request: HttpRequest, obj: Issuer) -> None:
        issuer_delete(issuer=obj, by=person(request))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        issuer: Issuer | None = kwargs.get("obj")
        if issuer is not None:
            context["may_propose_delete"] = self._may(request, "delete") and issuers_need_two()
            context["may_see_saml"] = issuer.kind == IssuerKind.SAML and self.has_view_permission(request)
            context["may_discover"] = issuer.kind == IssuerKind.OIDC and self.has_view_permission(request)
        return super().render_change_form(request, context, *args, **kwargs)

    # --- what the provider says of itself

    def tool_discovery(self, request: HttpRequest, issuer: Issuer) -> HttpResponse:
        require(self.has_view_permission(request) and issuer.kind == IssuerKind.OIDC)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Discovery document of {issuer}",
            "opts": self.opts,
            "issuer": issuer,
            "look": provider.look(issuer),
        }
        response = TemplateResponse(request, "admin/gateway/issuer/discovery.html", context)
        response["Cache-Control"] = "no-store"
        return response
