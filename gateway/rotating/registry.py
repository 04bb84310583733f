"""Finds the rotators: one file each, in `gateway.rotating.rotators` and in what ROTATORS names."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from types import ModuleType

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from gateway.rotating import rotators
from gateway.rotating.contract import Rotator


@cache
def known() -> Mapping[str, Rotator]:
    """Every rotator by its name, in the order of their names. Raises `ImproperlyConfigured`."""
    found: dict[str, Rotator] = {}
    for module in _modules():
        rotator = getattr(module, "rotator", None)
        if rotator is None:
            raise ImproperlyConfigured(f"{module.__name__} has no `rotator`.")
        if rotator.name in found:
            raise ImproperlyConfigured(f"{module.__name__}: there is a rotator {rotator.name} already.")
        found[rotator.name] = rotator
    return dict(sorted(found.items()))


def named(name: str) -> Rotator | None:
    """None: a rotator that was taken away since."""
    return known().get(name)


def _modules() -> Iterator[ModuleType]:
    for info in pkgutil.iter_modules(rotators.__path__, f"{rotators.__name__}."):
        yield importlib.import_module(info.name)
    for name in settings.ROTATORS:
        try:
            yield importlib.import_module(name)
        except ImportError as error:
            raise ImproperlyConfigured(f"ROTATORS names {name}, which cannot be imported: {error}") from error
