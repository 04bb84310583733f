"""Merkle trees against the definition in RFC 9162, written down once more in the plainest way."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.merkle import EMPTY, Tree, leaf_hash, proof_of, proves, root_of


def by_definition(leaves: list[bytes]) -> bytes:
    """MTH of section 2.1.1."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    at = 1 << ((len(leaves) - 1).bit_length() - 1)
    return sha256(b"\x01" + by_definition(leaves[:at]) + by_definition(leaves[at:])).digest()


def leaves(count: int) -> list[bytes]:
    return [number.to_bytes(4, "big") for number in range(count)]


@pytest.mark.parametrize("count", [*range(34), 63, 64, 65, 100])
def test_the_root_is_the_definitions(count: int) -> None:
    assert root_of(leaves(count)) == by_definition(leaves(count))


def test_known_roots() -> None:
    """The test vectors of certificate transparency's reference implementation."""
    inputs = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ]
    roots = {
        0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }
    for count, root in roots.items():
        assert root_of(bytes.fromhex(text) for text in inputs[:count]).hex() == root
    assert EMPTY.hex() == roots[0] and leaf_hash(b"").hex() == roots[1]


def test_a_tree_can_be_asked_while_it_grows() -> None:
    tree = Tree()
    for count, leaf in enumerate(leaves(40), start=1):
        tree.add(leaf)
        assert tree.root() == by_definition(leaves(count)) and tree.size == count


@given(st.integers(1, 70), st.data())
def test_a_proof_proves_its_leaf_and_no_other(count: int, data: st.DataObject) -> None:
    all_of_them = leaves(count)
    index = data.draw(st.integers(0, count - 1))
    proof, root = proof_of(all_of_them, index), root_of(all_of_them)
    assert proves(all_of_them[index], index, count, proof, root)
    assert not proves(b"other", index, count, proof, root)
    for other in {data.draw(st.integers(0, count - 1)), count, -1} - {index}:
        assert not proves(all_of_them[index], other, count, proof, root)
    assert not proves(all_of_them[index], index, count, [*proof, root], root)
    if proof:
        assert not proves(all_of_them[index], index, count, proof[:-1], root)
        assert not proves(all_of_them[index], index, count, [bytes(32), *proof[1:]], root)


def test_there_is_no_proof_of_what_is_not_there() -> None:
    with pytest.raises(IndexError):
        proof_of(leaves(3), 3)
