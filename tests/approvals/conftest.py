from __future__ import annotations

import pytest

from .world import Ward


@pytest.fixture
def ward(db: None) -> Ward:
    return Ward()
