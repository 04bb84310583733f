"""Where a key may be used, of all that its caller may do. Pure.

Groups are not here: a caller has only those that its key carries. Endpoint and address are known before the
body, the model only after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from gateway.proxy.access import Network, within
from gateway.proxy.errors import Forbidden


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Empty means all."""

    endpoints: frozenset[str] = frozenset()  # by slug
    models: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    def check_place(self, endpoint: str, address: str) -> None:
        if self.endpoints and endpoint not in self.endpoints:
            raise _refused("This API key is for other endpoints. Use another key, or ask for one.")
        if self.networks and not within(address, self.networks):
            raise _refused("This API key may not be used from your address.")

    def check_model(self, model: str) -> None:
        if self.models and model not in self.models:
            raise _refused("This API key is for other models. Use another key, or ask for one.")


def _refused(message: str) -> Forbidden:
    return Forbidden("key_not_allowed_here", message)


EVERYWHERE: Final = Scope()
