"""Merkle trees as RFC 9162, section 2.1, defines them: one digest over many, and short proofs. Pure.

A leaf's hash is SHA-256(0x00, leaf), a node's SHA-256(0x01, left, right); the tree of nothing has the hash of
nothing. A proof lists what lies beside the way from a leaf to the root.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

EMPTY: Final = sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """Takes leaves one by one and keeps one digest for each level: millions of leaves cost no memory."""

    def __init__(self) -> None:
        self._peaks: list[bytes] = []  # of the perfect trees so far, the largest first
        self.size = 0

    def add(self, leaf: bytes) -> None:
        digest, at = leaf_hash(leaf), self.size
        while at & 1:  # two perfect trees of one size are one tree
            digest, at = node_hash(self._peaks.pop(), digest), at >> 1
        self._peaks.append(digest)
        self.size += 1

    def root(self) -> bytes:
        if not self._peaks:
            return EMPTY
        digest = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            digest = node_hash(peak, digest)
        return digest


def root_of(leaves: Iterable[bytes]) -> bytes:
    tree = Tree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root()


def proof_of(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """What proves that `leaves[index]` is in the tree of `leaves`."""
    if not 0 <= index < len(leaves):
        raise IndexError("no such leaf")
    proof: list[bytes] = []
    level = [leaf_hash(leaf) for leaf in leaves]
    while len(level) > 1:
        beside = index ^ 1
        if beside < len(level):
            proof.append(level[beside])
        pairs = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = [*pairs, *(level[-1:] if len(level) % 2 else [])]
        index >>= 1
    return proof


def proves(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows that `leaf` is number `index` of the `size` leaves under `root`."""
    if not 0 <= index < size:
        return False
    digest, last, rest = leaf_hash(leaf), size - 1, list(proof)
    while last:
        if index & 1 or index < last:  # else it stands alone on this level and rises as it is
            if not rest:
                return False
            beside = rest.pop(0)
            digest = node_hash(beside, digest) if index & 1 else node_hash(digest, beside)
        index, last = index >> 1, last >> 1
    return not rest and digest == root
