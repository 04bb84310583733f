"""Words typed into the auditors' pages. What makes them fit for the record lives in a room above."""

from __future__ import annotations

from collections.abc import Callable

from audit.records import Recordable

Scrubber = Callable[[str], Recordable]
_scrubbers: list[Scrubber] = []


def scrub_by(scrubber: Scrubber) -> None:
    """Say what masks such words. Called once, while applications start."""
    _scrubbers[:] = [scrubber]


def scrubbed(text: str) -> Recordable:
    """What may be kept of them. Raises LookupError where nobody said how: then nothing is kept."""
    if not _scrubbers:
        raise LookupError("nothing masks what people type")
    return _scrubbers[0](text)


def plain(text: str) -> bool:
    """Whether nothing in it would be masked: a name that has to stay as it was typed is refused otherwise."""
    return scrubbed(text).data == text.encode()
