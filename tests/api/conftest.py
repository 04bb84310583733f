"""A record to ask about, and where exports lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings

from audit import deriving
from audit.keys import KeyDirectory
from audit.recorder import Recorder
from audit.records import What, Who
from gateway.models import User
from tests.audit.world import ANSWER, CHAT, DONE, asks, run
from tests.gateway import world as people


@pytest.fixture
def alice() -> User:
    return people.person("alice")


@pytest.fixture
def record() -> Iterator[Callable[..., UUID]]:
    """Makes a call of somebody in an area, whole unless `ends` is false. The index has it at once, unless
    `indexed` is false."""
    recorder = Recorder(keys=KeyDirectory.make(settings.AUDIT_KEY_DIR))
    recorder.start()

    def called(
        by: Who, area: str = "clinic", *, ends: bool = True, indexed: bool = True, **changes: Any
    ) -> UUID:
        asked = asks(by, what=replace(CHAT, area=area), **changes)

        async def work() -> None:
            await recorder.admit(asked)
            if not ends:
                return
            await recorder.segment(asked.call_id, ANSWER, final=True)
            recorder.close(asked.call_id, DONE)
            stranger = asks(Who(network="192.0.2.1"), what=What(), request=None)
            await recorder.refuse(stranger, DONE)  # the close is written

        run(work())
        if indexed:
            deriving.derive(seconds=30)
        return asked.call_id

    yield called
    recorder.stop(5)


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.AUDIT_EXPORT_DIR = tmp_path / "exports"
    return tmp_path / "exports"
