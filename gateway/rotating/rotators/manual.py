"""By hand: somebody enters the new secret. The plan reminds them, and escalates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from gateway.rotating.contract import Errand, Found, Waiting


class Manual:
    name = "manual"
    title = "By hand"
    needs_door = False

    def complaints(self, options: Mapping[str, Any]) -> Sequence[str]:
        return ["A rotation by hand takes no options."] if options else []

    def create(self, errand: Errand) -> NoReturn:
        raise Waiting("by_hand", "Somebody has to enter the new secret.")

    def revoke(self, errand: Errand, provider_id: str) -> None:
        """Whoever made it takes it back: the gateway cannot."""

    def living(self, errand: Errand) -> Sequence[Found] | None:
        return None


rotator = Manual()
