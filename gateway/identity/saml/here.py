"""Us, as a provider knows us."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Here:
    """Addresses of the host that the browser asked: our name, and where answers are posted to."""

    entity_id: str
    acs: str
