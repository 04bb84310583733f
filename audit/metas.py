"""What an entry's metadata says, read so that whatever somebody made of it is an object. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def said(meta: bytes) -> Mapping[str, Any]:
    """The object, or an empty one: an entry that somebody changed may hold anything."""
    try:
        found = json.loads(meta)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def part(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object in it, or an empty one."""
    found = of.get(name)
    return found if isinstance(found, dict) else {}
