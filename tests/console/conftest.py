"""A recorder on the test's own store, and a doorbell that nobody hears."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings

from audit.keys import KeyDirectory
from audit.recorder import Recorder


@pytest.fixture
def recorder(transactional_db: None) -> Iterator[Recorder]:
    recorder = Recorder(keys=KeyDirectory.make(settings.AUDIT_KEY_DIR))
    recorder.start()
    assert recorder.healthy
    yield recorder
    recorder.stop(5)


@pytest.fixture(autouse=True)
def rung(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The doorbells that were rung."""
    heard: list[str] = []
    monkeypatch.setattr("gateway.console.previewing.ring", heard.append)
    return heard
