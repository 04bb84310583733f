"""Counting different values: exact while few, within a few per cent after, and the same wherever counted."""

from __future__ import annotations

import hashlib
import random

import pytest

from policies.engine.sketch import EXACT, REGISTERS, OneRequest, Sketch


def values(count: int, start: int = 0) -> list[bytes]:
    return [
        hashlib.blake2b(b"%d" % number, digest_size=16).digest() for number in range(start, start + count)
    ]


def sketch_of(digests: list[bytes]) -> Sketch:
    sketch = Sketch()
    sketch.add(digests)
    return sketch


@pytest.mark.parametrize("count", [0, 1, 2, 10, 100, EXACT])
def test_few_values_are_counted_exactly(count: int) -> None:
    assert len(sketch_of(values(count) * 3)) == count


@pytest.mark.parametrize("count", [EXACT + 1, 1_000, 3_000, 8_000, 12_000, 20_000, 100_000])
def test_many_values_are_estimated_within_five_per_cent(count: int) -> None:
    assert len(sketch_of(values(count))) == pytest.approx(count, rel=0.05)  # three standard errors


def test_the_error_is_that_of_the_paper() -> None:
    errors = [len(sketch_of(values(10_000, start=seed * 10_000))) / 10_000 - 1 for seed in range(1, 21)]
    root_mean_square = (sum(error**2 for error in errors) / len(errors)) ** 0.5
    assert root_mean_square < 0.025  # 0.016 in theory
    assert abs(sum(errors) / len(errors)) < 0.012


@pytest.mark.parametrize("sizes", [(3, 4), (EXACT, EXACT), (300, 5_000), (5_000, 300), (5_000, 5_000)])
def test_joined_sketches_are_the_sketch_of_all(sizes: tuple[int, int]) -> None:
    first, second = values(sizes[0]), values(sizes[1], start=sizes[0] // 2)
    joined, other = sketch_of(first), sketch_of(second)
    joined.merge(other)
    joined.merge(other)
    assert joined.dump() == sketch_of(first + second).dump()
    other.merge(sketch_of(first))
    assert other.dump() == joined.dump()


def test_order_and_repetition_do_not_matter() -> None:
    digests = values(2_000)
    shuffled = digests * 2
    random.Random(7).shuffle(shuffled)
    assert sketch_of(shuffled).dump() == sketch_of(digests).dump()


@pytest.mark.parametrize("count", [0, 5, 5_000])
def test_a_sketch_survives_being_stored(count: int) -> None:
    stored = sketch_of(values(count)).dump()
    again = Sketch(stored)
    assert (again.dump(), len(again)) == (stored, len(sketch_of(values(count))))
    assert len(stored) <= REGISTERS + 1


@pytest.mark.parametrize("data", [b"x", b"f123", b"r", b"r" + b"\0" * 9, b"r" + b"\xff" * REGISTERS])
def test_what_is_no_sketch_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a sketch"):
        Sketch(data)


def test_one_request_counts_its_own_values_once() -> None:
    counter = OneRequest()
    counter.add([("CARD", b"1"), ("CARD", b"1"), ("CARD", b"2"), ("EMAIL", b"3")])
    assert [counter.estimate(name, "hour") for name in ("CARD", "EMAIL", "NAME", "")] == [2, 1, 0, 3]
