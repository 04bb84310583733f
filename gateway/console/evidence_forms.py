"""Forms about how long evidence is kept. Where they may reach is the person's own reach."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError

from audit.models import LegalHold, Level, RetentionRule
from audit.models.retention import LONGEST
from audit.retention.callers import callers_named, label_of, number_of
from audit.retention.erasure import MOST, ErasureRefused, Selection
from audit.retention.holds import NO_ENDPOINT, endpoint_stays
from gateway.models import Area, Endpoint, ServiceAccount, User
from policies.models import Policy
from policies.reach import Reach

REASON: Final = 300


def _text(label: str, help_text: str = "", **said: Any) -> forms.CharField:
    return forms.CharField(
        label=label,
        help_text=help_text,
        strip=True,
        widget=forms.TextInput({"autocomplete": "off"}),
        **{"max_length": 255, "required": False, **said},
    )


def _moment(label: str, help_text: str = "") -> forms.DateTimeField:
    widget = forms.DateTimeInput({"autocomplete": "off", "placeholder": "2026-01-31 08:00"})
    return forms.DateTimeField(label=label, required=False, help_text=help_text, widget=widget)


def _days(label: str, help_text: str) -> forms.IntegerField:
    return forms.IntegerField(
        label=label, help_text=help_text, required=False, min_value=1, max_value=LONGEST
    )


class Reaching(forms.Form):
    """A form with an area: whoever holds a role in some areas only has to name one of them."""

    def __init__(self, *args: Any, reach: Reach, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reach = reach
        fields: dict[str, Any] = self.fields
        areas = Area.objects.order_by("slug").values_list("slug", "name")
        reached = [(slug, name) for slug, name in areas if reach.everywhere or slug in reach.slugs]
        fields["area"].choices = [("", "Any area"), *reached] if reach.everywhere else reached


class RuleForm(Reaching):
    name = _text("Name", "Shown on every call that it removes.", max_length=80, required=True)
    area = forms.ChoiceField(label="Area", required=False)
    endpoint = forms.ChoiceField(label="Endpoint", required=False)
    policy = forms.ChoiceField(label="Policy", required=False)
    level = forms.ChoiceField(
        label="Highest level found", required=False, choices=[("", "Any level"), *Level.choices]
    )
    payload_days = _days(
        "Keep payloads for so many days", "Counted from the end of the call's day. Empty: for ever."
    )
    row_days = _days(
        "Keep the call's row for so many days", "At least as long. Empty: for ever. Entries always stay."
    )
    reason = _text("Why", "Whoever confirms it reads this.", max_length=REASON)

    def __init__(self, *args: Any, rule: RetentionRule | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: dict[str, Any] = self.fields
        slugs, names = (
            set(_of_areas(Endpoint, "slug", self._reach)),
            set(_of_areas(Policy, "name", self._reach)),
        )
        if rule is not None:  # it may name what is gone
            slugs, names = slugs | {rule.endpoint} - {""}, names | {rule.policy} - {""}
        fields["endpoint"].choices = [("", "Any endpoint"), *((each, each) for each in sorted(slugs))]
        fields["policy"].choices = [("", "Any policy"), *((each, each) for each in sorted(names))]

    def payload(self) -> dict[str, Any]:
        """What the proposal holds."""
        return {name: value for name, value in self.cleaned_data.items() if name != "reason"}


class HoldForm(Reaching):
    _callers: tuple[UUID, ...] = ()

    area = forms.ChoiceField(label="Area", required=False)
    endpoint = _text("Endpoint", "Its short name, as on the call.")
    subject = _text("Caller", "As on the call, such as local:alice, or their id. The id is kept.")
    session_id = forms.UUIDField(label="Session", required=False)
    call_id = forms.UUIDField(label="Call", required=False)
    since = _moment("From (UTC)")
    until = _moment("Until (UTC)")
    reason = _text("Why", "Which case it is for.", max_length=REASON, required=True)

    def clean_endpoint(self) -> str:
        name = str(self.cleaned_data["endpoint"])
        if not endpoint_stays(name):
            raise ValidationError(NO_ENDPOINT)
        return name

    def clean_subject(self) -> str:
        """The name finds the caller; it is not kept as it was typed."""
        name = str(self.cleaned_data["subject"])
        self._callers = self._named(name) if name else ()
        if name and not self._callers:
            raise ValidationError(
                "Nobody has called by this name here. Write it as on the call, or the caller's id."
            )
        return name

    def _named(self, name: str) -> tuple[UUID, ...]:
        """Whoever may hold calls everywhere may also hold those of somebody who has made none yet."""
        if not self._reach.everywhere:
            return callers_named(name, sorted(self._reach.slugs) or [""])
        kind, _, short = name.partition(":")
        people: Any = User.objects.filter(username=short) if kind == "local" else ()
        accounts: Any = ServiceAccount.objects.filter(name=short) if kind == "service" else ()
        known = [each.pk for each in (*people, *accounts)]
        number = number_of(name)
        return tuple({*callers_named(name), *known, *([number] if number else [])})

    def clean(self) -> dict[str, Any]:
        said = self.cleaned_data
        named = [value for name, value in said.items() if name != "reason" and value]
        if not named and not self.errors:
            raise ValidationError("Say what it holds: at least one of these.")
        since, until = said.get("since"), said.get("until")
        if since and until and since > until:
            raise ValidationError("It ends before it begins.")
        return said

    def holds(self) -> list[LegalHold]:
        """One, or one for each account that has had the name."""
        said = {name: value for name, value in self.cleaned_data.items() if name != "reason"}
        return [LegalHold(**said, caller_id=caller) for caller in self._callers or (None,)]


class ErasureForm(forms.Form):
    subject = _text(
        "Caller",
        "All calls of one caller, such as local:alice, up to now, or up to the moment beside. Kept by id.",
    )
    since = _moment("From (UTC)")
    until = _moment("Until (UTC)")
    calls = forms.CharField(
        label="Or these calls",
        required=False,
        max_length=MOST * 40,
        help_text="Their ids, one on each line.",
        widget=forms.Textarea({"rows": 4, "autocomplete": "off", "spellcheck": "false"}),
    )
    reason = _text(
        "Why", "Such as the number of the request. Whoever confirms it reads this.", max_length=REASON
    )

    def clean_calls(self) -> tuple[UUID, ...]:
        try:
            return tuple(UUID(word) for word in str(self.cleaned_data["calls"]).replace(",", " ").split())
        except ValueError:
            raise ValidationError("One of these is no id of a call.") from None

    def selection(self, now: Any, reach: Reach) -> Selection:
        """Raises ErasureRefused. A caller's calls are those up to now: the proposal does not grow.

        Of calls behind a wall nothing is said, not even how many there are.
        """
        areas = () if reach.everywhere else tuple(sorted(reach.slugs))
        said = self.cleaned_data
        if said["calls"] and (said["since"] or said["until"]):
            raise ErasureRefused("Name calls, or one caller and a time.")
        if not (name := said["subject"]):
            return Selection(calls=said["calls"], areas=areas)
        callers = callers_named(name, areas)
        if not callers:
            raise ErasureRefused("There are no such calls.")
        return Selection(
            calls=said["calls"],
            callers=callers,
            named=label_of(name),
            since=said["since"],
            until=said["until"] or now,
            areas=areas,
        )


def _of_areas(model: Any, field: str, reach: Reach) -> Iterable[str]:
    rows = model.objects.filter(reach.q()).order_by(field)
    return rows.values_list(field, flat=True)  # type: ignore[no-any-return] # of any model
