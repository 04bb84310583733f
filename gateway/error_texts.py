"""What a form or the API says of a value that it does not take, without the value.

The frameworks' own texts repeat it: what somebody typed into the wrong field would be in an error that gets
logged, mailed or shown to others. A form gives it back in its field, to whoever filled it in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from django import forms
from django.db import models

VALUE: Final = re.compile(
    r"(^|\. )?(?:Value )?[“\"]?(?:%\((?:value|pk)\)[sr]|\{(?:input|pk_value|value)\})[”\"]?"
)
"""Where such a text names the value."""


def values_unsaid() -> None:
    """For every kind of field that is known by now. Once more changes nothing."""
    from rest_framework import fields

    for base in (forms.Field, models.Field, fields.Field):
        for kind in _all(base):
            if texts := kind.__dict__.get("default_error_messages"):
                texts.update({code: without_value(str(text)) for code, text in texts.items()})


def without_value(text: str) -> str:
    return VALUE.sub(lambda found: f"{found[1] or ''}{'this' if found[1] is None else 'This'}", text)


def _all(base: type[Any]) -> Iterator[type[Any]]:
    yield base
    for each in base.__subclasses__():
        yield from _all(each)
