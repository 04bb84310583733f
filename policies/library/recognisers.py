"""The recognisers that ship with Postern, as data. `LIBRARY` maps a name to its definition."""

from __future__ import annotations

from collections.abc import Mapping

from policies.engine.types import Recogniser

from . import identifiers, secrets

LIBRARY: Mapping[str, Recogniser] = {one.name: one for one in (*identifiers.ALL, *secrets.ALL)}
