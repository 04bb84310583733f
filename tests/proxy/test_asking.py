"""A call that asks for an approval says so to whoever follows the queue, once that is on record."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from audit.recorder import GuardFailed
from gateway.proxy.holding import Hold
from tests.approvals.world import asked


class Asking:
    """The part of a held call that asks, with a record that takes it or says that another was faster."""

    def __init__(self, *, taken: bool) -> None:
        self.told: list[str] = []
        self._taken = taken
        hold: Any = Hold.__new__(Hold)
        hold._waited, hold._broker, hold._admit = False, self, self._admit
        hold._proxy = SimpleNamespace(open_approvals=5)
        hold._caller = SimpleNamespace(person_id=UUID(int=1))
        hold._ledger = SimpleNamespace(approval=None, exchange=SimpleNamespace(request_hmac=bytes(32)))
        hold._purpose, hold._opening = self._purpose, lambda purpose: asked()
        self.hold = hold

    async def open_of(self, caller: UUID) -> int:
        return 0

    async def _purpose(self) -> str:
        return ""

    async def _admit(self, action: str, approval_id: UUID, **more: Any) -> None:
        if not self._taken:
            raise GuardFailed
        self.told.append(f"recorded {approval_id}")

    def opened(self, approval_id: UUID) -> None:
        self.told.append(f"told {approval_id}")


@pytest.mark.parametrize("taken", [True, False])
def test_the_opening_is_told_after_it_is_recorded_and_only_then(taken: bool) -> None:
    call = Asking(taken=taken)
    assert asyncio.run(call.hold._ask()) is False
    number = call.hold._ledger.approval
    assert call.told == ([f"recorded {number}", f"told {number}"] if taken else [])
