"""The form that makes a key of one's own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.auth.models import Group
from django.utils import timezone

from gateway.identity.keys import max_age
from gateway.identity.scope import KeyRefused, KeyScope, scope_checked
from gateway.models import User
from policies.admin.base import WordsField
from policies.models.choices import LEVELS

DAYS = (7, 30, 90, 180, 366)


class KeyForm(forms.Form):
    name = forms.CharField(
        max_length=100, label="What it is for", widget=forms.TextInput({"autocomplete": "off"})
    )
    days = forms.TypedChoiceField(coerce=int, label="It ends in")
    groups = forms.ModelMultipleChoiceField(
        Group.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Of your groups those that it carries. None chosen: all, also those that you join later.",
    )
    endpoints = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, help_text="None chosen: every endpoint of yours."
    )
    models = WordsField(required=False, help_text="Names separated by commas. Empty: every model.")
    networks = WordsField(
        required=False,
        label="Addresses",
        help_text="Ranges that it may be used from, such as 10.0.0.0/8. Empty: anywhere.",
    )
    declared_level = forms.TypedChoiceField(
        coerce=int,
        empty_value=None,
        required=False,
        label="Declared level",
        help_text="The highest level of data in its calls, unless a call says so itself.",
    )

    def __init__(self, *args: Any, user: User, endpoints: list[tuple[str, str]], **kwargs: Any) -> None:
        """`endpoints`: (slug, name) of those that are open to this person."""
        super().__init__(*args, **kwargs)
        self._user, self.scope = user, KeyScope()
        longest = max_age().days
        days = sorted({*(each for each in DAYS if each < longest), longest})
        fields: dict[str, Any] = self.fields
        fields["days"].choices = [(each, "a day" if each == 1 else f"{each} days") for each in days]
        fields["days"].initial = 90 if longest >= 90 else longest
        fields["groups"].queryset = user.groups.order_by("name")
        fields["endpoints"].choices = endpoints
        fields["declared_level"].choices = [("", "None"), *LEVELS]

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        try:
            self.scope = scope_checked(
                holder=self._user,
                groups=given.get("groups") or (),
                endpoints=given.get("endpoints") or (),
                models=given.get("models") or (),
                networks=given.get("networks") or (),
            )
        except KeyRefused as refusal:
            self.add_error(None, str(refusal))
        return given

    def expires_at(self) -> Any:
        return timezone.now() + timedelta(days=self.cleaned_data["days"])
