"""Roles in the admin: given to a group in an area or everywhere, taken away again, never edited."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from gateway.admin.person import person
from gateway.admin.proposing import ProposingAdmin, ReasonForm
from gateway.identity.authz import ROLES, OwnGroup, check_not_own, role_grant, role_withdraw, roles_need_two
from gateway.models import RoleGrant, User
from gateway.role_kinds import FIELDS
from policies.admin.base import badge
from policies.content import packed

ADDS = "gateway.add_rolegrant"
EMPTY = "Every area, and what lies in none"


class RoleGrantForm(ReasonForm[RoleGrant]):
    asker: ClassVar[User | None] = None
    role = forms.ChoiceField(choices=[(name, role.title) for name, role in ROLES.items()])

    class Meta:
        model = RoleGrant
        fields = FIELDS
        help_texts: ClassVar = {
            "group": "Everybody in it holds the role. Not a group that you are in yourself.",
            "area": "Empty: everywhere, with people, groups, issuers and settings.",
        }

    def clean_group(self) -> Any:
        group = self.cleaned_data["group"]
        try:
            check_not_own(group, self.asker)
        except OwnGroup as refusal:
            raise forms.ValidationError(str(refusal)) from refusal
        return group

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # Django's own hook, absent from the stubs
        if not self.errors and roles_need_two():
            self.want("role.grant", None, packed(self.instance, FIELDS))


@admin.register(RoleGrant)
class RoleGrantAdmin(ProposingAdmin[RoleGrant]):
    form = RoleGrantForm
    names: ClassVar = frozenset({"group"})
    noted_by_services: ClassVar = frozenset({"added", "deleted"})
    list_display = ("group", "role_title", "where", "created_by", "created_at")
    list_display_links = ("group",)
    list_filter = ("role", "area", "group")
    list_select_related = ("group", "area", "created_by")
    search_fields = ("group__name", "role", "area__name")

    @admin.display(description="role", ordering="role")
    def role_title(self, grant: RoleGrant) -> str:
        return ROLES[grant.role].title

    @admin.display(description="where", ordering="area__name")
    def where(self, grant: RoleGrant) -> str | SafeString:
        return str(grant.area) if grant.area else badge("warning", "Everywhere")

    def get_fieldsets(self, request: HttpRequest, obj: RoleGrant | None = None) -> Any:
        if obj is not None:
            return [(None, {"fields": self.list_display})]
        shown: list[Any] = [(None, {"fields": FIELDS})]
        return [*shown, ("Two people", {"fields": ("reason",)})] if roles_need_two() else shown

    def get_form(
        self, request: HttpRequest, obj: RoleGrant | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Who holds their role in an area has to name one."""
        form: Any = super().get_form(request, obj, change, **kwargs)
        if "area" in form.base_fields:
            everywhere = person(request).areas_with(ADDS).everywhere
            form.base_fields["area"].required = not everywhere
            form.base_fields["area"].empty_label = EMPTY if everywhere else "Choose one"
        form.asker = person(request)  # a class of this request alone
        return form

    def has_change_permission(self, request: HttpRequest, obj: RoleGrant | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: RoleGrant, form: Any, change: bool) -> None:
        if not self.propose_instead(request, form):
            made = role_grant(group=obj.group, role=obj.role, area=obj.area, by=person(request))
            obj.pk = made.pk

    def delete_model(self, request: HttpRequest, obj: RoleGrant) -> None:
        role_withdraw(grant=obj, by=person(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[RoleGrant]) -> None:
        for grant in queryset:
            role_withdraw(grant=grant, by=person(request))
