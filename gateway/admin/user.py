"""People, groups and their identities in the admin. Only a superuser can make or change a superuser."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.safestring import SafeString

from approvals.counting import votes_set_aside_soon
from gateway.admin.kept import (
    KeepingForm,
    group_keeper,
    keeper_badge,
    mappings_of,
    members_of,
    roles_of,
    rules_of,
)
from gateway.admin.person import person
from gateway.admin.proposing import warn_of_rules
from gateway.identity.authz import OwnGroup, check_joins
from gateway.identity.linking import LinkRefused, accounts_link, check_accounts, linked_with
from gateway.identity.membership import (
    KeptByDirectory,
    group_delete,
    membership_set,
    permissions_set,
    refuse_kept,
)
from gateway.identity.names import people_named, person_named
from gateway.identity.sessions import sign_in_end_all, sign_in_of
from gateway.models import Identity, User
from policies.admin.base import NotedAdmin, TabularInline, actor, badge

if TYPE_CHECKING:
    UserBase = DjangoUserAdmin[User]
    ChangeBase = UserChangeForm[User]
    NewBase = AdminUserCreationForm
else:
    UserBase, ChangeBase, NewBase = DjangoUserAdmin, UserChangeForm, AdminUserCreationForm

ESCALATION = ("is_superuser", "user_permissions")
KEPT = ("username", "first_name", "last_name", "email", "is_active")
"""What the directory says of a person whom it keeps. To stop somebody now, lock them."""
GROUPS_OPEN = "Groups carry everything: the endpoints that access rules open, and the roles that they hold."


class NewPersonForm(NewBase):
    """One name for one person on every store, in whatever letters it is typed."""

    def clean_username(self) -> Any:
        return name_free(super().clean_username(), self.instance)


class PersonForm(KeepingForm, ChangeBase):
    """A directory's groups stay as they are, and nobody puts themselves into a group that holds a role."""

    asker: ClassVar[User | None] = None
    same_as = forms.CharField(
        required=False,
        max_length=150,
        label="Same person as",
        help_text="The user name of another account that this person has. Two people are never these two.",
    )

    def clean_username(self) -> Any:
        return name_free(self.cleaned_data["username"], self.instance)

    def clean_same_as(self) -> User | None:
        name = self.cleaned_data["same_as"].strip()
        if not name:
            return None
        found = person_named(name) if name.isprintable() else None
        if found is None:
            raise ValidationError("There is no person of this user name.")
        try:
            check_accounts(self.instance, found, self.asker)
        except LinkRefused as refusal:
            raise ValidationError(str(refusal)) from None
        return found

    def clean_groups(self) -> Any:
        groups = super().clean_groups()
        try:
            check_joins(groups.exclude(user=self.instance), self.instance, self.asker)
        except OwnGroup as refusal:
            raise ValidationError(str(refusal)) from None
        return groups


def name_free(name: Any, own: User) -> Any:
    """The name; raises `ValidationError` for a new one that somebody else has."""
    if name != own.username and any(each.pk != own.pk for each in people_named(name or "")):
        raise ValidationError("A person with this user name exists.")
    return name


