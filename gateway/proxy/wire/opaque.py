"""Long encoded blobs inside ordinary strings: text in form, unreadable in fact."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from gateway.proxy.wire.base import Json, OpaquePart, Path

SHORTEST: Final = 512
"""Characters below which an encoded string is left to the detectors (tokens, hashes, short keys)."""

_ALPHABET: Final = re.compile(r"[A-Za-z0-9+/_=\r\n-]+")
_MIXED: Final = (re.compile("[A-Z]"), re.compile("[a-z]"), re.compile("[0-9]"))


def blobs(tree: Json) -> list[OpaquePart]:
    """Every string in the document that is a data URL or nothing but base64."""
    return list(_located(tree, ())) if _any_blob(tree) else []


def _any_blob(tree: Json) -> bool:
    """Whether there is one at all: nearly never, so this is the part that has to be quick."""
    level = [tree]
    while level:
        node = level.pop()
        if isinstance(node, str):
            if len(node) >= SHORTEST and is_blob(node):
                return True
        elif isinstance(node, dict):
            level.extend(node.values())
        elif isinstance(node, list):
            level.extend(node)
    return False


def _located(node: Json, path: Path) -> Iterator[OpaquePart]:
    if isinstance(node, str):
        if len(node) >= SHORTEST and is_blob(node):
            yield OpaquePart("base64", path)
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _located(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _located(value, (*path, index))


def is_blob(text: str) -> bool:
    """A data URL, or one unbroken run of the base64 alphabet with all three kinds of character."""
    text = text.strip()
    if text[:5].lower() == "data:" and ";base64," in text[:200].lower():
        return True
    return bool(_ALPHABET.fullmatch(text)) and all(kind.search(text) for kind in _MIXED)


def opaque_parts(named: Sequence[OpaquePart], tree: Json) -> list[OpaquePart]:
    """Parts that the wire named and encoded strings outside them: no part lies within another."""
    found = {part.path for part in named}
    outside = (
        part for part in blobs(tree) if not any(part.path[:size] in found for size in range(len(part.path)))
    )
    return [*named, *outside]


def without(tree: Json, part: OpaquePart) -> Json:
    """The tree with one part replaced by a note of what was there."""
    if not part.path:
        return {"opaque": part.kind}
    head, *rest = part.path
    below = without(tree[head], OpaquePart(part.kind, tuple(rest)))
    if isinstance(tree, dict):
        return {**tree, head: below}
    return [*tree[: int(head)], below, *tree[int(head) + 1 :]]
