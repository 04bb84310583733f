"""Each test starts without failures of the one before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.scim import doors


@pytest.fixture(autouse=True)
def no_failures_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(doors, "failures", doors.Failures())
    yield