class IdentitiesInline(TabularInline[Identity, User]):
    """To read: whose an identity is changes on its own page, by a service that looks twice."""

    model = Identity
    fields = readonly_fields = ("issuer", "subject", "name")
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(User)
class UserAdmin(NotedAdmin[User], UserBase):
    list_display = ("username", "full_name", "group_names", "kept_by", "active_badge", "last_login")
    list_filter = ("groups", "is_active")
    list_select_related = ("directory__directory",)
    form = PersonForm
    add_form = NewPersonForm
    fieldsets: ClassVar = (
        (None, {"fields": ("username", "password")}),
        ("Who they are", {"fields": ("first_name", "last_name", "email")}),
        ("What they may do", {"fields": ("is_active", "groups"), "description": GROUPS_OPEN}),
        ("Dates", {"fields": ("last_login", "date_joined"), "classes": ("collapse",)}),
    )
    inlines = (IdentitiesInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description="name")
    def full_name(self, user: User) -> str:
        return user.get_full_name() or "–"

    @admin.display(description="groups")
    def group_names(self, user: User) -> str:
        return ", ".join(group.name for group in user.groups.all()) or "–"

    @admin.display(description="state", ordering="is_active")
    def active_badge(self, user: User) -> SafeString:
        return badge("active", "Active") if user.is_active else badge("revoked", "Inactive")

    @admin.display(description="kept")
    def kept_by(self, user: User) -> SafeString:
        return keeper_badge(user)

    @admin.display(description="linked with")
    def linked_accounts(self, user: User) -> str:
        return ", ".join(each.username for each in linked_with(user)) or "–"

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Roles come with groups. What goes past them is a superuser's business and shown to nobody else."""
        shown = list(super().get_fieldsets(request, obj))
        if obj is None:
            return shown
        shown.append(("Directory", {"fields": ("kept_by",)}))
        shown.append(("Other accounts", {"fields": ("linked_accounts", "same_as")}))
        if actor(request).is_superuser:
            shown.append(("Past the roles", {"fields": ESCALATION, "classes": ("collapse",)}))
        return shown

    def get_form(
        self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.asker = person(request)  # a class of this request alone
        return form

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:
        return self.inlines if obj else ()

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        kept = KEPT if obj is not None and hasattr(obj, "directory") else ()
        return ("last_login", "date_joined", "kept_by", "linked_accounts", *kept)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Whoever may edit people may not thereby become, or take over, a superuser."""
        beyond = obj is not None and obj.is_superuser and not actor(request).is_superuser
        return not beyond and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """The record names people by id: they are made inactive, not deleted."""
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Whoever is made inactive is out at once. Of somebody whom a directory keeps only what was changed
        here is stored: the rest may have been pushed since the page was asked for."""
        other = form.cleaned_data.get("same_as") if change else None
        if other is not None:  # first: whoever links holds the links before any person
            accounts_link(one=obj, other=other, by=person(request))
        if change and hasattr(obj, "directory"):
            columns = {field.name for field in obj._meta.concrete_fields}
            obj.save(update_fields=columns & set(form.changed_data))
        else:
            super().save_model(request, obj, form, change)
        if change and not obj.is_active and "is_active" in form.changed_data:
            sign_in_end_all(user=obj, because="deactivated", by=person(request))
            votes_set_aside_soon()

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Whoever had the old one is out, and so are the keys that they made for hours."""
        answer = super().user_change_password(request, id, form_url)
        if request.method == "POST" and answer.status_code == HTTPStatus.FOUND:
            user, by = User.objects.get(pk=id), person(request)
            keep = sign_in_of(request) if user.pk == by.pk else None
            sign_in_end_all(user=user, because="new password", by=by, keep=keep)
        return answer

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Through the services that keep who came and went, and who was given what."""
        groups = form.cleaned_data.pop("groups", None)
        given = form.cleaned_data.pop("user_permissions", None)
        super().save_related(request, form, formsets, change)
        if groups is not None:
            membership_set(member=form.instance, groups=groups, by=person(request))
        if given is not None:
            permissions_set(holder=form.instance, permissions=given, by=person(request))


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(NotedAdmin[Group], DjangoGroupAdmin):
    """What a group opens is said by roles and access rules; permissions past them only by a superuser.

    A group may be there before anybody is in it, so that access rules and roles wait for whoever signs in or
    is pushed.
    """

    noted_by_services: ClassVar = frozenset({"deleted"})
    list_display = ("name", "kept_by", "people", "rules", "roles")
    list_select_related = ("directory__directory",)
    hanging = ("kept_by", "members", "access_rules_shown", "roles_shown", "mappings_shown")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        rows = super().get_queryset(request).prefetch_related("mappings")
        people, rules = Count("user", distinct=True), Count("access_rules", distinct=True)
        return rows.annotate(n_people=people, n_rules=rules, n_roles=Count("role_grants", distinct=True))

    @admin.display(description="kept")
    def kept_by(self, group: Group) -> SafeString:
        return group_keeper(group)

    @admin.display(description="people", ordering="n_people")
    def people(self, group: Any) -> str:
        return str(group.n_people)

    @admin.display(description="access rules", ordering="n_rules")
    def rules(self, group: Any) -> str:
        return str(group.n_rules)

    @admin.display(description="roles", ordering="n_roles")
    def roles(self, group: Any) -> str:
        return str(group.n_roles)

    @admin.display(description="members")
    def members(self, group: Group) -> SafeString | str:
        return members_of(group)

    @admin.display(description="access rules")
    def access_rules_shown(self, group: Group) -> SafeString | str:
        return rules_of(group)

    @admin.display(description="roles")
    def roles_shown(self, group: Group) -> str:
        return roles_of(group)

    @admin.display(description="claims that open it")
    def mappings_shown(self, group: Group) -> str:
        return mappings_of(group)

    def get_fieldsets(self, request: HttpRequest, obj: Group | None = None) -> Any:
        shown = list(super().get_fieldsets(request, obj))
        return [*shown, ("Who is in it, and what for", {"fields": self.hanging})] if obj else shown

    def get_fields(self, request: HttpRequest, obj: Group | None = None) -> Any:
        return ("name", "permissions") if actor(request).is_superuser else ("name",)

    def get_readonly_fields(self, request: HttpRequest, obj: Group | None = None) -> Any:
        kept = ("name",) if obj is not None and hasattr(obj, "directory") else ()
        return (*self.hanging, *kept)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """A directory's group goes with its directory, or after it was taken back."""
        kept = obj is not None and hasattr(obj, "directory")
        return not kept and super().has_delete_permission(request, obj)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Deleting several: one of them may be a directory's."""
        try:
            return super().changelist_view(request, *args, **kwargs)
        except KeptByDirectory as refusal:
            messages.error(request, str(refusal))
            return redirect(request.path)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        given = form.cleaned_data.pop("permissions", None)
        super().save_related(request, form, formsets, change)
        if given is not None:
            permissions_set(holder=form.instance, permissions=given, by=person(request))

    def render_delete_form(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        warn_of_rules(request, context["object"].access_rules.all())
        return super().render_delete_form(request, context)

    def delete_model(self, request: HttpRequest, obj: Group) -> None:
        group_delete(group=obj, by=person(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> None:
        refuse_kept(queryset)
        for group in queryset:
            group_delete(group=group, by=person(request))
