"""API keys in the admin: made here, shown once, rotated, revoked; never edited, never shown again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from gateway.admin.person import person
from gateway.credentials.secret import Secret
from gateway.identity.accounts import groups_beyond
from gateway.identity.keys import (
    Because,
    api_key_create,
    api_key_revoke,
    check_expiry,
    check_lends,
    check_name,
    max_age,
    state_of,
)
from gateway.identity.rotation import api_key_rotate
from gateway.identity.scope import KeyRefused, KeyScope, groups_carried, scope_checked
from gateway.models import ApiKey, Endpoint, User
from policies.admin.base import ModelForm, ToolsAdmin, badge, require, words_field

DEFAULT_AGE = timedelta(days=90)
OVERLAPS = ((0, "at once"), (1, "in an hour"), (24, "in a day"), (168, "in a week"))
"""When a rotated key ends: hours, and words."""


class ApiKeyForm(ModelForm[ApiKey]):
    asker: User  # set by the admin: what the key carries must lie within their reach
    groups = forms.ModelMultipleChoiceField(
        Group.objects.order_by("name"),
        required=False,
        help_text="Of its holder's groups those that it carries. None chosen: all.",
    )
    endpoints = forms.MultipleChoiceField(
        required=False, help_text="Endpoints that it may call. None chosen: any."
    )

    class Meta:
        model = ApiKey
        fields = (
            "name",
            "user",
            "service_account",
            "declared_level",
            "expires_at",
            "allowed_models",
            "networks",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scope = KeyScope()
        reach = self.asker.areas_with("gateway.add_apikey")
        if not reach.everywhere:
            here = Group.objects.filter(service_accounts__area__in=reach.ids)
            cast(Any, self.fields["groups"]).queryset = here.distinct().order_by("name")
        slugs = Endpoint.objects.filter(reach.q()).order_by("slug").values_list("slug", "name")
        cast(Any, self.fields["endpoints"]).choices = list(slugs)

    def clean_name(self) -> str:
        return str(_said(check_name, self.cleaned_data["name"]))

    def clean_expires_at(self) -> Any:
        return _said(check_expiry, self.cleaned_data["expires_at"])

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        user, account = given.get("user"), given.get("service_account")
        holder = account or user
        if holder is None or (user and account):
            return given  # the model's own constraint says so
        groups = list(given.get("groups") or ())
        row = ApiKey(user=user, service_account=account, group_ids=[group.pk for group in groups])
        if not self.asker.has_perm("gateway.add_apikey", row):
            raise ValidationError("You may not make keys for this holder.")
        if beyond := groups_beyond(groups_carried(row), self.asker.areas_with("gateway.add_apikey")):
            raise ValidationError(f"These groups reach beyond your areas: {', '.join(beyond)}.")
        try:
            self.scope = scope_checked(
                holder=holder,
                groups=groups,
                endpoints=given.get("endpoints") or (),
                models=given.get("allowed_models") or (),
                networks=given.get("networks") or (),
            )
            if account is not None:
                check_lends(account, self.scope, self.asker)
        except KeyRefused as refusal:
            raise ValidationError(str(refusal)) from refusal
        return given


def _said(check: Any, value: Any) -> Any:
    try:
        check(value)
    except KeyRefused as refusal:
        raise ValidationError(str(refusal)) from refusal
    return value


@admin.register(ApiKey)
class ApiKeyAdmin(ToolsAdmin[ApiKey]):
    noted_by_services: ClassVar = frozenset({"added"})
    form = ApiKeyForm
    tools = ("revoke", "rotate")
    actions = ("revoke_selected",)
    action_perms: ClassVar = {"revoke": "gateway.change_apikey"}
    list_display = ("prefix", "name", "owner_name", "state_badge", "expires_at", "last_used_at")
    list_filter = ("kind",)
    list_select_related = ("user", "service_account")
    search_fields = ("prefix", "name", "user__username", "service_account__name")
    date_hierarchy = None
    autocomplete_fields = ("user", "service_account")
    fieldsets: ClassVar = [
        (None, {"fields": ("name", "user", "service_account", "declared_level", "expires_at")}),
        (
            "Only for",
            {
                "fields": ("groups", "endpoints", "allowed_models", "networks"),
                "description": "A key never opens more than its holder may; this makes it less.",
            },
        ),
    ]

    @admin.display(description="state")
    def state_badge(self, key: ApiKey) -> SafeString:
        state = state_of(key, timezone.now())
        return badge(state.value, str(state.label))

    @admin.display(description="groups")
    def groups_shown(self, key: ApiKey) -> str:
        names = ", ".join(sorted(group.name for group in groups_carried(key)))
        return f"only {names or 'such that are gone'}" if key.group_ids else f"all: {names or 'none'}"

    @admin.display(description="endpoints")
    def endpoints_shown(self, key: ApiKey) -> str:
        return ", ".join(key.allowed_endpoints) or "any"

    @admin.display(description="models")
    def models_shown(self, key: ApiKey) -> str:
        return ", ".join(key.allowed_models) or "any"

    @admin.display(description="networks")
    def networks_shown(self, key: ApiKey) -> str:
        return ", ".join(key.networks) or "any"

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        if obj is None:
            return self.fieldsets
        scope = ("groups_shown", "endpoints_shown", "models_shown", "networks_shown", "declared_level")
        used, ended = ("last_used_at", "last_used_from"), ("revoked_at", "revoked_because")
        made = ("prefix", "name", "owner_name", "kind", "state_badge", "created_at", "created_by")
        return [
            (None, {"fields": made}),
            ("Only for", {"fields": scope}),
            ("From first to last", {"fields": ("rotated_from", *used, "expires_at", *ended)}),
        ]

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        made: Any = super().get_form(request, *args, **kwargs)
        return type(made.__name__, (made,), {"asker": person(request)})

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in ("allowed_models", "networks"):
            return words_field(db_field)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        age = min(DEFAULT_AGE, max_age() - timedelta(hours=1))
        return {"expires_at": timezone.now() + age, **super().get_changeform_initial_data(request)}

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return self.may(request, "change", obj)

    def has_rotate_permission(self, request: HttpRequest, key: ApiKey) -> bool:
        """Whoever rotates a key sees the new one: it takes what making it takes."""
        asker = person(request)
        if not asker.has_perm("gateway.add_apikey", key):
            return False
        return not groups_beyond(groups_carried(key), asker.areas_with("gateway.add_apikey"))

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        row, key = api_key_create(
            name=obj.name,
            user=obj.user,
            service_account=obj.service_account,
            expires_at=obj.expires_at,
            declared_level=obj.declared_level,
            scope=form.scope,
            by=person(request),
        )
        obj.pk, obj.prefix = row.pk, row.prefix
        cast(Any, request).created_key = key

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """What the form could not know, such as too many living keys, is said in words."""
        try:
            return super().add_view(request, *args, **kwargs)
        except KeyRefused as refusal:
            messages.error(request, str(refusal))
            return self.response_post_save_add(request, ApiKey())

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: Any = None) -> HttpResponse:
        return self._shown_once(request, obj, cast(Any, request).created_key)

    def _shown_once(
        self, request: HttpRequest, key: ApiKey, secret: Secret, old: ApiKey | None = None
    ) -> HttpResponse:
        """The page that shows the key is the answer itself: nothing keeps the key for another request."""
        context = {
            **self.admin_site.each_context(request),
            "title": "API key created",
            "opts": self.opts,
            "api_key": key,
            "old_key": old,
            "plain_key": secret.reveal(),
        }
        response = TemplateResponse(request, "admin/gateway/apikey/created.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        key: ApiKey | None = kwargs.get("obj")
        if key is not None and key.is_valid_at(timezone.now()):
            context["may_revoke"] = self.has_revoke_permission(request, key)
            context["may_rotate"] = key.kind == "standard" and self.has_rotate_permission(request, key)
            context |= {"reasons": Because, "overlaps": OVERLAPS}
        return super().render_change_form(request, context, *args, **kwargs)

    def tool_revoke(self, request: HttpRequest, key: ApiKey) -> HttpResponse:
        require(self.has_revoke_permission(request, key))
        because = request.POST.get("because", Because.UNNEEDED)
        require(because in Because.values)
        self._revoke(request, [key], Because(because))
        return self.response_post_save_change(request, key)

    def tool_rotate(self, request: HttpRequest, key: ApiKey) -> HttpResponse:
        require(self.has_rotate_permission(request, key))
        hours = request.POST.get("overlap", "24")
        require(hours in {str(each) for each, _ in OVERLAPS})
        try:
            row, secret = api_key_rotate(key=key, by=person(request), overlap=timedelta(hours=int(hours)))
        except KeyRefused as refusal:
            messages.error(request, str(refusal))
            return self.response_post_save_change(request, key)
        key.refresh_from_db()
        return self._shown_once(request, row, secret, key)

    @admin.action(description="Revoke selected keys", permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        self._revoke(request, [key for key in keys if self.has_revoke_permission(request, key)])

    def _revoke(self, request: HttpRequest, keys: list[ApiKey], because: Because = Because.UNNEEDED) -> None:
        by = person(request)
        revoked = [key for key in keys if api_key_revoke(key=key, by=by, because=because)]
        messages.success(request, f"Revoked: {', '.join(str(key) for key in revoked) or 'none'}.")
