"""P7: an error does not repeat the value that it is about."""

from __future__ import annotations

import pytest
from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.test import Client
from rest_framework import serializers

from gateway.error_texts import without_value
from gateway.models import Webhook
from tests.console.world import holder

CARD = "4111 1111 1111 1111"
CHOICES = [("a", "A")]


class Wrong(forms.Form):
    one = forms.ChoiceField(choices=CHOICES)
    some = forms.MultipleChoiceField(choices=CHOICES)
    typed = forms.TypedChoiceField(choices=CHOICES)


class Asked(serializers.Serializer[None]):
    one = serializers.ChoiceField(choices=CHOICES)
    some = serializers.MultipleChoiceField(choices=CHOICES)


def test_a_form_says_what_is_wrong_and_not_with_what() -> None:
    said = str(Wrong({"one": CARD, "some": [CARD], "typed": CARD}).errors)
    assert said.count("This is not one of the available choices.") == 3 and "4111" not in said


def test_the_api_says_what_is_wrong_and_not_with_what() -> None:
    asked = Asked(data={"one": CARD, "some": [CARD]})
    assert not asked.is_valid()
    assert {name: list(map(str, said)) for name, said in asked.errors.items()} == {
        "one": ["This is not a valid choice."],
        "some": ["This is not a valid choice."],
    }


@pytest.mark.parametrize(
    "field",
    [
        models.UUIDField(),
        models.DateField(),
        models.DateTimeField(),
        models.IntegerField(),
        models.DecimalField(),
        models.BooleanField(),
        models.CharField(choices=CHOICES),
    ],
    ids=lambda field: type(field).__name__,
)
def test_a_row_says_what_is_wrong_and_not_with_what(field: models.Field) -> None:
    with pytest.raises(ValidationError) as refused:
        field.clean(CARD, None)
    (said,) = refused.value.messages
    assert said.startswith("This ") and "4111" not in said


def test_a_text_that_holds_no_value_stays() -> None:
    for text in ("Enter a valid date.", "Ensure this has at most {max_length} characters.", "{field_labels}"):
        assert without_value(text) == text


@pytest.mark.django_db
def test_a_webhook_s_address_is_not_given_back(client: Client) -> None:
    client.force_login(holder("ada", "admin"))
    secret = "https://hooks.example/services/T0/B0/Zq8wXr5tYu2p"
    page = client.post("/admin/gateway/webhook/add/", {"name": "Ours", "kind": CARD, "url": secret}).content
    assert b"Ours" in page and b"This is not one" in page
    assert b"Zq8wXr5tYu2p" not in page and b"4111" not in page and not Webhook.objects.exists()
