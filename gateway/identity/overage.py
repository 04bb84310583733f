"""Where a token says that its groups did not fit (Entra: more than 200), somebody else has to be asked.

A lookup is a function that is registered under a name; an issuer names it. It runs off the event loop, once
per token, and may take `SECONDS`. Without one the token is refused: nobody is to lose, or keep, a group
because of the size of a token.

    LookupFailed        the groups are not known now
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

from gateway.identity.tokens import Vouched
from policies.engine.jsontext import Json

SECONDS: Final = 5.0

Lookup = Callable[[Vouched], Collection[str]]
"""From what an issuer said of a caller to the values of its groups claim. Raises `LookupFailed`."""


class LookupFailed(Exception):
    pass


_LOOKUPS: Final[dict[str, Lookup]] = {}


def register(name: str, lookup: Lookup) -> None:
    """Make a lookup known; an installed application does it in its `ready`."""
    if _LOOKUPS.setdefault(name, lookup) is not lookup:
        raise ValueError(f"There is a lookup named {name} already.")


def names() -> list[str]:
    return sorted(_LOOKUPS)


def find(name: str) -> Lookup | None:
    return _LOOKUPS.get(name)


def is_overage(claims: Mapping[str, Json], path: str) -> bool:
    """Whether the claim at this path is elsewhere: distributed (OpenID Connect 5.6.2), or Entra's hint."""
    elsewhere = claims.get("_claim_names")
    if isinstance(elsewhere, dict) and (path in elsewhere or path.split(".")[0] in elsewhere):
        return True
    return path == "groups" and claims.get("hasgroups") in (True, "true", 1)
