from __future__ import annotations

import pytest

from tests.audit.conftest import keys, recorder, recorders

from .ward import Ward

__all__ = ["keys", "recorder", "recorders", "ward"]


@pytest.fixture
def ward(db: None) -> Ward:
    return Ward()
