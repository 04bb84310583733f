"""What keys are called at their provider: by credential, rotation, attempt. Each is known again. Pure."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

PART: Final = 12
"""Hexadecimal digits of an id: the random end of a UUIDv7."""

_SHORT: Final = f"[0-9a-f]{{{PART}}}"
_LABEL: Final = re.compile(rf"postern-{_SHORT}-(?P<rotation>{_SHORT})-(?P<attempt>[0-9]{{1,6}})\Z")


def family(credential_id: UUID) -> str:
    return f"postern-{short(credential_id)}-"


def label(credential_id: UUID, rotation_id: UUID, attempt: int) -> str:
    return f"{family(credential_id)}{short(rotation_id)}-{attempt}"


def read(text: str) -> tuple[str, int] | None:
    """The rotation's short id and the attempt; None for what we did not write."""
    match = _LABEL.match(text)
    return (match["rotation"], int(match["attempt"])) if match else None


def short(key: UUID) -> str:
    return key.hex[-PART:]
