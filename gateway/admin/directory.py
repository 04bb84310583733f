"""Directories in the admin: a token made and shown once, whom each keeps, and who is handed over to it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar, Final, cast

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from gateway.admin.person import person
from gateway.identity.directory import Unfit
from gateway.identity.directory_groups import (
    check_group,
    group_hand_over,
    group_take_back,
    person_hand_over,
    person_take_back,
)
from gateway.identity.directory_tokens import (
    TokenRefused,
    check_expiry,
    directory_token_create,
    directory_token_replace,
    directory_token_revoke,
)
from gateway.models import DirectoryGroup, DirectoryToken, DirectoryUser, User
from policies.admin.base import ModelForm, NotedAdmin, ToolsAdmin, badge, require

DEFAULT_AGE: Final = timedelta(days=365)
MAY_CHANGE: Final = "gateway.change_directorytoken"


def may(request: HttpRequest, perm: str) -> bool:
    """People belong to no area: what is about them takes a role that is held everywhere."""
    return person(request).areas_with(perm).everywhere


def address(request: HttpRequest) -> str:
    """What is pasted into Okta or Entra."""
    return request.build_absolute_uri("/scim/v2")


class DirectoryTokenForm(ModelForm[DirectoryToken]):
    class Meta:
        model = DirectoryToken
        fields = ("name", "issuer", "expires_at")

    def clean_expires_at(self) -> Any:
        expires_at = self.cleaned_data["expires_at"]
        try:
            check_expiry(expires_at)
        except TokenRefused as refusal:
            raise ValidationError(str(refusal)) from refusal
        return expires_at


@admin.register(DirectoryToken)
class DirectoryTokenAdmin(ToolsAdmin[DirectoryToken]):
    noted_by_services: ClassVar = frozenset({"added"})
    form = DirectoryTokenForm
    tools = ("revoke", "replace")
    actions = None
    list_display = ("name", "state_badge", "issuer", "people", "groups", "last_used_at", "expires_at")
    list_select_related = ("issuer",)
    search_fields = ("name", "prefix")
    fields = ("name", "issuer", "expires_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[DirectoryToken]:
        people = Count("users", distinct=True)
        switched_off = Count("users", filter=Q(users__user__is_active=False), distinct=True)
        groups = Count("groups", distinct=True)
        rows = super().get_queryset(request)
        return rows.annotate(n_people=people, n_off=switched_off, n_groups=groups)

    @admin.display(description="state")
    def state_badge(self, row: DirectoryToken) -> SafeString:
        now = timezone.now()
        if row.revoked_at is not None:
            return badge("revoked", "Revoked")
        if now >= row.expires_at:
            return badge("expired", "Expired")
        if row.expires_at - now < timedelta(days=14):
            return badge("expiring", "Expires soon")
        return badge("active", "Active")

    @admin.display(description="people")
    def people(self, row: Any) -> str:
        return f"{row.n_people}, {row.n_off} of them switched off" if row.n_off else str(row.n_people)

    @admin.display(description="groups")
    def groups(self, row: Any) -> str:
        return str(row.n_groups)

    @admin.display(description="address to give it")
    def base_address(self, row: DirectoryToken) -> str:
        return self._address

    @admin.display(description="token")
    def token_shown(self, row: DirectoryToken) -> str:
        return f"{row.prefix}_…"

    _address = "/scim/v2"

    def get_fields(self, request: HttpRequest, obj: DirectoryToken | None = None) -> Any:
        if obj is None:
            return self.fields
        self._address = address(request)
        shown = ("name", "state_badge", "token_shown", "base_address", "issuer", "people", "groups")
        return (*shown, "last_used_at", "expires_at", "revoked_at", "created_by", "created_at")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: DirectoryToken | None = None) -> bool:
        return may(request, "gateway.view_directorytoken") or may(request, MAY_CHANGE)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may(request, "gateway.add_directorytoken")

    def has_change_permission(self, request: HttpRequest, obj: DirectoryToken | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: DirectoryToken | None = None) -> bool:
        """Whom it keeps would be nobody's: it is revoked instead."""
        return False

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"expires_at": timezone.now() + DEFAULT_AGE}

    def save_model(self, request: HttpRequest, obj: DirectoryToken, form: Any, change: bool) -> None:
        row, token = directory_token_create(
            name=obj.name, expires_at=obj.expires_at, issuer=obj.issuer, by=person(request)
        )
        obj.pk, obj.prefix = row.pk, row.prefix
        cast(Any, request).shown_token = token

    def response_add(
        self, request: HttpRequest, obj: DirectoryToken, post_url_continue: Any = None
    ) -> HttpResponse:
        return self._shown_once(request, obj, cast(Any, request).shown_token)

    def _shown_once(self, request: HttpRequest, row: DirectoryToken, token: Any) -> HttpResponse:
        """The page that shows the token is this answer itself: nothing keeps it for another request."""
        context = {
            **self.admin_site.each_context(request),
            "title": "The directory's token",
            "opts": self.opts,
            "directory": row,
            "address": address(request),
            "plain_token": token.reveal(),
        }
        response = TemplateResponse(request, "admin/gateway/directorytoken/created.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row: DirectoryToken | None = kwargs.get("obj")
        if row is not None and may(request, MAY_CHANGE):
            context["may_replace"] = True
            context["may_revoke"] = row.revoked_at is None
        return super().render_change_form(request, context, *args, **kwargs)

    def tool_revoke(self, request: HttpRequest, row: DirectoryToken) -> HttpResponse:
        require(may(request, MAY_CHANGE))
        if directory_token_revoke(directory=row, by=person(request)):
            messages.success(request, f"{row} can push nothing more. Whom it keeps stays as it is.")
        return self.response_post_save_change(request, row)

    def tool_replace(self, request: HttpRequest, row: DirectoryToken) -> HttpResponse:
        require(may(request, MAY_CHANGE))
        until = timezone.now() + DEFAULT_AGE
        try:
            token = directory_token_replace(directory=row, expires_at=until, by=person(request))
        except TokenRefused as refusal:
            messages.error(request, str(refusal))
            return self.response_post_save_change(request, row)
        row.refresh_from_db()
        return self._shown_once(request, row, token)


class KeptAdmin(NotedAdmin[Any]):
    """Whom or what a directory keeps. Adding is handing over, deleting is taking back: both are services."""

    noted_by_services: ClassVar = frozenset({"added", "deleted"})
    actions = None
    names = frozenset({"user", "group", "directory"})  # nobody comes in who may not see all of them
    list_filter = ("directory",)
    description: ClassVar = ""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, f"gateway.view_{self.opts.model_name}") or may(request, MAY_CHANGE)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may(request, MAY_CHANGE)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, MAY_CHANGE)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        shown: dict[str, Any] = {"fields": self.get_fields(request, obj)}
        return [(None, shown if obj else shown | {"description": self.description})]

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        made: Any = super().get_form(request, *args, **kwargs)
        return type(made.__name__, (made,), {"asker": person(request)})

    def hand_over(self, request: HttpRequest, obj: Any) -> Any:
        raise NotImplementedError

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        self.hand_over(request, obj)
        obj._state.adding = False

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        return form.save(commit=False)


