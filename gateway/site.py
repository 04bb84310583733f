"""The admin site: whoever holds a role comes in and finds what that role opens, nothing else.

`is_staff` means nothing here. There is one way to sign in, the console's own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, Final

from django.conf import settings
from django.contrib import admin
from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.urls import reverse
from django.utils.http import urlencode

VERBS: Final = ("view", "add", "change", "delete")


def may_enter(person: Any) -> bool:
    """Whether the admin has anything for this person."""
    if not person.is_active or person.is_superuser:
        return bool(person.is_active)
    return not _opens().isdisjoint(person.get_all_permissions())


@cache
def _opens() -> frozenset[str]:
    """The permissions that show something there. Asked once everything is registered."""
    models = [model._meta for model in admin.site._registry]
    return frozenset(f"{meta.app_label}.{verb}_{meta.model_name}" for meta in models for verb in VERBS)


class Site(AdminSite):
    site_header = site_title = "Postern"

    def has_permission(self, request: HttpRequest) -> bool:
        return may_enter(request.user)

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Who is signed in and lacks a role is refused: signing in again would not help."""
        inner: Callable[..., HttpResponse] = super().admin_view(view, cacheable)

        @wraps(inner)
        def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            self._refuse(request)
            return inner(request, *args, **kwargs)

        return page

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        self._refuse(request)
        wanted = request.GET.get("next") or reverse("admin:index")
        return redirect(f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': wanted})}")

    def _refuse(self, request: HttpRequest) -> None:
        if request.user.is_authenticated and not self.has_permission(request):
            raise PermissionDenied


class Admin(AdminConfig):
    """Django's admin with this site; named in INSTALLED_APPS."""

    default_site = "gateway.site.Site"
