"""Tags that console and admin templates share: the top bar, the admin's catalogue, the environment's name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final
from uuid import UUID

from django import template
from django.conf import settings
from django.db.models import Model
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from gateway.access_review.reading import SEES
from gateway.console import catalogue as jobs
from gateway.console.changes import KINDS
from gateway.console.flagged import panel
from gateway.site import may_enter

FITS: Final = 8
"""Links that the bar has room for on a laptop."""

LESS_OFTEN: Final = frozenset({"Usage", "Drift", "Explain", "Access review", "History", "Roles"})

register = template.Library()


@register.simple_tag
def environment() -> str:
    """The deployment's short name (`demo`, `production`); empty when none is set."""
    return str(settings.ENVIRONMENT)


@register.simple_tag
def time_zone() -> str:
    """Where the admin's clock stands; our own pages are always in UTC."""
    return str(settings.TIME_ZONE)


@register.simple_tag
def postern_version() -> str:
    try:
        return version("postern")
    except PackageNotFoundError:  # run from a checkout
        return str(getattr(settings, "VERSION", ""))


@register.simple_tag
def moment(value: datetime | None) -> SafeString | str:
    """A time as `<time>`: short to read, exact to copy, always UTC whatever the server's own zone."""
    if value is None:
        return "–"
    at = value.astimezone(UTC)
    exact = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return format_html('<time datetime="{}" title="{}">{}</time>', exact, exact, f"{at:%d %b %Y %H:%M:%S}")


@register.simple_tag
def history_url(row: Model | None, user: Any) -> str:
    """The timeline of one object; empty where this person may not read it or nothing is kept of it."""
    if row is None or not user.has_perm("gateway.view_history", row) or row._meta.model_name not in KINDS:
        return ""
    return f"{reverse('history')}?kind={row._meta.model_name}&object={row.pk}"


@register.simple_tag
def catalogue(app_list: Iterable[Mapping[str, Any]]) -> list[jobs.Section]:
    return jobs.sections(app_list)


@register.inclusion_tag("includes/topbar.html", takes_context=True)
def topbar(context: template.Context) -> dict[str, Any]:
    request: HttpRequest | None = context.get("request")
    user = getattr(request, "user", None) or context.get("user")
    signed_in = bool(user and user.is_authenticated)
    nav, more = _parted(_nav(user, request.path if request else "")) if signed_in else ([], [])
    return {
        "user": user,
        "groups": [str(group) for group in user.groups.all()] if user and signed_in else [],
        "nav": nav,
        "more": more,
        "more_current": next((item["label"] for item in more if item["current"]), ""),
        "environment": environment(),
        "home_url": _url("home") or "/",
        "logout_url": _url("logout") or _url("admin:logout"),
        "account_url": _url("account"),
        "password_url": _password_url(user) if signed_in else "",
        "csrf_token": context.get("csrf_token"),
    }


def _nav(user: Any, path: str) -> list[dict[str, Any]]:
    """What this person may open. A link that would only answer 403 is not shown."""
    items = [("Home", "home", True), ("Keys", "keys", True), ("Usage", "usage", True)]
    items.append(("Review", "review:queue", user.has_perm("approvals.view_approval")))
    items.append(("Audit", "audit:sessions", user.has_perm("audit.view_call")))
    keeps = user.has_perm("audit.view_retentionrule") and not user.has_perm("audit.view_call")
    items.append(("Retention", "retention", keeps))  # else it is a tab of the audit
    watches = any(map(user.has_perm, ("gateway.cut_call", "audit.view_call", "gateway.view_lock")))
    items.append(("Live", "live", watches))
    may_play = user.has_perms(("policies.view_policyversion", "policies.view_schemaversion"))
    items.append(("Playground", "playground", may_play))
    items.append(("Drift", "drift", user.has_perm("gateway.view_structuredfield")))
    items.append(("Explain", "explain", user.has_perm("gateway.view_accessrule")))
    items.append(("Access review", "access_review", user.has_perms(SEES)))
    items.append(("Proposals", "proposals", user.has_perm("policies.view_proposal")))
    items.append(("History", "history", user.has_perm("gateway.view_history")))
    items.append(("Roles", "roles", user.has_perm("gateway.view_rolegrant")))
    items.append(("Admin", "admin:index", may_enter(user)))
    return [_item(label, url, path) for label, name, shown in items if shown and (url := _url(name))]


def _parted(items: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What stays in sight, and what moves behind “More” where all of it would not fit."""
    if len(items) <= FITS:
        return items, []
    return (
        [item for item in items if item["label"] not in LESS_OFTEN],
        [item for item in items if item["label"] in LESS_OFTEN],
    )


def _item(label: str, url: str, path: str) -> dict[str, Any]:
    inside = path == url or (url != "/" and path.startswith(url))
    return {"label": label, "url": url, "exact": path == url, "current": inside}


def _password_url(user: Any) -> str:
    return _url("password") if user.has_usable_password() else ""


def _url(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""


@register.inclusion_tag("audit/flag_panel.html", takes_context=True)
def flag_panel(context: template.Context, call_id: UUID) -> dict[str, Any]:
    """What people did about a flagged call; nothing for any other."""
    return panel(context["request"].user, call_id)