class HandOverForm(ModelForm[Any]):
    """Refuses in words what the service would refuse."""

    asker: User  # set by the admin

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        user, group, directory = (found.get(name) for name in ("user", "group", "directory"))
        if user is not None and user.is_superuser:
            self.add_error("user", "A superuser is kept by hand: no directory may switch the last door off.")
        if group is not None and directory is not None:
            try:
                check_group(group, directory, self.asker)
            except Unfit as refusal:
                self.add_error("group", str(refusal))
        return found


@admin.register(DirectoryUser)
class DirectoryUserAdmin(KeptAdmin):
    form = HandOverForm
    list_display = ("user", "directory", "external_id", "active_badge", "changed_at")
    list_select_related = ("user", "directory")
    search_fields = ("user__username", "external_id")
    autocomplete_fields = ("user",)
    fields = ("user", "directory")
    description = (
        "From now on the directory names this person, changes the name and switches them on and off. It finds"
        " them by user name."
    )

    @admin.display(description="state")
    def active_badge(self, kept: DirectoryUser) -> SafeString:
        return badge("active", "Active") if kept.user.is_active else badge("revoked", "Inactive")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.list_display if obj else self.fields

    def hand_over(self, request: HttpRequest, obj: DirectoryUser) -> Any:
        return person_hand_over(user=obj.user, directory=obj.directory, by=person(request))

    def delete_model(self, request: HttpRequest, obj: DirectoryUser) -> None:
        person_take_back(kept=obj, by=person(request))


@admin.register(DirectoryGroup)
class DirectoryGroupAdmin(KeptAdmin):
    form = HandOverForm
    list_display = ("group", "directory", "external_id", "changed_at")
    list_select_related = ("group", "directory")
    search_fields = ("group__name", "external_id")
    autocomplete_fields = ("group",)
    fields = ("group", "directory")
    description = (
        "From now on the directory alone says who is in this group. Whoever the directory does not keep"
        " leaves it now. Access rules and roles of the group stay."
    )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.list_display if obj else self.fields

    def hand_over(self, request: HttpRequest, obj: DirectoryGroup) -> Any:
        return group_hand_over(group=obj.group, directory=obj.directory, by=person(request))

    def delete_model(self, request: HttpRequest, obj: DirectoryGroup) -> None:
        group_take_back(kept=obj, by=person(request))
