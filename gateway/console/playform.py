"""The playground's form: which payload, read how, for whom, under which versions."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from django import forms
from django.db.models import QuerySet
from django.utils import timezone

from gateway.console.playing import MAX_BYTES, Setting
from gateway.identity.scope import groups_carried
from gateway.models import AccessRule, ApiKey, Endpoint, User
from gateway.proxy.access import ladder
from gateway.proxy.operations import MAIN_PATHS
from gateway.proxy.snapshot import access_of, in_deciding_order
from policies import drafts
from policies.engine.types import Direction, Level
from policies.models import Policy, PolicyVersion, SchemaVersion
from policies.models.choices import LEVELS
from policies.reach import seen
from policies.versions import policy_version_in_force

FAMILIES: Final = (("openai", "OpenAI chat"), ("anthropic", "Anthropic messages"), ("json", "Plain JSON"))
DIRECTIONS: Final = ((Direction.REQUEST.value, "Request"), (Direction.RESPONSE.value, "Answer"))
FORMS: Final = (("json", "JSON, as it travels"), ("text", "Text, to be put into a message"))
Pair = tuple[PolicyVersion, SchemaVersion]


@dataclass(frozen=True, slots=True)
class Access:
    """Which policy a caller gets at an endpoint, and through what."""

    caller: str
    groups: tuple[str, ...]
    endpoint: str = ""  # empty: none was chosen
    rule: str = ""  # empty: no rule fits
    policy: Policy | None = None


class KeyChoice(forms.ModelChoiceField):  # type: ignore[type-arg]  # none at run time
    """A caller is who presents a key: its holder's groups, its own declared level."""

    def label_from_instance(self, obj: Any) -> str:
        holder = obj.service_account.name if obj.service_account else obj.user.get_username()
        return f"{holder} · {obj.name} ({obj.prefix}…)"


class VersionChoice(forms.ModelChoiceField):  # type: ignore[type-arg]  # none at run time
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj} ({obj.get_state_display().lower()})"


def _versions() -> VersionChoice:
    rows = PolicyVersion.objects.select_related("policy", "schema").order_by("policy__name", "-number")
    return VersionChoice(rows, required=False)


def _schemas(empty: str) -> VersionChoice:
    rows = SchemaVersion.objects.select_related("schema").order_by("schema__name", "-number")
    return VersionChoice(rows, required=False, empty_label=empty)


