"""What the engine refuses. No message ever quotes the payload.

EngineError
├── SchemaError (schema.py)  a schema that cannot be compiled: every problem at once
├── JsonError (jsontext.py)  a body that is not exact JSON
└── MaskError                a payload that cannot be masked safely
"""

from __future__ import annotations

from typing import ClassVar


class EngineError(ValueError):
    """Root of everything the engine raises on purpose."""


class MaskError(EngineError):
    """A payload that cannot be masked safely: it must be refused, never forwarded."""

    messages: ClassVar[dict[str, str]] = {
        "key_collision": "Two JSON keys are the same after masking.",
        "too_many_findings": "The payload holds more sensitive values than one call may carry.",
        "lone_surrogate": "The text holds half of a character pair (a lone surrogate).",
        "broken_arguments": "A string that has to hold JSON, such as tool arguments, holds a part of it.",
        "too_deep": "The JSON is nested too deeply.",
    }

    def __init__(self, code: str) -> None:
        super().__init__(self.messages[code])
        self.code = code
