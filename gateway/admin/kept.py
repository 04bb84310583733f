"""Groups as their page shows them: who keeps them, who is in them and from where, what hangs on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from django import forms
from django.contrib.auth.models import Group
from django.db.models import Model
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from gateway.identity.authz import ROLES
from gateway.identity.membership import KeptByDirectory, group_sources, refuse_kept
from gateway.models import Source, User
from policies.admin.base import badge

SHOWN: Final = 50
NOTHING: Final = "–"


class KeepingForm(forms.ModelForm):  # type: ignore[type-arg]  # of people and of service accounts
    """Whoever is edited neither joins nor leaves a group that a directory keeps."""

    def clean_groups(self) -> Any:
        wanted = self.cleaned_data["groups"]
        known = not self.instance._state.adding
        held = set(self.instance.groups.all()) if known else set()
        try:
            refuse_kept(held ^ set(wanted))
        except KeptByDirectory as refusal:
            raise forms.ValidationError(str(refusal)) from None
        return wanted


def keeper_badge(row: Model) -> SafeString:
    """Who keeps a person or a group. `row.directory` has been loaded with it, or is not there."""
    kept = getattr(row, "directory", None)
    return badge("internal", f"Directory: {kept.directory}") if kept else badge("retired", "By hand")


def group_keeper(group: Group) -> SafeString:
    """The same for a group; one that claims are mapped to says so."""
    if hasattr(group, "directory") or not group.mappings.all():
        return keeper_badge(group)
    return badge("public", "By hand and by sign-in")


def members_of(group: Group) -> SafeString | str:
    """How many came from where, and the first of them by name."""
    sources = group_sources(group)
    people = User.objects.filter(groups=group).order_by("username")
    accounts = group.service_accounts.order_by("name")
    ids = [*people.values_list("pk", flat=True), *accounts.values_list("pk", flat=True)]
    if not ids:
        return "Nobody yet. What is granted here waits for its members."
    counted = Counter(_source(sources.get(each)) for each in ids)
    rows = [(str(each), _source(sources.get(each.pk))) for each in [*people[:SHOWN], *accounts[:SHOWN]]]
    more = len(ids) - len(rows)
    return format_html(
        "{}{}{}",
        ", ".join(f"{count} × {source}" for source, count in sorted(counted.items())),
        format_html_join("", "<br>{} · {}", rows),
        format_html("<br>and {} more", more) if more > 0 else "",
    )


def _source(source: Source | None) -> str:
    return str(source.label) if source else "Not on record"


def rules_of(group: Group) -> SafeString | str:
    rules = group.access_rules.select_related("endpoint", "policy").order_by("priority", "pk")
    return _linked((reverse("admin:gateway_accessrule_change", args=[each.pk]), str(each)) for each in rules)


def roles_of(group: Group) -> str:
    grants = group.role_grants.select_related("area").order_by("role", "area__name")
    shown = [f"{ROLES[each.role].title} in {each.area or 'every area'}" for each in grants]
    return "; ".join(shown) or NOTHING


def mappings_of(group: Group) -> str:
    rows = group.mappings.select_related("issuer").order_by("issuer__name", "value")
    return "; ".join(f"{each.issuer}: {each.get_match_display()} “{each.value}”" for each in rows) or NOTHING


def _linked(rows: Iterable[tuple[str, str]]) -> SafeString | str:
    found = list(rows)
    return format_html_join("", '<p><a href="{}">{}</a></p>', found) if found else NOTHING
