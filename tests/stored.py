"""Everything that a store holds, as bytes: to look for what must not be in it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from django.apps import apps
from django.db.models import Model


def stored(*, but: Collection[type[Model]] = ()) -> bytes:
    """Every column of every row of every table, but for those of these models."""
    return b"\n".join(_rows(but))


def _rows(but: Collection[type[Model]]) -> Iterator[bytes]:
    for model in apps.get_models(include_auto_created=True):
        if model in but or not model._meta.managed:
            continue
        for row in model._default_manager.values_list():
            yield b" ".join(_bytes(value) for value in row)


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes | memoryview):
        return bytes(value)
    if isinstance(value, dict | list):
        return json.dumps(value, default=str, ensure_ascii=False).encode()
    return str(value).encode("utf-8", "surrogatepass")
