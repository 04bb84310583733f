"""From a list: secrets that were made beforehand and sealed are used one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.rotating.contract import Errand, Found, FromList


class Spares:
    name = "list"
    title = "From a list of spare secrets"
    needs_door = False

    def complaints(self, options: Mapping[str, Any]) -> Sequence[str]:
        return ["A list takes no options."] if options else []

    def create(self, errand: Errand) -> FromList:
        return FromList()

    def revoke(self, errand: Errand, provider_id: str) -> None:
        """Whoever made it takes it back: the gateway cannot."""

    def living(self, errand: Errand) -> Sequence[Found] | None:
        return None


rotator = Spares()
