"""Where in a payload its findings lie: offsets into the text as it came, for who may see it.

The findings of a call point into the recorded text, since the original is kept nowhere. A page that shows a
payload to the person who pasted it, and a scan of text that was masked before, need the original's places.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from .jsontext import Json
from .masker import Masker
from .policy import Policy
from .types import Direction, Finding, Path, Style


class _Pointer(Masker):
    """Finds what a masker finds and changes nothing, so that places in its output are those of its input."""

    def __init__(self, policy: Policy, direction: Direction) -> None:
        super().__init__(policy, direction)
        self.plans = tuple(replace(plan, style=Style.NONE, recorded=Style.NONE) for plan in self.plans)
        self._apart = False


def places(
    policy: Policy, direction: Direction, tree: Json, embedded: Collection[Path] = ()
) -> tuple[Finding, ...]:
    """Every finding of a document, each for itself: those that overlap are all here, and all count.

    Raises `MaskError`. Style and rule are those of the policy.
    """
    found = _Pointer(policy, direction).document(tree, embedded=embedded).findings
    plans = policy.side(direction).by_slug
    return tuple(finding._replace(style=plans[finding.data_class].style) for finding in found)