class PlayForm(forms.Form):
    """`cleaned_data` gains `pair`, `against_pair` and `access`."""

    payload = forms.CharField(
        strip=False,
        widget=forms.Textarea(attrs={"rows": 16, "spellcheck": "false", "autocomplete": "off"}),
        help_text=f"Up to {MAX_BYTES // 1024} KB. It is inspected and forgotten.",
    )
    form = forms.ChoiceField(label="Payload is", choices=FORMS, initial="json")
    family = forms.ChoiceField(label="API", choices=FAMILIES, initial="openai")
    direction = forms.ChoiceField(choices=DIRECTIONS, initial="request")
    version = _versions()
    schema = _schemas("The one in force")
    caller = KeyChoice(ApiKey.objects.none(), required=False, empty_label="Nobody in particular")
    endpoint = forms.ModelChoiceField(Endpoint.objects.none(), required=False, empty_label="None")
    declared = forms.ChoiceField(
        label="Declared level", choices=[("", "As the key says"), *LEVELS], required=False
    )
    ceiling = forms.ChoiceField(
        label="Ceiling", choices=[("", "As the endpoint says"), *LEVELS], required=False
    )
    against = _versions()
    against_schema = _schemas("The one in force")

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        self._label("version", "Policy version", "The caller’s own")
        self._label("schema", "Schema version")
        self._label("against", "Compare with policy version", "None")
        self._label("against_schema", "Compare with schema version")
        self._narrow(user)

    def _label(self, name: str, label: str, empty: str = "") -> None:
        field = self.fields[name]
        field.label = label
        if empty and isinstance(field, forms.ModelChoiceField):
            field.empty_label = empty

    def _narrow(self, user: User) -> None:
        """To what lies where this person may see it."""
        for name in ("version", "against", "schema", "against_schema"):
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)  # noqa: S101  declared above
            rows = cast("QuerySet[Any]", field.queryset)
            field.queryset = seen(user, rows, [f"policies.view_{rows.model._meta.model_name}"])
        endpoints = Endpoint.objects.order_by("name")
        for name, rows in (("caller", _keys()), ("endpoint", endpoints)):
            perm = f"gateway.view_{rows.model._meta.model_name}"
            self._offer(name, seen(user, rows, [perm]), shown=user.has_perm(perm))

    def _offer(self, name: str, rows: QuerySet[Any], *, shown: bool) -> None:
        """Choices for those who may see them; for the others the question is not asked."""
        field = self.fields[name]
        if shown and isinstance(field, forms.ModelChoiceField):
            field.queryset = rows
        else:
            del self.fields[name]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        model = _model(cleaned.get("payload", ""))
        cleaned["access"] = given = _access(cleaned.get("caller"), cleaned.get("endpoint"), model)
        self._check_family(cleaned)
        version: PolicyVersion | None = cleaned.get("version")
        if version is None and "version" not in self.errors:
            version = self._version_of(cleaned, given)
        cleaned["pair"] = self._pair("schema", version, cleaned.get("schema"))
        cleaned["against_pair"] = self._against(version, cleaned)
        return cleaned

    def _check_family(self, cleaned: dict[str, Any]) -> None:
        endpoint = cleaned.get("endpoint")
        if endpoint and cleaned.get("family") != endpoint.kind:
            self.add_error("family", f"This endpoint speaks {endpoint.get_kind_display()}.")

    def _version_of(self, cleaned: dict[str, Any], given: Access | None) -> PolicyVersion | None:
        """The version in force of the policy that the caller gets at the endpoint."""
        if given is None or not cleaned.get("endpoint"):
            self.add_error("version", "Choose a version, or a caller and an endpoint.")
        elif given.policy is None:
            self.add_error("version", "No access rule lets this caller use this model at this endpoint.")
        else:
            found = policy_version_in_force(given.policy.pk)
            if found is None:
                self.add_error("version", "The policy has no published version.")
            return found
        return None

    def _pair(self, name: str, version: PolicyVersion | None, schema: SchemaVersion | None) -> Pair | None:
        if version is None:
            return None
        try:
            schema = schema or drafts.schema_version_for(version)
        except drafts.NotCompilable as refusal:
            self.add_error(name, refusal.problems)
            return None
        if schema.schema_id != version.schema_id:
            self.add_error(
                name, f"{version} goes by the schema {version.schema}: choose one of its versions."
            )
        else:
            return version, schema
        return None

    def _against(self, version: PolicyVersion | None, cleaned: dict[str, Any]) -> Pair | None:
        """The second pair; a schema version alone is compared under the same policy version."""
        other, schema = cleaned.get("against"), cleaned.get("against_schema")
        if other is None and schema is None:
            return None
        return self._pair("against_schema", other or version, schema)

    def setting(self) -> Setting:
        """Of a valid form."""
        given = self.cleaned_data
        key, endpoint = given.get("caller"), given.get("endpoint")
        declared = given["declared"] or (key.declared_level if key else None)
        ceiling = given["ceiling"] or (endpoint.ceiling if endpoint else Level.RESTRICTED)
        return Setting(
            family=given["family"],
            direction=Direction(given["direction"]),
            is_text=given["form"] == "text",
            declared=None if declared is None else Level(int(declared)),
            ceiling=Level(int(ceiling)),
        )


def _keys() -> QuerySet[ApiKey]:
    rows = ApiKey.objects.filter(revoked_at=None, expires_at__gt=timezone.now())
    return rows.select_related("user", "service_account").order_by(
        "user__username", "service_account__name", "name"
    )


def _groups(key: ApiKey) -> Iterable[Any]:
    return sorted(groups_carried(key), key=str)


def _access(key: ApiKey | None, endpoint: Endpoint | None, model: str) -> Access | None:
    if key is None:
        return None
    holder = key.service_account.name if key.service_account else str(key.user)
    groups = list(_groups(key))
    names = tuple(str(group) for group in groups)
    rule = _rule(groups, endpoint, model) if endpoint else None
    place = endpoint.name if endpoint else ""
    if rule is None:
        return Access(holder, names, place)
    return Access(holder, names, place, str(rule.group), rule.policy)


def _rule(groups: Iterable[Any], endpoint: Endpoint, model: str) -> AccessRule | None:
    """The rule that decides, as the data path chooses it; from which address nobody asks here."""
    path = MAIN_PATHS.get(endpoint.kind, "")
    found = AccessRule.objects.filter(endpoint=endpoint).select_related("group", "policy")
    rows = {row.pk: row for row in in_deciding_order(found)}
    rules = [access_of(row, None) for row in rows.values()]
    asked = [replace(rule, networks=(), paths=rule.paths if path else ()) for rule in rules]
    fitting = ladder(asked, frozenset(group.pk for group in groups))
    decides = fitting.at(path, "").choose(model, time.time())
    return rows[decides.id] if decides else None


def _model(payload: str) -> str:
    """The model that a payload names, if it can be read."""
    try:
        tree = json.loads(payload)
    except (ValueError, RecursionError):
        return ""
    model = tree.get("model") if isinstance(tree, dict) else None
    return model if isinstance(model, str) else ""
