"""A recorder on the test's own store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.keys import KeyDirectory
from audit.recorder import Recorder


@pytest.fixture
def keys(tmp_path: Path, settings: Any) -> KeyDirectory:
    """A directory of the test's own: some destroy what is in it."""
    settings.AUDIT_KEY_DIR = tmp_path / "audit-keys"
    return KeyDirectory.make(settings.AUDIT_KEY_DIR)


@pytest.fixture
def recorders(transactional_db: None, keys: KeyDirectory) -> Iterator[Callable[[], Recorder]]:
    """Makes started recorders, as many processes would have them."""
    made: list[Recorder] = []

    def make() -> Recorder:
        recorder = Recorder(keys=keys)
        recorder.start()
        assert recorder.healthy
        made.append(recorder)
        return recorder

    yield make
    for recorder in made:
        recorder.stop(5)


@pytest.fixture
def recorder(recorders: Callable[[], Recorder]) -> Recorder:
    return recorders()
