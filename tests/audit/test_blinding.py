"""Blinded digests: vectors, equality within a day, noise without its key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.blinding import BLOCK, blind, unblind

KEY = bytes(range(32))
VECTORS = [
    # key of the day, digest, block: also by HMAC-SHA256 and `openssl enc -aes-256-ecb -nopad`
    (KEY, "00000000000000000000000000000000", "f7c19850bf2d75cc239627912b2438e5"),
    (KEY, "000102030405060708090a0b0c0d0e0f", "45bf9fa69fcaa3be1ea432e9015fa3fd"),
    (KEY, "ffffffffffffffffffffffffffffffff", "f4d69bca0409a688a6700e0d4b1e79f9"),
    (bytes(32), "00000000000000000000000000000000", "ad38fc8e6c803ec91b18813e0042df3d"),
]
keys = st.binary(min_size=32, max_size=32)
digests = st.lists(st.binary(min_size=BLOCK, max_size=BLOCK), max_size=4)


@pytest.mark.parametrize(("key", "digest", "block"), VECTORS)
def test_the_published_vectors_hold(key: bytes, digest: str, block: str) -> None:
    assert blind(key, [bytes.fromhex(digest)]) == [bytes.fromhex(block)]
    assert unblind(key, [bytes.fromhex(block)]) == [bytes.fromhex(digest)]


@given(keys, digests)
def test_what_was_blinded_comes_back_in_its_order(key: bytes, found: list[bytes]) -> None:
    blocks = blind(key, found)
    assert unblind(key, blocks) == found
    assert blocks == [blind(key, [digest])[0] for digest in found]  # each by itself: a look-up finds it


@given(keys, keys, digests.filter(bool))
def test_another_days_key_neither_finds_nor_opens_it(key: bytes, other: bytes, found: list[bytes]) -> None:
    if key != other:
        assert not set(blind(key, found)) & set(blind(other, found))
        assert not set(unblind(other, blind(key, found))) & set(found)


@pytest.mark.parametrize("length", [0, 15, 17, 32])
def test_a_digest_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        blind(KEY, [bytes(16), bytes(length)])
