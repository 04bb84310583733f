"""That some entries are among those of a signed checkpoint, shown together: each digest is told once. Pure.

The leaves of a checkpoint's Merkle tree (`audit.merkle`) are covered from left to right: by an entry that is
shown, or by the digest of the largest whole subtree in which nothing is shown. Whoever puts the cover
together again in that order gets the root that was signed, and knows each entry's place. Making a cover and
reading it take one digest for each level of the tree, however large that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, final

from audit.merkle import EMPTY, leaf_hash, node_hash


class Node(NamedTuple):
    """A subtree of 2 ** level leaves, none of which is shown."""

    level: int
    digest: bytes


class Shown(NamedTuple):
    """A leaf that is shown."""

    digest: bytes


Piece = Node | Shown


class ProofError(ValueError):
    """This is no cover of a tree."""


def cover(leaves: Iterable[tuple[bytes, bool]]) -> Iterator[Piece]:
    """The cover of a tree, given its leaves in order and whether each is shown."""
    hidden: list[Node] = []  # side by side, nothing shown between them, the largest first or before a border
    for at, (leaf, shown) in enumerate(leaves):
        if shown:
            yield from hidden
            hidden.clear()
            yield Shown(leaf)
        else:
            _join(hidden, Node(0, leaf_hash(leaf)), at)
    yield from hidden


def _join(side_by_side: list[Node], node: Node, at: int) -> None:
    """Add one behind the others; two halves of one subtree become that subtree. `at`: its first leaf."""
    while side_by_side and side_by_side[-1].level == node.level and (at >> node.level) & 1:
        left = side_by_side.pop()
        at -= 1 << node.level
        node = Node(node.level + 1, node_hash(left.digest, node.digest))
    side_by_side.append(node)


@final
class Fold:
    """Puts a cover together again, piece by piece. `size`: leaves so far, hence the place of the next one."""

    def __init__(self) -> None:
        self._peaks: list[Node] = []
        self.size = 0

    def add(self, piece: Piece) -> int:
        """Returns the place of the piece's first leaf. Raises `ProofError` where none can stand there."""
        node = Node(0, leaf_hash(piece.digest)) if isinstance(piece, Shown) else piece
        if not 0 <= node.level < 64 or self.size & ((1 << node.level) - 1):
            raise ProofError("a subtree stands where none can be")
        at = self.size
        self.size += 1 << node.level
        _join(self._peaks, node, at)
        return at

    def root(self) -> bytes:
        if not self._peaks:
            return EMPTY
        digest = self._peaks[-1].digest
        for peak in reversed(self._peaks[:-1]):
            digest = node_hash(peak.digest, digest)
        return digest
